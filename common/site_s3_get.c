/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_get() of an S3 site: one GET, checked so that exactly the bytes of the range that was asked for are delivered, or an error.
 * The handle is freed by its done or its cancel, the exchange under it by itself.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "site_s3.h"
#include "xalloc.h"

struct s3_getting {
	struct site_get base;
	struct s3_req *rq;
	struct site_get_cbs cbs;
	void *arg;
	char *key;
	size_t key_n;
	enum range_kind range;
	uint64_t off, len;      /* as asked */
	uint64_t body_len, got; /* of the range that was answered */
	uint64_t object_size;
	char reason[S3_REASON_MAX]; /* of a 416 */
};

static void getting_free(struct s3_getting *g)
{
	struct site *site = g->base.site;

	free(g->key);
	free(g);
	site_op_ended(site);
}

/* Where the answer's bytes lie: 0, or GFS_ERR_SITE_ERROR when the head does not fit what was asked. */
static int check_range(const struct s3_getting *g, const struct s3_resp *r, uint64_t *off_out, uint64_t *len_out,
                       uint64_t *size_out)
{
	uint64_t length, want_last;

	if (r->content_length < 0)
		return GFS_ERR_SITE_ERROR;
	length = (uint64_t)r->content_length;
	if (r->status == 200) {
		*off_out = 0;
		*len_out = *size_out = length;
		return g->range == RANGE_ALL || (g->range == RANGE_FROM && g->off == 0) || (g->range == RANGE_SUFFIX && g->len >= length) ||
		       (g->range == RANGE_SPAN && g->off == 0 && g->len >= length) ? 0 : GFS_ERR_SITE_ERROR;
	}
	if (r->status != 206 || !r->has_range || r->range_first > r->range_last || length != r->range_last - r->range_first + 1)
		return GFS_ERR_SITE_ERROR;
	want_last = r->range_size - 1;
	if (g->range == RANGE_SUFFIX) {
		*off_out = g->len < r->range_size ? r->range_size - g->len : 0;
	} else {
		*off_out = g->off;
		if (g->range == RANGE_SPAN && g->len - 1 < want_last - (g->off < want_last ? g->off : want_last))
			want_last = g->off + g->len - 1;
	}
	*len_out = length;
	*size_out = r->range_size;
	return r->range_first == *off_out && r->range_last == want_last ? 0 : GFS_ERR_SITE_ERROR;
}

static bool get_head(void *arg, struct s3_req *rq)
{
	struct s3_getting *g = arg;
	struct object_info info;
	uint64_t off, len, size;

	if (check_range(g, &rq->resp, &off, &len, &size)) {
		s3_req_fail(rq, GFS_ERR_SITE_ERROR, "the answer's range is not the one that was asked for (HTTP %d)", rq->resp.status);
		return false;
	}
	g->body_len = len;
	g->object_size = size;
	s3_resp_info(&rq->resp, slice_of(g->key, g->key_n), size, site_name(g->base.site), &info);
	g->cbs.head(g->arg, &info, off, len, -1);
	/* g may be gone; rq knows */
	object_info_free(&info);
	return !rq->dead;
}

static bool get_data(void *arg, const void *p, size_t n)
{
	struct s3_getting *g = arg;

	if (n > g->body_len - g->got) {
		s3_req_fail(g->rq, GFS_ERR_SITE_ERROR, "the store sent more than it announced");
		return true;
	}
	g->got += n;
	return g->cbs.data(g->arg, p, n);
}

static void size_done(void *arg, struct s3_req *rq)
{
	struct s3_getting *g = arg;
	struct site_result r = site_result_make(SITE_FAILED, GFS_ERR_RANGE, g->reason);

	g->rq = NULL;
	r.http_status = 416;
	g->cbs.done(g->arg, &r, !rq->err && rq->resp.content_length > 0 ? (uint64_t)rq->resp.content_length : 0);
	getting_free(g);
}

static const struct s3_req_cbs size_cbs = {.done = size_done};

/* Some stores answer 416 without the object's size, which our caller's answer has to tell. */
static void ask_size(struct s3_getting *g, const struct s3_req *rq)
{
	struct slice key = slice_of(g->key, g->key_n);

	memcpy(g->reason, rq->reason, sizeof(g->reason));
	g->rq = s3_req_new(s3_site_of(g->base.site), "HEAD", &key, &size_cbs, g);
	s3_req_start(g->rq, false);
}

static void get_done(void *arg, struct s3_req *rq)
{
	struct s3_getting *g = arg;
	struct site_result r;
	uint64_t size = 0;

	g->rq = NULL;
	if (rq->err == GFS_ERR_RANGE && !rq->resp.has_range && !rq->xml.has_actual_size) {
		ask_size(g, rq);
		return;
	}
	if (!rq->err && g->got != g->body_len)
		s3_req_fail(rq, GFS_ERR_SITE_ERROR, "the body ended after %" PRIu64 " of %" PRIu64 " bytes", g->got, g->body_len);
	r = s3_req_result(rq, false);
	if (rq->err == GFS_ERR_RANGE)
		size = rq->resp.has_range ? rq->resp.range_size : rq->xml.has_actual_size ? rq->xml.actual_size : 0;
	g->cbs.done(g->arg, &r, size);
	getting_free(g);
}

static const struct s3_req_cbs get_cbs = {.head = get_head, .data = get_data, .done = get_done};

static void add_range(struct s3_getting *g)
{
	char text[64];

	switch (g->range) {
	case RANGE_ALL:
		return;
	case RANGE_FROM:
		/* an empty object has no range, but it has a whole */
		if (g->off == 0)
			return;
		snprintf(text, sizeof(text), "bytes=%" PRIu64 "-", g->off);
		break;
	case RANGE_SPAN:
		snprintf(text, sizeof(text), "bytes=%" PRIu64 "-%" PRIu64, g->off, g->len > 0 ? g->off + g->len - 1 : g->off);
		break;
	case RANGE_SUFFIX:
		snprintf(text, sizeof(text), "bytes=-%" PRIu64, g->len);
		break;
	}
	s3_req_header(g->rq, "Range", slice_str(text));
}

struct site_get *s3_get(struct site *site, const struct site_get_req *req, const struct site_get_cbs *cbs, void *arg)
{
	struct s3_getting *g = xcalloc(1, sizeof(*g));
	char quoted[ETAG_MAX + 2];

	g->base.site = site;
	g->cbs = *cbs;
	g->arg = arg;
	g->key = xmemdup(req->key.p, req->key.n);
	g->key_n = req->key.n;
	g->range = req->range;
	g->off = req->off;
	g->len = req->len;
	site_op_began(site);
	g->rq = s3_req_new(s3_site_of(site), "GET", &req->key, &get_cbs, g);
	s3_req_check_key(g->rq, req->key, req->flags);
	add_range(g);
	if (req->if_match) {
		snprintf(quoted, sizeof(quoted), "\"%s\"", req->if_match);
		s3_req_header(g->rq, "If-Match", slice_str(quoted));
	}
	s3_req_start(g->rq, false);
	return &g->base;
}

void s3_get_resume(struct site_get *op)
{
	struct s3_getting *g = (struct s3_getting *)op;

	if (g->rq)
		s3_req_resume(g->rq);
}

void s3_get_cancel(struct site_get *op)
{
	struct s3_getting *g = (struct s3_getting *)op;

	s3_req_cancel(&g->rq);
	getting_free(g);
}
