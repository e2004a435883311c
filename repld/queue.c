/* SPDX-License-Identifier: Apache-2.0 */
/* What is due at which site, and the loop that starts it: see queue.h. */
#include "config.h"

#include "queue.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "journal.h"
#include "lag.h"
#include "tasks.h"

#define LANE_CANDIDATES 256        /* keys kept in memory per lane */
#define LIGHT_MAX 64               /* keepers and rows of removed sites in work at once: journal only */
#define DOWN_RETRY_MS 60000        /* a site that is down is tried now and then all the same */

struct candidate {
	STAILQ_ENTRY(candidate) next;
	size_t n;
	char key[];
};

struct queue_lane {
	STAILQ_HEAD(, candidate) keys;
	size_t n;
	bool more;       /* the journal may have rows that are due and not in keys */
	bool fetching;
	int64_t wake_ms; /* real time at which the next row of the journal is due */
	unsigned inflight;
};

struct queue {
	struct repld *r;
	struct repl_site **sites; /* [0] is the keepers' pseudo site */
	size_t n;
	size_t last;              /* that was served */
	uint64_t rows, parked;    /* of all sites */
	struct event *pump_ev;
	bool stopped, scheduled;
};

struct fetch_job {
	struct repld *r;
	struct store_due due;
};

struct retry_job {
	struct repld *r;
	uint32_t site;
	int64_t now_ms;
};

static void on_pump(evutil_socket_t fd, short what, void *arg);

static struct repl_site *site_add(struct queue *q, uint32_t id)
{
	struct repl_site *rs = xcalloc(1, sizeof(*rs));

	rs->id = id;
	for (int l = 0; l < LANE_COUNT; l++) {
		rs->lanes[l] = xcalloc(1, sizeof(*rs->lanes[l]));
		STAILQ_INIT(&rs->lanes[l]->keys);
		rs->lanes[l]->more = true;
		rs->lanes[l]->wake_ms = INT64_MAX;
	}
	q->sites = xreallocarray(q->sites, q->n + 1, sizeof(struct repl_site *));
	q->sites[q->n++] = rs;
	return rs;
}

struct queue *queue_create(struct repld *r)
{
	struct queue *q = xcalloc(1, sizeof(*q));

	q->r = r;
	site_add(q, ROW_KEEPER);
	q->pump_ev = event_new(r->base, -1, 0, on_pump, q);
	return q;
}

static void lane_clear(struct queue_lane *lane)
{
	struct candidate *c;

	while ((c = STAILQ_FIRST(&lane->keys))) {
		STAILQ_REMOVE_HEAD(&lane->keys, next);
		free(c);
	}
	lane->n = 0;
}

void queue_destroy(struct queue **q_io)
{
	struct queue *q = *q_io;

	*q_io = NULL;
	if (!q)
		return;
	for (size_t i = 0; i < q->n; i++) {
		struct repl_site *rs = q->sites[i];

		for (int l = 0; l < LANE_COUNT; l++) {
			lane_clear(rs->lanes[l]);
			free(rs->lanes[l]);
		}
		site_close(&rs->site);
		free(rs->name);
		free(rs);
	}
	free(q->sites);
	event_free(q->pump_ev);
	free(q);
}

struct repl_site *queue_site(struct repld *r, uint32_t id)
{
	for (size_t i = 0; i < r->queue->n; i++)
		if (r->queue->sites[i]->id == id)
			return r->queue->sites[i];
	return NULL;
}

struct repl_site *queue_site_at(struct repld *r, size_t i)
{
	return i + 1 < r->queue->n ? r->queue->sites[i + 1] : NULL;
}

bool queue_site_usable(const struct repl_site *rs)
{
	return rs && rs->present && rs->site && rs->state != SITE_STATE_DOWN;
}

uint64_t queue_depth(struct repld *r, uint64_t *parked_out)
{
	if (parked_out)
		*parked_out = r->queue->parked;
	return r->queue->rows;
}

static struct repl_site *site_need(struct repld *r, uint32_t id)
{
	struct repl_site *rs = queue_site(r, id);

	return rs ? rs : site_add(r->queue, id);
}

static void gauges(struct repld *r)
{
	stats_set(r->stats, STAT_REPL_QUEUE, r->queue->rows);
	stats_set(r->stats, STAT_REPL_PARKED, r->queue->parked);
}

