/* SPDX-License-Identifier: Apache-2.0 */
/* The observer of a process: told once of every operation of a site, however it ends. Over a scripted site and over a directory. */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "common/xalloc.h"
#include "tests/helpers/fake_site.h"
#include "tests/helpers/site_sync.h"

struct seen {
	struct site_event e; /* result points to r */
	struct site_result r;
	char reason[64];
	uint32_t site;
};

struct world {
	struct event_base *base;
	struct site_env env;
	struct site_observer observer;
	struct site_conf conf;
	struct fake_store store;
	struct site *site;
	struct seen v[16];
	unsigned n;
	/* of the callbacks */
	struct site_get *get;
	struct site_put *put;
	unsigned done, seen_at_done;
	bool cancel_in_head, cancel_in_data, abort_in_ready, close_in_done;
};

static void ended(void *arg, const struct site *site, const struct site_event *e)
{
	struct world *w = arg;
	struct seen *s = &w->v[w->n++];

	cr_assert_leq(w->n, 16);
	s->e = *e;
	s->site = site_id(site);
	if (e->result) {
		s->r = *e->result;
		snprintf(s->reason, sizeof(s->reason), "%s", e->result->reason);
	}
	cr_assert_geq(e->took_us, 0);
	cr_assert_leq(e->first_us, e->took_us);
}

static void world_begin(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->base = event_base_new();
	w->observer = (struct site_observer){.ended = ended, .arg = w};
	w->env = (struct site_env){.base = w->base, .observer = &w->observer};
	w->store.objects[0] = (struct fake_object){.key = "a", .body = "twelve bytes"};
	w->store.n = 1;
	site_conf_init(&w->conf);
	w->conf.id = 5;
	w->site = fake_site_open(&w->env, &w->conf, &w->store);
}

static void world_run(struct world *w)
{
	event_base_loop(w->base, 0);
}

static void world_end(struct world *w)
{
	if (w->site)
		site_close(&w->site);
	event_base_free(w->base);
	site_conf_free(&w->conf);
}

static void on_head(void *arg, const struct object_info *info, uint64_t off, uint64_t len, int fd)
{
	struct world *w = arg;

	(void)info, (void)off, (void)len, (void)fd;
	if (w->cancel_in_head)
		site_get_cancel(&w->get);
}

static bool on_data(void *arg, const void *p, size_t n)
{
	struct world *w = arg;

	(void)p, (void)n;
	if (w->cancel_in_data)
		site_get_cancel(&w->get);
	return true;
}

static void note_done(struct world *w)
{
	w->done++;
	w->seen_at_done = w->n;
	if (w->close_in_done)
		site_close(&w->site);
}

static void on_get_done(void *arg, const struct site_result *r, uint64_t object_size)
{
	struct world *w = arg;

	(void)r, (void)object_size;
	w->get = NULL;
	note_done(w);
}

static const struct site_get_cbs get_cbs = {.head = on_head, .data = on_data, .done = on_get_done};

static void get(struct world *w, const char *key)
{
	struct site_get_req req = {.key = slice_str(key), .range = RANGE_ALL};

	w->get = site_get(w->site, &req, &get_cbs, w);
}

Test(site_meter, a_get_tells_its_bytes_and_its_first_byte)
{
	struct world w;

	world_begin(&w);
	get(&w, "a");
	world_run(&w);
	cr_assert_eq(w.done, 1);
	cr_assert_eq(w.seen_at_done, 1, "told before the caller");
	cr_assert_eq(w.n, 1);
	cr_assert_eq(w.v[0].site, 5);
	cr_assert_eq(w.v[0].e.op, SITE_OP_GET);
	cr_assert_eq(w.v[0].r.outcome, SITE_DONE);
	cr_assert_eq(w.v[0].e.bytes_read, 12);
	cr_assert_eq(w.v[0].e.bytes_written, 0);
	cr_assert_geq(w.v[0].e.first_us, 0);
	world_end(&w);
}

