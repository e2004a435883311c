/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's side of the write protocol, see repld_client.h. Owns its link to repld and every write from begin until repld has
 * answered the COMMIT, or the write was abandoned.
 *
 *   BEGINNING -> BEGUN -> FINALISING -> GRANTED -> COMMITTING -> gone
 *
 * An abandoned write ends with ABANDON while repld cannot have granted it. From FINALISE on it may have, and the intent may be on
 * disk: then the truth is told by a COMMIT in which no site completed anything, delivered like any other.
 */
#include "config.h"

#include "repld_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "../clock.h"
#include "../ipc/link.h"
#include "../log.h"
#include "../xalloc.h"
#include "repld_asks.h"

#define WAIT_MS 5000           /* for repld, in all */
#define BEGIN_CALL_MS 600000   /* longer than anybody waits: a generation that comes late must be given back */
#define FINALISE_WAIT_MS 6000  /* repld itself answers BUSY after 5 s in the key's queue: it has the first word */
#define COMMIT_CALL_MS 5000
#define COMMIT_LOST_RETRY_MS 100
#define COMMIT_ERROR_RETRY_MS 1000

enum write_state { W_BEGINNING, W_BEGUN, W_FINALISING, W_REFUSED, W_GRANTED, W_COMMITTING };

struct repld_write {
	TAILQ_ENTRY(repld_write) next;
	struct repld_client *client;
	enum write_state state;
	bool abandoned;      /* the worker has let go of it */
	bool maybe_granted;  /* REFUSED without repld's word */
	char *key, *request_id;
	size_t key_n;
	enum op_kind op;
	char gen[GEN_TEXT_MAX];
	struct repld_version v; /* arrays owned; all zero before finalise */
	uint64_t *outcomes;     /* while COMMITTING, n_sync of them */
	bool acknowledged;
	uint64_t call;          /* open call of this write, 0: none */
	int64_t deadline_ms;    /* monotonic, of BEGIN and FINALISE */
	struct event *timer;    /* BEGIN: it takes too long; COMMIT: once more */
	repld_begin_cb *begin_cb;
	repld_finalise_cb *finalise_cb;
	void *arg;
	repld_commit_cb *commit_cb; /* until it has run */
	void *commit_arg;
};

struct repld_client {
	struct event_base *base;
	struct link *link;
	struct repld_asks *asks;
	TAILQ_HEAD(, repld_write) writes;
	size_t n_writes;
};

/* ---- a write ---- */

static void write_set_state(struct repld_write *w, enum write_state state)
{
	static const char *const names[] = {"beginning", "begun", "finalising", "refused", "granted", "committing"};

	log_debug("event=write request=%s gen=%s old=%s new=%s", w->request_id, w->gen, names[w->state], names[state]);
	w->state = state;
}

static void write_free(struct repld_write *w)
{
	TAILQ_REMOVE(&w->client->writes, w, next);
	w->client->n_writes--;
	event_free(w->timer);
	free(w->key);
	free(w->request_id);
	free(w->outcomes);
	repld_version_free(&w->v);
	free(w);
}

/* The fields that FINALISE, COMMIT and ANNOUNCE share. */
#define FILL_WRITE(m, w) \
	do { \
		(m).key = slice_of((w)->key, (w)->key_n); \
		(m).gen = slice_str((w)->gen); \
		(m).op = (w)->op; \
		(m).size = (w)->v.size; \
		(m).etag = slice_str((w)->v.etag); \
		(m).part_size = (w)->v.part_size; \
		(m).has_crc64 = (w)->v.has_crc64; \
		(m).crc64 = (w)->v.crc64; \
		(m).sync_sites = (struct msg_u64s){(w)->v.sync_sites, (w)->v.n_sync}; \
		(m).async_sites = (struct msg_u64s){(w)->v.async_sites, (w)->v.n_async}; \
		(m).write_min = (w)->v.write_min; \
		(m).conditional = (w)->v.conditional; \
		(m).request_id = slice_str((w)->request_id); \
	} while (0)

/* A repld that does not answer, and one that is not there, are one thing to the client of the namespace. */
static int unavailable(int err)
{
	return err == GFS_ERR_TIMEOUT ? GFS_ERR_UNAVAILABLE : err;
}

