/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_put() of an S3 site: the caller's side of an upload, and uploads that are one PUT. The last body byte of a PUT is kept back
 * until site_put_complete() (an empty body: the whole request), so that a store sees the end of the object only then. Every
 * callback runs from the handle's own event, never inside a call of the caller's or of curl's.
 */
#include "config.h"

#include "site_s3_put.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "xalloc.h"

static void kick(struct s3_putting *p)
{
	event_active(p->kick, EV_TIMEOUT, 0);
}

static void put_free(struct s3_putting *p)
{
	struct site *site = p->base.site;

	gfs_assert(!p->rq);
	spool_close(&p->spool);
	event_free(p->kick);
	free(p->key);
	free(p->content_type);
	meta_free(&p->meta);
	free(p->upload_id);
	free(p->part_etags);
	free(p);
	site_op_ended(site);
}

/* The caller has no handle any more. What the store still does for us (Create, a part that it has whole) is waited for, so that it
 * can be cleaned up afterwards. */
static void put_leave(struct s3_putting *p)
{
	p->detached = true;
	event_del(p->kick);
	spool_close(&p->spool);
	if (p->creating || (p->rq && p->upload_id && p->body_fed == p->body_len))
		return;
	s3_req_cancel(&p->rq);
	parts_drop(p);
	put_free(p);
}

void put_detached_end(struct s3_putting *p)
{
	parts_drop(p);
	put_free(p);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct s3_putting *p = arg;
	struct site_result r;

	(void)fd;
	(void)what;
	if (p->must_fail) {
		r = site_result_make(SITE_FAILED, p->fail_err, p->fail_reason);
		r.connected = p->fail_connected;
		r.http_status = p->fail_status;
		r.retry_after_s = p->fail_retry_after_s;
		p->cbs.done(p->arg, &r, "");
		put_leave(p);
	} else if (p->tell_ready) {
		p->tell_ready = false;
		p->writing = false;
		p->cbs.ready(p->arg);
	} else if (p->tell_prepared) {
		p->tell_prepared = false;
		p->cbs.prepared(p->arg);
	}
}

void put_ready(struct s3_putting *p)
{
	/* the buffer goes back to the caller: the exchange cannot begin again with it */
	p->first_src = NULL;
	p->tell_ready = true;
	kick(p);
}

void put_prepared(struct s3_putting *p)
{
	if (p->prepared)
		return;
	p->prepared = p->tell_prepared = true;
	kick(p);
}

static void fail_common(struct s3_putting *p, int err)
{
	p->must_fail = true;
	p->fail_err = err;
	if (!p->creating)
		s3_req_cancel(&p->rq);
	kick(p);
}

void put_fail(struct s3_putting *p, int err, const char *fmt, ...)
{
	va_list ap;

	if (p->must_fail || p->detached)
		return;
	va_start(ap, fmt);
	vsnprintf(p->fail_reason, sizeof(p->fail_reason), fmt, ap);
	va_end(ap);
	p->fail_connected = true;
	fail_common(p, err);
}

void put_fail_from(struct s3_putting *p, const struct s3_req *rq)
{
	if (p->must_fail || p->detached)
		return;
	memcpy(p->fail_reason, rq->reason, sizeof(p->fail_reason));
	p->fail_connected = rq->connected;
	p->fail_status = rq->resp.status;
	p->fail_retry_after_s = rq->resp.retry_after_s;
	fail_common(p, rq->err);
}

void put_finish(struct s3_putting *p, const struct site_result *r, const char *etag)
{
	p->cbs.done(p->arg, r, etag);
	/* an upload that may have taken effect is not ours to abort */
	if (r->outcome == SITE_FAILED)
		parts_drop(p);
	put_free(p);
}

void put_judge_etag(struct s3_putting *p, struct s3_req *rq, const char *etag, struct site_result *r)
{
	*r = s3_req_result(rq, true);
	if (rq->err || !p->etag[0] || !etag[0] || strcmp(p->etag, etag) == 0)
		return;
	s3_req_fail(rq, GFS_ERR_SITE_CORRUPT, "the store says ETag %s, the body has %s", etag, p->etag);
	r->outcome = SITE_UNKNOWN;
	r->err = GFS_ERR_SITE_CORRUPT;
	r->reason = rq->reason;
}

