/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of a site as calls that wait, see site_sync.h. */
#include "config.h"

#include "site_sync.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/pool.h"
#include "common/xalloc.h"

static void open_site(struct site_sync *s)
{
	char why[256];
	int e = site_open(&s->env, &s->conf, &s->site, why, sizeof(why));

	cr_assert_eq(e, 0, "site_open: %s", why);
}

void site_sync_begin(struct site_sync *s, const char *prefix)
{
	char dir[] = "/tmp/gfs-site-XXXXXX";

	cr_assert(mkdtemp(dir));
	site_sync_begin_at(s, dir, prefix);
}

void site_sync_begin_at(struct site_sync *s, const char *dir, const char *prefix)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	snprintf(s->dir, sizeof(s->dir), "%s", dir);
	s->base = event_base_new();
	s->pool = pool_create(s->base, 4);
	s->env.base = s->base;
	s->env.pool = s->pool;
	s->env.namespace_id = "11111111-2222-3333-4444-555555555555";
	site_conf_init(&s->conf);
	s->conf.id = 7;
	s->conf.kind = SITE_KIND_FILE;
	free(s->conf.name);
	s->conf.name = xstrdup("near");
	free(s->conf.file_path);
	s->conf.file_path = xstrdup(s->dir);
	free(s->conf.prefix);
	s->conf.prefix = xstrdup(prefix);
	open_site(s);
	cr_assert_eq(site_sync_claim(s), 0, "claim: %s", s->reason);
}

void site_sync_reopen(struct site_sync *s)
{
	site_close(&s->site);
	open_site(s);
}

static void forget(struct site_sync *s)
{
	size_t i;

	object_info_free(&s->info);
	s->info = (struct object_info){0};
	free(s->body);
	s->body = NULL;
	for (i = 0; i < s->n_list; i++)
		free((void *)(uintptr_t)s->list[i].key.p);
	free(s->list);
	free(s->next_after);
	s->next_after = NULL;
	s->list = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->body_n = s->n_list = s->next_after_n = 0;
	s->done = s->have_info = s->more = s->prepared = false;
	s->n_data = s->n_ready = 0;
	s->err = 0;
	s->reason[0] = s->etag[0] = '\0';
}

void site_sync_detach(struct site_sync *s)
{
	forget(s);
	site_close(&s->site);
	pool_destroy(&s->pool);
	event_base_loop(s->base, EVLOOP_NONBLOCK);
	event_base_free(s->base);
	site_conf_free(&s->conf);
}

void site_sync_end(struct site_sync *s)
{
	char cmd[128];

	site_sync_detach(s);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", s->dir);
	cr_assert_eq(system(cmd), 0);
}

void site_sync_wait(struct site_sync *s, const bool *flag)
{
	while (!*flag)
		cr_assert_eq(event_base_loop(s->base, EVLOOP_ONCE), 0, "nothing left to wait for");
}

static void result(struct site_sync *s, const struct site_result *r)
{
	cr_assert_not(s->done, "done was called twice");
	s->done = true;
	s->err = r->err;
	s->outcome = r->outcome;
	cr_assert(r->reason);
	snprintf(s->reason, sizeof(s->reason), "%s", r->reason);
	cr_assert_eq(r->err == 0, r->outcome == SITE_DONE);
}

struct gen site_sync_gen(uint64_t n)
{
	struct gen g = {.hlc = (1763722000000 << 16) + n, .node = "node1"};

	return g;
}

static void on_ready(void *arg)
{
	((struct site_sync *)arg)->n_ready++;
}

static void on_prepared(void *arg)
{
	((struct site_sync *)arg)->prepared = true;
}

static void on_put_done(void *arg, const struct site_result *r, const char *etag)
{
	struct site_sync *s = arg;

	result(s, r);
	snprintf(s->etag, sizeof(s->etag), "%s", etag);
	s->put = NULL;
}

static void wait_ready(struct site_sync *s, unsigned n)
{
	while (!s->done && s->n_ready < n)
		event_base_loop(s->base, EVLOOP_ONCE);
}

void site_sync_put_begin(struct site_sync *s, struct slice key, int64_t size)
{
	static const struct site_put_cbs cbs = {on_ready, on_prepared, on_put_done};
	struct site_put_req req = {.key = key, .size = size, .part_size = 8 << 20, .gen = site_sync_gen(1)};
	struct meta meta = {0};

	forget(s);
	req.content_type = "text/plain; charset=utf-8";
	cr_assert_eq(meta_add(&meta, SLICE_LIT("colour"), SLICE_LIT("50% blue = good")), 0);
	req.meta = &meta;
	s->put = site_put(s->site, &req, &cbs, s);
	meta_free(&meta);
	wait_ready(s, 1);
}

void site_sync_put_write(struct site_sync *s, const void *p, size_t n)
{
	unsigned before = s->n_ready;

	if (s->done)
		return;
	site_put_write(s->put, p, n);
	wait_ready(s, before + 1);
}

