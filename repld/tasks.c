/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row's work, from candidate to result: see tasks.h. Started by queue.c; transfer.c and apply.c do the acts, decide.c keeps
 * the result.
 */
#include "config.h"

#include "tasks.h"

#include <stdlib.h>

#include "apply.h"
#include "backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "copies.h"
#include "decide.h"
#include "judge.h"
#include "transfer.h"

struct tasks {
	LIST_HEAD(, task) list;
	size_t n;
};

static void copy_start(struct task *t);

struct tasks *tasks_create(void)
{
	return xcalloc(1, sizeof(struct tasks));
}

size_t tasks_count(const struct tasks *tasks)
{
	return tasks->n;
}

bool tasks_acting(const struct tasks *tasks)
{
	const struct task *t;

	LIST_FOREACH(t, &tasks->list, next)
		if (t->acting)
			return true;
	return false;
}

void task_end(struct task *t)
{
	struct repld *r = t->r;
	struct site_row *row;

	slots_release(r->slots, &t->claim);
	keys_wait_cancel(&t->wait);
	LIST_REMOVE(t, next);
	r->tasks->n--;
	row = row_find(t->e, t->site);
	if (row && t->working) {
		row->busy = false;
		queue_offer(r, t->e, row);
	}
	queue_done(r, t->site, t->lane);
	keys_release(r, &t->e);
	free(t);
}

/* The row that the task works on, or NULL when it is gone or is about another version now. */
static struct site_row *task_row(const struct task *t)
{
	const struct version *v = t->e->decided;

	if (t->stale || !v || gen_cmp(&v->gen, &t->v.gen) != 0)
		return NULL;
	return row_find(t->e, t->site);
}

void task_acted(struct task *t, bool repeated)
{
	struct site_row *row = task_row(t);

	/* An older act that may surface is watched even when the version is another by now. */
	if (repeated) {
		decide_watch(row_need(t->e, t->site, clock_real_ms()), clock_real_ms());
		row = task_row(t);
		if (!row)
			decide_settle(t->r, t->e);
	}
	if (row)
		decide_confirm(t->r, t->e, row);
	task_end(t);
}

static const char *name_of(const struct task *t, uint32_t id)
{
	const struct repl_site *rs = queue_site(t->r, id);

	return rs && rs->name ? rs->name : "?";
}

void task_failed(struct task *t, enum site_outcome outcome, int err, const char *reason)
{
	struct site_row *row = task_row(t);
	char q[LOG_QUOTE_MAX], why[LOG_QUOTE_MAX];

	log_info("event=replication-failed key=%s site=%s outcome=%s err=%s why=%s", log_quote(q, sizeof(q), key_name(t->e)),
		 name_of(t, t->site), outcome == SITE_UNKNOWN ? "unknown" : "failed", gfs_err_name(err),
		 log_quote(why, sizeof(why), slice_str(reason)));
	stats_add(t->r->stats, STAT_REPL_FAILED, 1);
	if (row) {
		decide_fail(t->r, t->e, row, outcome, err);
	} else if (outcome == SITE_UNKNOWN) {
		/* An older act of ours may still surface over what counts now. */
		row = row_need(t->e, t->site, clock_real_ms());
		decide_watch(row, clock_real_ms());
		decide_settle(t->r, t->e);
	}
	task_end(t);
}

/* ---- the slot ---- */

static void task_act(struct task *t)
{
	/* While it waited a client may have written the key. */
	if (!task_row(t)) {
		if (t->transfer)
			transfer_cancel(&t->transfer);
		task_end(t);
		return;
	}
	t->act(t);
}

static void on_slot(void *arg, int err)
{
	(void)err; /* it has no deadline */
	task_act(arg);
}

void task_claim(struct task *t, void (*act)(struct task *t))
{
	t->act = act;
	t->claim.sites = &t->site;
	t->claim.n_sites = 1;
	t->claim.cb = on_slot;
	t->claim.arg = t;
	if (slots_claim(t->r->slots, key_name(t->e), &t->claim))
		task_act(t);
}

/* ---- copy ---- */

static void on_copy_prepared(void *arg);
static void on_copy_done(void *arg, const struct transfer_end *end);
static const struct transfer_cbs copy_cbs = {on_copy_prepared, on_copy_done};