/* What repld said in its ERROR, or else. */
static void reply_text(const struct msg *reply, const char *otherwise, char *buf, size_t cap)
{
	struct slice text = slice_str(otherwise);

	if (reply && reply->type == MSG_ERROR && reply->error.has_text && reply->error.text.n)
		text = reply->error.text;
	snprintf(buf, cap, "%.*s", (int)(text.n < cap ? text.n : cap - 1), text.p);
}

/* No ERROR from repld but a channel that was lost: worth asking again while there is time. */
static bool lost(const struct repld_write *w, int err, const struct msg *reply)
{
	return err == GFS_ERR_UNAVAILABLE && !reply && w->deadline_ms > clock_mono_ms();
}

static void send_abandon(struct repld_write *w)
{
	struct msg m = {.type = MSG_ABANDON};

	m.abandon.key = slice_of(w->key, w->key_n);
	m.abandon.gen = slice_str(w->gen);
	(void)link_send(w->client->link, &m); /* a repld that lost us forgets begun writes by itself */
}

/* ---- commit ---- */

static void on_committed(void *arg, int err, const struct msg *reply);

static void commit_send(struct repld_write *w)
{
	struct msg m = {.type = MSG_COMMIT};

	FILL_WRITE(m.commit, w);
	m.commit.outcomes = (struct msg_u64s){w->outcomes, w->v.n_sync};
	m.commit.acknowledged = w->acknowledged;
	w->call = link_call(w->client->link, &m, COMMIT_CALL_MS, on_committed, w);
}

static void begin_timed_out(struct repld_write *w)
{
	const struct gen none = {0};

	if (!link_is_up(w->client->link)) {
		link_call_cancel(w->client->link, w->call); /* it was not sent */
		w->call = 0;
	}
	if (w->abandoned) {
		if (!w->call)
			write_free(w);
		return;
	}
	write_set_state(w, W_REFUSED);
	w->begin_cb(w->arg, GFS_ERR_UNAVAILABLE, &none, "");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct repld_write *w = arg;

	(void)fd;
	(void)what;
	if (w->state == W_BEGINNING)
		begin_timed_out(w);
	else
		commit_send(w);
}

/* The first answer is the writer's, an error as well: it does not wait while COMMIT is sent again. */
static void commit_tell(struct repld_write *w, int err)
{
	repld_commit_cb *cb = w->commit_cb;

	w->commit_cb = NULL;
	if (cb)
		cb(w->commit_arg, err);
}

static void on_committed(void *arg, int err, const struct msg *reply)
{
	struct repld_write *w = arg;
	int64_t ms = reply ? COMMIT_ERROR_RETRY_MS : COMMIT_LOST_RETRY_MS;
	const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	w->call = 0;
	commit_tell(w, unavailable(err));
	if (!err) {
		write_free(w);
		return;
	}
	if (err == GFS_ERR_TOO_LARGE || (reply && !gfs_err_retryable(err))) {
		log_error("event=commit request=%s gen=%s err=\"%s\" text=\"repld refused it for good\"", w->request_id, w->gen,
		          gfs_err_text(err));
		write_free(w);
		return;
	}
	if (reply)
		log_warn("event=commit request=%s gen=%s err=\"%s\" text=\"will be sent again\"", w->request_id, w->gen,
		         gfs_err_text(err));
	event_add(w->timer, &tv);
}

/* outcomes NULL: nothing was completed anywhere. */
static void commit_start(struct repld_write *w, const enum site_outcome *outcomes, bool acknowledged)
{
	w->abandoned = true; /* the handle is the client's from here on */
	w->begin_cb = NULL;
	w->finalise_cb = NULL;
	w->acknowledged = acknowledged;
	w->outcomes = xcalloc(w->v.n_sync + 1, sizeof(*w->outcomes));
	for (size_t i = 0; i < w->v.n_sync; i++)
		w->outcomes[i] = outcomes ? outcomes[i] : SITE_FAILED;
	write_set_state(w, W_COMMITTING);
	commit_send(w);
}