void put_add_headers(const struct s3_putting *p, struct s3_req *rq)
{
	struct strbuf name = STRBUF_INIT;

	if (p->content_type)
		s3_req_header(rq, "Content-Type", slice_str(p->content_type));
	if (p->gen_tag[0])
		s3_req_header(rq, S3_GEN_HEADER, slice_str(p->gen_tag));
	for (size_t i = 0; i < p->meta.n; i++) {
		strbuf_reset(&name);
		strbuf_adds(&name, S3_META_PREFIX);
		strbuf_adds(&name, p->meta.v[i].name);
		s3_req_header(rq, strbuf_str(&name), slice_str(p->meta.v[i].value));
	}
	strbuf_free(&name);
}

/* ---- the body of an exchange ---- */

void put_exchange_begin(struct s3_putting *p, uint64_t body_len)
{
	p->body_len = body_len;
	p->body_fed = 0;
	p->asked = false;
	p->first_src = p->src_n > 0 ? p->src : NULL;
	p->first_src_n = p->src_n;
}

static uint64_t body_left(const struct s3_putting *p)
{
	uint64_t left = p->body_len - p->body_fed;

	return p->holding && left > 0 ? left - 1 : left;
}

static void check_prepared(struct s3_putting *p)
{
	if (p->mode == PUT_SINGLE && p->ended && p->holding && p->asked && body_left(p) == 0)
		put_prepared(p);
}

size_t put_feed(void *arg, char *buf, size_t cap)
{
	struct s3_putting *p = arg;
	uint64_t left = body_left(p);
	size_t n = p->src_n < cap ? p->src_n : cap;

	p->asked = true;
	if (n > left)
		n = (size_t)left;
	if (n > 0) {
		memcpy(buf, p->src, n);
		p->src += n;
		p->src_n -= n;
		p->body_fed += n;
		/* a part may end inside the caller's buffer: then the rest is the next part's */
		if (p->src_n == 0 && !p->spool && p->writing)
			put_ready(p);
	}
	if (p->src_n == 0 && p->spool)
		spool_read(p);
	check_prepared(p);
	return n;
}

bool put_rewind(void *arg)
{
	struct s3_putting *p = arg;

	if (p->mode == PUT_SINGLE && !p->holding)
		return false;
	if (p->spool) {
		if (!spool_rewind(p->spool))
			return false;
		p->src_n = 0;
	} else if (p->body_fed > 0) {
		if (!p->first_src)
			return false;
		p->src = p->first_src;
		p->src_n = p->first_src_n;
	}
	p->body_fed = 0;
	return true;
}

/* ---- one PUT ---- */

static void single_done(void *arg, struct s3_req *rq)
{
	struct s3_putting *p = arg;
	struct site_result r;

	p->rq = NULL;
	if (!rq->err && rq->fed < rq->stream_size)
		s3_req_fail(rq, GFS_ERR_SITE_ERROR, "the store answered before it had the whole body");
	if (p->holding) {
		put_fail_from(p, rq);
		return;
	}
	put_judge_etag(p, rq, rq->resp.etag, &r);
	put_finish(p, &r, rq->err ? "" : rq->resp.etag);
}

static const struct s3_req_cbs single_cbs = {.feed = put_feed, .rewind = put_rewind, .done = single_done};

static struct s3_req *single_new(struct s3_putting *p)
{
	struct slice key = put_key(p);
	struct s3_req *rq = s3_req_new(s3_site_of(p->base.site), "PUT", &key, &single_cbs, p);

	put_add_headers(p, rq);
	return rq;
}

void put_start_single(struct s3_putting *p, uint64_t size)
{
	p->mode = PUT_SINGLE;
	p->size = (int64_t)size;
	p->holding = true;
	put_exchange_begin(p, size);
	p->rq = single_new(p);
	s3_req_check_key(p->rq, put_key(p), p->flags);
	s3_req_stream(p->rq, size);
	s3_req_start(p->rq, false);
}

static void release_last_byte(struct s3_putting *p)
{
	p->holding = false;
	if (!p->spool) {
		p->src = &p->held;
		p->src_n = 1;
	} else if (p->src_n == 0) {
		spool_read(p);
		return; /* goes on when it has been read */
	}
	s3_req_resume(p->rq);
}

/* ---- the caller's side ---- */

static int check_request(const struct site_put_req *req)
{
	if (req->part_size == 0 || req->size < -1)
		return GFS_ERR_INVALID;
	if (req->size >= 0 && layout_part_count((uint64_t)req->size, req->part_size) > S3_PARTS_MAX)
		return GFS_ERR_TOO_LARGE;
	return 0;
}