void queue_account(struct repld *r, uint32_t site, int rows, int parked, int64_t bytes)
{
	struct repl_site *rs = site_need(r, site);

	rs->rows += (uint64_t)(int64_t)rows;
	rs->parked += (uint64_t)(int64_t)parked;
	rs->bytes += (uint64_t)bytes;
	/* The gauges are true at every moment, not once in a while. */
	r->queue->rows += (uint64_t)(int64_t)rows;
	r->queue->parked += (uint64_t)(int64_t)parked;
	gauges(r);
	lag_account(r, rs);
}

void queue_load_counts(struct repld *r, uint32_t site, uint64_t rows, uint64_t parked, uint64_t bytes)
{
	struct repl_site *rs = site_need(r, site);

	if (site == ROW_KEEPER)
		return;
	if (rows > 0 && lag_load(r, rs))
		log_error("event=lag site=%u why=\"the age of its rows cannot be read\"", site);
	rs->rows = rows;
	rs->parked = parked;
	rs->bytes = bytes;
	r->queue->rows += rows;
	r->queue->parked += parked;
	gauges(r);
	lag_account(r, rs);
}

/* ---- the site table ---- */

static void site_take(struct repld *r, struct repl_site *rs, const struct site_conf *conf)
{
	char why[256] = "";

	/* What a site is may have changed under its id (endpoint, credentials): the new one serves from now on. */
	site_close(&rs->site);
	if (r->open_site(&r->site_env, conf, &rs->site, why, sizeof(why)) != GFS_OK) {
		log_error("event=site-open-failed site=%s why=\"%s\"", conf->name, why);
		rs->site = NULL;
	}
	free(rs->name);
	rs->name = xstrdup(conf->name);
	rs->present = true;
	lag_account(r, rs); /* what an earlier repld left there may not be true any more */
	if (rs->drained == conf->drained)
		return;
	log_info("event=%s site=%s rows=%llu", conf->drained ? "site-drained" : "site-undrained", rs->name,
		 (unsigned long long)rs->rows);
	rs->drained = conf->drained;
	if (rs->drained)
		tasks_stop_site(r, rs->id);
	/* What it has missed is due now, whatever was tried before the drain. */
	if (!rs->drained && rs->rows)
		queue_retry_site(r, rs->id);
}

void queue_set_sites(struct repld *r, const struct site_table *table)
{
	struct queue *q = r->queue;

	for (size_t i = 1; i < q->n; i++) {
		struct repl_site *rs = q->sites[i];

		if (site_table_by_id(table, rs->id))
			continue;
		if (rs->present || rs->rows)
			log_warn("event=site-removed site=%s id=%u rows=%llu what=\"its rows are dropped\"", rs->name ? rs->name : "?",
				 rs->id, (unsigned long long)rs->rows);
		rs->present = false;
		site_close(&rs->site);
		queue_retry_site(r, rs->id); /* parked rows must go too */
	}
	for (size_t i = 0; i < table->n; i++)
		if (table->v[i].id)
			site_take(r, site_need(r, table->v[i].id), &table->v[i]);
	queue_tick(r);
}

/* ---- candidates ---- */

static void pump_soon(struct queue *q)
{
	if (q->scheduled || q->stopped)
		return;
	q->scheduled = true;
	event_active(q->pump_ev, EV_TIMEOUT, 0);
}

static void lane_push(struct queue_lane *lane, const char *key, size_t n)
{
	struct candidate *c = malloc(sizeof(*c) + n);

	if (!c || lane->n >= LANE_CANDIDATES) {
		free(c);
		lane->more = true;
		return;
	}
	c->n = n;
	memcpy(c->key, key, n);
	STAILQ_INSERT_TAIL(&lane->keys, c, next);
	lane->n++;
}

void queue_offer(struct repld *r, struct key_entry *e, const struct site_row *row)
{
	struct repl_site *rs = site_need(r, row->site);
	const struct version *v = e->decided;
	enum lane l = v && row->unconfirmed && row->site != ROW_KEEPER ? planner_lane(v->deleted, v->size) : LANE_SMALL;
	struct queue_lane *lane = rs->lanes[l];

	if (row->gone || row->parked || row->busy)
		return;
	if (row->next_ms > clock_real_ms()) {
		if (row->next_ms < lane->wake_ms)
			lane->wake_ms = row->next_ms;
	} else {
		lane_push(lane, e->name, e->n);
	}
	pump_soon(r->queue);
}