Test(site_meter, a_404_is_an_answer_and_a_fault_has_no_first_byte)
{
	struct world w;

	world_begin(&w);
	get(&w, "absent");
	world_run(&w);
	w.store.read_err = GFS_ERR_CONNECT;
	get(&w, "a");
	world_run(&w);
	w.store.read_err = 0;
	w.store.cut = true;
	get(&w, "a");
	world_run(&w);
	cr_assert_eq(w.n, 3);
	cr_assert_eq(w.v[0].r.err, GFS_ERR_NO_SUCH_KEY);
	cr_assert_geq(w.v[0].e.first_us, 0);
	cr_assert_eq(w.v[1].r.err, GFS_ERR_CONNECT);
	cr_assert_eq(w.v[1].e.first_us, -1);
	cr_assert_str_eq(w.v[1].reason, "scripted");
	cr_assert_neq(w.v[2].r.outcome, SITE_DONE);
	cr_assert_eq(w.v[2].e.bytes_read, 6);
	cr_assert_geq(w.v[2].e.first_us, 0, "its head had come");
	world_end(&w);
}

Test(site_meter, a_cancel_anywhere_is_told_once_without_a_result)
{
	struct world w;

	world_begin(&w);
	get(&w, "a");
	site_get_cancel(&w.get);
	cr_assert_null(w.get);
	cr_assert_eq(w.n, 1);
	w.cancel_in_head = true;
	get(&w, "a");
	world_run(&w);
	cr_assert_eq(w.n, 2);
	w.cancel_in_head = false;
	w.cancel_in_data = true;
	get(&w, "a");
	world_run(&w);
	cr_assert_eq(w.n, 3);
	for (unsigned i = 0; i < w.n; i++)
		cr_assert_null(w.v[i].e.result);
	cr_assert_eq(w.v[0].e.first_us, -1);
	cr_assert_geq(w.v[1].e.first_us, 0);
	cr_assert_eq(w.v[2].e.bytes_read, 12);
	cr_assert_eq(w.done, 0);
	site_get_cancel(&w.get);
	cr_assert_eq(w.n, 3, "nothing twice");
	world_end(&w);
}

Test(site_meter, what_expires_is_the_sites_time_out)
{
	struct world w;

	world_begin(&w);
	w.store.hangs = true;
	get(&w, "a");
	world_run(&w);
	site_get_expire(&w.get);
	cr_assert_null(w.get);
	cr_assert_eq(w.n, 1);
	cr_assert_eq(w.v[0].r.err, GFS_ERR_TIMEOUT);
	cr_assert_eq(w.v[0].r.outcome, SITE_FAILED);
	cr_assert(site_result_is_fault(&w.v[0].r));
	cr_assert_neq(w.v[0].reason[0], '\0');
	cr_assert_eq(w.done, 0);
	site_get_expire(&w.get);
	cr_assert_eq(w.n, 1);
	world_end(&w);
}

static void on_op_head(void *arg, const struct site_result *r, const struct object_info *info)
{
	(void)r, (void)info;
	note_done(arg);
}

static void on_op_list(void *arg, const struct site_result *r, const struct site_list_entry *v, size_t n, bool more,
                       struct slice next_after)
{
	(void)r, (void)v, (void)n, (void)more, (void)next_after;
	note_done(arg);
}

static void on_op_probe(void *arg, const struct site_result *r, int64_t latency_us)
{
	(void)r, (void)latency_us;
	note_done(arg);
}

static void on_op_done(void *arg, const struct site_result *r)
{
	(void)r;
	note_done(arg);
}

Test(site_meter, heads_lists_probes_and_deletes_are_told_by_kind)
{
	static const enum site_op_kind kinds[] = {SITE_OP_HEAD, SITE_OP_LIST, SITE_OP_PROBE, SITE_OP_DELETE};
	struct site_list_req list = {.limit = 10};
	struct site_op *op;
	struct world w;

	world_begin(&w);
	site_head(w.site, SLICE_LIT("a"), 0, on_op_head, &w);
	world_run(&w);
	site_list(w.site, &list, on_op_list, &w);
	world_run(&w);
	site_probe(w.site, on_op_probe, &w);
	world_run(&w);
	site_delete(w.site, SLICE_LIT("a"), 0, on_op_done, &w);
	world_run(&w);
	cr_assert_eq(w.n, 4);
	cr_assert_eq(w.done, 4);
	for (unsigned i = 0; i < w.n; i++) {
		cr_assert_eq(w.v[i].e.op, kinds[i]);
		cr_assert_eq(w.v[i].e.first_us >= 0, kinds[i] != SITE_OP_DELETE);
	}
	op = site_head(w.site, SLICE_LIT("a"), 0, on_op_head, &w);
	site_op_cancel(&op);
	op = site_list(w.site, &list, on_op_list, &w);
	site_op_expire(&op);
	cr_assert_null(op);
	cr_assert_eq(w.n, 6);
	cr_assert_null(w.v[4].e.result);
	cr_assert_eq(w.v[5].r.err, GFS_ERR_TIMEOUT);
	world_end(&w);
}