static void put_begin(struct s3_putting *p, const struct site_put_req *req)
{
	int err = check_request(req);

	if (err) {
		put_fail(p, err, "an upload of %" PRId64 " bytes in parts of %" PRIu64 " cannot be made", req->size, req->part_size);
	} else if (req->size < 0) {
		p->mode = PUT_SPOOLING;
		if (spool_open(p) == 0)
			put_ready(p);
	} else if (req->size == 0) {
		p->mode = PUT_EMPTY;
		put_ready(p);
	} else if ((uint64_t)req->size <= req->part_size) {
		put_ready(p);
		put_start_single(p, (uint64_t)req->size);
	} else {
		put_ready(p);
		parts_begin(p);
	}
}

struct site_put *s3_put(struct site *site, const struct site_put_req *req, const struct site_put_cbs *cbs, void *arg)
{
	struct s3_putting *p = xcalloc(1, sizeof(*p));

	p->base.site = site;
	p->cbs = *cbs;
	p->arg = arg;
	p->key = xmemdup(req->key.p, req->key.n);
	p->key_n = req->key.n;
	p->content_type = req->content_type ? xstrdup(req->content_type) : NULL;
	if (req->meta)
		meta_copy(&p->meta, req->meta);
	if (!gen_is_none(&req->gen))
		gen_tag_format(&req->gen, req->key, req->part_size, p->gen_tag);
	p->part_size = req->part_size;
	p->size = req->size;
	p->flags = req->flags;
	p->kick = event_new(site->env->base, -1, 0, on_kick, p);
	gfs_assert(p->kick);
	site_op_began(site);
	put_begin(p, req);
	return &p->base;
}

void s3_put_write(struct site_put *op, const void *data, size_t n)
{
	struct s3_putting *p = (struct s3_putting *)op;
	const char *bytes = data;

	gfs_assert(!p->writing && !p->ended);
	p->writing = true;
	if (p->must_fail)
		return;
	if (p->size >= 0 && n > (uint64_t)p->size - p->written) {
		put_fail(p, GFS_ERR_INVALID, "the body is longer than the %" PRId64 " bytes announced", p->size);
		return;
	}
	p->written += n;
	if (p->spool) {
		p->rest = bytes;
		p->rest_n = n;
		spool_take(p);
		return;
	}
	if (p->mode == PUT_SINGLE && p->written == (uint64_t)p->size)
		p->held = bytes[--n];
	p->src = bytes;
	p->src_n = n;
	p->first_src = p->body_fed == 0 && n > 0 ? p->src : NULL;
	p->first_src_n = n;
	if (n == 0)
		put_ready(p);
	else if (p->rq && !p->creating)
		s3_req_resume(p->rq);
	else
		parts_advance(p);
}

void s3_put_end(struct site_put *op)
{
	struct s3_putting *p = (struct s3_putting *)op;

	gfs_assert(!p->writing && !p->ended);
	p->ended = true;
	if (p->must_fail)
		return;
	if (p->size >= 0 && p->written != (uint64_t)p->size) {
		put_fail(p, GFS_ERR_INVALID, "the body ended after %" PRIu64 " of %" PRId64 " bytes", p->written, p->size);
		return;
	}
	if (p->spool)
		spool_ended(p);
	else if (p->mode == PUT_PARTS)
		parts_advance(p);
	else if (p->mode == PUT_EMPTY)
		put_prepared(p);
	else
		check_prepared(p);
}

void s3_put_complete(struct site_put *op, const char *etag, bool has_crc64, uint64_t crc64)
{
	struct s3_putting *p = (struct s3_putting *)op;

	(void)has_crc64;
	(void)crc64;
	gfs_assert(p->prepared && !p->completing);
	p->completing = true;
	if (p->must_fail)
		return;
	snprintf(p->etag, sizeof(p->etag), "%s", etag ? etag : "");
	if (p->mode == PUT_PARTS) {
		parts_complete(p);
	} else if (p->mode == PUT_SINGLE) {
		release_last_byte(p);
	} else {
		p->rq = single_new(p);
		s3_req_check_key(p->rq, put_key(p), p->flags);
		s3_req_start(p->rq, true);
	}
}

void s3_put_abort(struct site_put *op)
{
	struct s3_putting *p = (struct s3_putting *)op;

	gfs_assert(!p->completing);
	put_leave(p);
}
