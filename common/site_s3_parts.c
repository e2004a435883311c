/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multipart uploads of an S3 site's put: Create, the parts one after another as the bytes come (from the caller's buffer or the
 * spool), Complete as the completing act, and Abort in the background for what is given up.
 */
#include "config.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "s3/errors.h"
#include "site_s3_put.h"
#include "xalloc.h"

/* ---- Create ---- */

static void create_done(void *arg, struct s3_req *rq)
{
	char id[S3XML_UPLOAD_ID_MAX];
	struct s3_putting *p = arg;

	p->rq = NULL;
	p->creating = false;
	if (!rq->err && s3xml_parse_initiate(strbuf_slice(&rq->body), id))
		s3_req_fail(rq, GFS_ERR_SITE_ERROR, "the store's answer names no upload");
	if (!rq->err)
		p->upload_id = xstrdup(id);
	if (p->detached)
		put_detached_end(p);
	else if (rq->err)
		put_fail_from(p, rq);
	else
		parts_advance(p);
}

static const struct s3_req_cbs create_cbs = {.done = create_done};

void parts_begin(struct s3_putting *p)
{
	struct slice key = put_key(p);

	p->mode = PUT_PARTS;
	p->creating = true;
	p->rq = s3_req_new(s3_site_of(p->base.site), "POST", &key, &create_cbs, p);
	s3_req_check_key(p->rq, key, p->flags);
	s3_req_param(p->rq, "uploads", SLICE_LIT(""));
	put_add_headers(p, p->rq);
	s3_req_start(p->rq, false);
}

/* ---- parts ---- */

static bool keep_part(struct s3_putting *p, const char *etag)
{
	if (p->n_parts == p->cap_parts) {
		unsigned cap = p->cap_parts ? p->cap_parts * 2 : 16;
		char (*v)[ETAG_MAX] = reallocarray(p->part_etags, cap, sizeof(*v));

		if (!v)
			return false;
		p->part_etags = v;
		p->cap_parts = cap;
	}
	snprintf(p->part_etags[p->n_parts++], ETAG_MAX, "%s", etag);
	return true;
}

static void part_done(void *arg, struct s3_req *rq)
{
	struct s3_putting *p = arg;

	p->rq = NULL;
	if (p->detached) {
		put_detached_end(p);
		return;
	}
	if (!rq->err && rq->fed < rq->stream_size)
		s3_req_fail(rq, GFS_ERR_SITE_ERROR, "the store answered before it had the whole part");
	if (!rq->err && !rq->resp.etag[0])
		s3_req_fail(rq, GFS_ERR_SITE_ERROR, "the store answered part %u without an ETag", p->n_parts + 1);
	if (!rq->err && !keep_part(p, rq->resp.etag))
		s3_req_fail(rq, GFS_ERR_NOMEM, "out of memory for the list of parts");
	if (rq->err) {
		put_fail_from(p, rq);
		return;
	}
	p->parts_len += p->body_len;
	if (p->spool) {
		spool_clear(p->spool);
		if (p->rest_n > 0) {
			spool_take(p);
			return;
		}
	}
	parts_advance(p);
}

static const struct s3_req_cbs part_cbs = {.feed = put_feed, .rewind = put_rewind, .done = part_done};

static void part_begin(struct s3_putting *p, uint64_t len)
{
	struct slice key = put_key(p);
	char number[16];

	if (p->n_parts >= S3_PARTS_MAX) {
		put_fail(p, GFS_ERR_TOO_LARGE, "more than %d parts", S3_PARTS_MAX);
		return;
	}
	put_exchange_begin(p, len);
	snprintf(number, sizeof(number), "%u", p->n_parts + 1);
	p->rq = s3_req_new(s3_site_of(p->base.site), "PUT", &key, &part_cbs, p);
	s3_req_param(p->rq, "partNumber", slice_str(number));
	s3_req_param(p->rq, "uploadId", slice_str(p->upload_id));
	s3_req_stream(p->rq, len);
	s3_req_start(p->rq, false);
}

void parts_advance(struct s3_putting *p)
{
	uint64_t left;

	if (p->must_fail || p->detached || p->rq || !p->upload_id)
		return;
	if (p->spool) {
		/* a full spool with more to come, or the end */
		left = spool_held(p->spool);
		if (left > 0 && (p->ended || p->rest_n > 0)) {
			(void)!spool_rewind(p->spool);
			part_begin(p, left);
		} else if (p->ended) {
			put_prepared(p);
		}
		return;
	}
	left = (uint64_t)p->size - p->parts_len;
	if (left > 0 && p->src_n > 0)
		part_begin(p, left < p->part_size ? left : p->part_size);
	else if (left == 0 && p->ended)
		put_prepared(p);
}

/* ---- Complete ---- */

/* A refusal in the body of a 200 is final when the store says what is wrong with the request; else it may still take effect. */
static enum site_outcome outcome_of_refusal(const struct s3xml_error *e)
{
	if (strncmp(e->code, "Invalid", 7) == 0 || strncmp(e->code, "Entity", 6) == 0 || strncmp(e->code, "Malformed", 9) == 0 ||
	    s3_error_map(400, slice_str(e->code)) != GFS_ERR_SITE_ERROR)
		return SITE_FAILED;
	return SITE_UNKNOWN;
}