static bool source_usable(const struct task *t, uint32_t id)
{
	const struct repl_site *rs = queue_site(t->r, id);
	const struct site_row *row = row_find(t->e, id);

	if (id == t->site || id == ROW_KEEPER || !rs || !rs->present || !rs->site || (row && row->unconfirmed))
		return false;
	for (size_t i = 0; i < t->n_tried; i++)
		if (t->tried[i] == id)
			return false;
	return true;
}

/* A site that is current: one of the version's own first; up ones before others, drained ones after those. */
static struct repl_site *choose_source(const struct task *t)
{
	struct repl_site *rs, *drained = NULL, *down = NULL;

	for (size_t i = 0; i < t->v.n_sites; i++) {
		if (!source_usable(t, t->v.sites[i]))
			continue;
		rs = queue_site(t->r, t->v.sites[i]);
		if (queue_site_usable(rs) && !rs->drained)
			return rs;
		if (queue_site_usable(rs))
			drained = drained ? drained : rs;
		else
			down = down ? down : rs;
	}
	return drained ? drained : down;
}

static void copy_act(struct task *t)
{
	t->acting = true;
	transfer_complete(t->transfer);
}

static void on_copy_prepared(void *arg)
{
	task_claim(arg, copy_act);
}

/* The site that should have had the version does not: it is repaired from another. */
static void source_lacks(struct task *t)
{
	uint32_t id = t->tried[t->n_tried - 1];
	struct site_row *row;
	char q[LOG_QUOTE_MAX];

	if (!task_row(t))
		return;
	log_warn("event=source-lacks key=%s site=%s", log_quote(q, sizeof(q), key_name(t->e)), name_of(t, id));
	row = row_need(t->e, id, clock_real_ms());
	row->unconfirmed = true;
	row->next_ms = clock_real_ms() + t->r->conf->replication.retry_initial_ms;
	row->bytes = t->v.size;
	keys_save(t->r, t->e, NULL, NULL);
	queue_offer(t->r, t->e, row_find(t->e, id));
}

static void copy_confirmed(struct task *t, const struct transfer_end *end)
{
	t->r->proofs[end->proof]++;
	stats_add(t->r->stats, STAT_REPL_COMPLETED, 1);
	stats_add(t->r->stats, STAT_REPL_BYTES, t->v.size);
	copies_add(t->r, key_name(t->e), &t->v, t->site, end);
	task_acted(t, end->repeated);
}

static void on_copy_done(void *arg, const struct transfer_end *end)
{
	struct task *t = arg;

	t->transfer = NULL;
	t->acting = false;
	if (end->outcome == SITE_DONE) {
		copy_confirmed(t, end);
		return;
	}
	if (!end->at_source) {
		task_failed(t, end->outcome, end->err, end->reason);
		return;
	}
	if (end->source_lacks)
		source_lacks(t);
	if (task_row(t) && choose_source(t))
		copy_start(t);
	else
		task_failed(t, end->outcome, end->err, end->reason);
}

static void copy_start(struct task *t)
{
	struct repl_site *target = queue_site(t->r, t->site), *source = choose_source(t);

	if (!target->site || !source || t->n_tried == VERSION_SITES_MAX) {
		task_failed(t, SITE_FAILED, source ? GFS_ERR_SITE_DOWN : GFS_ERR_NO_SUCH_KEY, "no other site has this version");
		return;
	}
	t->tried[t->n_tried++] = source->id;
	const uint32_t sites[2] = {source->id, t->site};

	t->transfer = transfer_start(t->r, key_name(t->e), &t->v, sites, &copy_cbs, t);
}

/* ---- check ---- */

static void checked_current(struct task *t, struct site_row *row)
{
	if (row->watch && !row->unconfirmed && ++row->watch > BACKOFF_WATCH_STEPS)
		row->watch = 0;
	decide_confirm(t->r, t->e, row);
	task_end(t);
}

static void checked_act(struct task *t, struct site_row *row)
{
	char q[LOG_QUOTE_MAX];

	if (!row->unconfirmed) {
		log_warn("event=surfaced key=%s site=%s what=\"an older act took effect late, repairing\"",
			 log_quote(q, sizeof(q), key_name(t->e)), name_of(t, t->site));
		row->unconfirmed = true;
		row->bytes = t->v.deleted ? 0 : t->v.size;
		row->dirty = true;
		keys_save(t->r, t->e, NULL, NULL);
	}
	if (t->v.deleted)
		apply_delete(t);
	else
		copy_start(t);
}

