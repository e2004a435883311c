/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LIST: the union of all sites, merged in key order while it is sent, a page of each site in memory at a time. For a key whose
 * cell is dirty repld tells whether it is deleted and which site's row is the current one. A site that fails is named.
 */
#include "config.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/http/fields.h"
#include "common/key.h"
#include "common/log.h"
#include "common/xalloc.h"

#include "list_source.h"
#include "ops.h"

#define LIST_PAGE_ROWS 1000
#define LIST_PAGE_MS 15000       /* longest wait for a page of a site */
#define LIST_BATCH_BYTES (16u << 10)

struct list {
	struct request *req;
	struct worker *w;
	struct list_source *v; /* in the order in which a row is preferred */
	size_t n;
	struct strbuf prefix, out, last; /* last: key that was emitted last */
	uint64_t limit, count;
	uint64_t lookup;
	bool started, paused, truncated;
	bool unverified; /* repld did not answer: it is not asked again */
	struct event *timer;
};

static void list_pump(struct list *l);

static void list_free(struct list *l)
{
	if (l->lookup)
		repld_lookup_cancel(l->w->repld, l->lookup);
	for (size_t i = 0; i < l->n; i++)
		list_source_free(&l->v[i]);
	free(l->v);
	event_free(l->timer);
	strbuf_free(&l->prefix);
	strbuf_free(&l->out);
	strbuf_free(&l->last);
	free(l);
}

static struct request *list_detach(struct list *l)
{
	struct request *req = l->req;

	op_detach(req);
	return req;
}

/* ---- pages ---- */

static bool list_is_loading(const struct list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].h)
			return true;
	}
	return false;
}

static void on_loaded(void *arg)
{
	struct list *l = arg;

	if (list_is_loading(l))
		return;
	evtimer_del(l->timer);
	list_pump(l);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct list *l = arg;

	(void)fd, (void)what;
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].h)
			list_source_fail(&l->v[i], GFS_ERR_TIMEOUT, "timed out");
	}
	list_pump(l);
}

/* True when it has to wait for pages. */
static bool list_load(struct list *l)
{
	int64_t ms = l->w->conf->routing.read_deadline_ms < LIST_PAGE_MS ? l->w->conf->routing.read_deadline_ms : LIST_PAGE_MS;
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
	uint64_t want = l->limit ? l->limit - l->count + 1 : LIST_PAGE_ROWS;
	bool waiting = false;

	for (size_t i = 0; i < l->n; i++) {
		if (list_source_wants_page(&l->v[i]))
			waiting = list_source_load(&l->v[i], l->w, strbuf_slice(&l->prefix),
			                           want < LIST_PAGE_ROWS ? (unsigned)want : LIST_PAGE_ROWS) ||
			          waiting;
	}
	if (waiting)
		evtimer_add(l->timer, &tv);
	return waiting;
}

/* ---- the answer ---- */

static void add_partial(const struct list *l, struct strbuf *out)
{
	bool first = true;

	for (size_t i = 0; i < l->n; i++) {
		if (!l->v[i].failed)
			continue;
		if (!first)
			strbuf_adds(out, ",");
		first = false;
		strbuf_add_json(out, slice_str(l->v[i].name));
	}
}

static unsigned count_failed(const struct list *l)
{
	unsigned failed = 0;

	for (size_t i = 0; i < l->n; i++)
		failed += l->v[i].failed;
	return failed;
}

static void list_all_failed(struct list *l)
{
	struct strbuf text = STRBUF_INIT;
	bool all_timed_out = true;

	strbuf_adds(&text, "no answer from ");
	for (size_t i = 0; i < l->n; i++) {
		strbuf_addf(&text, "%s%s (%s)", i ? ", " : "", l->v[i].name, l->v[i].why);
		all_timed_out = all_timed_out && l->v[i].err == GFS_ERR_TIMEOUT;
	}
	op_error(list_detach(l), all_timed_out ? GFS_ERR_TIMEOUT : GFS_ERR_SITE_DOWN, strbuf_str(&text), 0);
	strbuf_free(&text);
	list_free(l);
}

