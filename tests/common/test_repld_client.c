/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side of the write protocol against a fake repld that loses, refuses and forgets. */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ipc/listen.h"
#include "common/log.h"
#include "common/stubs/repld_client.h"

static char dir[64];
static struct event_base *base;

static void init(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LVL_ERROR);
	strcpy(dir, "/tmp/gfs-test-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	base = event_base_new();
}

static void fini(void)
{
	char cmd[128];

	event_base_free(base);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(repld_client, .init = init, .fini = fini, .timeout = 30);

/* ---- a repld that notes what it is told ---- */

struct fake {
	struct listen_sock *l;
	char notes[1024]; /* "BEGIN FINALISE COMMIT(2,0) ..." */
	int n;            /* how many */
	enum { ANSWER, SILENT, DROP, REFUSE } on_begin, on_finalise, on_commit;
	int refusal;
	unsigned gens;
};

static void note(struct fake *f, const char *fmt, ...) GFS_PRINTF(2, 3);
static void note(struct fake *f, const char *fmt, ...)
{
	size_t n = strlen(f->notes);
	va_list ap;

	f->n++;
	if (n + 64 > sizeof(f->notes)) /* with many writes only the count matters */
		return;
	va_start(ap, fmt);
	vsnprintf(f->notes + n, sizeof(f->notes) - n, fmt, ap);
	va_end(ap);
	strcat(f->notes, " ");
}

static void note_outcomes(struct fake *f, const struct msg_commit *c)
{
	char text[64] = "";

	for (size_t i = 0; i < c->outcomes.n; i++)
		sprintf(text + strlen(text), "%s%d", i ? "," : "", (int)c->outcomes.v[i]);
	note(f, "COMMIT(%s%s)", text, c->acknowledged ? ",ack" : "");
}

/* True when the message is to be answered as usual. */
static bool mood(struct fake *f, int on, struct channel *ch, const struct msg *m)
{
	if (on == DROP)
		channel_destroy(&ch);
	else if (on == REFUSE)
		channel_reply_error(ch, m->id, f->refusal, "because");
	return on == ANSWER;
}

static void serve(void *arg, struct channel *ch, const struct msg *m, int fd)
{
	static const uint64_t stale[] = {3, 9};
	struct fake *f = arg;
	struct msg r = {0};
	char gen[64];

	(void)fd;
	switch (m->type) {
	case MSG_BEGIN:
		note(f, "BEGIN");
		snprintf(gen, sizeof(gen), "%016x-node", ++f->gens);
		r.type = MSG_BEGUN;
		r.begun.gen = slice_str(gen);
		if (mood(f, f->on_begin, ch, m))
			channel_reply(ch, m->id, &r);
		break;
	case MSG_FINALISE:
		note(f, "FINALISE");
		r.type = MSG_GRANTED;
		r.granted.gen = m->finalise.gen;
		cr_assert(slice_eq_str(m->finalise.etag, "e") && m->finalise.size == 11 && m->finalise.sync_sites.n == 2);
		cr_assert(m->finalise.has_crc64 && m->finalise.crc64 == 77 && m->finalise.async_sites.v[0] == 3);
		if (mood(f, f->on_finalise, ch, m))
			channel_reply(ch, m->id, &r);
		break;
	case MSG_COMMIT:
		note_outcomes(f, &m->commit);
		if (mood(f, f->on_commit, ch, m))
			channel_reply_ok(ch, m->id);
		break;
	case MSG_ABANDON:
		note(f, "ABANDON");
		break;
	case MSG_ANNOUNCE:
		note(f, "ANNOUNCE(%d,%d)", (int)m->announce.granted, (int)m->announce.sync_sites.n);
		channel_reply_ok(ch, m->id);
		break;
	case MSG_LOOKUP:
		r.type = MSG_LOCATED;
		r.located.known = slice_eq_str(m->lookup.key, "dirty");
		r.located.has_gen = r.located.known;
		r.located.gen = SLICE_LIT("0193a5c4e2f00001-n");
		r.located.has_decided = r.located.decided = true;
		r.located.has_stale_sites = true;
		r.located.stale_sites = (struct msg_u64s){stale, 2};
		channel_reply(ch, m->id, &r);
		break;
	case MSG_REPLICATE:
		channel_reply_error(ch, m->id, GFS_ERR_NO_SUCH_SITE, "no site 5");
		break;
	default:
		cr_assert_fail("%s", msg_name((int)m->type));
	}
}

static void fake_start(struct fake *f)
{
	static const struct channel_cbs cbs = {.message = serve};

	cr_assert_eq(listen_create(base, dir, "repld", PEER_REPLD, &cbs, f, &f->l), 0);
}

static void turn(void)
{
	const struct timeval tv = {.tv_usec = 5000};

	event_base_loopexit(base, &tv);
	event_base_loop(base, EVLOOP_ONCE);
}

#define SPIN(cond) \
	do { \
		int64_t end = clock_mono_ms() + 12000; \
		while (!(cond) && clock_mono_ms() < end) \
			turn(); \
		cr_assert(cond); \
	} while (0)

struct worker {
	struct repld_client *c;
	struct repld_write *w;
	int begun, finalised, err;
	struct gen gen;
	char text[64];
};

static void on_begun(void *arg, int err, const struct gen *gen, const char *text)
{
	struct worker *x = arg;

	(void)text;
	x->begun++;
	x->err = err;
	if (!err)
		x->gen = *gen;
}

static void on_finalised(void *arg, int err, const char *text)
{
	struct worker *x = arg;

	x->finalised++;
	x->err = err;
	snprintf(x->text, sizeof(x->text), "%s", text);
}

static void begin(struct worker *x)
{
	x->w = repld_begin(x->c, SLICE_LIT("a/b"), OP_WRITE, "req1", on_begun, x);
}

static void finalise(struct worker *x)
{
	uint64_t sync[] = {1, 2}, async[] = {3};
	struct repld_version v = {.size = 11, .etag = "e", .part_size = 100, .has_crc64 = true, .crc64 = 77, .sync_sites = sync,
	                          .n_sync = 2, .async_sites = async, .n_async = 1, .write_min = 2};

	repld_finalise(x->w, &v, on_finalised, x);
}

static void commit(struct worker *x)
{
	static const enum site_outcome outcomes[] = {SITE_DONE, SITE_UNKNOWN};

	repld_commit(&x->w, outcomes, true, NULL, NULL);
	cr_assert_null(x->w);
}

static void to_begun(struct worker *x)
{
	begin(x);
	SPIN(x->begun == 1);
	cr_assert_eq(x->err, 0);
}

static void to_granted(struct worker *x)
{
	to_begun(x);
	finalise(x);
	SPIN(x->finalised == 1);
	cr_assert_eq(x->err, 0);
}

static void start(struct fake *f, struct worker *x)
{
	*f = (struct fake){0};
	*x = (struct worker){0};
	fake_start(f);
	x->c = repld_client_create(base, dir);
}

static void stop(struct fake *f, struct worker *x)
{
	repld_client_destroy(&x->c);
	listen_destroy(&f->l);
}

static void restart(struct fake *f)
{
	listen_destroy(&f->l);
	for (int i = 0; i < 4; i++)
		turn();
	fake_start(f);
}

Test(repld_client, a_write_from_begin_to_commit)
{
	struct fake f;
	struct worker x;

	start(&f, &x);
	to_granted(&x);
	cr_assert_eq(x.gen.hlc, 1);
	cr_assert_eq(repld_client_open_writes(x.c), 1);
	commit(&x);
	SPIN(repld_client_open_writes(x.c) == 0);
	cr_assert_str_eq(f.notes, "BEGIN FINALISE COMMIT(0,2,ack) ");
	stop(&f, &x);
}

Test(repld_client, begin_and_finalise_survive_a_lost_channel)
{
	struct fake f;
	struct worker x;

	start(&f, &x);
	f.on_begin = DROP;
	begin(&x);
	SPIN(f.n == 1);
	f.on_begin = ANSWER;
	SPIN(x.begun == 1 && x.err == 0);
	f.on_finalise = DROP;
	finalise(&x);
	SPIN(f.n == 3);
	f.on_finalise = ANSWER;
	SPIN(x.finalised == 1 && x.err == 0);
	cr_assert_str_eq(f.notes, "BEGIN BEGIN FINALISE ANNOUNCE(0,2) FINALISE ");
	commit(&x);
	SPIN(repld_client_open_writes(x.c) == 0);
	stop(&f, &x);
}

Test(repld_client, open_writes_are_announced_to_a_new_repld)
{
	struct fake f;
	struct worker x, y = {0};

	start(&f, &x);
	to_granted(&x);
	y.c = x.c;
	to_begun(&y);
	f.notes[0] = '\0';
	restart(&f);
	SPIN(strlen(f.notes) >= 28);
	cr_assert_str_eq(f.notes, "ANNOUNCE(1,2) ANNOUNCE(0,0) ", "%s", f.notes);
	commit(&x);
	repld_write_abandon(&y.w);
	SPIN(repld_client_open_writes(x.c) == 0 && strstr(f.notes, "ABANDON") && strstr(f.notes, "COMMIT(0,2,ack)"));
	stop(&f, &x);
}

Test(repld_client, a_commit_is_sent_until_it_is_answered)
{
	struct fake f;
	struct worker x;

	start(&f, &x);
	to_granted(&x);
	f.on_commit = DROP;
	f.n = 0;
	commit(&x);
	SPIN(f.n >= 3);
	f.on_commit = REFUSE;
	f.refusal = GFS_ERR_IO;
	f.n = 0;
	SPIN(f.n >= 1);
	cr_assert_eq(repld_client_open_writes(x.c), 1);
	restart(&f);
	f.on_commit = ANSWER;
	SPIN(repld_client_open_writes(x.c) == 0);
	cr_assert_null(strstr(f.notes, "ANNOUNCE"));
	stop(&f, &x);
}

Test(repld_client, a_commit_refused_for_good_ends)
{
	struct fake f;
	struct worker x;

	start(&f, &x);
	to_granted(&x);
	f.on_commit = REFUSE;
	f.refusal = GFS_ERR_INVALID;
	log_set_level(LOG_LVL_ERROR);
	commit(&x);
	SPIN(repld_client_open_writes(x.c) == 0);
	stop(&f, &x);
}

Test(repld_client, without_repld_every_call_ends_after_five_seconds)
{
	struct worker x = {0};
	int64_t t = clock_mono_ms();

	x.c = repld_client_create(base, dir);
	begin(&x);
	SPIN(x.begun == 1);
	cr_assert_eq(x.err, GFS_ERR_UNAVAILABLE);
	cr_assert(clock_mono_ms() - t >= 4900 && clock_mono_ms() - t < 6500);
	repld_write_abandon(&x.w);
	cr_assert_eq(repld_client_open_writes(x.c), 0);
	repld_client_destroy(&x.c);
}

Test(repld_client, refusals_come_with_their_reason)
{
	struct fake f;
	struct worker x;

	start(&f, &x);
	to_begun(&x);
	f.on_finalise = REFUSE;
	f.refusal = GFS_ERR_SUPERSEDED;
	finalise(&x);
	SPIN(x.finalised == 1);
	cr_assert_eq(x.err, GFS_ERR_SUPERSEDED);
	cr_assert_str_eq(x.text, "because");
	repld_write_abandon(&x.w);
	SPIN(f.n == 3);
	cr_assert_str_eq(f.notes, "BEGIN FINALISE ABANDON ");
	cr_assert_eq(repld_client_open_writes(x.c), 0);
	stop(&f, &x);
}

Test(repld_client, a_write_may_be_abandoned_at_any_time)
{
	struct fake f;
	struct worker x;

	start(&f, &x);
	begin(&x); /* before its answer: the generation is given back */
	repld_write_abandon(&x.w);
	SPIN(repld_client_open_writes(x.c) == 0 && f.n == 2);
	cr_assert_str_eq(f.notes, "BEGIN ABANDON ");
	cr_assert_eq(x.begun, 0);

	f.notes[0] = '\0';
	to_begun(&x);
	repld_write_abandon(&x.w);
	SPIN(f.n == 4);
	cr_assert_str_eq(f.notes, "BEGIN ABANDON ");

	f.notes[0] = '\0';
	x.begun = 0;
	to_begun(&x);
	finalise(&x); /* before its answer, which is a grant */
	repld_write_abandon(&x.w);
	SPIN(repld_client_open_writes(x.c) == 0);
	cr_assert_str_eq(f.notes, "BEGIN FINALISE COMMIT(1,1) ");
	cr_assert_eq(x.finalised, 0);

	f.notes[0] = '\0';
	x.begun = 0;
	to_granted(&x);
	repld_write_abandon(&x.w);
	SPIN(repld_client_open_writes(x.c) == 0);
	cr_assert_str_eq(f.notes, "BEGIN FINALISE COMMIT(1,1) ");
	stop(&f, &x);
}

Test(repld_client, a_finalise_without_an_answer_is_settled_by_a_commit)
{
	struct fake f;
	struct worker x;

	start(&f, &x);
	to_begun(&x);
	f.on_finalise = SILENT;
	finalise(&x);
	SPIN(x.finalised == 1);
	cr_assert_eq(x.err, GFS_ERR_UNAVAILABLE);
	repld_write_abandon(&x.w);
	SPIN(repld_client_open_writes(x.c) == 0);
	cr_assert_str_eq(f.notes, "BEGIN FINALISE COMMIT(1,1) ");
	stop(&f, &x);
}

Test(repld_client, many_writes_at_once_through_restarts)
{
	enum { N = 300 };
	static struct worker v[N];
	struct fake f;
	struct worker x;
	int granted = 0;

	start(&f, &x);
	for (int i = 0; i < N; i++) {
		v[i] = (struct worker){.c = x.c};
		begin(&v[i]);
	}
	restart(&f);
	SPIN(v[N - 1].begun);
	for (int i = 0; i < N; i++) {
		SPIN(v[i].begun == 1 && v[i].err == 0);
		finalise(&v[i]);
	}
	f.notes[0] = '\0';
	restart(&f);
	f.notes[0] = '\0';
	for (int i = 0; i < N; i++) {
		SPIN(v[i].finalised == 1);
		granted += v[i].err == 0;
		f.notes[0] = '\0';
		commit(&v[i]);
	}
	cr_assert_eq(granted, N);
	f.notes[0] = '\0';
	SPIN(repld_client_open_writes(x.c) < N / 2);
	f.notes[0] = '\0';
	SPIN(repld_client_open_writes(x.c) == 0);
	stop(&f, &x);
}

/* ---- questions ---- */

struct question {
	int runs, err;
	bool known;
	size_t n_stale;
	uint64_t stale;
	char text[64];
};

static void on_located(void *arg, int err, const struct repld_location *loc)
{
	struct question *q = arg;

	q->runs++;
	q->err = err;
	if (err)
		return;
	q->known = loc->known;
	q->n_stale = loc->n_stale;
	q->stale = loc->n_stale ? loc->stale_sites[1] : 0;
}

static void on_replicated(void *arg, int err, const char *text)
{
	struct question *q = arg;

	q->runs++;
	q->err = err;
	snprintf(q->text, sizeof(q->text), "%s", text);
}

Test(repld_client, questions)
{
	struct fake f;
	struct worker x;
	struct question q = {0}, r = {0}, cancelled = {0}, away = {0};

	start(&f, &x);
	repld_lookup_cancel(x.c, repld_lookup(x.c, SLICE_LIT("dirty"), on_located, &cancelled));
	repld_lookup(x.c, SLICE_LIT("dirty"), on_located, &q);
	repld_replicate(x.c, SLICE_LIT("k"), 1, 5, on_replicated, &r);
	SPIN(q.runs && r.runs);
	cr_assert(q.err == 0 && q.known && q.n_stale == 2 && q.stale == 9 && cancelled.runs == 0);
	cr_assert_eq(r.err, GFS_ERR_NO_SUCH_SITE);
	cr_assert_str_eq(r.text, "no site 5");
	listen_destroy(&f.l);
	repld_lookup(x.c, SLICE_LIT("dirty"), on_located, &away);
	SPIN(away.runs);
	cr_assert_eq(away.err, GFS_ERR_UNAVAILABLE);
	stop(&f, &x);
}
