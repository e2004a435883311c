/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write protocol up to the grant, and what becomes of writes whose worker is gone: see writes.h; commit.c has
 * the rest. handlers.c unpacks, this decides who may go on; slots.c orders the writers of a key, keys.c
 * makes the intent durable before it is granted, decide.c keeps what came of it.
 */
#include "config.h"

#include "writes.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/key.h"
#include "common/log.h"
#include "common/proc.h"
#include "common/xalloc.h"
#include "decide.h"
#include "journal.h"
#include "open_write.h"
#include "resolve.h"

#define SLOT_WAIT_MS 5000       /* architecture 5.2: a longer wait is 503 */
#define ANNOUNCE_MS 30000       /* a worker that is connected again has announced its writes by then */
#define OPEN_MAX 65536          /* open writes of all workers */
#define BEGINS_WAITING_MAX 4096 /* BEGINs that wait for a reservation of the clock */

struct begin_wait {
	uint64_t peer, call;
	char key[KEY_MAX];
	size_t key_n;
	STAILQ_ENTRY(begin_wait) next;
};

struct writes {
	TAILQ_HEAD(, open_write) open;
	TAILQ_HEAD(, open_write) lost; /* those without a channel */
	size_t n;
	STAILQ_HEAD(, begin_wait) begins;
	size_t n_begins;
};

struct reserve_job {
	struct repld *r;
	uint64_t value;
};

/* ---- open writes ---- */

struct writes *writes_create(struct repld *r)
{
	struct writes *w = xcalloc(1, sizeof(*w));

	(void)r;
	TAILQ_INIT(&w->open);
	TAILQ_INIT(&w->lost);
	STAILQ_INIT(&w->begins);
	return w;
}

size_t writes_count(const struct writes *w)
{
	return w->n;
}

struct open_write *write_find(const struct key_entry *e, const struct gen *gen)
{
	struct open_write *ow;

	LIST_FOREACH(ow, &e->writes, next_of_key)
		if (gen_cmp(&ow->gen, gen) == 0 && !ow->dropped)
			return ow;
	return NULL;
}

struct open_write *write_add(struct repld *r, struct key_entry *e, const struct gen *gen, const struct peer *p)
{
	struct open_write *ow = xcalloc(1, sizeof(*ow));

	ow->r = r;
	ow->e = e;
	keys_ref(e);
	ow->gen = *gen;
	ow->lost_ms = clock_mono_ms();
	if (p) {
		ow->peer = p->id;
		ow->pid = p->pid;
		ow->start = p->start;
		TAILQ_INSERT_TAIL(&r->writes->open, ow, next);
	} else {
		TAILQ_INSERT_TAIL(&r->writes->lost, ow, next);
	}
	LIST_INSERT_HEAD(&e->writes, ow, next_of_key);
	r->writes->n++;
	return ow;
}

struct open_write *write_add_known(struct repld *r, struct key_entry *e, const struct gen *gen, const struct peer *p)
{
	struct open_write *ow = write_add(r, e, gen, p);

	ow->late = !repld_in_grace(r);
	return ow;
}

void write_bind(struct open_write *ow, const struct peer *p)
{
	struct writes *w = ow->r->writes;

	if (!ow->peer) {
		TAILQ_REMOVE(&w->lost, ow, next);
		TAILQ_INSERT_TAIL(&w->open, ow, next);
	}
	ow->peer = p->id;
	ow->pid = p->pid;
	ow->start = p->start;
}

void write_free(struct open_write *ow)
{
	struct repld *r = ow->r;
	struct key_entry *e = ow->e;

	keys_wait_cancel(&ow->wait);
	slots_release(r->slots, &ow->claim);
	LIST_REMOVE(ow, next_of_key);
	if (ow->peer)
		TAILQ_REMOVE(&r->writes->open, ow, next);
	else
		TAILQ_REMOVE(&r->writes->lost, ow, next);
	r->writes->n--;
	free(ow->v);
	free(ow);
	/* It may have been what a guard was kept for. */
	if (e->load == KEY_LOADED && e->decided && !e->intent && r->journal)
		decide_settle(r, e);
	keys_release(r, &e);
}

void writes_destroy(struct repld *r, struct writes **w_io)
{
	struct writes *w = *w_io;
	struct open_write *ow;
	struct begin_wait *bw;

	if (!w)
		return;
	while ((ow = TAILQ_FIRST(&w->open)) || (ow = TAILQ_FIRST(&w->lost)))
		write_free(ow);
	while ((bw = STAILQ_FIRST(&w->begins))) {
		STAILQ_REMOVE_HEAD(&w->begins, next);
		free(bw);
	}
	(void)r;
	free(w);
	*w_io = NULL;
}