void queue_offer_all(struct repld *r, struct key_entry *e)
{
	for (size_t i = 0; i < e->n_rows; i++)
		queue_offer(r, e, &e->rows[i]);
}

static int fetch_run(struct store *st, void *arg)
{
	struct fetch_job *job = arg;

	return store_due(st, &job->due);
}

static void fetch_done(void *arg, int err)
{
	struct fetch_job *job = arg;
	struct repl_site *rs = queue_site(job->r, job->due.site);
	struct queue_lane *lane = rs->lanes[job->due.lane];

	lane->fetching = false;
	if (err) {
		lane->wake_ms = clock_real_ms() + 1000;
	} else {
		for (size_t i = 0; i < job->due.n; i++)
			lane_push(lane, job->due.keys[i], job->due.lens[i]);
		if (job->due.n == LANE_CANDIDATES)
			lane->more = true;
		if (job->due.next_ms < lane->wake_ms)
			lane->wake_ms = job->due.next_ms;
	}
	store_due_free(&job->due);
	pump_soon(job->r->queue);
	free(job);
}

/* True when the lane has a candidate; asks the journal for more when it has run dry. */
static bool lane_ready(struct repld *r, struct repl_site *rs, enum lane l, int64_t now_ms)
{
	struct queue_lane *lane = rs->lanes[l];

	if (lane->n > 0)
		return true;
	if (lane->wake_ms <= now_ms)
		lane->more = true;
	if (!lane->more || lane->fetching)
		return false;
	struct fetch_job *job = xcalloc(1, sizeof(*job));

	lane->more = false;
	lane->wake_ms = INT64_MAX;
	lane->fetching = true;
	job->r = r;
	job->due.site = rs->id;
	job->due.lane = l;
	job->due.now_ms = now_ms;
	job->due.limit = LANE_CANDIDATES;
	journal_submit(r->journal, fetch_run, fetch_done, job);
	return false;
}

static void lane_start(struct repld *r, struct repl_site *rs, enum lane l)
{
	struct queue_lane *lane = rs->lanes[l];
	struct candidate *c = STAILQ_FIRST(&lane->keys);

	STAILQ_REMOVE_HEAD(&lane->keys, next);
	lane->n--;
	lane->inflight++;
	rs->last = l;
	task_start(r, rs, l, slice_of(c->key, c->n));
	free(c);
}

/* ---- the pump ---- */

/* Keepers and rows of removed sites need no site: they only touch the journal. */
static void pump_light(struct repld *r, struct repl_site *rs, int64_t now_ms)
{
	for (int l = 0; l < LANE_COUNT; l++)
		while (lane_ready(r, rs, (enum lane)l, now_ms) && rs->lanes[l]->inflight < LIGHT_MAX)
			lane_start(r, rs, (enum lane)l);
}

static void plan_site(struct repld *r, struct repl_site *rs, int64_t now_ms, struct planner_site *out)
{
	memset(out, 0, sizeof(*out));
	for (int l = 0; l < LANE_COUNT; l++)
		out->inflight[l] = rs->lanes[l]->inflight;
	out->last = rs->last;
	if (rs->id == ROW_KEEPER || !rs->present || !rs->site)
		return;
	out->drained = rs->drained;
	if (out->drained)
		return;
	out->down = rs->state == SITE_STATE_DOWN;
	out->retry_due = out->down && clock_mono_ms() - rs->last_try_ms >= DOWN_RETRY_MS;
	for (int l = 0; l < LANE_COUNT && (!out->down || out->retry_due); l++)
		out->waiting[l] = lane_ready(r, rs, (enum lane)l, now_ms);
}

static void pump_heavy(struct repld *r, int64_t now_ms)
{
	struct queue *q = r->queue;
	struct planner_site *plan = xcalloc(q->n, sizeof(*plan));
	unsigned total = r->conf->performance.max_concurrent_transfers;
	enum lane lane;
	size_t at;

	for (size_t i = 1; i < q->n; i++)
		plan_site(r, q->sites[i], now_ms, &plan[i]);
	while (planner_pick(plan, q->n, total ? total : 1, q->last, &at, &lane)) {
		struct repl_site *rs = q->sites[at];

		q->last = at;
		if (plan[at].down)
			rs->last_try_ms = clock_mono_ms();
		lane_start(r, rs, lane);
		plan_site(r, rs, now_ms, &plan[at]);
	}
	free(plan);
}