static void list_begin_answer(struct list *l)
{
	struct strbuf headers = STRBUF_INIT;
	bool partial = count_failed(l) > 0;

	strbuf_adds(&headers, "Content-Type: application/json\r\n");
	if (partial)
		strbuf_adds(&headers, "X-GlobalFS-Partial: true\r\n"); /* the body names the sites */
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

	strbuf_addf(&l->out, "],\"count\":%" PRIu64 ",\"truncated\":%s", l->count, l->truncated ? "true" : "false");
	if (l->truncated) {
		strbuf_adds(&l->out, ",\"next_start_after\":");
		strbuf_add_json(&l->out, strbuf_slice(&l->last));
	}
	if (l->unverified)
		strbuf_adds(&l->out, ",\"unverified\":true");
	if (count_failed(l)) {
		strbuf_adds(&l->out, ",\"partial\":[");
		add_partial(l, &l->out);
		strbuf_addc(&l->out, ']');
	}
	strbuf_adds(&l->out, "}\n");
	if (strbuf_failed(&l->out)) {
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

/* ---- the merge ---- */

/* The source with the smallest key, the first of equals; NULL at the end. */
static struct list_source *list_smallest(struct list *l)
{
	struct list_source *best = NULL;

	for (size_t i = 0; i < l->n; i++) {
		struct list_source *s = &l->v[i];

		if (list_source_has_row(s) && (!best || slice_cmp(list_source_key(s), list_source_key(best)) < 0))
			best = s;
	}
	return best;
}

static void list_skip(struct list *l, struct slice key)
{
	for (size_t i = 0; i < l->n; i++) {
		struct list_source *s = &l->v[i];

		/* <=: a site that does not keep the order must not hold up the others */
		while (list_source_has_row(s) && slice_cmp(list_source_key(s), key) <= 0)
			s->at++;
	}
}

static void list_emit(struct list *l, const struct list_row *row, struct slice key)
{
	char date[32];

	http_rfc3339_format(row->mtime_ms, false, date);
	strbuf_adds(&l->out, l->count++ ? ",{\"key\":" : "{\"key\":");
	strbuf_add_json(&l->out, key);
	strbuf_addf(&l->out, ",\"size\":%" PRIu64 ",\"last_modified\":\"%s\",\"etag\":", row->size, date);
	strbuf_add_json(&l->out, slice_str(row->etag));
	strbuf_addc(&l->out, '}');
}

/* The smallest key is an object of the namespace. False: enough. */
static bool list_take(struct list *l, const struct list_row *row, struct slice key)
{
	struct list_row copy = *row;

	if (l->limit && l->count == l->limit) {
		l->truncated = true;
		return false;
	}
	strbuf_reset(&l->last);
	strbuf_add_slice(&l->last, key);
	list_emit(l, &copy, strbuf_slice(&l->last));
	list_skip(l, strbuf_slice(&l->last));
	return true;
}

static bool is_stale_at(const struct repld_location *loc, uint32_t id)
{
	for (size_t i = 0; i < loc->n_stale; i++) {
		if (loc->stale_sites[i] == id)
			return true;
	}
	return false;
}

/* Of all rows of the key, that of a site that holds the decided version; else the first, with what the journal knows. */
static struct list_row best_row(const struct list *l, struct slice key, const struct list_source *first,
                                const struct repld_location *loc)
{
	struct list_row row = *list_source_row(first);

	if (!loc->known || gen_is_none(&loc->gen))
		return row;
	for (size_t i = 0; i < l->n; i++) {
		const struct list_source *s = &l->v[i];

		if (list_source_has_row(s) && slice_eq(list_source_key(s), key) && !is_stale_at(loc, s->id))
			return *list_source_row(s);
	}
	row.size = loc->size;
	memcpy(row.etag, loc->etag, sizeof(row.etag));
	return row;
}

/* Nothing, or only what lagging sites still have of a deleted object. While a write is not decided the sites that it completes
 * tell: if one of them answered and has no such key, it was deleted, or never there. */
static bool is_absent(const struct list *l, struct slice key, const struct repld_location *loc)
{
	bool told = false;

	if (!loc->known || loc->decided)
		return loc->known && loc->deleted;
	for (size_t i = 0; i < l->n; i++) {
		const struct list_source *s = &l->v[i];

		if (is_stale_at(loc, s->id))
			continue;
		if (list_source_has_row(s) && slice_eq(list_source_key(s), key))
			return false;
		told = told || !s->failed;
	}
	return told || loc->deleted;
}

static void on_located(void *arg, int err, const struct repld_location *loc)
{
	struct list *l = arg;
	struct list_source *s = list_smallest(l);
	struct slice key;
	struct list_row row;

	l->lookup = 0;
	if (err) {
		l->unverified = true;
		list_pump(l);
		return;
	}
	key = list_source_key(s);
	if (is_absent(l, key, loc)) {
		strbuf_reset(&l->last);
		strbuf_add_slice(&l->last, key);
		list_skip(l, strbuf_slice(&l->last));
	} else {
		row = best_row(l, key, s, loc);
		if (!list_take(l, &row, key)) {
			list_end(l);
			return;
		}
	}
	list_pump(l);
}

/* Goes on until it has to wait or the list has ended. False: l is gone or waits. */
static bool list_step(struct list *l)
{
	struct list_source *s;
	struct slice key;

	if (list_load(l))
		return false;
	if (!l->started && l->n && count_failed(l) == l->n) {
		list_all_failed(l);
		return false;
	}
	if (!l->started)
		list_begin_answer(l);
	if (l->out.n >= LIST_BATCH_BYTES && !list_flush(l)) {
		l->paused = true;
		return false;
	}
	s = list_smallest(l);
	if (!s) {
		list_end(l);
		return false;
	}
	key = list_source_key(s);
	if (!l->unverified && keys_board_dirty(&l->w->keys_board, keys_board_cell(key))) {
		l->lookup = repld_lookup(l->w->repld, key, on_located, l);
		return false;
	}
	if (!list_take(l, list_source_row(s), key)) {
		list_end(l);
		return false;
	}
	return true;
}

static void list_pump(struct list *l)
{
	if (l->paused)
		return;
	while (list_step(l))
		;
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
static void list_pick_sources(struct list *l, const struct op_list_args *args)
{
	const struct conf *conf = l->w->conf;
	struct route_site v[ROUTE_MAX];
	struct route_read read;
	size_t n = candidates_build(l->w, v), down = 0;
	char buf[200];

	route_read(v, n, policy_match(conf->rules, conf->n_rules, args->prefix, OP_READ), conf->routing.order, &read);
	l->n = read.n;
	l->v = xcalloc(l->n ? l->n : 1, sizeof(*l->v));
	for (size_t i = 0; i < l->n; i++)
		down += route_site_is_down(&v[read.order[i]]);
	for (size_t i = 0; i < l->n; i++) {
		const struct route_site *r = &v[read.order[i]];
		struct list_source *s = &l->v[i];

		s->id = r->conf->id;
		snprintf(s->name, sizeof(s->name), "%s", r->conf->name);
		s->more = true;
		s->loaded = on_loaded;
		s->arg = l;
		strbuf_add_slice(&s->after, args->start_after);
		if (down < l->n && route_site_is_down(r))
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
	strbuf_add_slice(&l->prefix, args->prefix);
	l->timer = evtimer_new(l->w->base, on_timer, l);
	gfs_assert(l->timer);
	req->op = l;
	req->on_abort = on_abort;
	req->on_drain = on_drain;
	list_pick_sources(l, args);
	list_pump(l);
}