/* The HEAD after a Complete whose answer holds no ETag. The upload has taken effect, whatever comes of this. */
static void check_done(void *arg, struct s3_req *rq)
{
	struct s3_putting *p = arg;
	bool ours = !rq->err && strcmp(rq->resp.gen_tag, p->gen_tag) == 0;
	struct site_result r;

	p->rq = NULL;
	if (ours) {
		put_judge_etag(p, rq, rq->resp.etag, &r);
		put_finish(p, &r, rq->resp.etag);
		return;
	}
	r = site_result_make(SITE_DONE, GFS_OK, "");
	r.http_status = 200;
	put_finish(p, &r, "");
}

static const struct s3_req_cbs check_cbs = {.done = check_done};

static void check_etag(struct s3_putting *p)
{
	struct slice key = put_key(p);

	p->rq = s3_req_new(s3_site_of(p->base.site), "HEAD", &key, &check_cbs, p);
	s3_req_start(p->rq, true);
}

static void complete_done(void *arg, struct s3_req *rq)
{
	struct s3_putting *p = arg;
	char etag[ETAG_MAX] = "";
	struct site_result r;
	int err = 0;

	p->rq = NULL;
	if (!rq->err)
		err = s3xml_parse_complete(strbuf_slice(&rq->body), etag, &rq->xml);
	if (err == GFS_ERR_SITE_ERROR)
		s3_req_fail(rq, s3_error_map(400, slice_str(rq->xml.code)), "HTTP 200, but %s: %s", rq->xml.code, rq->xml.message);
	else if (err)
		s3_req_fail(rq, GFS_ERR_SITE_ERROR, "the answer to Complete was cut or cannot be read");
	if (!rq->err && !etag[0]) {
		check_etag(p);
		return;
	}
	put_judge_etag(p, rq, etag, &r);
	if (err == GFS_ERR_SITE_ERROR)
		r.outcome = outcome_of_refusal(&rq->xml);
	/* curl may have sent the request twice when an idle connection died under it: the first may have won */
	else if (strcmp(rq->xml.code, "NoSuchUpload") == 0)
		r.outcome = SITE_UNKNOWN;
	put_finish(p, &r, rq->err ? "" : etag);
}

static const struct s3_req_cbs complete_cbs = {.done = complete_done};

void parts_complete(struct s3_putting *p)
{
	struct slice key = put_key(p);

	p->rq = s3_req_new(s3_site_of(p->base.site), "POST", &key, &complete_cbs, p);
	s3_req_param(p->rq, "uploadId", slice_str(p->upload_id));
	s3_req_header(p->rq, "Content-Type", SLICE_LIT("application/xml"));
	s3xml_complete_begin(&p->rq->text);
	for (unsigned i = 0; i < p->n_parts; i++)
		s3xml_complete_part(&p->rq->text, i + 1, p->part_etags[i]);
	s3xml_complete_end(&p->rq->text);
	s3_req_start(p->rq, true);
}

/* ---- Abort ---- */

#define ABORT_TRIES 4

struct aborting {
	struct s3_site *site;
	char *key, *upload_id;
	size_t key_n;
	unsigned tries;
	struct event *timer;
};

static void abort_send(struct aborting *a);

static void on_abort_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	abort_send(arg);
}

static void abort_done(void *arg, struct s3_req *rq)
{
	struct aborting *a = arg;
	struct site *site = &a->site->site;
	struct timeval tv = {.tv_sec = 1 << a->tries};
	bool gone = !rq->err || strcmp(rq->xml.code, "NoSuchUpload") == 0;

	if (!gone && ++a->tries < ABORT_TRIES && !site->closing && gfs_err_retryable(rq->err)) {
		evtimer_add(a->timer, &tv);
		return;
	}
	if (!gone)
		log_warn("event=upload_left site=%s upload_id=%s error=%s", site_name(site), a->upload_id, gfs_err_name(rq->err));
	event_free(a->timer);
	free(a->key);
	free(a->upload_id);
	free(a);
	site_op_ended(site);
}

static const struct s3_req_cbs abort_cbs = {.done = abort_done};

static void abort_send(struct aborting *a)
{
	struct slice key = slice_of(a->key, a->key_n);
	struct s3_req *rq = s3_req_new(a->site, "DELETE", &key, &abort_cbs, a);

	s3_req_param(rq, "uploadId", slice_str(a->upload_id));
	s3_req_start(rq, true);
}

void s3_abort_upload(struct s3_site *site, struct slice key, const char *upload_id)
{
	struct aborting *a = xcalloc(1, sizeof(*a));

	a->site = site;
	a->key = xmemdup(key.p, key.n);
	a->key_n = key.n;
	a->upload_id = xstrdup(upload_id);
	a->timer = evtimer_new(site->site.env->base, on_abort_timer, a);
	gfs_assert(a->timer);
	site_op_began(&site->site);
	abort_send(a);
}

void parts_drop(struct s3_putting *p)
{
	if (!p->upload_id)
		return;
	s3_abort_upload(s3_site_of(p->base.site), put_key(p), p->upload_id);
	free(p->upload_id);
	p->upload_id = NULL;
}