void repld_commit(struct repld_write **w_io, const enum site_outcome *outcomes, bool acknowledged, repld_commit_cb *cb, void *arg)
{
	struct repld_write *w = *w_io;

	*w_io = NULL;
	gfs_assert(w->state == W_GRANTED && !w->abandoned);
	w->commit_cb = cb;
	w->commit_arg = arg;
	commit_start(w, outcomes, acknowledged);
}

/* ---- begin ---- */

static void begin_send(struct repld_write *w);

static void on_begun(void *arg, int err, const struct msg *reply)
{
	struct repld_write *w = arg;
	struct gen gen = {0};
	char text[512];

	w->call = 0;
	if (lost(w, err, reply) && !w->abandoned) {
		begin_send(w);
		return;
	}
	evtimer_del(w->timer);
	if (!err && (reply->type != MSG_BEGUN || gen_parse(reply->begun.gen, &gen) || gen_is_none(&gen)))
		err = GFS_ERR_PROTOCOL;
	if (!err)
		gen_format(&gen, w->gen);
	if (w->abandoned) {
		if (!err)
			send_abandon(w);
		write_free(w);
		return;
	}
	write_set_state(w, err ? W_REFUSED : W_BEGUN);
	reply_text(reply, "", text, sizeof(text));
	w->begin_cb(w->arg, unavailable(err), &gen, text);
}

static void begin_send(struct repld_write *w)
{
	struct msg m = {.type = MSG_BEGIN};

	m.begin.key = slice_of(w->key, w->key_n);
	m.begin.op = w->op;
	m.begin.request_id = slice_str(w->request_id);
	w->call = link_call(w->client->link, &m, BEGIN_CALL_MS, on_begun, w);
}

struct repld_write *repld_begin(struct repld_client *c, struct slice key, enum op_kind op, const char *request_id,
                                repld_begin_cb *cb, void *arg)
{
	static const struct timeval wait = {.tv_sec = WAIT_MS / 1000, .tv_usec = WAIT_MS % 1000 * 1000};
	struct repld_write *w = xcalloc(1, sizeof(*w));

	w->client = c;
	w->key = xmemdup(key.p, key.n);
	w->key_n = key.n;
	w->op = op;
	w->request_id = xstrdup(request_id ? request_id : "");
	w->begin_cb = cb;
	w->arg = arg;
	w->deadline_ms = clock_mono_ms() + WAIT_MS;
	w->timer = evtimer_new(c->base, on_timer, w);
	gfs_assert(w->timer);
	evtimer_add(w->timer, &wait);
	TAILQ_INSERT_TAIL(&c->writes, w, next);
	c->n_writes++;
	begin_send(w);
	return w;
}

/* ---- finalise ---- */

static void finalise_send(struct repld_write *w);

static void finalise_abandoned(struct repld_write *w)
{
	if (w->state == W_GRANTED || w->maybe_granted) {
		commit_start(w, NULL, false);
		return;
	}
	send_abandon(w);
	write_free(w);
}

static void on_finalised(void *arg, int err, const struct msg *reply)
{
	struct repld_write *w = arg;
	char text[512] = "";

	w->call = 0;
	if (lost(w, err, reply) && !w->abandoned) {
		finalise_send(w);
		return;
	}
	if (!err && (reply->type != MSG_GRANTED || !slice_eq_str(reply->granted.gen, w->gen)))
		err = GFS_ERR_PROTOCOL;
	/* An ERROR is repld's word that nothing was granted; silence, or an answer that makes no sense, is not. */
	w->maybe_granted = err && err != GFS_ERR_TOO_LARGE && !(reply && reply->type == MSG_ERROR);
	if (err)
		reply_text(reply, gfs_err_text(unavailable(err)), text, sizeof(text));
	write_set_state(w, err ? W_REFUSED : W_GRANTED);
	if (w->abandoned)
		finalise_abandoned(w);
	else
		w->finalise_cb(w->arg, unavailable(err), text);
}

static void finalise_send(struct repld_write *w)
{
	struct msg m = {.type = MSG_FINALISE};

	FILL_WRITE(m.finalise, w);
	w->call = link_call(w->client->link, &m, w->deadline_ms - clock_mono_ms(), on_finalised, w);
}

