/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LIST: the union of all sites, sent while it is merged (list_merge.h), in memory that does not depend on its length. A site that
 * fails is named: in the head's X-GlobalFS-Partial when it was known then, always in the body; with strict=1 the whole list fails.
 */
#include "config.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/key.h"
#include "common/log.h"
#include "common/xalloc.h"

#include "list_json.h"
#include "ops.h"

#define LIST_BATCH_BYTES (32u << 10)
#define LIST_GROUPS_BYTES (1u << 20) /* of common prefixes: they come after the objects and have to be kept until then */

struct list {
	struct request *req;
	struct worker *w;
	struct list_merge *merge;
	struct strbuf prefix, out, groups, last; /* last: key or group that was told last */
	uint64_t limit, count, n_objects;
	struct list_json json;
	bool delimited, strict, started, paused, truncated;
};

static void list_free(struct list *l)
{
	list_merge_destroy(&l->merge);
	strbuf_free(&l->prefix);
	strbuf_free(&l->out);
	strbuf_free(&l->groups);
	strbuf_free(&l->last);
	free(l);
}

/* Lets go of the request, which is to be answered with what is returned. */
static struct request *list_detach(struct list *l)
{
	struct request *req = l->req;

	op_detach(req);
	return req;
}

/* ---- sites that failed ---- */

static const struct list_source *next_failed(const struct list *l, const struct list_source *after)
{
	const struct list_source *s = after ? after + 1 : l->merge->v;

	while (s < l->merge->v + l->merge->n && !s->failed)
		s++;
	return s < l->merge->v + l->merge->n ? s : NULL;
}

static void list_fail(struct list *l)
{
	const struct list_source *s = NULL;
	struct strbuf text = STRBUF_INIT;
	bool all_timed_out = true;
	struct request *req;
	char q[LOG_QUOTE_MAX];

	strbuf_adds(&text, "no answer from ");
	for (const char *sep = ""; (s = next_failed(l, s)); sep = ", ") {
		strbuf_addf(&text, "%s%s (%s)", sep, s->name, s->why);
		all_timed_out = all_timed_out && s->err == GFS_ERR_TIMEOUT;
	}
	if (l->started)
		log_warn("event=list-cut request_id=%s why=%s", l->req->id, log_quote(q, sizeof(q), strbuf_slice(&text)));
	req = list_detach(l);
	list_free(l);
	if (req->responded)
		response_cut(req);
	else
		op_error(req, all_timed_out ? GFS_ERR_TIMEOUT : GFS_ERR_SITE_DOWN, strbuf_str(&text), 0);
	strbuf_free(&text);
}

/* ,"partial":[names],"partial_reasons":{name: sentence} */
static void add_partial(struct list *l)
{
	const struct list_source *s;
	const char *sep;

	if (!next_failed(l, NULL))
		return;
	strbuf_adds(&l->out, ",\"partial\":[");
	for (sep = "", s = next_failed(l, NULL); s; s = next_failed(l, s), sep = ",") {
		strbuf_adds(&l->out, sep);
		strbuf_add_json(&l->out, slice_str(s->name));
	}
	strbuf_adds(&l->out, "],\"partial_reasons\":{");
	for (sep = "", s = next_failed(l, NULL); s; s = next_failed(l, s), sep = ",") {
		strbuf_adds(&l->out, sep);
		strbuf_add_json(&l->out, slice_str(s->name));
		strbuf_addc(&l->out, ':');
		strbuf_add_json(&l->out, slice_str(s->why));
	}
	strbuf_addc(&l->out, '}');
}

/* ---- the answer ---- */

static void list_begin_answer(struct list *l)
{
	struct strbuf headers = STRBUF_INIT;
	const struct list_source *s = next_failed(l, NULL);
	bool partial = s != NULL;

	strbuf_adds(&headers, "Content-Type: application/json\r\n");
	if (partial) {
		strbuf_adds(&headers, "X-GlobalFS-Partial: true; sites=\"");
		for (const char *sep = ""; s; s = next_failed(l, s), sep = ",")
			strbuf_addf(&headers, "%s%s", sep, s->name);
		strbuf_adds(&headers, "\"\r\n");
	}
	l->started = true;
	response_start(l->req, partial ? 207 : 200, strbuf_slice(&headers), -1);
	strbuf_free(&headers);
	strbuf_adds(&l->out, "{\"prefix\":");
	strbuf_add_json(&l->out, strbuf_slice(&l->prefix));
	strbuf_adds(&l->out, ",\"objects\":[");
}

static bool list_flush(struct list *l)
{
	bool room = response_write(l->req, l->out.p, l->out.n);

	strbuf_reset(&l->out);
	return room;
}

