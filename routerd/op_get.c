/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET of an object (architecture 4): finds a site that has it (search.c) and streams its answer. One site_get() does it all: the
 * range goes with it, conditions are judged when the object's description arrives, before its first byte. A site that breaks off in
 * mid-body is replaced: the search goes on for the same version, which is asked for from the next byte on; when nobody has it, the
 * connection is cut.
 * struct get lives from op_get() to the last byte, or until the client has gone.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/key.h"
#include "common/log.h"
#include "common/xalloc.h"

#include "object_headers.h"
#include "ops.h"
#include "search.h"

struct get {
	struct request *req;
	struct search search;
	char key[KEY_MAX];
	size_t key_n;
	struct http_range range;
	struct http_conditions conditions;
	struct slice if_range;
	bool whole;              /* ask for all of it: the range was refused, or does not apply */
	struct attempt *calling; /* inside site_get() */
	bool dead;               /* freed as soon as site_get() has returned */
	bool serving;            /* the response has begun: only its version will do */
	int fd;                  /* of the bytes to come, or -1 */
	uint64_t begun, at, end; /* the bytes to send: this site's first one, the next one, behind the last one */
};

static const struct site_get_cbs get_cbs;

static struct get *get_of(const struct attempt *a)
{
	return a->s->arg;
}

static void close_fd(struct get *g)
{
	if (g->fd >= 0)
		close(g->fd);
	g->fd = -1;
}