void writes_decided(struct key_entry *e, const struct gen *gen)
{
	struct open_write *ow;

	LIST_FOREACH(ow, &e->writes, next_of_key) {
		int order = gen_cmp(&ow->gen, gen);

		ow->superseded |= order < 0;
		ow->overtaken |= order != 0;
	}
}

bool writes_older_open(const struct key_entry *e, const struct gen *gen)
{
	const struct open_write *ow;

	LIST_FOREACH(ow, &e->writes, next_of_key)
		if (gen_cmp(&ow->gen, gen) < 0)
			return true;
	return false;
}

/* ---- BEGIN ---- */

static void begin_now(struct repld *r, uint64_t peer, uint64_t call, struct slice key)
{
	const struct peer *p = peers_get(r, peer);
	struct msg m = {.type = MSG_BEGUN};
	char text[GEN_TEXT_MAX];
	struct gen gen;

	if (!p)
		return;
	if (gen_clock_next(&r->clock, clock_real_ms(), &gen) != GFS_OK) {
		peer_error(r, peer, call, GFS_ERR_BUSY, "the journal is slow to reserve generations");
		return;
	}
	struct key_entry *e = keys_hold(r, key);

	write_add(r, e, &gen, p)->begun_here = true;
	keys_release(r, &e);
	m.begun.gen = slice_str(gen_format(&gen, text));
	peer_reply(r, peer, call, &m);
}

static int reserve_run(struct store *st, void *arg)
{
	const struct reserve_job *job = arg;

	return store_put_note(st, "clock", (int64_t)job->value);
}

static void reserve_done(void *arg, int err)
{
	struct reserve_job *job = arg;
	struct repld *r = job->r;
	struct begin_wait *bw;

	gen_clock_reserved(&r->clock, job->value, !err);
	while (r->writes && (bw = STAILQ_FIRST(&r->writes->begins))) {
		STAILQ_REMOVE_HEAD(&r->writes->begins, next);
		r->writes->n_begins--;
		begin_now(r, bw->peer, bw->call, slice_of(bw->key, bw->key_n));
		free(bw);
	}
	free(job);
}

static void reserve_ahead(struct repld *r)
{
	struct reserve_job *job;
	uint64_t value;

	if (!gen_clock_extend(&r->clock, clock_real_ms(), &value))
		return;
	job = xcalloc(1, sizeof(*job));
	job->r = r;
	job->value = value;
	journal_submit(r->journal, reserve_run, reserve_done, job);
}

void writes_begin(struct repld *r, const struct peer *p, uint64_t call, const struct msg_begin *m)
{
	struct writes *w = r->writes;
	int64_t now_ms = clock_real_ms();
	struct begin_wait *bw;

	if (w->n + w->n_begins >= OPEN_MAX) {
		peer_error(r, p->id, call, GFS_ERR_BUSY, "too many open writes");
		return;
	}
	reserve_ahead(r);
	if (gen_clock_ready(&r->clock, now_ms) || w->n_begins >= BEGINS_WAITING_MAX) {
		begin_now(r, p->id, call, m->key);
		return;
	}
	/* The first write after a pause: the reservation is on its way to the disk. */
	bw = xcalloc(1, sizeof(*bw));
	bw->peer = p->id;
	bw->call = call;
	bw->key_n = m->key.n;
	memcpy(bw->key, m->key.p, m->key.n);
	STAILQ_INSERT_TAIL(&w->begins, bw, next);
	w->n_begins++;
}

/* ---- FINALISE ---- */

static void finalise_refuse(struct open_write *ow, int err, const char *text)
{
	slots_release(ow->r->slots, &ow->claim);
	ow->state = WRITE_OPEN;
	ow->r->superseded += err == GFS_ERR_SUPERSEDED;
	peer_error(ow->r, ow->peer, ow->call, err, text);
}

/* 0, or the error that keeps the write from being granted, as things stand now. */
static int finalise_check(const struct open_write *ow, const char **text_out)
{
	const struct key_entry *e = ow->e;
	bool superseded = ow->superseded || (e->decided && gen_cmp(&e->decided->gen, &ow->gen) > 0);

	*text_out = NULL;
	/* Before anything else: a condition that no longer holds is never a success. */
	if (ow->conditional && (ow->overtaken || superseded)) {
		*text_out = "another write on the key was faster";
		return GFS_ERR_PRECONDITION;
	}
	if (superseded) {
		*text_out = "a newer version was decided meanwhile";
		return GFS_ERR_SUPERSEDED;
	}
	if (ow->conditional && !ow->begun_here) {
		*text_out = "the replicator was restarted during this conditional write";
		return GFS_ERR_BUSY;
	}
	if (ow->late) {
		*text_out = "the replicator was restarted during this write, and heard of it too late";
		return GFS_ERR_BUSY;
	}
	if (e->intent && gen_cmp(&e->intent->gen, &ow->gen) > 0) {
		*text_out = "a newer write on the key is in doubt";
		return GFS_ERR_BUSY;
	}
	return GFS_OK;
}

