/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripted interleavings of the write protocol: a whole repld on a real socket, workers on the real client stub,
 * sites in memory.
 * Sites 1 and 2 are primaries, 3 is filled afterwards.
 */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/stubs/repld_client.h"
#include "common/xalloc.h"
#include "fake_site.h"
#include "repld/journal.h"
#include "repld/keys.h"
#include "repld/queue.h"
#include "repld/repld.h"
#include "repld/resolve.h"
#include "repld/writes.h"

static struct fake_world world; /* one test per process */

struct rig {
	struct event_base *base;
	struct conf *conf;
	char *dir;
	struct repld *r;
	struct repld_client *c;
	struct site_table table;
	struct site_conf sites[3];
	struct event *beat;
	int64_t grace_ms;
};

struct put {
	struct rig *rig;
	struct repld_write *w;
	struct gen gen;
	const char *key, *body;
	enum op_kind op;
	bool begun, finalised, conditional;
	int err;
	char text[300]; /* of repld's refusal to begin */
	uint64_t sync[2], async[1];
	size_t n_async;
	char etag[ETAG_MAX];
};

static int open_fake(const struct site_env *env, const struct site_conf *conf, struct site **out, char *why, size_t cap)
{
	(void)why;
	(void)cap;
	return fake_open(&world, env, conf, out);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static struct conf *make_conf(const char *dir)
{
	char *yaml = xasprintf("global:\n  run_dir: %s/run\n  state_dir: %s/state\n  node_name: n1\n"
			       "sites:\n  - name: s1\n    role: primary\n    file:\n      path: %s/s1\n",
			       dir, dir, dir);
	struct conf_report rep = {0};
	struct conf *conf = NULL;

	cr_assert_eq(conf_load_text("test", slice_str(yaml), &conf, &rep), 0, "%s", strbuf_str(&rep.errors));
	conf_report_free(&rep);
	free(yaml);
	conf->replication.in_doubt_ms = 1000;
	conf->replication.retry_initial_ms = 50;
	conf->replication.retry_max_ms = 100;
	conf->replication.retry_attempts = 3;
	return conf;
}

static void start(struct rig *g)
{
	struct repld_params params = {.base = g->base, .conf = g->conf, .open_site = open_fake, .grace_ms = g->grace_ms};

	cr_assert_eq(repld_create(&params, &g->r), 0);
	repld_set_sites(g->r, &g->table);
	cr_assert_eq(repld_listen(g->r), 0);
}

static void rig_up(struct rig *g, const char *dir)
{
	struct timeval tv = {0, 2000};

	log_set_level(getenv("GFS_TEST_LOG") ? LOG_LVL_DEBUG : LOG_LVL_ERROR);
	if (!g->grace_ms)
		g->grace_ms = 1;
	g->dir = xstrdup(dir);
	g->base = event_base_new();
	g->beat = event_new(g->base, -1, EV_PERSIST, on_beat, NULL);
	event_add(g->beat, &tv);
	g->conf = make_conf(dir);
	fake_world_init(&world, g->base);
	memset(g->table.namespace_id, '0', 36);
	for (uint32_t i = 0; i < 3; i++) {
		site_conf_init(&g->sites[i]);
		free(g->sites[i].name);
		g->sites[i].name = xasprintf("s%u", i + 1);
		g->sites[i].id = i + 1;
	}
	g->table.v = g->sites;
	g->table.n = 3;
	start(g);
	g->c = repld_client_create(g->base, g->conf->global.run_dir);
}

static char *make_dir(void)
{
	char dir[] = "/tmp/gfs-repld-XXXXXX", sub[64];

	cr_assert_not_null(mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/run", dir);
	mkdir(sub, 0750);
	snprintf(sub, sizeof(sub), "%s/state", dir);
	mkdir(sub, 0750);
	return xstrdup(dir);
}

static void rig_new(struct rig *g)
{
	char *dir = make_dir();

	rig_up(g, dir);
	free(dir);
}

static void rig_down(struct rig *g)
{
	char *cmd = xasprintf("rm -r %s", g->dir);

	repld_client_destroy(&g->c);
	repld_destroy(&g->r);
	event_base_loop(g->base, EVLOOP_NONBLOCK);
	fake_world_free(&world);
	for (int i = 0; i < 3; i++)
		site_conf_free(&g->sites[i]);
	conf_destroy(&g->conf);
	event_free(g->beat);
	event_base_free(g->base);
	cr_assert_eq(system(cmd), 0);
	free(cmd);
	free(g->dir);
}

#define UNTIL(g, cond) \
	do { \
		int64_t until_end = clock_mono_ms() + 10000; \
		while (!(cond)) { \
			cr_assert(clock_mono_ms() < until_end, "never came: %s", #cond); \
			event_base_loop((g)->base, EVLOOP_ONCE); \
		} \
	} while (0)

static void run_for(struct rig *g, int64_t ms)
{
	int64_t end = clock_mono_ms() + ms;

	while (clock_mono_ms() < end)
		event_base_loop(g->base, EVLOOP_ONCE);
}

/* ---- a worker's steps ---- */

static void on_begun(void *arg, int err, const struct gen *gen, const char *text)
{
	struct put *p = arg;

	p->begun = true;
	snprintf(p->text, sizeof(p->text), "%s", text);
	p->err = err;
	p->gen = *gen;
}

static void begin(struct rig *g, struct put *p)
{
	p->rig = g;
	p->sync[0] = 1;
	p->sync[1] = 2;
	p->async[0] = 3;
	if (!p->op)
		p->op = OP_WRITE;
	p->w = repld_begin(g->c, slice_str(p->key), p->op, "req", on_begun, p);
}

static void on_finalised(void *arg, int err, const char *text)
{
	struct put *p = arg;

	(void)text;
	p->finalised = true;
	p->err = err;
}

static void finalise(struct put *p)
{
	struct repld_version v = {.part_size = 8u << 20, .sync_sites = p->sync, .n_sync = 2, .async_sites = p->async,
				  .n_async = p->n_async, .write_min = 2, .conditional = p->conditional};

	if (p->op == OP_WRITE) {
		v.size = strlen(p->body);
		fake_etag(p->body, v.etag);
	}
	repld_finalise(p->w, &v, on_finalised, p);
}

static void complete_at(struct put *p, uint32_t site)
{
	if (p->op == OP_DELETE)
		fake_unset(&world, site, p->key);
	else
		fake_set(&world, site, p->key, p->body, &p->gen);
}

static void commit(struct put *p, enum site_outcome a, enum site_outcome b)
{
	const enum site_outcome outcomes[2] = {a, b};

	repld_commit(&p->w, outcomes, a == SITE_DONE && b == SITE_DONE, NULL, NULL);
}

static void to_granted(struct rig *g, struct put *p)
{
	begin(g, p);
	UNTIL(g, p->begun);
	cr_assert_eq(p->err, 0);
	finalise(p);
	UNTIL(g, p->finalised);
	cr_assert_eq(p->err, 0, "%s", gfs_err_name(p->err));
}

static void whole(struct rig *g, struct put *p)
{
	size_t others = repld_client_open_writes(g->c);

	to_granted(g, p);
	complete_at(p, 1);
	complete_at(p, 2);
	commit(p, SITE_DONE, SITE_DONE);
	UNTIL(g, repld_client_open_writes(g->c) == others);
}

struct located {
	bool done;
	int err;
	struct repld_location loc;
	uint64_t stale[8];
};

static void on_located(void *arg, int err, const struct repld_location *loc)
{
	struct located *l = arg;

	l->done = true;
	l->err = err;
	if (err)
		return;
	l->loc = *loc;
	for (size_t i = 0; i < loc->n_stale; i++)
		l->stale[i] = loc->stale_sites[i];
}

static struct located lookup(struct rig *g, const char *key)
{
	struct located l = {0};

	repld_lookup(g->c, slice_str(key), on_located, &l);
	UNTIL(g, l.done);
	return l;
}

struct located_many {
	bool done;
	int err;
	size_t n;
	struct repld_location v[REPLD_LOOKUP_MANY]; /* but for stale_sites */
	uint64_t stale[REPLD_LOOKUP_MANY];          /* the first of each */
};

static void on_located_many(void *arg, int err, const struct repld_location *v, size_t n)
{
	struct located_many *l = arg;

	l->done = true;
	l->err = err;
	l->n = n;
	for (size_t i = 0; i < n; i++) {
		l->v[i] = v[i];
		l->stale[i] = v[i].n_stale ? v[i].stale_sites[0] : 0;
	}
}

static bool has(uint32_t site, const char *key, const char *body)
{
	const char *got = fake_get(&world, site, key, NULL);

	return body ? got && strcmp(got, body) == 0 : got == NULL;
}

static bool clean(struct rig *g, const char *key)
{
	return !keys_board_dirty(&g->r->keys_board, keys_board_cell(slice_str(key)));
}

/* ---- the tests ---- */

/* Keys that are decided, granted and unknown, in memory and not, as many as a message takes. */
Test(protocol, looks_many_keys_up_at_once, .timeout = 30)
{
	static struct located_many l;
	struct rig g = {0};
	struct put decided = {.key = "decided", .body = "hello", .n_async = 1}, granted = {.key = "granted", .body = "x", .n_async = 1};
	char names[REPLD_LOOKUP_MANY][16];
	struct slice keys[REPLD_LOOKUP_MANY];

	rig_new(&g);
	fake_knobs(&world, 3)->hold_prepared = true;
	to_granted(&g, &decided);
	complete_at(&decided, 1);
	complete_at(&decided, 2);
	commit(&decided, SITE_DONE, SITE_DONE);
	UNTIL(&g, repld_client_open_writes(g.c) == 0);
	to_granted(&g, &granted);
	for (size_t i = 0; i < REPLD_LOOKUP_MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "none-%zu", i);
		keys[i] = slice_str(names[i]);
	}
	keys[7] = SLICE_LIT("granted");
	keys[200] = SLICE_LIT("decided");
	repld_lookup_many(g.c, keys, REPLD_LOOKUP_MANY, on_located_many, &l);
	UNTIL(&g, l.done);
	cr_assert_eq(l.err, 0);
	cr_assert_eq(l.n, REPLD_LOOKUP_MANY);
	for (size_t i = 0; i < l.n; i++)
		cr_assert_eq(l.v[i].known, i == 7 || i == 200, "%zu", i);
	cr_assert(!l.v[7].decided && gen_is_none(&l.v[7].gen) && l.v[7].n_stale == 1 && l.stale[7] == 3);
	cr_assert(l.v[200].decided && !l.v[200].deleted && gen_cmp(&l.v[200].gen, &decided.gen) == 0 && l.v[200].size == 5);
	cr_assert_eq(l.stale[200], 3u);
	cr_assert_str_eq(l.v[200].etag, lookup(&g, "decided").loc.etag);
	complete_at(&granted, 1);
	complete_at(&granted, 2);
	commit(&granted, SITE_DONE, SITE_DONE);
	fake_release(&world, 3);
	UNTIL(&g, clean(&g, "decided") && clean(&g, "granted"));
	l.done = false;
	repld_lookup_many(g.c, keys + 200, 1, on_located_many, &l);
	UNTIL(&g, l.done);
	cr_assert(l.n == 1 && !l.v[0].known);
	rig_down(&g);
}

Test(protocol, a_write_reaches_every_site_and_leaves_nothing_behind, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "a/b", .body = "hello", .n_async = 1};

	rig_new(&g);
	to_granted(&g, &p);
	cr_assert_not(clean(&g, "a/b"), "dirty before it is granted");
	struct located l = lookup(&g, "a/b");

	cr_assert(l.loc.known && !l.loc.decided && gen_cmp(&l.loc.pending, &p.gen) == 0);
	cr_assert(l.loc.n_stale == 1 && l.stale[0] == 3, "what the write reaches later lags");
	complete_at(&p, 1);
	complete_at(&p, 2);
	fake_knobs(&world, 3)->hold_prepared = true;
	uint64_t before = keys_board_clock(&g.r->keys_board, keys_board_cell(SLICE_LIT("a/b")));

	commit(&p, SITE_DONE, SITE_DONE);
	UNTIL(&g, repld_client_open_writes(g.c) == 0);
	l = lookup(&g, "a/b");
	cr_assert(l.loc.known && l.loc.decided && !l.loc.deleted && gen_cmp(&l.loc.gen, &p.gen) == 0);
	cr_assert_eq(l.loc.n_stale, 1u);
	cr_assert_eq(l.stale[0], 3u);
	UNTIL(&g, fake_knobs(&world, 3)->puts == 1);
	fake_release(&world, 3);
	UNTIL(&g, has(3, "a/b", "hello"));
	UNTIL(&g, clean(&g, "a/b"));
	cr_assert_not(lookup(&g, "a/b").loc.known);
	cr_assert_gt(keys_board_clock(&g.r->keys_board, keys_board_cell(SLICE_LIT("a/b"))), before + 1);
	cr_assert_eq(queue_depth(g.r, NULL), 0u);
	cr_assert_eq(g.r->proofs[0], 1u, "proved by hash");
	UNTIL(&g, keys_count(g.r->keys) == 0);
	rig_down(&g);
}

Test(protocol, bodies_larger_than_the_buffers_and_empty_ones_are_copied, .timeout = 30)
{
	struct rig g = {0};
	char *big = xcalloc(1, 3000001);

	for (int i = 0; i < 3000000; i++)
		big[i] = (char)('a' + i * 7 % 26);
	struct put p = {.key = "big", .body = big, .n_async = 1}, q = {.key = "empty", .body = "", .n_async = 1};

	rig_new(&g);
	whole(&g, &p);
	whole(&g, &q);
	UNTIL(&g, has(3, "big", big));
	UNTIL(&g, has(3, "empty", ""));
	UNTIL(&g, clean(&g, "big") && clean(&g, "empty"));
	rig_down(&g);
	free(big);
}

static void slow_older(struct rig *g, bool restart)
{
	struct put old = {.key = "k", .body = "old", .n_async = 1}, new = {.key = "k", .body = "new", .n_async = 1};

	begin(g, &old);
	UNTIL(g, old.begun);
	whole(g, &new); /* begun later, acknowledged first */
	UNTIL(g, has(3, "k", "new"));
	if (restart) {
		repld_destroy(&g->r);
		start(g);
		UNTIL(g, repld_client_is_up(g->c));
	}
	finalise(&old);
	UNTIL(g, old.finalised);
	cr_assert_eq(old.err, GFS_ERR_SUPERSEDED, "%s", gfs_err_name(old.err));
	repld_write_abandon(&old.w);
	for (uint32_t s = 1; s <= 3; s++)
		cr_assert(has(s, "k", "new"));
}

Test(protocol, a_slow_older_write_is_superseded, .timeout = 30)
{
	struct rig g = {0};

	rig_new(&g);
	slow_older(&g, false);
	UNTIL(&g, clean(&g, "k")); /* the guard ends with the older write */
	rig_down(&g);
}

Test(protocol, a_slow_older_write_is_superseded_across_a_restart, .timeout = 30)
{
	struct rig g = {.grace_ms = 3000};

	rig_new(&g);
	slow_older(&g, true);
	rig_down(&g);
}

Test(protocol, restart_between_finalise_and_commit, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1", .n_async = 1};

	rig_new(&g);
	to_granted(&g, &p);
	complete_at(&p, 1);
	repld_destroy(&g.r);
	complete_at(&p, 2);
	start(&g);
	UNTIL(&g, repld_client_is_up(g.c));
	run_for(&g, 1500); /* longer than the in-doubt time: its owner lives */
	cr_assert_eq(g.r->withdrawn + g.r->rolled_forward, 0u);
	struct located l = lookup(&g, "k");

	cr_assert(l.loc.known && !l.loc.decided);
	commit(&p, SITE_DONE, SITE_DONE);
	UNTIL(&g, repld_client_open_writes(g.c) == 0);
	UNTIL(&g, has(3, "k", "v1"));
	UNTIL(&g, clean(&g, "k"));
	rig_down(&g);
}

Test(protocol, commit_sent_again_after_a_restart_is_answered, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1", .n_async = 1};

	rig_new(&g);
	to_granted(&g, &p);
	complete_at(&p, 1);
	complete_at(&p, 2);
	repld_destroy(&g.r);
	commit(&p, SITE_DONE, SITE_DONE); /* while nobody is there */
	start(&g);
	UNTIL(&g, repld_client_open_writes(g.c) == 0);
	UNTIL(&g, has(3, "k", "v1"));
	rig_down(&g);
}

/* ---- a worker that dies ---- */

struct victim {
	pid_t pid;
	int in, out;
};

static void victim_main(const char *dir, int in, int out)
{
	struct rig g = {.base = event_base_new()};
	struct timeval tv = {0, 2000};
	struct put p = {.key = "k", .body = "v2", .n_async = 1};
	char *run = xasprintf("%s/run", dir), op;

	if (read(in, &op, 1) != 1)
		_exit(1);
	g.beat = event_new(g.base, -1, EV_PERSIST, on_beat, NULL);
	event_add(g.beat, &tv);
	g.c = repld_client_create(g.base, run);
	p.op = op == 'd' ? OP_DELETE : OP_WRITE;
	to_granted(&g, &p);
	if (write(out, &p.gen, sizeof(p.gen)) != sizeof(p.gen))
		_exit(1);
	for (;;)
		event_base_loop(g.base, EVLOOP_ONCE);
}

static struct victim victim_new(const char *dir)
{
	struct victim v;
	int to[2], from[2];

	cr_assert_eq(pipe(to) | pipe(from), 0);
	v.pid = fork();
	if (v.pid == 0) {
		close(to[1]);
		close(from[0]);
		victim_main(dir, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	v.in = to[1];
	v.out = from[0];
	fcntl(v.out, F_SETFL, O_NONBLOCK);
	return v;
}

/* Runs it until its write is granted; its generation. */
static struct gen victim_grant(struct rig *g, struct victim *v, char op)
{
	struct gen gen = {0};

	cr_assert_eq(write(v->in, &op, 1), 1);
	UNTIL(g, read(v->out, &gen, sizeof(gen)) == sizeof(gen));
	return gen;
}

static void victim_kill(struct victim *v)
{
	kill(v->pid, SIGKILL);
	waitpid(v->pid, NULL, 0);
	close(v->in);
	close(v->out);
}

Test(protocol, owner_dies_after_one_of_two_sites, .timeout = 30)
{
	char *dir = make_dir();
	struct victim v = victim_new(dir);
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1"};
	struct gen gen;

	rig_up(&g, dir);
	whole(&g, &p);
	gen = victim_grant(&g, &v, 'w');
	fake_set(&world, 1, "k", "v2", &gen);
	victim_kill(&v);
	UNTIL(&g, has(2, "k", "v2") && has(3, "k", "v2"));
	cr_assert_eq(g.r->rolled_forward, 1u);
	rig_down(&g);
	free(dir);
}

Test(protocol, owner_dies_before_any_site, .timeout = 30)
{
	char *dir = make_dir();
	struct victim v = victim_new(dir);
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1"};

	rig_up(&g, dir);
	whole(&g, &p);
	victim_grant(&g, &v, 'w');
	victim_kill(&v);
	int64_t began = clock_mono_ms();

	UNTIL(&g, g.r->withdrawn == 1);
	cr_assert_geq(clock_mono_ms() - began, 1000, "not before the in-doubt time");
	UNTIL(&g, clean(&g, "k"));
	cr_assert(has(1, "k", "v1") && has(2, "k", "v1") && has(3, "k", NULL));
	rig_down(&g);
	free(dir);
}

Test(protocol, owner_dies_and_repld_restarts, .timeout = 30)
{
	char *dir = make_dir();
	struct victim v = victim_new(dir);
	struct rig g = {0};
	struct gen gen;

	rig_up(&g, dir);
	gen = victim_grant(&g, &v, 'w');
	repld_destroy(&g.r);
	fake_set(&world, 2, "k", "v2", &gen);
	victim_kill(&v);
	start(&g);
	UNTIL(&g, has(1, "k", "v2") && has(3, "k", "v2"));
	rig_down(&g);
	free(dir);
}

Test(protocol, nothing_is_withdrawn_while_a_site_is_silent, .timeout = 30)
{
	char *dir = make_dir();
	struct victim v = victim_new(dir);
	struct rig g = {0};
	struct gen gen;

	rig_up(&g, dir);
	gen = victim_grant(&g, &v, 'w');
	fake_set(&world, 2, "k", "v2", &gen);
	fake_knobs(&world, 2)->down = true;
	victim_kill(&v);
	run_for(&g, 3000);
	cr_assert_eq(g.r->withdrawn, 0u);
	fake_knobs(&world, 2)->down = false;
	UNTIL(&g, has(1, "k", "v2") && has(3, "k", "v2"));
	rig_down(&g);
	free(dir);
}

Test(protocol, a_delete_rolls_forward_when_its_owner_dies, .timeout = 30)
{
	char *dir = make_dir();
	struct victim v = victim_new(dir);
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1", .n_async = 1};

	rig_up(&g, dir);
	whole(&g, &p);
	UNTIL(&g, has(3, "k", "v1"));
	victim_grant(&g, &v, 'd');
	victim_kill(&v);
	UNTIL(&g, has(1, "k", NULL) && has(2, "k", NULL) && has(3, "k", NULL));
	cr_assert(lookup(&g, "k").loc.deleted);
	rig_down(&g);
	free(dir);
}

Test(protocol, a_newer_write_need_not_wait_for_one_in_doubt, .timeout = 30)
{
	char *dir = make_dir();
	struct victim v = victim_new(dir);
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v3", .n_async = 1};
	struct gen gen;

	rig_up(&g, dir);
	g.conf->replication.in_doubt_ms = 60000;
	gen = victim_grant(&g, &v, 'w');
	victim_kill(&v);
	UNTIL(&g, resolve_count(g.r->resolver) == 1);
	whole(&g, &p);
	UNTIL(&g, has(3, "k", "v3"));
	/* What the dead worker had begun surfaces over it, and is repaired. */
	fake_set(&world, 1, "k", "v2", &gen);
	UNTIL(&g, has(1, "k", "v3"));
	rig_down(&g);
	free(dir);
}

/* ---- copies and deletes ---- */

Test(protocol, a_delete_while_a_copy_is_in_flight, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1", .n_async = 1}, d = {.key = "k", .op = OP_DELETE, .n_async = 1};

	rig_new(&g);
	fake_knobs(&world, 3)->hold_prepared = true;
	whole(&g, &p);
	UNTIL(&g, fake_knobs(&world, 3)->puts == 1);
	whole(&g, &d);
	fake_release(&world, 3);
	struct located l = lookup(&g, "k");

	cr_assert(l.loc.known && l.loc.deleted);
	UNTIL(&g, clean(&g, "k")); /* the tombstone goes after the in-doubt time */
	for (uint32_t s = 1; s <= 3; s++)
		cr_assert(has(s, "k", NULL));
	cr_assert_eq(fake_knobs(&world, 3)->completes, 0u);
	rig_down(&g);
}

Test(protocol, a_delete_while_a_copy_completes, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1", .n_async = 1}, d = {.key = "k", .op = OP_DELETE, .n_async = 1};

	rig_new(&g);
	fake_knobs(&world, 3)->hold_complete = true;
	whole(&g, &p);
	UNTIL(&g, fake_knobs(&world, 3)->puts == 1);
	run_for(&g, 50);
	whole(&g, &d); /* site 3 is none of its own: it need not wait */
	run_for(&g, 50);
	cr_assert_eq(fake_knobs(&world, 3)->deletes, 0u, "one mutation at a time");
	fake_release(&world, 3);
	UNTIL(&g, fake_knobs(&world, 3)->completes == 1);
	UNTIL(&g, has(3, "k", NULL));
	cr_assert(lookup(&g, "k").loc.deleted);
	rig_down(&g);
}

Test(protocol, an_unknown_outcome_is_watched_and_repaired, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1"}, q = {.key = "k", .body = "v2"};

	rig_new(&g);
	whole(&g, &p);
	to_granted(&g, &q);
	complete_at(&q, 1);
	commit(&q, SITE_DONE, SITE_UNKNOWN);
	UNTIL(&g, repld_client_open_writes(g.c) == 0);
	struct located l = lookup(&g, "k");

	cr_assert(l.loc.known && l.loc.decided && l.loc.n_stale == 1 && l.stale[0] == 2);
	UNTIL(&g, has(2, "k", "v2")); /* asked after 1 s, found older, repaired */
	UNTIL(&g, lookup(&g, "k").loc.n_stale == 0);
	cr_assert_not(clean(&g, "k"), "but still watched");
	rig_down(&g);
}

Test(protocol, a_write_that_failed_everywhere_is_withdrawn, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1", .n_async = 1};

	rig_new(&g);
	to_granted(&g, &p);
	commit(&p, SITE_FAILED, SITE_FAILED);
	UNTIL(&g, clean(&g, "k"));
	cr_assert(has(3, "k", NULL));
	cr_assert_eq(g.r->withdrawn, 1u);
	rig_down(&g);
}

Test(protocol, a_write_that_failed_at_one_site_rolls_forward, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1", .n_async = 1};

	rig_new(&g);
	to_granted(&g, &p);
	complete_at(&p, 2);
	commit(&p, SITE_FAILED, SITE_DONE);
	UNTIL(&g, has(1, "k", "v1") && has(3, "k", "v1") && clean(&g, "k"));
	rig_down(&g);
}

Test(protocol, all_unknown_is_resolved_by_asking, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1", .n_async = 1}, q = {.key = "l", .body = "v1", .n_async = 1};

	rig_new(&g);
	to_granted(&g, &p);
	to_granted(&g, &q);
	complete_at(&p, 2);
	commit(&p, SITE_UNKNOWN, SITE_UNKNOWN);
	commit(&q, SITE_UNKNOWN, SITE_UNKNOWN);
	UNTIL(&g, has(1, "k", "v1") && has(3, "k", "v1"));
	UNTIL(&g, clean(&g, "l"));
	cr_assert_eq(g.r->withdrawn, 1u);
	rig_down(&g);
}

Test(protocol, of_32_conditional_writes_one_wins, .timeout = 30)
{
	struct rig g = {0};
	struct put p[32];
	int won = 0, lost = 0;

	rig_new(&g);
	memset(p, 0, sizeof(p));
	for (int i = 0; i < 32; i++) {
		p[i].key = "k";
		p[i].body = "v";
		p[i].conditional = true;
		begin(&g, &p[i]);
	}
	for (int i = 0; i < 32; i++)
		UNTIL(&g, p[i].begun);
	for (int i = 31; i >= 0; i--) /* the latest generation first */
		finalise(&p[i]);
	for (int done = 0; done < 32;) {
		event_base_loop(g.base, EVLOOP_ONCE);
		for (int i = 0; i < 32; i++) {
			if (!p[i].finalised || !p[i].w)
				continue;
			done++;
			if (p[i].err == 0) {
				won++;
				commit(&p[i], SITE_DONE, SITE_DONE);
				continue;
			}
			lost += p[i].err == GFS_ERR_PRECONDITION || p[i].err == GFS_ERR_SUPERSEDED;
			repld_write_abandon(&p[i].w);
		}
	}
	cr_assert_eq(won, 1);
	cr_assert_eq(lost, 31);
	UNTIL(&g, clean(&g, "k"));
	rig_down(&g);
}

Test(protocol, a_write_announced_after_its_guards_have_ended_is_busy, .timeout = 30)
{
	struct rig g = {0};
	struct put old = {.key = "k", .body = "old", .n_async = 1}, new = {.key = "k", .body = "new", .n_async = 1};

	rig_new(&g);
	begin(&g, &old);
	UNTIL(&g, old.begun);
	repld_destroy(&g.r);
	start(&g);
	UNTIL(&g, repld_client_is_up(g.c)); /* later than the 1 ms for which this rig keeps guards */
	whole(&g, &new);
	UNTIL(&g, has(3, "k", "new"));
	finalise(&old);
	UNTIL(&g, old.finalised);
	cr_assert(old.err == GFS_ERR_BUSY || old.err == GFS_ERR_SUPERSEDED, "%s", gfs_err_name(old.err));
	repld_write_abandon(&old.w);
	for (uint32_t s = 1; s <= 3; s++)
		cr_assert(has(s, "k", "new"));
	rig_down(&g);
}

Test(protocol, keys_are_clean_at_once_after_the_first_start, .timeout = 30)
{
	struct rig g = {.grace_ms = 30000};
	struct put p = {.key = "k", .body = "v", .n_async = 1};
	int64_t began_ms = clock_mono_ms();

	rig_new(&g);
	whole(&g, &p);
	UNTIL(&g, clean(&g, "k"));
	cr_assert_lt(clock_mono_ms() - began_ms, 20000);
	rig_down(&g);
}

Test(protocol, a_conditional_write_across_a_restart_is_busy, .timeout = 30)
{
	struct rig g = {.grace_ms = 3000};
	struct put p = {.key = "k", .body = "v1", .conditional = true};

	rig_new(&g);
	begin(&g, &p);
	UNTIL(&g, p.begun);
	repld_destroy(&g.r);
	start(&g);
	finalise(&p);
	UNTIL(&g, p.finalised);
	cr_assert_eq(p.err, GFS_ERR_BUSY);
	repld_write_abandon(&p.w);
	rig_down(&g);
}

Test(protocol, failures_are_parked_and_woken_when_the_site_is_up_again, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1", .n_async = 1};
	struct site_status st = {.id = 3, .state = SITE_STATE_UP};
	uint64_t parked = 0;

	rig_new(&g);
	fake_knobs(&world, 3)->down = true;
	whole(&g, &p);
	UNTIL(&g, (queue_depth(g.r, &parked), parked == 1));
	cr_assert_eq(lookup(&g, "k").loc.n_stale, 1u);
	fake_knobs(&world, 3)->down = false;
	repld_destroy(&g.r); /* a parked row is still there after a restart */
	start(&g);
	UNTIL(&g, (queue_depth(g.r, &parked), parked == 1));
	run_for(&g, 300);
	cr_assert(has(3, "k", NULL));
	sites_board_beat(&g.r->sites_board, clock_real_ms(), 60000);
	sites_board_put(&g.r->sites_board, &st);
	UNTIL(&g, has(3, "k", "v1"));
	UNTIL(&g, clean(&g, "k"));
	cr_assert_eq(queue_depth(g.r, &parked), 0u);
	cr_assert_eq(parked, 0u);
	rig_down(&g);
}

/* Since when the site lags: the first row's own time, which is never later than what was told when it came. */
#define LAGS_SINCE(g, site, began_ms, told_ms) \
	do { \
		cr_assert_geq((int64_t)site_gauge(g, site, SITE_STAT_REPL_LAG), began_ms); \
		cr_assert_leq((int64_t)site_gauge(g, site, SITE_STAT_REPL_LAG), told_ms); \
	} while (0)

static uint64_t site_gauge(struct rig *g, uint32_t site, enum site_stat_id id)
{
	return stats_site_total(g->r->stats, site, id);
}

Test(protocol, what_a_site_lacks_and_since_when_is_always_told, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "one", .body = "1", .n_async = 1}, q = {.key = "two", .body = "2", .n_async = 1};
	int64_t began_ms = clock_real_ms(), since_ms;

	rig_new(&g);
	cr_assert_eq(stats_total(g.r->stats, STAT_REPL_USABLE), 1);
	fake_knobs(&world, 3)->down = true;
	whole(&g, &p);
	cr_assert_eq(site_gauge(&g, 3, SITE_STAT_REPL_QUEUE), 1);
	since_ms = (int64_t)site_gauge(&g, 3, SITE_STAT_REPL_LAG);
	cr_assert_geq(since_ms, began_ms);
	run_for(&g, 300); /* tries, fails, and parks: its row is written again and again */
	UNTIL(&g, site_gauge(&g, 3, SITE_STAT_REPL_PARKED) == 1);
	LAGS_SINCE(&g, 3, began_ms, since_ms);
	cr_assert_geq(stats_site_age_ms(g.r->stats, 3, SITE_STAT_REPL_LAG, clock_real_ms()), 300);
	whole(&g, &q);
	cr_assert_eq(site_gauge(&g, 3, SITE_STAT_REPL_QUEUE), 2);
	cr_assert_eq(site_gauge(&g, 1, SITE_STAT_REPL_QUEUE), 0);
	cr_assert_eq(stats_site_age_ms(g.r->stats, 1, SITE_STAT_REPL_LAG, clock_real_ms()), 0);
	repld_destroy(&g.r);
	start(&g);
	cr_assert_eq(site_gauge(&g, 3, SITE_STAT_REPL_QUEUE), 2, "also after a restart");
	LAGS_SINCE(&g, 3, began_ms, since_ms);
	fake_knobs(&world, 3)->down = false;
	queue_retry_site(g.r, 3);
	UNTIL(&g, site_gauge(&g, 3, SITE_STAT_REPL_QUEUE) == 0);
	cr_assert_eq(site_gauge(&g, 3, SITE_STAT_REPL_LAG), 0);
	cr_assert_eq(site_gauge(&g, 3, SITE_STAT_REPL_PARKED), 0);
	rig_down(&g);
}

/* When the older of two goes, the younger one's age is what is left. */
Test(protocol, the_lag_is_that_of_the_oldest_that_is_left, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "one", .body = "1", .n_async = 1}, q = {.key = "two", .body = "2", .n_async = 1};
	int64_t began_ms = clock_real_ms(), first_ms;

	rig_new(&g);
	fake_knobs(&world, 3)->hold_complete = true;
	whole(&g, &p);
	UNTIL(&g, fake_knobs(&world, 3)->puts == 1);
	first_ms = (int64_t)site_gauge(&g, 3, SITE_STAT_REPL_LAG);
	run_for(&g, 200); /* by then it is held in its completing act */
	fake_knobs(&world, 3)->down = true;
	whole(&g, &q);
	UNTIL(&g, site_gauge(&g, 3, SITE_STAT_REPL_PARKED) == 1); /* the second, after its last try */
	cr_assert_eq(site_gauge(&g, 3, SITE_STAT_REPL_QUEUE), 2);
	LAGS_SINCE(&g, 3, began_ms, first_ms);
	fake_knobs(&world, 3)->down = false;
	fake_release(&world, 3);
	UNTIL(&g, site_gauge(&g, 3, SITE_STAT_REPL_QUEUE) == 1);
	UNTIL(&g, (int64_t)site_gauge(&g, 3, SITE_STAT_REPL_LAG) >= first_ms + 150);
	rig_down(&g);
}

Test(protocol, a_source_that_lost_its_copy_is_repaired_from_another, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1", .n_async = 1};

	rig_new(&g);
	to_granted(&g, &p);
	complete_at(&p, 2); /* site 1 says done, and has nothing */
	commit(&p, SITE_DONE, SITE_DONE);
	UNTIL(&g, has(3, "k", "v1") && has(1, "k", "v1"));
	UNTIL(&g, clean(&g, "k"));
	rig_down(&g);
}

Test(protocol, an_object_put_behind_our_back_is_not_overwritten, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1", .n_async = 1};
	uint64_t parked = 0;

	rig_new(&g);
	fake_set(&world, 3, "k", "someone else's", NULL);
	whole(&g, &p);
	UNTIL(&g, (queue_depth(g.r, &parked), parked == 1));
	cr_assert(has(3, "k", "someone else's"));
	cr_assert_eq(g.r->conflicts, 1u);
	rig_down(&g);
}

struct replicated {
	bool done;
	int err;
};

static void on_replicated(void *arg, int err, const char *text)
{
	struct replicated *x = arg;

	(void)text;
	x->done = true;
	x->err = err;
}

Test(protocol, replicate_copies_what_the_journal_does_not_know, .timeout = 30)
{
	struct rig g = {0};
	struct replicated x = {0};
	struct gen gen = {.hlc = 5u << 16, .node = "n1"}, got;

	rig_new(&g);
	fake_set(&world, 1, "k", "here", &gen);
	repld_replicate(g.c, SLICE_LIT("k"), 1, 3, on_replicated, &x);
	UNTIL(&g, x.done);
	cr_assert_eq(x.err, 0);
	UNTIL(&g, has(3, "k", "here"));
	fake_get(&world, 3, "k", &got);
	cr_assert_eq(gen_cmp(&got, &gen), 0);
	UNTIL(&g, clean(&g, "k"));
	x.done = false;
	repld_replicate(g.c, SLICE_LIT("nothing"), 1, 3, on_replicated, &x);
	UNTIL(&g, x.done);
	cr_assert_eq(x.err, GFS_ERR_NO_SUCH_KEY);
	x.done = false;
	repld_replicate(g.c, SLICE_LIT("k"), 1, 77, on_replicated, &x);
	UNTIL(&g, x.done);
	cr_assert_eq(x.err, GFS_ERR_NO_SUCH_SITE);
	rig_down(&g);
}

Test(protocol, a_new_site_table_does_not_disturb_copies, .timeout = 30)
{
	struct rig g = {0};
	char key[16];

	rig_new(&g);
	for (int i = 0; i < 30; i++) {
		struct put p = {.key = key, .body = "v1", .n_async = 1};

		snprintf(key, sizeof(key), "k%d", i);
		whole(&g, &p);
		for (int k = 0; k < i % 5; k++)
			event_base_loop(g.base, EVLOOP_NONBLOCK);
		repld_set_sites(g.r, &g.table);
	}
	for (int i = 0; i < 30; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		UNTIL(&g, has(3, key, "v1") && clean(&g, key));
	}
	rig_down(&g);
}

Test(protocol, rows_of_a_removed_site_are_dropped, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1", .n_async = 1}, q = {.key = "l", .body = "v1", .n_async = 1};
	uint64_t parked;

	rig_new(&g);
	fake_knobs(&world, 3)->down = true;
	whole(&g, &p);
	UNTIL(&g, (queue_depth(g.r, &parked), parked == 1));
	whole(&g, &q);
	g.table.n = 2;
	repld_set_sites(g.r, &g.table);
	UNTIL(&g, clean(&g, "k") && clean(&g, "l"));
	cr_assert_eq(queue_depth(g.r, &parked), 0u);
	g.table.n = 3;
	rig_down(&g);
}

Test(protocol, a_damaged_journal_refuses_writes_and_stays, .timeout = 30)
{
	struct rig g = {0};
	struct put p = {.key = "k", .body = "v1"};
	struct located l = {0};
	char *path, text[100];

	rig_new(&g);
	repld_destroy(&g.r);
	path = xasprintf("%s/state/repld.db", g.dir);
	int fd = open(path, O_RDWR | O_TRUNC);

	memset(text, 'x', sizeof(text));
	cr_assert_eq(pwrite(fd, text, sizeof(text), 0), (ssize_t)sizeof(text));
	close(fd);
	start(&g);
	cr_assert_not_null(repld_refusal(g.r));
	cr_assert_eq(stats_total(g.r->stats, STAT_REPL_USABLE), 0);
	begin(&g, &p);
	UNTIL(&g, p.begun);
	cr_assert_eq(p.err, GFS_ERR_UNAVAILABLE);
	cr_assert_not_null(strstr(p.text, "cannot be used"), "%s", p.text);
	repld_write_abandon(&p.w);
	repld_lookup(g.c, SLICE_LIT("k"), on_located, &l);
	UNTIL(&g, l.done);
	cr_assert_eq(l.err, GFS_ERR_UNAVAILABLE);
	cr_assert(keys_board_rebuilding(&g.r->keys_board));
	fd = open(path, O_RDONLY);
	cr_assert_eq(pread(fd, text, sizeof(text), 0), (ssize_t)sizeof(text));
	cr_assert_eq(text[0], 'x');
	close(fd);
	free(path);
	rig_down(&g);
}
