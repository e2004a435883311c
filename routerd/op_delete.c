/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DELETE of an object: the protocol of a write (architecture 5) with no body and a tombstone. An absent key is deleted all the
 * same, because a site that cannot be asked now may have it. From FINALISE on it runs to its end, with or without its client.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/http/fields.h"
#include "common/key.h"
#include "common/log.h"
#include "common/xalloc.h"

#include "candidates.h"
#include "find.h"
#include "object_headers.h"
#include "ops.h"
#include "put.h"

struct del;

struct del_site {
	struct del *del;
	enum site_outcome outcome;
	bool repeated;
	int err;
	char why[160];
};

struct del {
	struct request *req; /* NULL: the client has gone */
	struct worker *w;
	char key[KEY_MAX];
	size_t key_n;
	struct targets targets;
	struct repld_write *write;
	struct gen gen;
	struct find *find;
	struct http_conditions conditions;
	bool conditional, finalising;
	struct del_site sites[ROUTE_MAX];
	size_t running;
};

static struct slice del_key(const struct del *d)
{
	return slice_of(d->key, d->key_n);
}

static void del_free(struct del *d)
{
	find_cancel(&d->find);
	repld_write_abandon(&d->write);
	free(d);
}

static void del_end_error(struct del *d, int err, const char *text)
{
	struct request *req = d->req;

	if (req) {
		op_detach(req);
		op_error(req, err, text, 0);
	}
	del_free(d);
}

static void del_end_good(struct del *d)
{
	struct request *req = d->req;
	struct strbuf headers = STRBUF_INIT;
	char gen[GEN_TEXT_MAX];

	if (req) {
		op_detach(req);
		strbuf_addf(&headers, "X-GlobalFS-Generation: %s\r\n", gen_format(&d->gen, gen));
		response_start(req, 204, strbuf_slice(&headers), 0);
		strbuf_free(&headers);
		response_end(req);
	}
	del_free(d);
}

static void on_commit_known(void *arg, int err)
{
	struct del *d = arg;

	if (err)
		del_end_error(d, GFS_ERR_UNAVAILABLE, "repld does not answer; the delete will take effect as soon as it can");
	else
		del_end_good(d);
}

static void del_committed(struct del *d)
{
	enum site_outcome outcomes[ROUTE_MAX];
	size_t bad = 0;
	unsigned done = 0;
	bool good;
	char text[320];

	for (size_t i = 0; i < d->targets.n_sync; i++) {
		/* Done, and yet to be watched: an earlier attempt may surface. */
		outcomes[i] = d->sites[i].repeated ? SITE_UNKNOWN : d->sites[i].outcome;
		if (d->sites[i].outcome == SITE_DONE)
			done++;
		else
			bad = i;
	}
	good = done >= d->targets.write_min;
	keys_board_tick(&d->w->keys_board, keys_board_cell(del_key(d)));
	if (good && done < d->targets.n_sync) {
		/* Not before repld knows which primary still has it. */
		repld_commit(&d->write, outcomes, good, on_commit_known, d);
		return;
	}
	repld_commit(&d->write, outcomes, good, NULL, NULL);
	if (good) {
		del_end_good(d);
		return;
	}
	snprintf(text, sizeof(text), "site %s: %s; the delete will take effect as soon as it can", d->targets.sync[bad].name,
	         d->sites[bad].why);
	del_end_error(d, put_site_error(d->sites[bad].err), text);
}

static void on_site_done(void *arg, const struct site_result *r)
{
	struct del_site *s = arg;
	struct del *d = s->del;

	s->outcome = r->outcome;
	s->repeated = r->repeated;
	s->err = r->err;
	snprintf(s->why, sizeof(s->why), "%s", r->reason && r->reason[0] ? r->reason : gfs_err_text(r->err));
	if (--d->running == 0)
		del_committed(d);
}

static void on_finalised(void *arg, int err, const char *text)
{
	struct del *d = arg;

	if (err == GFS_ERR_SUPERSEDED) {
		del_end_good(d);
		return;
	}
	if (err) {
		del_end_error(d, err, text && *text ? text : NULL);
		return;
	}
	d->running = 1;
	for (size_t i = 0; i < d->targets.n_sync; i++) {
		struct site *site = worker_site_by_id(d->w, d->targets.sync[i].id);
		struct del_site *s = &d->sites[i];

		s->del = d;
		if (!site) {
			s->outcome = SITE_FAILED;
			s->err = GFS_ERR_NO_SUCH_SITE;
			snprintf(s->why, sizeof(s->why), "removed");
			continue;
		}
		d->running++;
		site_delete(site, del_key(d), 0, on_site_done, s);
	}
	if (--d->running == 0)
		del_committed(d);
}

static void del_finalise(struct del *d)
{
	uint64_t sync[ROUTE_MAX];
	struct repld_version v = {
		.part_size = 1,
		.sync_sites = sync,
		.n_sync = d->targets.n_sync,
		.async_sites = d->targets.async,
		.n_async = d->targets.n_async,
		.write_min = d->targets.write_min,
		.conditional = d->conditional,
	};

	for (size_t i = 0; i < d->targets.n_sync; i++)
		sync[i] = d->targets.sync[i].id;
	d->finalising = true;
	repld_finalise(d->write, &v, on_finalised, d);
}

static void on_found(void *arg, const struct search *s, const struct search_verdict *v, const struct object_info *info)
{
	struct del *d = arg;

	(void)s;
	if (v->err && v->err != GFS_ERR_NO_SUCH_KEY)
		del_end_error(d, v->err, v->text);
	else if (http_conditions_check(&d->conditions, false, info != NULL, info ? info->etag : "", info ? info->mtime_ms : 0) !=
	         HTTP_COND_PASS)
		del_end_error(d, GFS_ERR_PRECONDITION, NULL);
	else
		del_finalise(d);
}

static void on_begun(void *arg, int err, const struct gen *gen, const char *text)
{
	struct del *d = arg;

	if (err) {
		if (!*text)
			text = err == GFS_ERR_UNAVAILABLE ? "repld does not answer: nothing can be deleted" : NULL;
		del_end_error(d, err, text);
		return;
	}
	d->gen = *gen;
	if (d->conditional)
		find_start(&d->find, d->w, del_key(d), true, on_found, d);
	else
		del_finalise(d);
}

static void on_abort(struct request *req)
{
	struct del *d = req->op;

	op_detach(req);
	d->req = NULL;
	if (!d->finalising)
		del_free(d);
}

void op_delete(struct request *req, struct slice key)
{
	struct strbuf why = STRBUF_INIT;
	struct del *d;
	int err;

	op_begin(req, "delete", STAT_OP_DELETE_OK, STAT_OP_DELETE_ERR, STAT_OP_DELETE_TIME);
	if (!op_check_key(req, key))
		return;
	d = xcalloc(1, sizeof(*d));
	d->w = req->worker;
	d->req = req;
	memcpy(d->key, key.p, key.n);
	d->key_n = key.n;
	err = targets_pick(d->w, del_key(d), OP_DELETE, &d->targets, &why);
	if (err) {
		del_end_error(d, err, strbuf_str(&why));
		strbuf_free(&why);
		return;
	}
	strbuf_free(&why);
	object_conditions(&req->head, &d->conditions);
	d->conditional = http_conditions_any(&d->conditions);
	req->op = d;
	req->on_abort = on_abort;
	d->write = repld_begin(d->w->repld, del_key(d), OP_DELETE, req->id, on_begun, d);
}
