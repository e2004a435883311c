/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT of an object (architecture 5): its checks, BEGIN, the condition, the uploads' start, and every way it can end. What lies
 * between is in put_body.c and put_commit.c.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/xalloc.h"

#include "object_headers.h"
#include "put.h"

void put_set_state(struct put *p, enum put_state state)
{
	static const char *const names[PUT_STATES] = {"beginning", "streaming", "preparing", "finalising", "completing"};

	log_debug("event=put-state request=%s old=%s new=%s", p->id, names[p->state], names[state]);
	p->state = state;
}

static void put_free(struct put *p)
{
	put_body_free(p);
	free(p->content_type);
	meta_free(&p->meta);
	free(p);
}

void put_release(struct put *p)
{
	gfs_assert(p->hold > 0);
	if (--p->hold == 0 && p->dead)
		put_free(p);
}

void put_end(struct put *p)
{
	if (p->dead)
		return;
	p->dead = true;
	find_cancel(&p->find);
	for (size_t i = 0; i < p->n_sites; i++)
		site_put_abort(&p->sites[i].h);
	repld_write_abandon(&p->write);
	if (p->req)
		op_detach(p->req);
	p->req = NULL;
	if (p->hold == 0)
		put_free(p);
}

void put_answer_error(struct put *p, int err, const char *text)
{
	struct request *req = p->req;

	p->req = NULL;
	if (!req)
		return;
	op_detach(req);
	op_error(req, err, text, 0);
}

void put_give_up(struct put *p, int err, const char *text)
{
	put_hold(p);
	put_answer_error(p, err, text);
	put_end(p);
	put_release(p);
}

void put_answer(struct put *p)
{
	struct request *req = p->req;
	struct strbuf headers = STRBUF_INIT;
	char gen[GEN_TEXT_MAX];

	p->req = NULL;
	if (!req)
		return;
	op_detach(req);
	strbuf_addf(&headers, "ETag: \"%s\"\r\nX-GlobalFS-Generation: %s\r\nX-GlobalFS-Checksum: %016" PRIx64 "\r\n", p->etag,
	            gen_format(&p->gen, gen), p->crc64);
	response_start(req, 201, strbuf_slice(&headers), 0);
	strbuf_free(&headers);
	response_end(req);
}

int put_site_error(int err)
{
	switch (err) {
	case GFS_ERR_NO_SUCH_KEY:
	case GFS_ERR_NO_SUCH_SITE:
	case GFS_ERR_PRECONDITION:
	case GFS_ERR_CONFLICT:
	case GFS_ERR_RANGE:
	case GFS_ERR_INVALID:
	case GFS_ERR_CANCELLED:
	case GFS_OK:
		return GFS_ERR_SITE_ERROR;
	default:
		return err;
	}
}

void put_site_lost(struct put_site *s, const struct site_result *r)
{
	struct put *p = s->put;
	unsigned left = 0;
	char text[256], q[LOG_QUOTE_MAX], more[WORKER_LOG_MORE];

	s->state = PUT_SITE_ENDED;
	s->outcome = r->outcome == SITE_DONE ? SITE_FAILED : r->outcome;
	s->err = r->err;
	snprintf(s->why, sizeof(s->why), "%s", r->reason && r->reason[0] ? r->reason : gfs_err_text(r->err));
	if (worker_may_log(p->w, s->id, WORKER_LOG_PUT_FAULT, more))
		log_warn("event=put-site-failed request=%s site=%s why=%s%s", p->id, s->name, log_quote(q, sizeof(q), slice_str(s->why)),
		         more);
	for (size_t i = 0; i < p->n_sites; i++)
		left += p->sites[i].state != PUT_SITE_ENDED;
	if (left >= p->targets.write_min)
		return;
	snprintf(text, sizeof(text), "site %s: %s", s->name, s->why);
	put_give_up(p, put_site_error(r->err), text);
}

static void on_ready(void *arg)
{
	struct put_site *s = arg;

	s->state = PUT_SITE_READY;
	put_body_site_ready(s->put);
}

static void on_prepared(void *arg)
{
	struct put_site *s = arg;

	s->state = PUT_SITE_PREPARED;
	put_check_prepared(s->put);
}

static void on_site_done(void *arg, const struct site_result *r, const char *etag)
{
	struct put_site *s = arg;
	struct put *p = s->put;

	(void)etag;
	s->h = NULL;
	put_hold(p);
	if (p->state >= PUT_FINALISING) {
		put_site_completed(s, r);
	} else {
		put_site_lost(s, r);
		/* The others may have waited for this one only. */
		if (!p->dead && p->state == PUT_STREAMING)
			put_body_site_ready(p);
		else if (!p->dead)
			put_check_prepared(p);
	}
	put_release(p);
}

