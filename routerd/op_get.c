/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET of an object (architecture 4): finds a site that has it (search.c) and streams its answer. One site_get() does it all: the
 * range goes with it, conditions are judged when the object's description arrives, before its first byte.
 * struct get lives from op_get() to the last byte, or until the client has gone.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/key.h"
#include "common/xalloc.h"

#include "object_headers.h"
#include "ops.h"
#include "search.h"

struct get {
	struct request *req;
	struct search search;
	struct site_get *h;
	char key[KEY_MAX];
	size_t key_n;
	struct http_range range;
	struct http_conditions conditions;
	struct slice if_range;
	bool whole;    /* ask for all of it: the range was refused, or does not apply */
	bool calling;  /* inside site_get() */
	bool dropped;  /* the attempt is over: its further callbacks mean nothing */
	bool dead;     /* freed as soon as site_get() has returned */
	bool again;    /* ask the same site once more, for all of it */
	bool serving;
	int fd;
	uint64_t off, len;
};

static const struct site_get_cbs get_cbs;

static void get_free(struct get *g)
{
	search_stop(&g->search);
	if (g->fd >= 0)
		close(g->fd);
	g->fd = -1;
	g->dead = true;
	if (g->calling)
		return;
	site_get_cancel(&g->h);
	free(g);
}

/* Lets go of the request: what follows is its last answer. */
static struct request *get_detach(struct get *g)
{
	struct request *req = g->req;

	op_detach(req);
	g->req = NULL;
	return req;
}

static void get_drop(struct get *g)
{
	if (g->calling)
		g->dropped = true;
	else
		site_get_cancel(&g->h);
}

static void get_precondition_failed(struct get *g)
{
	op_error(get_detach(g), GFS_ERR_PRECONDITION, NULL, 0);
	get_free(g);
}

static void add_where(const struct get *g, struct strbuf *headers)
{
	strbuf_addf(headers, "X-GlobalFS-Site: %s\r\nX-GlobalFS-Cache: %s\r\n", search_site_name(&g->search),
	            g->search.w->conf->cache.enabled ? "MISS" : "none");
	if (g->search.unverified)
		strbuf_adds(headers, "X-GlobalFS-Consistency: unverified\r\n");
	if (g->search.serves_stale)
		strbuf_adds(headers, "X-GlobalFS-Stale: true\r\n");
}

static void get_not_modified(struct get *g, const struct object_info *info)
{
	struct request *req = g->req;
	struct strbuf headers = STRBUF_INIT;

	object_headers_add(info, true, &headers);
	add_where(g, &headers);
	get_detach(g);
	response_start(req, 304, strbuf_slice(&headers), (int64_t)info->size);
	strbuf_free(&headers);
	response_end(req);
	get_free(g);
}

static void get_unsatisfiable(struct get *g, uint64_t size)
{
	struct request *req = get_detach(g);
	struct strbuf headers = STRBUF_INIT;

	strbuf_addf(&headers, "Content-Range: bytes */%" PRIu64 "\r\n", size);
	response_error_headers(req, GFS_ERR_RANGE, NULL, strbuf_slice(&headers));
	strbuf_free(&headers);
	get_free(g);
}

static void get_ask_site(struct get *g, struct site *site)
{
	struct site_get_req r = {.key = slice_of(g->key, g->key_n), .range = RANGE_ALL, .flags = SITE_TAKE_FD};
	struct site_get *h;

	if (!g->whole) {
		switch (g->range.kind) {
		case HTTP_RANGE_NONE:
			break;
		case HTTP_RANGE_FROM:
			r.range = RANGE_FROM, r.off = g->range.first;
			break;
		case HTTP_RANGE_SPAN:
			r.range = RANGE_SPAN, r.off = g->range.first;
			r.len = g->range.last - g->range.first + (g->range.last - g->range.first < UINT64_MAX);
			break;
		case HTTP_RANGE_SUFFIX:
			r.range = RANGE_SUFFIX, r.len = g->range.last;
			break;
		}
	}
	g->dropped = false;
	g->calling = true;
	h = site_get(site, &r, &get_cbs, g);
	g->calling = false;
	if (g->dead || g->dropped)
		site_get_cancel(&h);
	if (g->dead) {
		free(g);
		return;
	}
	g->h = h;
}

static void get_ask(void *arg, struct site *site)
{
	get_ask_site(arg, site);
}

static void get_cancel(void *arg)
{
	get_drop(arg);
}

static void get_failed(void *arg, const struct search_verdict *v)
{
	struct get *g = arg;

	op_not_found(get_detach(g), &g->search, v);
	get_free(g);
}

static const struct search_cbs search_cbs = {.ask = get_ask, .cancel = get_cancel, .failed = get_failed};

/* The range that was sent to the site cannot be used after all: the condition on it or before it is not what we thought. */
static void get_whole(struct get *g)
{
	g->whole = true;
	search_again(&g->search);
}