static void on_ready(void *arg)
{
	struct world *w = arg;

	if (w->abort_in_ready)
		site_put_abort(&w->put);
	else if (w->store.put_bytes < 8)
		site_put_write(w->put, "abcd", 4);
	else
		site_put_end(w->put);
}

static void on_prepared(void *arg)
{
	struct world *w = arg;

	site_put_complete(w->put, "etag", false, 0);
}

static void on_put_done(void *arg, const struct site_result *r, const char *etag)
{
	(void)r, (void)etag;
	note_done(arg);
}

static void put(struct world *w)
{
	static const struct site_put_cbs cbs = {.ready = on_ready, .prepared = on_prepared, .done = on_put_done};
	struct site_put_req req = {.key = SLICE_LIT("b"), .size = 8, .part_size = 1 << 20};

	w->put = site_put(w->site, &req, &cbs, w);
	world_run(w);
}

Test(site_meter, puts_tell_their_bytes_and_their_outcome)
{
	struct world w;

	world_begin(&w);
	put(&w);
	w.store.put_fault = FAKE_PUT_UNKNOWN;
	put(&w);
	w.store.put_fault = FAKE_PUT_FINE;
	w.abort_in_ready = true;
	put(&w);
	cr_assert_eq(w.n, 3);
	cr_assert_eq(w.v[0].e.op, SITE_OP_PUT);
	cr_assert_eq(w.v[0].r.outcome, SITE_DONE);
	cr_assert_eq(w.v[0].e.bytes_written, 8);
	cr_assert_eq(w.v[0].e.bytes_read, 0);
	cr_assert_eq(w.v[0].e.first_us, -1);
	cr_assert_eq(w.v[1].r.outcome, SITE_UNKNOWN);
	cr_assert_null(w.v[2].e.result);
	cr_assert_eq(w.done, 2);
	world_end(&w);
}

Test(site_meter, the_site_may_be_closed_in_the_callback)
{
	struct world w;

	world_begin(&w);
	w.close_in_done = true;
	get(&w, "a");
	world_run(&w);
	cr_assert_null(w.site);
	cr_assert_eq(w.n, 1);
	world_end(&w);
}

/* What a directory answers from memory ends before site_get() returns. */
Test(site_meter, a_directory_is_told_of_too, .timeout = 60)
{
	struct world w = {0};
	struct site_sync s;
	char body[3000];

	memset(body, 'x', sizeof(body));
	w.observer = (struct site_observer){.ended = ended, .arg = &w};
	site_sync_begin(&s, "");
	s.env.observer = &w.observer;
	cr_assert_eq(site_sync_put(&s, SLICE_LIT("a"), body, sizeof(body), "0123456789abcdef0123456789abcdef"), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(site_sync_get_all(&s, SLICE_LIT("a")), 0);
	cr_assert_eq(site_sync_head(&s, SLICE_LIT("a")), 0);
	cr_assert_eq(site_sync_list(&s, SLICE_LIT(""), SLICE_LIT(""), 10), 0);
	cr_assert_eq(site_sync_probe(&s), 0);
	cr_assert_eq(site_sync_delete(&s, SLICE_LIT("a")), 0);
	cr_assert_eq(site_sync_get_all(&s, SLICE_LIT("a")), GFS_ERR_NO_SUCH_KEY);
	cr_assert_eq(site_sync_claim(&s), 0);
	cr_assert_eq(w.n, 9, "a claim is not counted");
	cr_assert_eq(w.v[0].e.op, SITE_OP_PUT);
	cr_assert_eq(w.v[0].e.bytes_written, sizeof(body));
	for (int i = 1; i <= 3; i++) {
		cr_assert_eq(w.v[i].e.op, SITE_OP_GET);
		cr_assert_eq(w.v[i].e.bytes_read, sizeof(body));
		cr_assert_geq(w.v[i].e.first_us, 0);
	}
	cr_assert_eq(w.v[8].r.err, GFS_ERR_NO_SUCH_KEY);
	site_sync_end(&s);
}
