/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions on a key: see decide.h. Called by writes.c (COMMIT), resolve.c (writes whose owner is gone) and tasks.c. */
#include "config.h"

#include "decide.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "backoff.h"
#include "cells.h"
#include "common/clock.h"
#include "common/log.h"
#include "queue.h"
#include "resolve.h"
#include "tasks.h"
#include "writes.h"

#define GUARD_MS 30000 /* a guard is looked at again when no write's end has removed it */

void decide_watch(struct site_row *row, int64_t now_ms)
{
	row->watch = 1;
	row->next_ms = now_ms + backoff_watch_ms(1);
	row->dirty = true;
}

static void row_lack(struct key_entry *e, uint32_t site, int64_t now_ms, int64_t due_ms)
{
	struct site_row *row = row_need(e, site, now_ms);

	row->unconfirmed = true;
	row->parked = false;
	row->attempts = 0;
	row->next_ms = due_ms;
	row->since_ms = now_ms;
}

static void row_sync(struct repld *r, struct key_entry *e, uint32_t site, enum site_outcome outcome)
{
	int64_t now_ms = clock_real_ms();
	struct site_row *row;

	switch (outcome) {
	case SITE_DONE:
		row = row_find(e, site);
		if (row && row->watch)
			row->unconfirmed = row->parked = false;
		else if (row)
			row_drop(row);
		break;
	case SITE_FAILED:
		row_lack(e, site, now_ms, now_ms + backoff_delay_ms(1, r->conf->replication.retry_initial_ms, INT64_MAX / 4, 0));
		break;
	case SITE_UNKNOWN:
		row_lack(e, site, now_ms, now_ms);
		decide_watch(row_find(e, site), now_ms);
		break;
	}
}

static void make_rows(struct repld *r, struct key_entry *e, const enum site_outcome *outcomes)
{
	const struct version *v = e->decided;
	int64_t now_ms = clock_real_ms();

	/* A site that lacked the version before, or is watched, lacks this one too. */
	for (size_t i = 0; i < e->n_rows; i++) {
		struct site_row *row = &e->rows[i];

		if (row->gone)
			continue;
		if (row->site == ROW_KEEPER) {
			row_drop(row);
			continue;
		}
		row->unconfirmed = true;
		row->parked = false;
		row->attempts = 0;
		row->dirty = true;
		if (!row->watch)
			row->next_ms = now_ms;
	}
	for (size_t i = 0; i < v->n_sites; i++) {
		if (i < v->n_sync && outcomes)
			row_sync(r, e, v->sites[i], outcomes[i]);
		else
			row_lack(e, v->sites[i], now_ms, now_ms);
	}
	for (size_t i = 0; i < e->n_rows; i++)
		e->rows[i].bytes = v->deleted ? 0 : v->size;
}

static void finish(struct repld *r, struct key_entry *e, void (*cb)(void *arg, int err), void *arg)
{
	cells_tick(&r->keys_board, key_name(e));
	tasks_stale(r, e);
	queue_offer_all(r, e);
	keys_save(r, e, cb, arg);
}

static void settle_memory(struct repld *r, struct key_entry *e);

void decide_forward(struct repld *r, struct key_entry *e, const struct version *v, const enum site_outcome *outcomes,
		    void (*cb)(void *arg, int err), void *arg)
{
	struct version *decided = version_copy(v);

	keys_ref(e); /* the orphan may hold the last one */
	resolve_drop(r, e);
	free(e->intent);
	free(e->folded);
	free(e->decided);
	e->intent = e->folded = NULL;
	e->decided = decided;
	decided->stamp_ms = clock_real_ms();
	make_rows(r, e, outcomes);
	writes_decided(e, &decided->gen);
	settle_memory(r, e);
	finish(r, e, cb, arg);
	keys_release(r, &e);
}

static void drop_rows(struct key_entry *e)
{
	for (size_t i = 0; i < e->n_rows; i++)
		if (!e->rows[i].gone)
			row_drop(&e->rows[i]);
}

void decide_withdraw(struct repld *r, struct key_entry *e, void (*cb)(void *arg, int err), void *arg)
{
	char q[LOG_QUOTE_MAX], gen[GEN_TEXT_MAX];

	keys_ref(e);
	resolve_drop(r, e);
	/* Not of one that the journal did not take: nobody was told that it was granted, and a full disk takes none. */
	if (!e->resync)
		log_info("event=withdrawn key=%s gen=%s", log_quote(q, sizeof(q), key_name(e)), gen_format(&e->intent->gen, gen));
	r->withdrawn++;
	free(e->intent);
	e->intent = e->folded;
	e->folded = NULL;
	settle_memory(r, e);
	finish(r, e, cb, arg);
	if (e->intent)
		resolve_start(r, e);
	keys_release(r, &e);
}

