/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small operations of an S3 site: head, delete, probe and claim. Each is a struct s3_op that lives until its callback has
 * returned, or until it is cancelled.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "site_s3.h"
#include "xalloc.h"

static void small_free(struct s3_op *op)
{
	struct site *site = op->base.site;

	free(op);
	site_op_ended(site);
}

/* ---- head ---- */

struct s3_heading {
	struct s3_op op;
	site_head_cb *cb;
	void *arg;
	char *key;
	size_t key_n;
};

static void heading_free(struct s3_op *op)
{
	free(((struct s3_heading *)op)->key);
	small_free(op);
}

static void heading_end(struct s3_heading *h, struct s3_req *rq, uint64_t size)
{
	struct site_result r = s3_req_result(rq, false);
	struct object_info info = {0};

	if (!rq->err)
		s3_resp_info(&rq->resp, slice_of(h->key, h->key_n), size, site_name(h->op.base.site), &info);
	h->cb(h->arg, &r, rq->err ? NULL : &info);
	object_info_free(&info);
	heading_free(&h->op);
}

/* The GET that asks why a HEAD was answered 404. */
static void reason_done(void *arg, struct s3_req *rq)
{
	struct s3_heading *h = arg;

	h->op.rq = NULL;
	/* the object came between the two */
	if (!rq->err && rq->resp.status == 206 && rq->resp.has_range) {
		heading_end(h, rq, rq->resp.range_size);
		return;
	}
	if (!rq->err || rq->err == GFS_ERR_RANGE) {
		rq->err = 0;
		s3_req_fail(rq, GFS_ERR_SITE_ERROR, "the object came while it was looked for");
	}
	heading_end(h, rq, 0);
}

static const struct s3_req_cbs reason_cbs = {.done = reason_done};

static void heading_done(void *arg, struct s3_req *rq)
{
	struct s3_heading *h = arg;
	struct slice key = slice_of(h->key, h->key_n);

	h->op.rq = NULL;
	/* A HEAD has no body: only a GET tells an absent key from an absent bucket or a store that is not one. */
	if (rq->resp.status == 404) {
		h->op.rq = s3_req_new(s3_site_of(h->op.base.site), "GET", &key, &reason_cbs, h);
		s3_req_header(h->op.rq, "Range", SLICE_LIT("bytes=0-0"));
		s3_req_start(h->op.rq, false);
		return;
	}
	if (!rq->err && rq->resp.content_length < 0)
		s3_req_fail(rq, GFS_ERR_SITE_ERROR, "the store does not tell the object's size");
	heading_end(h, rq, rq->err ? 0 : (uint64_t)rq->resp.content_length);
}

static const struct s3_req_cbs heading_cbs = {.done = heading_done};

struct site_op *s3_head(struct site *site, struct slice key, unsigned flags, site_head_cb *cb, void *arg)
{
	struct s3_heading *h = xcalloc(1, sizeof(*h));

	h->op.base.site = site;
	h->op.free = heading_free;
	h->cb = cb;
	h->arg = arg;
	h->key = xmemdup(key.p, key.n);
	h->key_n = key.n;
	site_op_began(site);
	h->op.rq = s3_req_new(s3_site_of(site), "HEAD", &key, &heading_cbs, h);
	s3_req_check_key(h->op.rq, key, flags);
	s3_req_start(h->op.rq, false);
	return &h->op.base;
}

/* ---- delete ---- */

struct s3_deleting {
	struct s3_op op;
	site_done_cb *cb;
	void *arg;
};

static void deleting_done(void *arg, struct s3_req *rq)
{
	struct s3_deleting *d = arg;
	struct site_result r;

	if (rq->err == GFS_ERR_NO_SUCH_KEY)
		rq->err = 0;
	r = s3_req_result(rq, true);
	d->cb(d->arg, &r);
	small_free(&d->op);
}

static const struct s3_req_cbs deleting_cbs = {.done = deleting_done};

void s3_delete(struct site *site, struct slice key, unsigned flags, site_done_cb *cb, void *arg)
{
	struct s3_deleting *d = xcalloc(1, sizeof(*d));

	d->op.base.site = site;
	d->cb = cb;
	d->arg = arg;
	site_op_began(site);
	/* a completing act: others may wait for its key */
	d->op.rq = s3_req_new(s3_site_of(site), "DELETE", &key, &deleting_cbs, d);
	s3_req_check_key(d->op.rq, key, flags);
	s3_req_start(d->op.rq, true);
}

/* ---- probe and claim: the marker ---- */

struct s3_marking {
	struct s3_op op;
	site_probe_cb *probe;
	site_done_cb *claim;
	void *arg;
	int64_t begun_us;
	bool written; /* claim: the marker was put, or somebody else was quicker */
	bool plain;   /* claim: the store does not know If-None-Match */
};