static void get_free(struct get *g)
{
	search_stop(&g->search);
	close_fd(g);
	g->dead = true;
	if (!g->calling)
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

/* What of it the client wants; in mid-body, what it still lacks. */
static void get_range(const struct get *g, struct site_get_req *r)
{
	if (g->serving) {
		r->range = RANGE_SPAN, r->off = g->at, r->len = g->end - g->at;
		r->if_match = g->search.version.etag[0] ? g->search.version.etag : NULL;
		return;
	}
	if (g->whole)
		return;
	switch (g->range.kind) {
	case HTTP_RANGE_NONE:
		break;
	case HTTP_RANGE_FROM:
		r->range = RANGE_FROM, r->off = g->range.first;
		break;
	case HTTP_RANGE_SPAN:
		r->range = RANGE_SPAN, r->off = g->range.first;
		r->len = g->range.last - g->range.first + (g->range.last - g->range.first < UINT64_MAX);
		break;
	case HTTP_RANGE_SUFFIX:
		r->range = RANGE_SUFFIX, r->len = g->range.last;
		break;
	}
}

static bool get_ask(struct attempt *a, struct site *site)
{
	struct get *g = get_of(a);
	struct site_get_req r = {.key = slice_of(g->key, g->key_n), .range = RANGE_ALL, .flags = SITE_TAKE_FD};
	struct site_get *h;

	get_range(g, &r);
	g->calling = a;
	h = site_get(site, &r, &get_cbs, a);
	g->calling = NULL;
	if (g->dead || !a->open)
		site_get_cancel(&h);
	if (g->dead) {
		free(g);
		return false;
	}
	a->h.get = h;
	return h != NULL;
}

static void get_drop(struct attempt *a, bool expired)
{
	if (get_of(a)->calling == a)
		return; /* get_ask() sees that it is not open any more */
	if (expired)
		site_get_expire(&a->h.get);
	else
		site_get_cancel(&a->h.get);
}

static void get_failed(void *arg, const struct search_verdict *v)
{
	struct get *g = arg;
	struct request *req = get_detach(g);
	char why[LOG_QUOTE_MAX];

	if (g->serving) {
		log_warn("event=read-cut request_id=%s at=%" PRIu64 " left=%" PRIu64 " why=%s", req->id, g->at, g->end - g->at,
		         log_quote(why, sizeof(why), slice_str(v->text ? v->text : "")));
		response_cut(req);
	} else {
		op_not_found(req, &g->search, v);
	}
	get_free(g);
}

static const struct search_cbs search_cbs = {.ask = get_ask, .drop = get_drop, .failed = get_failed};

/* The range that was sent to the site cannot be used after all: the condition on it or before it is not what we thought. */
static void get_whole(struct get *g, struct attempt *a)
{
	g->whole = true;
	search_again(a);
}

/* The site, or what it had given, has nothing more. */
static void get_broke_off(struct get *g, struct attempt *a, int err, const char *reason)
{
	const struct site_result r = {.outcome = SITE_FAILED, .err = err, .reason = reason};

	close_fd(g);
	search_take_over(a, g->at, g->at > g->begun, &r);
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
	g->begun = g->at = off;
	g->end = off + len;
	response_start(req, part ? 206 : 200, strbuf_slice(&headers), (int64_t)len);
	strbuf_free(&headers);
}

static void get_go_on(struct get *g, struct attempt *a, uint64_t off, uint64_t len, int fd)
{
	struct request *req = g->req;
	size_t n = strlen(req->site);

	g->fd = fd;
	g->begun = g->at;
	if (off != g->at || len != g->end - g->at) {
		get_broke_off(g, a, GFS_ERR_SITE_CORRUPT, "the site answered with another range than was asked for");
		return;
	}
	stats_add(g->search.w->stats, STAT_READ_TAKEOVER, 1);
	log_info("event=read-takeover request_id=%s site=%s at=%" PRIu64, req->id, a->site->name, g->at);
	if (n + strlen(a->site->name) + 2 < sizeof(req->site))
		snprintf(req->site + n, sizeof(req->site) - n, ",%s", a->site->name);
}

static void on_head(void *arg, const struct object_info *info, uint64_t off, uint64_t len, int fd)
{
	struct attempt *a = arg;
	struct get *g = get_of(a);
	uint64_t want_off, want_len;

	if (g->dead || !a->open || !search_offer(a, info))
		goto drop_fd;
	if (g->serving) {
		get_go_on(g, a, off, len, fd);
		return;
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
			get_whole(g, a);
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
	struct attempt *a = arg;
	struct get *g = get_of(a);

	if (g->dead || !a->open)
		return true;
	g->at += n;
	return response_write(g->req, p, n);
}

static void get_finish(struct get *g)
{
	struct request *req = get_detach(g);

	get_free(g);
	response_end(req);
}

static void on_file_done(struct request *req, uint64_t left)
{
	struct get *g = req->op;

	g->at = g->end - left;
	if (left == 0)
		get_finish(g);
	else
		get_broke_off(g, g->search.taken, GFS_ERR_IO, "the file broke off while it was sent");
}

static void get_send_file(struct get *g, const struct attempt *a)
{
	const struct site *site = worker_site_by_id(g->search.w, a->site->id);
	struct response_file file = {.fd = g->fd, .off = g->at, .len = g->end - g->at, .done = on_file_done};

	file.stall_ms = site ? site_conf_of(site)->stall_timeout_ms : g->search.w->conf->routing.read_deadline_ms;
	g->fd = -1;
	response_send_file(g->req, &file);
}

static void on_done(void *arg, const struct site_result *r, uint64_t object_size)
{
	struct attempt *a = arg;
	struct get *g = get_of(a);

	if (g->dead || !a->open)
		return;
	a->h.get = NULL;
	if (g->serving && g->search.taken == a) {
		if (r->err == GFS_OK && g->fd >= 0)
			get_send_file(g, a);
		else if (g->at == g->end)
			get_finish(g);
		else
			get_broke_off(g, a, r->err ? r->err : GFS_ERR_SITE_CORRUPT, r->err ? r->reason : "the body ended early");
	} else if (r->err == GFS_ERR_RANGE && !g->serving && !g->whole && (g->if_range.p || http_conditions_any(&g->conditions))) {
		get_whole(g, a);
	} else if (r->err == GFS_ERR_RANGE && !g->serving) {
		get_unsatisfiable(g, object_size);
	} else {
		search_result(a, r);
	}
}

static const struct site_get_cbs get_cbs = {.head = on_head, .data = on_data, .done = on_done};

static void on_drain(struct request *req)
{
	struct get *g = req->op;
	struct attempt *a = g->search.taken;

	if (a && a->open && a->h.get)
		site_get_resume(a->h.get);
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
	req->ends_with_client = true;
	search_start(&g->search, req->worker, slice_of(g->key, g->key_n),
	             slice_caseeq_str(http_head_get(&req->head, "X-GlobalFS-Consistency"), "current"), &search_cbs, g);
}