static void get_serve(struct get *g, const struct object_info *info, uint64_t off, uint64_t len, int fd)
{
	struct strbuf headers = STRBUF_INIT;
	struct request *req = g->req;
	bool part = g->range.kind != HTTP_RANGE_NONE && !g->whole;

	object_headers_add(info, false, &headers);
	add_where(g, &headers);
	if (part)
		strbuf_addf(&headers, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", off, off + len - 1, info->size);
	snprintf(req->site, sizeof(req->site), "%s", search_site_name(&g->search));
	if (g->search.w->conf->cache.enabled)
		stats_add(g->search.w->stats, STAT_CACHE_MISSES, 1);
	g->serving = true;
	g->fd = fd;
	g->off = off, g->len = len;
	response_start(req, part ? 206 : 200, strbuf_slice(&headers), (int64_t)len);
	strbuf_free(&headers);
}

static void on_head(void *arg, const struct object_info *info, uint64_t off, uint64_t len, int fd)
{
	struct get *g = arg;
	uint64_t want_off, want_len;

	if (g->dead || g->dropped)
		goto drop_fd;
	if (!search_offer(&g->search, info)) {
		get_drop(g);
		search_pass(&g->search);
		goto drop_fd;
	}
	switch (http_conditions_check(&g->conditions, true, true, info->etag, info->mtime_ms)) {
	case HTTP_COND_NOT_MODIFIED:
		get_not_modified(g, info);
		goto drop_fd;
	case HTTP_COND_FAILED:
		get_precondition_failed(g);
		goto drop_fd;
	case HTTP_COND_PASS:
		break;
	}
	if (g->range.kind != HTTP_RANGE_NONE && g->if_range.p && !http_if_range_ok(g->if_range, info->etag, info->mtime_ms)) {
		g->range.kind = HTTP_RANGE_NONE;
		if (!g->whole) {
			get_drop(g);
			get_whole(g);
			goto drop_fd;
		}
	}
	if (g->whole && g->range.kind != HTTP_RANGE_NONE && !http_range_resolve(&g->range, info->size, &want_off, &want_len)) {
		get_unsatisfiable(g, info->size);
		goto drop_fd;
	}
	get_serve(g, info, off, len, fd);
	return;
drop_fd:
	if (fd >= 0)
		close(fd);
}

static bool on_data(void *arg, const void *p, size_t n)
{
	struct get *g = arg;

	if (g->dead || g->dropped)
		return true;
	return response_write(g->req, p, n);
}

static void get_finish(struct get *g)
{
	struct request *req = get_detach(g);
	int fd = g->fd;
	uint64_t off = g->off, len = g->len;

	g->fd = -1;
	get_free(g);
	if (fd >= 0)
		response_send_file(req, fd, off, len);
	else
		response_end(req);
}

static void on_done(void *arg, const struct site_result *r, uint64_t object_size)
{
	struct get *g = arg;

	g->h = NULL;
	if (g->dead || g->dropped)
		return;
	if (g->serving && r->err == GFS_OK) {
		get_finish(g);
	} else if (g->serving) {
		struct request *req = get_detach(g);

		get_free(g);
		response_cut(req);
	} else if (r->err == GFS_ERR_RANGE && !g->whole && (g->if_range.p || http_conditions_any(&g->conditions))) {
		get_whole(g);
	} else if (r->err == GFS_ERR_RANGE) {
		get_unsatisfiable(g, object_size);
	} else {
		search_result(&g->search, r);
	}
}

static const struct site_get_cbs get_cbs = {.head = on_head, .data = on_data, .done = on_done};

static void on_drain(struct request *req)
{
	struct get *g = req->op;

	if (g->h)
		site_get_resume(g->h);
}

static void on_abort(struct request *req)
{
	struct get *g = req->op;

	get_detach(g);
	get_free(g);
}

void op_get(struct request *req, struct slice key)
{
	struct get *g;

	op_begin(req, "get", STAT_OP_GET_OK, STAT_OP_GET_ERR, STAT_OP_GET_TIME);
	if (!op_check_key(req, key))
		return;
	g = xcalloc(1, sizeof(*g));
	g->req = req;
	g->fd = -1;
	memcpy(g->key, key.p, key.n);
	g->key_n = key.n;
	http_range_parse(http_head_get(&req->head, "Range"), &g->range);
	/* "The last 0 bytes" can never be had; the answer needs the size all the same. */
	g->whole = g->range.kind == HTTP_RANGE_SUFFIX && g->range.last == 0;
	g->if_range = http_head_get(&req->head, "If-Range");
	object_conditions(&req->head, &g->conditions);
	req->op = g;
	req->on_abort = on_abort;
	req->on_drain = on_drain;
	search_start(&g->search, req->worker, slice_of(g->key, g->key_n),
	             slice_caseeq_str(http_head_get(&req->head, "X-GlobalFS-Consistency"), "current"), &search_cbs, g);
}