static const struct s3_req_cbs marker_read_cbs, marker_put_cbs;

static void marking_end(struct s3_marking *m, struct s3_req *rq, bool mutation)
{
	struct site_result r = s3_req_result(rq, mutation);

	m->op.rq = NULL;
	if (m->probe)
		m->probe(m->arg, &r, clock_mono_us() - m->begun_us);
	else
		m->claim(m->arg, &r);
	small_free(&m->op);
}

static void marker_read(struct s3_marking *m, bool urgent)
{
	struct slice key = SLICE_LIT(SITE_MARKER_KEY);
	char range[32];

	m->op.rq = s3_req_new(s3_site_of(m->op.base.site), "GET", &key, &marker_read_cbs, m);
	snprintf(range, sizeof(range), "bytes=0-%d", SITE_MARKER_MAX);
	s3_req_header(m->op.rq, "Range", slice_str(range));
	s3_req_start(m->op.rq, urgent);
}

static void marker_put(struct s3_marking *m)
{
	struct slice key = SLICE_LIT(SITE_MARKER_KEY);
	struct site *site = m->op.base.site;
	char text[SITE_MARKER_MAX];

	site_marker_format(site->env->namespace_id, site->conf.id, text);
	m->op.rq = s3_req_new(s3_site_of(site), "PUT", &key, &marker_put_cbs, m);
	strbuf_adds(&m->op.rq->text, text);
	s3_req_header(m->op.rq, "Content-Type", SLICE_LIT("text/plain"));
	if (!m->plain)
		s3_req_header(m->op.rq, "If-None-Match", SLICE_LIT("*"));
	s3_req_start(m->op.rq, true);
}

static void marker_put_done(void *arg, struct s3_req *rq)
{
	struct s3_marking *m = arg;

	m->op.rq = NULL;
	if (rq->err == GFS_ERR_UNSUPPORTED && !m->plain) {
		m->plain = true;
		marker_put(m);
		return;
	}
	/* somebody else was quicker: whose marker it is, the re-read tells */
	if (rq->err && rq->err != GFS_ERR_PRECONDITION && rq->err != GFS_ERR_CONFLICT) {
		marking_end(m, rq, true);
		return;
	}
	m->written = true;
	marker_read(m, true);
}

static void judge_marker(struct s3_marking *m, struct s3_req *rq)
{
	struct site *site = m->op.base.site;

	if (site->env->skip_marker && (!rq->err || rq->err == GFS_ERR_NO_SUCH_KEY || rq->err == GFS_ERR_RANGE)) {
		rq->err = 0;
		return;
	}
	if (rq->err == GFS_ERR_NO_SUCH_KEY) {
		rq->err = 0;
		s3_req_fail(rq, GFS_ERR_SITE_MARKER, "marker " SITE_MARKER_KEY " is missing in bucket \"%.200s\"", site->conf.s3_bucket);
	} else if (rq->err == GFS_ERR_RANGE ||
	           (!rq->err && site_marker_check(strbuf_slice(&rq->body), site->env->namespace_id, site->conf.id))) {
		rq->err = 0;
		s3_req_fail(rq, GFS_ERR_SITE_FOREIGN, "marker " SITE_MARKER_KEY " in bucket \"%.200s\" is another namespace's or site's",
		            site->conf.s3_bucket);
	}
}

static void marker_read_done(void *arg, struct s3_req *rq)
{
	struct s3_marking *m = arg;
	bool absent = rq->err == GFS_ERR_NO_SUCH_KEY;

	m->op.rq = NULL;
	if (m->claim && absent && !m->written) {
		marker_put(m);
		return;
	}
	judge_marker(m, rq);
	marking_end(m, rq, false);
}

static const struct s3_req_cbs marker_read_cbs = {.done = marker_read_done};
static const struct s3_req_cbs marker_put_cbs = {.done = marker_put_done};

static struct s3_marking *marking_new(struct site *site, void *arg)
{
	struct s3_marking *m = xcalloc(1, sizeof(*m));

	m->op.base.site = site;
	m->op.free = small_free;
	m->arg = arg;
	m->begun_us = clock_mono_us();
	site_op_began(site);
	return m;
}

struct site_op *s3_probe(struct site *site, site_probe_cb *cb, void *arg)
{
	struct s3_marking *m = marking_new(site, arg);

	m->probe = cb;
	/* a site whose connections are all busy is not ill */
	marker_read(m, true);
	return &m->op.base;
}

void s3_claim(struct site *site, site_done_cb *cb, void *arg)
{
	struct s3_marking *m = marking_new(site, arg);

	m->claim = cb;
	marker_read(m, true);
}