static void on_checked(void *arg, const struct site_result *res, const struct object_info *info)
{
	struct task *t = arg;
	struct site_row *row;

	t->head = NULL;
	row = task_row(t);
	if (!row || t->e->intent) {
		task_end(t);
		return;
	}
	if (res->outcome != SITE_DONE && res->err != GFS_ERR_NO_SUCH_KEY) {
		task_failed(t, SITE_FAILED, res->err, res->reason);
		return;
	}
	if (info && info->gen_tagged)
		gen_clock_observe(&t->r->clock, &info->gen, clock_real_ms());
	switch (judge_site(&t->v, res->err ? NULL : info)) {
	case JUDGE_CURRENT:
		checked_current(t, row);
		return;
	case JUDGE_ACT:
		checked_act(t, row);
		return;
	case JUDGE_NEWER:
		decide_adopt(t->r, t->e, info, t->site);
		break;
	case JUDGE_CONFLICT:
		t->r->conflicts++;
		decide_park(t->r, t->e, row, GFS_ERR_CONFLICT);
		break;
	}
	task_end(t);
}

/* ---- start ---- */

/* Rows that need no site. True when the row was such a one. */
static bool light_work(struct task *t, struct site_row *row)
{
	const struct repl_site *rs = queue_site(t->r, t->site);

	if (t->site != ROW_KEEPER && rs && !rs->present)
		row_drop(row);
	else if (t->site != ROW_KEEPER && t->e->decided)
		return false;
	decide_settle(t->r, t->e);
	return true;
}

static void on_loaded(void *arg, int err)
{
	struct task *t = arg;
	struct site_row *row = err ? NULL : row_find(t->e, t->site);
	struct repl_site *rs = queue_site(t->r, t->site);

	/* Candidates may be old news. Rows under an intent wait for its end, which offers them again. */
	if (!row || row->busy || row->parked || row->next_ms > clock_real_ms() || t->e->intent || light_work(t, row)) {
		task_end(t);
		return;
	}
	if (!rs->site) {
		task_end(t);
		return;
	}
	row->busy = true;
	t->working = true;
	t->v = *t->e->decided;
	t->head = site_head(rs->site, key_name(t->e), SITE_RESERVED, on_checked, t);
}

void task_start(struct repld *r, struct repl_site *rs, enum lane lane, struct slice key)
{
	struct task *t = xcalloc(1, sizeof(*t));

	t->r = r;
	t->site = rs->id;
	t->lane = lane;
	t->e = keys_hold(r, key);
	t->wait.cb = on_loaded;
	t->wait.arg = t;
	LIST_INSERT_HEAD(&r->tasks->list, t, next);
	r->tasks->n++;
	if (keys_load(r, t->e, &t->wait))
		on_loaded(t, GFS_OK);
}

/* ---- ends from outside ---- */

/* Ends the task unless an act is running; its row is looked at again. */
static void task_stop(struct task *t)
{
	t->stale = true;
	if (t->acting || !t->working)
		return;
	if (t->head) {
		site_op_cancel(&t->head);
	} else if (t->transfer) {
		if (!transfer_cancel(&t->transfer))
			return;
	} else if (t->claim.state == SLOT_IDLE) {
		return; /* inside one of its own callbacks, which ends it */
	}
	task_end(t);
}

void tasks_stale(struct repld *r, struct key_entry *e)
{
	struct task *t = LIST_FIRST(&r->tasks->list);

	while (t) {
		struct task *following = LIST_NEXT(t, next);
		bool same = t->e == e && t->working && e->decided && gen_cmp(&t->v.gen, &e->decided->gen) == 0;

		if (t->e == e && !same)
			task_stop(t);
		t = following;
	}
}

static void stop_some(struct repld *r, bool all, uint32_t site)
{
	struct task *t = LIST_FIRST(&r->tasks->list);

	while (t) {
		struct task *following = LIST_NEXT(t, next);

		if (all || t->site == site)
			task_stop(t);
		t = following;
	}
}

void tasks_stop_all(struct repld *r)
{
	stop_some(r, true, 0);
}

void tasks_stop_site(struct repld *r, uint32_t site)
{
	stop_some(r, false, site);
}

void tasks_destroy(struct tasks **tasks)
{
	free(*tasks);
	*tasks = NULL;
}