void decide_adopt(struct repld *r, struct key_entry *e, const struct object_info *info, uint32_t site)
{
	char q[LOG_QUOTE_MAX], gen[GEN_TEXT_MAX];
	struct version v = *e->decided;
	struct site_row *row;

	log_warn("event=adopt key=%s site=%u gen=%s what=\"a newer version surfaced\"", log_quote(q, sizeof(q), key_name(e)), site,
		 gen_format(&info->gen, gen));
	r->conflicts++;
	v.gen = info->gen;
	v.deleted = false;
	v.size = info->size;
	v.part_size = info->part_size;
	memcpy(v.etag, info->etag, sizeof(v.etag));
	v.has_crc64 = info->has_crc64;
	v.crc64 = info->crc64;
	decide_forward(r, e, &v, NULL, NULL, NULL);
	row = row_find(e, site);
	if (row)
		decide_confirm(r, e, row);
}

/* ---- one row ---- */

void decide_confirm(struct repld *r, struct key_entry *e, struct site_row *row)
{
	row->unconfirmed = row->parked = false;
	row->attempts = 0;
	row->err = 0;
	row->dirty = true;
	if (row->watch && row->watch <= BACKOFF_WATCH_STEPS)
		row->next_ms = clock_real_ms() + backoff_watch_ms(row->watch);
	else
		row_drop(row);
	cells_tick(&r->keys_board, key_name(e));
	decide_settle(r, e);
}

void decide_park(struct repld *r, struct key_entry *e, struct site_row *row, int err)
{
	const struct repl_site *rs = queue_site(r, row->site);
	char q[LOG_QUOTE_MAX];

	log_warn("event=parked key=%s site=%s attempts=%u err=%s", log_quote(q, sizeof(q), key_name(e)),
		 rs && rs->name ? rs->name : "?", row->attempts, gfs_err_name(err));
	row->parked = true;
	row->err = err;
	row->dirty = true;
	keys_save(r, e, NULL, NULL);
}

void decide_fail(struct repld *r, struct key_entry *e, struct site_row *row, enum site_outcome outcome, int err)
{
	int64_t now_ms = clock_real_ms(), delay_ms;
	uint64_t random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (uint64_t)clock_mono_us();
	row->attempts++;
	row->err = err;
	row->dirty = true;
	delay_ms = backoff_delay_ms(row->attempts, r->conf->replication.retry_initial_ms, r->conf->replication.retry_max_ms, random);
	row->next_ms = now_ms + delay_ms;
	if (outcome == SITE_UNKNOWN) {
		/* It is looked at before it is sent again, but no more often than what failed for certain. */
		decide_watch(row, now_ms);
		if (row->next_ms < now_ms + delay_ms)
			row->next_ms = now_ms + delay_ms;
	}
	if (row->attempts >= r->conf->replication.retry_attempts && row->unconfirmed) {
		decide_park(r, e, row, err);
		return;
	}
	keys_save(r, e, NULL, NULL);
}

/* ---- the end of a key ---- */

static void keep_until(struct key_entry *e, int64_t due_ms)
{
	struct site_row *keeper = row_find(e, ROW_KEEPER);

	if (keeper && keeper->next_ms >= due_ms)
		return;
	keeper = row_need(e, ROW_KEEPER, clock_real_ms());
	keeper->next_ms = due_ms;
}

/* Leaves the entry as it is to be saved. */
static void settle_memory(struct repld *r, struct key_entry *e)
{
	int64_t now_ms = clock_real_ms();
	bool guarded = repld_in_grace(r);

	if (e->intent)
		return;
	if (!e->decided) {
		drop_rows(e);
		return;
	}
	if (rows_lacking(e) > 0)
		return;
	if (e->decided->deleted && !row_find(e, ROW_KEEPER))
		keep_until(e, now_ms + r->conf->replication.in_doubt_ms);
	if (writes_older_open(e, &e->decided->gen))
		guarded = true;
	if (guarded)
		keep_until(e, now_ms + GUARD_MS);
	const struct site_row *keeper = row_find(e, ROW_KEEPER);

	/* A guard ends with the last older write; a tombstone not before its time. */
	if (guarded || (keeper && e->decided->deleted && keeper->next_ms > now_ms))
		return;
	drop_rows(e);
	free(e->decided);
	e->decided = NULL;
}

void decide_settle(struct repld *r, struct key_entry *e)
{
	bool had = e->decided != NULL;

	if (e->load != KEY_LOADED)
		return;
	settle_memory(r, e);
	if (had && !e->decided)
		cells_tick(&r->keys_board, key_name(e));
	queue_offer_all(r, e);
	keys_save(r, e, NULL, NULL);
}