static void grant(struct open_write *ow)
{
	struct msg m = {.type = MSG_GRANTED};
	char text[GEN_TEXT_MAX];

	ow->state = WRITE_GRANTED;
	m.granted.gen = slice_str(gen_format(&ow->gen, text));
	peer_reply(ow->r, ow->peer, ow->call, &m);
}

static void on_intent_saved(void *arg, int err)
{
	struct open_write *ow = arg;
	struct repld *r = ow->r;
	struct key_entry *e = ow->e;

	if (!err && !ow->dropped) {
		grant(ow);
		return;
	}
	keys_ref(e);
	if (e->intent && gen_cmp(&e->intent->gen, &ow->gen) == 0)
		decide_withdraw(r, e, NULL, NULL);
	if (ow->dropped) {
		write_free(ow);
	} else {
		finalise_refuse(ow, GFS_ERR_UNAVAILABLE, repld_unwritten(r));
	}
	keys_release(r, &e);
}

/* An intent in doubt lies on the key, older than this one: this one covers it. What its dead owner began may still surface. */
static void fold_doubtful(struct repld *r, struct key_entry *e)
{
	int64_t now_ms = clock_real_ms();

	resolve_drop(r, e);
	free(e->folded);
	e->folded = e->intent;
	e->intent = NULL;
	for (size_t i = 0; i < e->folded->n_sync; i++)
		decide_watch(row_need(e, e->folded->sites[i], now_ms), now_ms);
}

static void finalise_slot(struct open_write *ow)
{
	struct repld *r = ow->r;
	struct key_entry *e = ow->e;
	const char *text;
	int err = finalise_check(ow, &text);

	if (!err && repld_refusal(r)) {
		err = GFS_ERR_UNAVAILABLE;
		text = repld_refusal(r);
	}
	/* That one may have been acknowledged, its COMMIT lost with its worker: was it there when the condition was looked at? */
	if (!err && e->intent && ow->conditional) {
		err = GFS_ERR_BUSY;
		text = "another write on the key is in doubt";
	}
	if (err) {
		finalise_refuse(ow, err, text);
		return;
	}
	if (e->intent)
		fold_doubtful(r, e);
	e->intent = version_copy(ow->v);
	e->intent->owner_pid = ow->pid;
	e->intent->owner_start = ow->start;
	e->intent->stamp_ms = clock_real_ms();
	ow->state = WRITE_GRANTING;
	keys_save(r, e, on_intent_saved, ow);
}

static void on_claimed(void *arg, int err)
{
	struct open_write *ow = arg;

	if (err)
		finalise_refuse(ow, err, "another write on the key takes too long");
	else
		finalise_slot(ow);
}

static void on_finalise_loaded(void *arg, int err)
{
	struct open_write *ow = arg;
	const char *text;

	if (err) {
		finalise_refuse(ow, GFS_ERR_UNAVAILABLE, "the journal could not be read");
		return;
	}
	err = finalise_check(ow, &text);
	if (err && err != GFS_ERR_BUSY) {
		finalise_refuse(ow, err, text);
		return;
	}
	ow->claim.client = true;
	ow->claim.sites = ow->v->sites;
	ow->claim.n_sites = ow->v->n_sync;
	ow->claim.deadline_ms = clock_mono_ms() + SLOT_WAIT_MS;
	ow->claim.cb = on_claimed;
	ow->claim.arg = ow;
	if (slots_claim(ow->r->slots, key_name(ow->e), &ow->claim))
		finalise_slot(ow);
}

void writes_finalise(struct repld *r, const struct peer *p, uint64_t call, const struct write_req *req)
{
	struct key_entry *e = keys_hold(r, req->key);
	struct open_write *ow = write_find(e, &req->v.gen);

	if (!ow)
		ow = write_add_known(r, e, &req->v.gen, p);
	keys_release(r, &e);
	write_bind(ow, p);
	ow->call = call;
	if (ow->state == WRITE_GRANTED) {
		grant(ow); /* asked again after its channel was lost */
		return;
	}
	if (ow->state != WRITE_OPEN)
		return; /* on its way: the answer goes to this call */
	ow->state = WRITE_WAITING;
	ow->conditional = req->conditional;
	free(ow->v);
	ow->v = version_copy(&req->v);
	ow->wait.cb = on_finalise_loaded;
	ow->wait.arg = ow;
	if (keys_load(r, ow->e, &ow->wait))
		on_finalise_loaded(ow, GFS_OK);
}