/* The lane is waiting for the clock: one with candidates waits for a place, and queue_done() wakes that. */
static bool lane_sleeps(const struct repl_site *rs, const struct queue_lane *lane)
{
	bool served = rs->id == ROW_KEEPER || !rs->present || (rs->site && !rs->drained && rs->state != SITE_STATE_DOWN);

	return served && lane->n == 0 && !lane->fetching;
}

static void arm(struct queue *q, int64_t now_ms)
{
	int64_t wake = now_ms + 60000;

	/* Adding a timer takes an active event off the active list, so that a call that was asked for would be lost. */
	if (q->scheduled)
		return;
	for (size_t i = 0; i < q->n; i++)
		for (int l = 0; l < LANE_COUNT; l++)
			if (lane_sleeps(q->sites[i], q->sites[i]->lanes[l]) && q->sites[i]->lanes[l]->wake_ms < wake)
				wake = q->sites[i]->lanes[l]->wake_ms;
	int64_t ms = wake - now_ms < 5 ? 5 : wake - now_ms;
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	evtimer_add(q->pump_ev, &tv);
}

static void on_pump(evutil_socket_t fd, short what, void *arg)
{
	struct queue *q = arg;
	struct repld *r = q->r;
	int64_t now_ms = clock_real_ms();

	(void)fd;
	(void)what;
	q->scheduled = false;
	if (q->stopped || repld_refusal(r))
		return;
	for (size_t i = 0; i < q->n; i++)
		if (q->sites[i]->id == ROW_KEEPER || !q->sites[i]->present)
			pump_light(r, q->sites[i], now_ms);
	pump_heavy(r, now_ms);
	arm(q, now_ms);
}

void queue_done(struct repld *r, uint32_t site, enum lane lane)
{
	struct repl_site *rs = queue_site(r, site);

	gfs_assert(rs && rs->lanes[lane]->inflight > 0);
	rs->lanes[lane]->inflight--;
	pump_soon(r->queue);
}

void queue_stop(struct repld *r)
{
	r->queue->stopped = true;
	event_del(r->queue->pump_ev);
}

/* ---- sites that come back ---- */

static int retry_run(struct store *st, void *arg)
{
	const struct retry_job *job = arg;

	return store_retry_site(st, job->site, job->now_ms);
}

static void retry_done(void *arg, int err)
{
	struct retry_job *job = arg;
	struct repl_site *rs = queue_site(job->r, job->site);

	if (!err) {
		job->r->queue->parked -= rs->parked;
		rs->parked = 0;
		keys_unpark_site(job->r, job->site, job->now_ms);
		gauges(job->r);
		lag_account(job->r, rs);
		for (int l = 0; l < LANE_COUNT; l++)
			rs->lanes[l]->more = true;
		pump_soon(job->r->queue);
	}
	free(job);
}

void queue_retry_site(struct repld *r, uint32_t site)
{
	struct retry_job *job;

	if (repld_refusal(r))
		return;
	job = xcalloc(1, sizeof(*job));
	job->r = r;
	job->site = site;
	job->now_ms = clock_real_ms();
	journal_submit(r->journal, retry_run, retry_done, job);
}

void queue_tick(struct repld *r)
{
	bool stale = sites_board_stale(&r->sites_board, clock_real_ms());

	for (size_t i = 1; i < r->queue->n; i++) {
		struct repl_site *rs = r->queue->sites[i];
		struct site_status st = {0};
		enum site_state now = SITE_STATE_UNKNOWN;

		if (!stale && sites_board_get(&r->sites_board, rs->id, &st))
			now = (enum site_state)st.state;
		if (now == rs->state)
			continue;
		log_info("event=site-state site=%s old=%s new=%s", rs->name ? rs->name : "?", site_state_name(rs->state),
			 site_state_name(now));
		rs->state = now;
		if (now == SITE_STATE_UP && rs->rows && !rs->drained)
			queue_retry_site(r, rs->id);
		pump_soon(r->queue);
	}
	lag_tick(r);
}
