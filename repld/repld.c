/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes and ends a whole repld: see repld.h. In order: the state directory's lock, boards, the journal and what it holds, the
 * modules, the tick. Called by service.c in the daemon and by the tests.
 */
#include "config.h"

#include "repld.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cells.h"
#include "common/clock.h"
#include "common/curl_loop.h"
#include "common/ipc/listen.h"
#include "common/log.h"
#include "common/pool.h"
#include "common/stubs/healthd_client.h"
#include "common/xalloc.h"
#include "copies.h"
#include "handlers.h"
#include "journal.h"
#include "keys.h"
#include "peers.h"
#include "queue.h"
#include "resolve.h"
#include "slots.h"
#include "tasks.h"
#include "writes.h"

#define GRACE_MS 30000
#define POOL_THREADS 4
#define TICK_MS 1000
#define TICK_WAITING_MS 100 /* while claims wait for their deadline */
#define LINGER_MS 2000      /* for acts that must end by themselves when repld is destroyed */

const char *repld_refusal(const struct repld *r)
{
	if (r->journal && !journal_damaged(r->journal))
		return NULL;
	return r->refusal[0] ? r->refusal : "the journal is damaged, writes are refused";
}

const char *repld_unwritten(const struct repld *r)
{
	const char *why = repld_refusal(r);

	if (!why)
		why = journal_failing(r->journal);
	return why ? why : "the journal could not be written";
}

bool repld_in_grace(const struct repld *r)
{
	return clock_mono_ms() - r->started_ms < r->grace_ms;
}

bool repld_acts_before(const struct repld *r)
{
	return !r->first_start && clock_mono_ms() - r->started_ms < r->conf->replication.in_doubt_ms;
}

static void refuse(struct repld *r, const char *path, const char *why)
{
	if (r->refusal[0])
		return;
	snprintf(r->refusal, sizeof(r->refusal),
		 "the journal %s cannot be used (%s); writes are refused until it is repaired or moved away",
		 path, why);
	log_error("event=journal-refused path=%s why=\"%s\"", path, why);
	stats_set(r->stats, STAT_REPL_USABLE, 0);
	/* Nothing is known any more: every key counts as dirty. */
	keys_board_rebuild_begin(&r->keys_board);
}

/* ---- the loop's housekeeping ---- */

static void journal_tick(struct repld *r)
{
	if (r->journal && journal_damaged(r->journal))
		refuse(r, journal_path(r->journal), "it is damaged");
	if (repld_refusal(r))
		return;
	if (journal_failing(r->journal))
		journal_try(r->journal);
	stats_set(r->stats, STAT_REPL_USABLE, !journal_failing(r->journal));
}

static void on_slots(evutil_socket_t fd, short what, void *arg)
{
	struct repld *r = arg;

	(void)fd;
	(void)what;
	slots_run(r->slots);
}

static void wake_slots(void *arg)
{
	struct repld *r = arg;

	event_active(r->slots_ev, EV_TIMEOUT, 0);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct repld *r = arg;
	int64_t now_ms = clock_mono_ms();

	(void)fd;
	(void)what;
	slots_expire(r->slots, now_ms);
	if (now_ms - r->ticked_ms >= TICK_MS) {
		r->ticked_ms = now_ms;
		journal_tick(r);
		if (r->journal) {
			keys_retry_saves(r);
			writes_tick(r);
			resolve_tick(r);
		}
		queue_tick(r);
	}
	int64_t ms = slots_waiting(r->slots) ? TICK_WAITING_MS : TICK_MS;
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	evtimer_add(r->tick_ev, &tv);
}

/* ---- start ---- */