void repld_finalise(struct repld_write *w, const struct repld_version *v, repld_finalise_cb *cb, void *arg)
{
	gfs_assert(w->state == W_BEGUN && !w->abandoned);
	repld_version_copy(&w->v, v);
	w->finalise_cb = cb;
	w->arg = arg;
	w->deadline_ms = clock_mono_ms() + FINALISE_WAIT_MS;
	write_set_state(w, W_FINALISING);
	finalise_send(w);
}

void repld_write_abandon(struct repld_write **w_io)
{
	struct repld_write *w = *w_io;

	*w_io = NULL;
	if (!w)
		return;
	gfs_assert(!w->abandoned);
	w->abandoned = true;
	if (w->state == W_BEGINNING || w->state == W_FINALISING) {
		gfs_assert(w->call); /* its answer decides what repld is told */
		return;
	}
	if (!w->gen[0]) {
		if (!w->call)
			write_free(w); /* BEGIN failed */
		return; /* else its answer, when it comes, ends it in on_begun() */
	}
	finalise_abandoned(w);
}

/* ---- the client ---- */

static void on_announced(void *arg, int err, const struct msg *reply)
{
	(void)arg;
	(void)reply;
	if (err)
		log_warn("event=announce err=\"%s\"", gfs_err_text(err));
}

static void announce(struct repld_write *w)
{
	struct msg m = {.type = MSG_ANNOUNCE};

	FILL_WRITE(m.announce, w);
	m.announce.granted = w->state == W_GRANTED;
	(void)link_call(w->client->link, &m, WAIT_MS, on_announced, NULL);
}

/* Before anything new: what is open here. A COMMIT tells by itself that its write was. */
static void on_up(void *arg)
{
	struct repld_client *c = arg;
	struct repld_write *w;

	TAILQ_FOREACH(w, &c->writes, next) {
		if (w->state == W_COMMITTING) {
			if (!w->call) {
				event_del(w->timer);
				commit_send(w);
			}
		} else if (w->gen[0] && (w->state != W_REFUSED || w->maybe_granted)) {
			announce(w);
		}
	}
}

struct repld_client *repld_client_create(struct event_base *base, const char *run_dir)
{
	static const struct link_cbs cbs = {on_up, NULL, NULL};
	struct repld_client *c = xcalloc(1, sizeof(*c));

	c->base = base;
	TAILQ_INIT(&c->writes);
	c->link = link_create(base, run_dir, "repld", PEER_WORKER, &cbs, c);
	c->asks = repld_asks_create(c->link);
	return c;
}

void repld_client_destroy(struct repld_client **c_io)
{
	struct repld_client *c = *c_io;
	struct repld_write *w;

	*c_io = NULL;
	if (!c)
		return;
	link_destroy(&c->link);
	repld_asks_destroy(&c->asks);
	while ((w = TAILQ_FIRST(&c->writes)))
		write_free(w);
	free(c);
}

bool repld_client_is_up(const struct repld_client *c)
{
	return link_is_up(c->link);
}

size_t repld_client_open_writes(const struct repld_client *c)
{
	return c->n_writes;
}

uint64_t repld_lookup(struct repld_client *c, struct slice key, repld_lookup_cb *cb, void *arg)
{
	return repld_asks_lookup(c->asks, key, cb, arg);
}

uint64_t repld_lookup_many(struct repld_client *c, const struct slice *keys, size_t n, repld_lookup_many_cb *cb, void *arg)
{
	return repld_asks_lookup_many(c->asks, keys, n, cb, arg);
}

void repld_lookup_cancel(struct repld_client *c, uint64_t id)
{
	repld_asks_cancel(c->asks, id);
}

uint64_t repld_replicate(struct repld_client *c, struct slice key, uint32_t from, uint32_t to, repld_replicate_cb *cb, void *arg)
{
	return repld_asks_replicate(c->asks, key, from, to, cb, arg);
}

void repld_replicate_cancel(struct repld_client *c, uint64_t id)
{
	repld_asks_cancel(c->asks, id);
}