static void put_start_sites(struct put *p)
{
	static const struct site_put_cbs cbs = {.ready = on_ready, .prepared = on_prepared, .done = on_site_done};
	struct site_put_req r = {
		.key = put_key(p),
		.size = p->length,
		.part_size = p->part_size,
		.gen = p->gen,
		.content_type = p->content_type,
		.meta = &p->meta,
	};

	static const struct site_result gone = {.outcome = SITE_FAILED, .err = GFS_ERR_NO_SUCH_SITE, .reason = "removed"};

	p->n_sites = p->targets.n_sync;
	for (size_t i = 0; i < p->n_sites; i++) {
		struct put_site *s = &p->sites[i];

		s->put = p;
		s->id = p->targets.sync[i].id;
		memcpy(s->name, p->targets.sync[i].name, sizeof(s->name));
	}
	for (size_t i = 0; i < p->n_sites && !p->dead; i++) {
		struct put_site *s = &p->sites[i];
		struct site *site = worker_site_by_id(p->w, s->id);

		if (site) {
			s->h = site_put(site, &r, &cbs, s);
			continue;
		}
		put_site_lost(s, &gone);
	}
}

static void put_stream(struct put *p)
{
	put_hold(p);
	put_set_state(p, PUT_STREAMING);
	put_start_sites(p);
	if (!p->dead)
		put_body_start(p);
	put_release(p);
}

static void on_found(void *arg, const struct search *s, const struct search_verdict *v, const struct object_info *info)
{
	struct put *p = arg;

	(void)s;
	if (v->err && v->err != GFS_ERR_NO_SUCH_KEY) {
		put_give_up(p, v->err, v->text);
		return;
	}
	if (http_conditions_check(&p->conditions, false, info != NULL, info ? info->etag : "", info ? info->mtime_ms : 0) !=
	    HTTP_COND_PASS) {
		put_give_up(p, GFS_ERR_PRECONDITION, NULL);
		return;
	}
	put_stream(p);
}

static void on_begun(void *arg, int err, const struct gen *gen, const char *text)
{
	struct put *p = arg;

	if (err) {
		if (!*text)
			text = err == GFS_ERR_UNAVAILABLE ? "repld does not answer: nothing can be written" : NULL;
		put_give_up(p, err, text);
		return;
	}
	p->gen = *gen;
	if (p->conditional)
		find_start(&p->find, p->w, put_key(p), true, on_found, p);
	else
		put_stream(p);
}

static void on_abort(struct request *req)
{
	struct put *p = req->op;

	op_detach(req);
	p->req = NULL;
	if (p->state < PUT_FINALISING)
		put_end(p);
}

/* What can be refused before anything is begun. False: answered. */
static bool put_check(struct request *req, struct put *p)
{
	uint64_t max = req->worker->conf->limits.max_object_bytes;
	const char *why = NULL;
	bool md5_ok = true;
	char text[96];
	int err;

	if (max && p->length >= 0 && (uint64_t)p->length > max) {
		snprintf(text, sizeof(text), "object is larger than limits.max_object_bytes (%" PRIu64 ")", max);
		response_error(req, GFS_ERR_TOO_LARGE, text);
		return false;
	}
	err = object_headers_take(&req->head, &p->content_type, &p->meta, &why);
	if (err) {
		response_error(req, err, why);
		return false;
	}
	p->has_md5 = object_content_md5(&req->head, p->md5, &md5_ok);
	if (!md5_ok) {
		response_error(req, GFS_ERR_INVALID, "Content-MD5 is not the base64 of 16 bytes");
		return false;
	}
	return true;
}

static bool put_pick(struct request *req, struct put *p)
{
	struct strbuf why = STRBUF_INIT;
	int err = targets_pick(req->worker, put_key(p), OP_WRITE, &p->targets, &why);

	if (err)
		op_error(req, err, strbuf_str(&why), 0);
	strbuf_free(&why);
	return err == GFS_OK;
}

void op_put(struct request *req, struct slice key)
{
	struct put *p;

	op_begin(req, "put", STAT_OP_PUT_OK, STAT_OP_PUT_ERR, STAT_OP_PUT_TIME);
	if (!op_check_key(req, key))
		return;
	p = xcalloc(1, sizeof(*p));
	p->w = req->worker;
	memcpy(p->key, key.p, key.n);
	p->key_n = key.n;
	memcpy(p->id, req->id, sizeof(p->id));
	p->length = request_body_length(req);
	p->part_size = layout_part_size(p->length, p->w->conf->performance.transfer_chunk_size);
	if (!put_check(req, p) || !put_pick(req, p)) {
		put_free(p);
		return;
	}
	p->req = req;
	object_conditions(&req->head, &p->conditions);
	p->conditional = http_conditions_any(&p->conditions);
	req->op = p;
	req->on_abort = on_abort;
	p->write = repld_begin(p->w->repld, put_key(p), OP_WRITE, p->id, on_begun, p);
}