/* ---- the end without COMMIT ---- */

/* The write will not go on. With its intent granted: the worker never began to complete it. */
static void write_drop(struct open_write *ow)
{
	struct repld *r = ow->r;
	struct key_entry *e = ow->e;

	if (ow->state == WRITE_GRANTING) {
		ow->dropped = true;
		return;
	}
	keys_ref(e);
	if (ow->state == WRITE_GRANTED && e->intent && gen_cmp(&e->intent->gen, &ow->gen) == 0)
		decide_withdraw(r, e, NULL, NULL);
	write_free(ow);
	keys_release(r, &e);
}

void writes_abandon(struct repld *r, const struct peer *p, struct slice key, const struct gen *gen)
{
	struct key_entry *e = keys_find(r, key);
	struct open_write *ow = e ? write_find(e, gen) : NULL;

	if (ow && ow->pid == p->pid && ow->start == p->start)
		write_drop(ow);
}

/* ---- owners ---- */

void writes_peer_lost(struct repld *r, const struct peer *p)
{
	struct open_write *ow = TAILQ_FIRST(&r->writes->open);

	while (ow) {
		struct open_write *following = TAILQ_NEXT(ow, next);

		if (ow->peer == p->id) {
			TAILQ_REMOVE(&r->writes->open, ow, next);
			TAILQ_INSERT_TAIL(&r->writes->lost, ow, next);
			ow->peer = 0;
			ow->lost_ms = clock_mono_ms();
			/* The call is lost with the channel: the worker asks again. */
			if (ow->state == WRITE_WAITING) {
				keys_wait_cancel(&ow->wait);
				slots_release(r->slots, &ow->claim);
				ow->state = WRITE_OPEN;
			}
		}
		ow = following;
	}
}

struct restore_job {
	struct repld *r;
	struct key_entry *e; /* referenced */
	struct key_wait wait;
};

static void on_restored(void *arg, int err)
{
	struct restore_job *job = arg;
	struct repld *r = job->r;
	struct key_entry *e = job->e;
	const struct version *v = e->intent;

	if (!err && v && !e->orphan && !write_find(e, &v->gen)) {
		struct open_write *ow = write_add(r, e, &v->gen, NULL);

		ow->pid = v->owner_pid;
		ow->start = v->owner_start;
		ow->state = WRITE_GRANTED;
		ow->v = version_copy(v);
		ow->claim.client = true;
		ow->claim.sites = ow->v->sites;
		ow->claim.n_sites = ow->v->n_sync;
		slots_hold(r->slots, key_name(e), &ow->claim);
	}
	keys_release(r, &job->e);
	free(job);
}

void writes_restore(struct repld *r, struct slice key)
{
	struct restore_job *job = xcalloc(1, sizeof(*job));

	job->r = r;
	job->e = keys_hold(r, key);
	job->wait.cb = on_restored;
	job->wait.arg = job;
	if (keys_load(r, job->e, &job->wait))
		on_restored(job, GFS_OK);
}

/* The owner of a lost write is gone, or is connected again and has forgotten it. */
static void write_orphan(struct open_write *ow)
{
	struct repld *r = ow->r;
	struct key_entry *e = ow->e;

	if (ow->state != WRITE_GRANTED) {
		write_drop(ow);
		return;
	}
	keys_ref(e);
	/* From now on the key is open to others: what this one may still do is watched. */
	if (e->load == KEY_LOADED && e->intent && gen_cmp(&e->intent->gen, &ow->gen) == 0)
		resolve_start(r, e);
	write_free(ow);
	keys_release(r, &e);
}

void writes_tick(struct repld *r)
{
	struct open_write *ow = TAILQ_FIRST(&r->writes->lost);
	int64_t now_ms = clock_mono_ms();

	while (ow) {
		struct open_write *following = TAILQ_NEXT(ow, next);
		bool gone = proc_start_time(ow->pid) != ow->start || ow->pid <= 0;
		bool forgotten = now_ms - ow->lost_ms > ANNOUNCE_MS && peers_has_process(r, ow->pid, ow->start);

		if ((gone || forgotten) && !ow->dropped)
			write_orphan(ow);
		ow = following;
	}
	if (r->writes->n > 0)
		reserve_ahead(r);
}