static int lock_state(struct repld *r)
{
	char *path = xasprintf("%s/repld.lock", r->conf->global.state_dir);
	int err = GFS_OK;

	r->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (r->lock_fd < 0) {
		log_error("event=start-failed path=%s why=\"%s\"", path, strerror(errno));
		err = GFS_ERR_IO;
	} else if (flock(r->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		log_error("event=start-failed path=%s why=\"another replicator has this state directory\"", path);
		err = GFS_ERR_LOCKED;
	}
	free(path);
	return err;
}

static int open_boards(struct repld *r)
{
	const char *run_dir = r->conf->global.run_dir;
	int err = keys_board_open(run_dir, true, &r->keys_board);

	if (!err)
		err = sites_board_open(run_dir, true, &r->sites_board);
	if (!err)
		err = stats_open(run_dir, true, &r->stats);
	if (err)
		log_error("event=start-failed why=\"boards in %s: %s\"", run_dir, gfs_err_text(err));
	return err;
}

/* Keys with an undecided version; they are loaded when the journal's thread runs. */
struct intent_key {
	struct intent_key *next;
	size_t n;
	char *key;
};

static void found_intent(void *arg, struct slice key)
{
	struct intent_key **list = arg, *one = xcalloc(1, sizeof(*one));

	one->key = xmemdup(key.p, key.n);
	one->n = key.n;
	one->next = *list;
	*list = one;
}

static void restore_intents(struct repld *r, struct intent_key **list)
{
	struct intent_key *one;
	size_t n = 0;

	while ((one = *list)) {
		*list = one->next;
		if (r->journal)
			writes_restore(r, slice_of(one->key, one->n));
		free(one->key);
		free(one);
		n++;
	}
	if (n > 0)
		log_info("event=intents-restored n=%zu", n);
}

static void found_site(void *arg, uint32_t site, uint64_t rows, uint64_t parked, uint64_t bytes)
{
	queue_load_counts(arg, site, rows, parked, bytes);
}

static void on_checked(void *arg, int err)
{
	struct repld *r = arg;

	if (err)
		refuse(r, journal_path(r->journal), "the check at start found damage");
	else
		log_info("event=journal-checked path=%s", journal_path(r->journal));
}

/* Whatever is wrong with the journal: it stays as it is, and writes are refused with the reason. */
static void open_journal(struct repld *r)
{
	char *path = xasprintf("%s/repld.db", r->conf->global.state_dir);
	const char *node = r->conf->global.node_name;
	struct intent_key *intents = NULL;
	int64_t reserved = 0;
	char why[200] = "";
	int err = journal_open(r->base, path, &r->journal, why, sizeof(why));

	if (!err) {
		struct store *st = journal_store(r->journal);

		snprintf(why, sizeof(why), "it cannot be read");
		err = store_get_note(st, "clock", &reserved);
		if (!err)
			err = cells_rebuild(&r->keys_board, st, found_intent, &intents);
		if (!err)
			err = store_each_site(st, found_site, r);
	}
	if (err) {
		journal_close(&r->journal);
		refuse(r, path, why);
	} else {
		journal_start(r->journal, on_checked, r);
		stats_set(r->stats, STAT_REPL_USABLE, 1);
	}
	r->first_start = !err && reserved == 0;
	if (r->first_start)
		r->grace_ms = 0; /* no write was begun before */
	gen_clock_init(&r->clock, node && node[0] ? node : "node", (uint64_t)reserved);
	restore_intents(r, &intents);
	free(path);
}

static void open_site_env(struct repld *r)
{
	r->pool = pool_create(r->base, POOL_THREADS);
	r->curl = curl_loop_create(r->base);
	r->healthd = healthd_client_create(r->base, r->conf->global.run_dir, PEER_REPLD,
	                                   r->conf->resilience.circuit_breaker.threshold, r->stats);
	site_watchers_init(&r->watchers, r->stats);
	r->watchers.outcomes = healthd_client_observer(r->healthd);
	r->site_env = (struct site_env){
		.base = r->base,
		.curl = r->curl,
		.pool = r->pool,
		.namespace_id = r->namespace_id,
		.spool_dir = r->conf->global.state_dir,
		.spool_max_bytes = r->conf->limits.spool_bytes,
		.spool_used = &r->spool_used,
		.observer = &r->watchers.observer,
	};
}

int repld_create(const struct repld_params *params, struct repld **out)
{
	struct repld *r = xcalloc(1, sizeof(*r));
	int err;

	*out = NULL;
	r->conf = params->conf;
	r->base = params->base;
	r->open_site = params->open_site ? params->open_site : site_open;
	r->grace_ms = params->grace_ms ? params->grace_ms : GRACE_MS;
	r->started_ms = clock_mono_ms();
	err = lock_state(r);
	if (!err)
		err = open_boards(r);
	/* On a new board there was no repld before this one that a worker could have begun a write with. */
	if (!err && !params->grace_ms && !keys_board_used(&r->keys_board))
		r->grace_ms = 0;
	if (err) {
		repld_destroy(&r);
		return err;
	}
	open_site_env(r);
	r->slots_ev = event_new(r->base, -1, 0, on_slots, r);
	r->tick_ev = evtimer_new(r->base, on_tick, r);
	r->slots = slots_create(wake_slots, r);
	r->keys = keys_create(r);
	r->peers = peers_create();
	r->writes = writes_create(r);
	r->resolver = resolve_create();
	r->tasks = tasks_create();
	r->copies = copies_create();
	r->queue = queue_create(r);
	open_journal(r);
	event_active(r->tick_ev, EV_TIMEOUT, 0);
	*out = r;
	return GFS_OK;
}

int repld_listen(struct repld *r)
{
	return listen_create(r->base, r->conf->global.run_dir, "repld", PEER_REPLD, &handlers_cbs, r, &r->listen);
}

void repld_set_sites(struct repld *r, const struct site_table *table)
{
	memcpy(r->namespace_id, table->namespace_id, sizeof(r->namespace_id));
	queue_set_sites(r, table);
}

/* ---- the end ---- */

bool repld_quiesce(struct repld *r)
{
	queue_stop(r);
	tasks_stop_all(r);
	return tasks_count(r->tasks) == 0 && pool_pending(r->pool) == 0 && r->replicating == 0;
}

/* The uploads of copies that were stopped are aborted after their tasks. */
static bool sites_busy(struct repld *r)
{
	struct repl_site *rs;

	for (size_t i = 0; (rs = queue_site_at(r, i)); i++)
		if (rs->site && site_busy(rs->site))
			return true;
	return false;
}

/* Acts that have begun must end; what does not end in time is left to its site. */
static void linger(struct repld *r)
{
	int64_t until_ms = clock_mono_ms() + LINGER_MS;

	while ((!repld_quiesce(r) || sites_busy(r)) && clock_mono_ms() < until_ms) {
		event_base_loop(r->base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
	event_base_loop(r->base, EVLOOP_NONBLOCK); /* transfers that were cancelled are freed from the loop */
}

void repld_destroy(struct repld **r_io)
{
	struct repld *r = *r_io;

	*r_io = NULL;
	if (!r)
		return;
	if (r->peers) {
		listen_destroy(&r->listen);
		peers_clear(r);
		linger(r);
		journal_close(&r->journal);
		resolve_destroy(r, &r->resolver);
		writes_destroy(r, &r->writes);
		pool_destroy(&r->pool);
		tasks_destroy(&r->tasks);
		copies_destroy(&r->copies);
		queue_destroy(&r->queue);
		keys_destroy(&r->keys);
		slots_destroy(&r->slots);
		peers_destroy(&r->peers);
		curl_loop_destroy(&r->curl);
		healthd_client_destroy(&r->healthd);
		event_free(r->tick_ev);
		event_free(r->slots_ev);
	}
	stats_close(&r->stats);
	sites_board_close(&r->sites_board);
	keys_board_close(&r->keys_board);
	if (r->lock_fd >= 0)
		close(r->lock_fd);
	free(r);
}