void site_sync_put_end(struct site_sync *s)
{
	if (s->done)
		return;
	site_put_end(s->put);
	while (!s->done && !s->prepared)
		event_base_loop(s->base, EVLOOP_ONCE);
}

int site_sync_put_complete(struct site_sync *s, const char *etag)
{
	if (!s->done)
		site_put_complete(s->put, etag, true, 0x0123456789abcdef);
	site_sync_wait(s, &s->done);
	return s->err;
}

int site_sync_put(struct site_sync *s, struct slice key, const void *p, size_t n, const char *etag)
{
	site_sync_put_begin(s, key, (int64_t)n);
	if (n > 0)
		site_sync_put_write(s, p, n);
	site_sync_put_end(s);
	return site_sync_put_complete(s, etag);
}

static void on_head(void *arg, const struct object_info *info, uint64_t off, uint64_t len, int fd)
{
	struct site_sync *s = arg;

	cr_assert_not(s->have_info);
	s->have_info = true;
	object_info_copy(&s->info, info);
	s->off = off;
	s->len = len;
	s->fd = fd;
	s->body = malloc(len + 1);
}

static bool on_data(void *arg, const void *p, size_t n)
{
	struct site_sync *s = arg;

	cr_assert(s->have_info && s->fd < 0 && s->body_n + n <= s->len);
	memcpy(s->body + s->body_n, p, n);
	s->body_n += n;
	s->n_data++;
	return !s->pause;
}

static void on_get_done(void *arg, const struct site_result *r, uint64_t object_size)
{
	struct site_sync *s = arg;

	result(s, r);
	s->object_size = object_size;
	if (s->fd >= 0)
		s->body_n = (size_t)pread(s->fd, s->body, s->len, (off_t)s->off);
	if (!r->err)
		cr_assert_eq(s->body_n, s->len);
}

int site_sync_get(struct site_sync *s, const struct site_get_req *req)
{
	static const struct site_get_cbs cbs = {on_head, on_data, on_get_done};

	forget(s);
	s->get = site_get(s->site, req, &cbs, s);
	cr_assert_eq(s->get == NULL, s->done);
	while (!s->done) {
		event_base_loop(s->base, EVLOOP_ONCE);
		if (s->pause && !s->done)
			site_get_resume(s->get);
	}
	return s->err;
}

int site_sync_get_all(struct site_sync *s, struct slice key)
{
	struct site_get_req req = {.key = key, .range = RANGE_ALL};

	return site_sync_get(s, &req);
}

static void on_head_done(void *arg, const struct site_result *r, const struct object_info *info)
{
	struct site_sync *s = arg;

	result(s, r);
	cr_assert_eq(info == NULL, r->err != 0);
	if (info)
		object_info_copy(&s->info, info);
	s->have_info = info != NULL;
}

int site_sync_head(struct site_sync *s, struct slice key)
{
	forget(s);
	site_head(s->site, key, 0, on_head_done, s);
	cr_assert_not(s->done);
	site_sync_wait(s, &s->done);
	return s->err;
}

static void on_done(void *arg, const struct site_result *r)
{
	result(arg, r);
}

int site_sync_delete(struct site_sync *s, struct slice key)
{
	forget(s);
	site_delete(s->site, key, 0, on_done, s);
	cr_assert_not(s->done);
	site_sync_wait(s, &s->done);
	return s->err;
}

static void on_list(void *arg, const struct site_result *r, const struct site_list_entry *v, size_t n, bool more,
                    struct slice next_after)
{
	struct site_sync *s = arg;
	size_t i;

	result(s, r);
	s->list = xcalloc(n + 1, sizeof(*v));
	s->n_list = n;
	for (i = 0; i < n; i++) {
		s->list[i] = v[i];
		s->list[i].key.p = xstrndup(v[i].key.p, v[i].key.n);
	}
	s->more = more;
	s->next_after = xstrndup(next_after.p, next_after.n);
	s->next_after_n = next_after.n;
}

int site_sync_list(struct site_sync *s, struct slice prefix, struct slice start_after, unsigned limit)
{
	char *after = xstrndup(start_after.n ? start_after.p : "", start_after.n);
	struct site_list_req req = {.prefix = prefix, .start_after = slice_of(after, start_after.n), .limit = limit,
	                            .delimiter = s->delimiter};

	forget(s);
	site_list(s->site, &req, on_list, s);
	free(after);
	site_sync_wait(s, &s->done);
	return s->err;
}

static void on_probe(void *arg, const struct site_result *r, int64_t latency_us)
{
	cr_assert_geq(latency_us, 0);
	result(arg, r);
}

int site_sync_probe(struct site_sync *s)
{
	forget(s);
	site_probe(s->site, on_probe, s);
	site_sync_wait(s, &s->done);
	return s->err;
}

int site_sync_claim(struct site_sync *s)
{
	forget(s);
	site_claim(s->site, on_done, s);
	site_sync_wait(s, &s->done);
	return s->err;
}