static void list_end(struct list *l)
{
	struct request *req;

	strbuf_addc(&l->out, ']');
	if (l->delimited) {
		strbuf_adds(&l->out, ",\"common_prefixes\":[");
		strbuf_add_slice(&l->out, strbuf_slice(&l->groups));
		strbuf_addc(&l->out, ']');
	}
	strbuf_addf(&l->out, ",\"count\":%" PRIu64 ",\"truncated\":%s", l->count, l->truncated ? "true" : "false");
	if (l->truncated) {
		strbuf_adds(&l->out, ",\"next_start_after\":");
		strbuf_add_json(&l->out, strbuf_slice(&l->last));
	}
	if (l->merge->unverified)
		strbuf_adds(&l->out, ",\"unverified\":true");
	add_partial(l);
	strbuf_adds(&l->out, "}\n");
	if (strbuf_failed(&l->out) || strbuf_failed(&l->groups)) {
		req = list_detach(l);
		list_free(l);
		response_cut(req);
		return;
	}
	list_flush(l);
	req = list_detach(l);
	list_free(l);
	response_end(req);
}

/* False: enough. */
static bool list_take(struct list *l, const struct list_item *item)
{
	if ((l->limit && l->count == l->limit) || l->groups.n > LIST_GROUPS_BYTES) {
		l->truncated = true;
		return false;
	}
	l->count++;
	strbuf_reset(&l->last);
	strbuf_add_slice(&l->last, item->key);
	if (item->group) {
		if (l->groups.n)
			strbuf_addc(&l->groups, ',');
		strbuf_add_json(&l->groups, item->key);
		return true;
	}
	if (l->n_objects++)
		strbuf_addc(&l->out, ',');
	list_json_object(&l->json, item->key, item->row, &l->out);
	return true;
}

/* Whether it has failed as a whole, as far as is known now. */
static bool list_has_failed(const struct list *l)
{
	size_t failed = list_merge_failed(l->merge);

	return failed > 0 && (l->strict || (failed == l->merge->n && !l->started));
}

/* Goes on until it has to wait or the list has ended; l may be gone then. */
static void list_pump(void *arg)
{
	struct list *l = arg;
	struct list_item item;
	enum list_next next;

	if (l->paused)
		return;
	while ((next = list_merge_next(l->merge, &item)) == LIST_ITEM) {
		if (!l->started && list_has_failed(l))
			break;
		if (!l->started)
			list_begin_answer(l);
		if (!list_take(l, &item))
			break;
		if (l->out.n >= LIST_BATCH_BYTES && !list_flush(l)) {
			l->paused = true;
			return;
		}
	}
	if (list_has_failed(l)) {
		list_fail(l);
	} else if (next != LIST_WAIT) {
		if (!l->started)
			list_begin_answer(l);
		list_end(l);
	}
}

static void on_drain(struct request *req)
{
	struct list *l = req->op;

	if (!l->paused)
		return;
	l->paused = false;
	list_pump(l);
}

static void on_abort(struct request *req)
{
	struct list *l = req->op;

	list_detach(l);
	list_free(l);
}

/* Sites that healthd calls down are not asked while there are others: the answer would wait for them in vain. */
static void list_begin_merge(struct list *l, const struct op_list_args *args)
{
	const struct conf *conf = l->w->conf;
	struct route_site v[ROUTE_MAX];
	struct route_read read;
	size_t n = candidates_build(l->w, v), down = 0;
	struct list_merge_args merge = {.prefix = args->prefix, .delimiter = args->delimiter, .start_after = args->start_after,
	                                .wanted = args->limit ? args->limit + 1 : 0, .ready = list_pump, .arg = l};
	char buf[200];

	route_read(v, n, policy_match(conf->rules, conf->n_rules, args->prefix, OP_READ), conf->routing.order, &read);
	route_spare_resting(v, n, conf->rules, conf->n_rules, &read);
	for (size_t i = 0; i < read.n; i++)
		down += route_site_is_down(&v[read.order[i]]);
	merge.n_sources = read.n;
	l->merge = list_merge_create(l->w, &merge);
	for (size_t i = 0; i < read.n; i++) {
		const struct route_site *r = &v[read.order[i]];
		struct list_source *s = list_merge_add(l->merge, r->conf->id, r->conf->name);

		if (down < read.n && route_site_is_down(r))
			list_source_fail(s, GFS_ERR_SITE_DOWN, candidates_reason(l->w, s->id, buf, sizeof(buf)));
	}
}

void op_list(struct request *req, const struct op_list_args *args)
{
	struct list *l;

	op_begin(req, "list", STAT_OP_LIST_OK, STAT_OP_LIST_ERR, STAT_OP_LIST_TIME);
	if (args->prefix.n > KEY_MAX || args->start_after.n > KEY_MAX) {
		response_error(req, GFS_ERR_INVALID, "prefix or start_after is longer than any key");
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->req = req;
	l->w = req->worker;
	l->limit = args->limit;
	l->strict = args->strict;
	l->delimited = args->delimiter.n > 0;
	strbuf_add_slice(&l->prefix, args->prefix);
	req->op = l;
	req->on_abort = on_abort;
	req->on_drain = on_drain;
	list_begin_merge(l, args);
	list_pump(l);
}
