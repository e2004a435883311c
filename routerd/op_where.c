/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /api/v1/where/KEY: every site's copy of a key, beside what repld knows of it and what a read would do. All sites are asked at
 * once, under one deadline; the read is a real search (find.h) whose object nobody sends, so that what is told is what happens.
 * A question of people: it counts in no statistics of reads.
 */
#include "config.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/http/fields.h"
#include "common/log.h"
#include "common/xalloc.h"

#include "find.h"
#include "ops.h"
#include "where.h"

#define WHERE_DEADLINE_MS 5000

/* One site's answer. */
struct where_head {
	struct where *where;
	struct site_op *op;
	uint32_t id;
	struct where_copy copy;
};

struct where {
	struct request *req;
	struct worker *w;
	char *key;
	size_t key_n;
	struct event *timer; /* also ends it from the loop */
	bool expired;
	unsigned waiting;
	struct where_head *heads;
	size_t n_heads;
	uint64_t lookup;
	struct where_known known;
	uint64_t stale_sites[ROUTE_MAX];
	struct find *find;
	char read_site[SITE_NAME_MAX];
	bool read_stale;
	char read_why[256]; /* when there is no site */
};

static struct slice where_key(const struct where *wh)
{
	return slice_of(wh->key, wh->key_n);
}

static struct request *where_detach(struct where *wh)
{
	struct request *req = wh->req;

	op_detach(req);
	if (wh->lookup)
		repld_lookup_cancel(wh->w->repld, wh->lookup);
	find_cancel(&wh->find);
	for (size_t i = 0; i < wh->n_heads; i++) {
		if (wh->heads[i].op && wh->expired)
			site_op_expire(&wh->heads[i].op);
		else
			site_op_cancel(&wh->heads[i].op);
	}
	return req;
}

static void where_free(struct where *wh)
{
	event_free(wh->timer);
	free(wh->heads);
	free(wh->key);
	free(wh);
}

static void on_abort(struct request *req)
{
	struct where *wh = req->op;

	where_detach(wh);
	where_free(wh);
}

/* ---- the answer ---- */

static void add_str(struct strbuf *out, const char *name, const char *value)
{
	strbuf_addf(out, "\"%s\":", name);
	if (value && *value)
		strbuf_add_json(out, slice_str(value));
	else
		strbuf_adds(out, "null");
}

static const char *tri(int v)
{
	return v < 0 ? "null" : v ? "true" : "false";
}

static const struct where_copy *copy_of(const struct where *wh, uint32_t id)
{
	static const struct where_copy never = {.present = -1, .error = "it joined while the others were asked"};

	for (size_t i = 0; i < wh->n_heads; i++)
		if (wh->heads[i].id == id)
			return &wh->heads[i].copy;
	return &never;
}

static void add_copy(const struct where_copy *c, struct strbuf *out)
{
	char gen[GEN_TEXT_MAX], date[32] = "";

	strbuf_addf(out, "\"copy\":{\"present\":%s,\"size\":", tri(c->present));
	if (c->present == 1) {
		strbuf_addf(out, "%" PRIu64 ",", c->size);
		http_rfc3339_format(c->mtime_ms, true, date);
	} else {
		strbuf_adds(out, "null,");
	}
	add_str(out, "etag", c->etag);
	strbuf_addc(out, ',');
	add_str(out, "generation", c->present != 1 ? NULL : c->tagged ? gen_format(&c->gen, gen) : "untagged");
	strbuf_addc(out, ',');
	add_str(out, "last_modified", date);
	strbuf_addc(out, ',');
	add_str(out, "error", c->error);
	strbuf_addc(out, '}');
}

/* What route.c said of all sites, now. */
struct routing {
	struct route_site v[ROUTE_MAX];
	size_t n;
	struct route_read read;
	const struct policy_rule *rule;
	unsigned place[ROUTE_MAX]; /* of v */
	bool target[ROUTE_MAX];    /* of v: writes go there */
	bool anywhere;             /* some site has a copy */
};

static void routing_make(const struct where *wh, struct routing *r)
{
	const struct conf *conf = wh->w->conf;
	struct route_write write;

	memset(r, 0, sizeof(*r));
	r->n = candidates_build(wh->w, r->v);
	for (size_t i = 0; i < r->n; i++) {
		for (size_t k = 0; k < wh->known.n_stale; k++)
			r->v[i].stale = r->v[i].stale || wh->stale_sites[k] == r->v[i].conf->id;
		r->anywhere = r->anywhere || copy_of(wh, r->v[i].conf->id)->present == 1;
	}
	r->rule = policy_match(conf->rules, conf->n_rules, where_key(wh), OP_READ);
	route_read(r->v, r->n, r->rule, conf->routing.order, &r->read);
	for (size_t i = 0; i < r->read.n; i++)
		r->place[r->read.order[i]] = (unsigned)i + 1;
	route_write(r->v, r->n, policy_match(conf->rules, conf->n_rules, where_key(wh), OP_WRITE), 0, &write);
	for (size_t i = 0; i < write.n_sync; i++)
		r->target[write.sync[i]] = true;
	for (size_t i = 0; i < write.n_async; i++)
		r->target[write.async[i]] = true;
}

static void explain(const struct where *wh, const struct routing *r, size_t i, struct strbuf *out)
{
	const struct route_site *site = &r->v[i];
	char reason[200], gen[GEN_TEXT_MAX];
	struct site_status st = {0};
	struct route_case c = {
		.site = site,
		.rule = r->rule,
		.order = wh->w->conf->routing.order,
		.place = r->place[i],
		.reason = candidates_reason(wh->w, site->conf->id, reason, sizeof(reason)),
		.lacks = gen_format(wh->known.decided ? &wh->known.gen : &wh->known.pending, gen),
		.currency_known = wh->known.err == GFS_OK,
	};

	if (sites_board_get(&wh->w->sites_board, site->conf->id, &st))
		c.retry_ms = st.retry_ms;
	route_explain(&c, out);
}

static void add_site(const struct where *wh, const struct routing *r, size_t i, struct strbuf *out)
{
	const struct route_site *site = &r->v[i];
	const struct where_copy *copy = copy_of(wh, site->conf->id);
	struct strbuf why = STRBUF_INIT;

	strbuf_adds(out, "{\"name\":");
	strbuf_add_json(out, slice_str(site->conf->name));
	strbuf_addf(out, ",\"id\":%" PRIu32 ",\"role\":\"%s\",\"state\":\"%s\",\"circuit_state\":\"%s\",\"drained\":%s,\"routed\":%s",
	            site->conf->id, site_role_name(site->conf->role), site_state_name(site->state), circuit_state_name(site->circuit),
	            site->conf->drained ? "true" : "false", r->place[i] ? "true" : "false");
	if (r->place[i])
		strbuf_addf(out, ",\"place\":%u,", r->place[i]);
	else
		strbuf_adds(out, ",\"place\":null,");
	explain(wh, r, i, &why);
	add_str(out, "why", strbuf_str(&why));
	strbuf_addf(out, ",\"current\":%s,", tri(where_current(&wh->known, copy, r->target[i] && r->anywhere)));
	add_copy(copy, out);
	strbuf_addc(out, '}');
	strbuf_free(&why);
}

/* Of the site that a read uses, or why there is none. */
static void add_read(const struct where *wh, const struct routing *r, struct strbuf *out)
{
	struct strbuf why = STRBUF_INIT;
	unsigned passed = 0;

	for (size_t i = 0; wh->read_site[0] && i < r->read.n; i++) {
		const struct route_site *site = &r->v[r->read.order[i]];

		if (strcmp(site->conf->name, wh->read_site) == 0)
			explain(wh, r, r->read.order[i], &why);
	}
	for (size_t i = 0; wh->read_site[0] && i < r->read.n; i++) {
		const struct route_site *site = &r->v[r->read.order[i]];
		const struct where_copy *copy = copy_of(wh, site->conf->id);

		if (strcmp(site->conf->name, wh->read_site) == 0)
			break;
		strbuf_addf(&why, "%s%s: %s", passed++ ? ", " : "; passed over ", site->conf->name,
		            copy->error[0] ? copy->error : copy->present == 0 ? "has it not" : "not the current version, or too slow");
	}
	if (wh->read_stale)
		strbuf_adds(&why, "; an older version, the current one cannot be had");
	strbuf_adds(out, "\"read\":{");
	add_str(out, "site", wh->read_site);
	strbuf_addc(out, ',');
	add_str(out, "why", wh->read_site[0] ? strbuf_str(&why) : wh->read_why);
	strbuf_addc(out, '}');
	strbuf_free(&why);
}

static void add_known(const struct where *wh, struct strbuf *out)
{
	const struct where_known *k = &wh->known;
	char gen[GEN_TEXT_MAX];

	strbuf_adds(out, "{\"key\":");
	strbuf_add_json(out, where_key(wh));
	strbuf_addf(out, ",\"known\":%s,\"deleted\":%s,\"decided\":%s,", tri(k->err ? -1 : k->known),
	            tri(k->err ? -1 : k->known && k->deleted), tri(k->err ? -1 : !k->known || k->decided));
	add_str(out, "generation", k->known ? gen_format(&k->gen, gen) : NULL);
	strbuf_addc(out, ',');
	add_str(out, "etag", k->known && !k->deleted ? k->etag : NULL);
	if (k->known && !k->deleted && !gen_is_none(&k->gen))
		strbuf_addf(out, ",\"size\":%" PRIu64 ",", k->size);
	else
		strbuf_adds(out, ",\"size\":null,");
	if (k->err) {
		add_str(out, "error", "repld does not answer: which copies are current is not known");
		strbuf_addc(out, ',');
	}
}

static void where_answer(struct where *wh)
{
	struct routing *r = xcalloc(1, sizeof(*r));
	struct strbuf out = STRBUF_INIT;
	struct request *req;
	size_t n = 0;

	routing_make(wh, r);
	add_known(wh, &out);
	add_str(&out, "rule", r->rule ? r->rule->name : NULL);
	strbuf_addc(&out, ',');
	add_read(wh, r, &out);
	strbuf_adds(&out, ",\"sites\":[");
	for (size_t i = 0; i < r->read.n; i++) {
		strbuf_adds(&out, n++ ? ",\n" : "\n");
		add_site(wh, r, r->read.order[i], &out);
	}
	for (size_t i = 0; i < r->n; i++) {
		if (r->place[i])
			continue;
		strbuf_adds(&out, n++ ? ",\n" : "\n");
		add_site(wh, r, i, &out);
	}
	strbuf_adds(&out, "]}\n");
	free(r);
	req = where_detach(wh);
	where_free(wh);
	response_json(req, 200, SLICE_LIT(""), strbuf_slice(&out));
	strbuf_free(&out);
}

/* ---- the questions ---- */

static void one_answered(struct where *wh)
{
	static const struct timeval now = {0};

	/* From the loop: this may be inside the callback of what is to be freed. */
	if (--wh->waiting == 0)
		evtimer_add(wh->timer, &now);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct where *wh = arg;

	(void)fd, (void)what;
	wh->expired = wh->waiting > 0;
	if (wh->find)
		snprintf(wh->read_why, sizeof(wh->read_why), "no answer within %d s", WHERE_DEADLINE_MS / 1000);
	if (wh->lookup)
		wh->known = (struct where_known){.err = GFS_ERR_TIMEOUT};
	where_answer(wh);
}

static void on_head(void *arg, const struct site_result *r, const struct object_info *info)
{
	struct where_head *h = arg;
	struct where_copy *c = &h->copy;

	h->op = NULL;
	c->error[0] = '\0';
	if (info) {
		*c = (struct where_copy){.present = 1, .tagged = info->gen_tagged, .size = info->size, .mtime_ms = info->mtime_ms,
		                         .gen = info->gen};
		memcpy(c->etag, info->etag, sizeof(c->etag));
	} else if (r->err == GFS_ERR_NO_SUCH_KEY) {
		c->present = 0;
	} else {
		snprintf(c->error, sizeof(c->error), "%s", r->reason && r->reason[0] ? r->reason : gfs_err_text(r->err));
	}
	one_answered(h->where);
}

static void on_located(void *arg, int err, const struct repld_location *loc)
{
	struct where *wh = arg;

	wh->lookup = 0;
	wh->known = (struct where_known){.err = err};
	if (!err && loc->known) {
		wh->known = (struct where_known){.known = true, .deleted = loc->deleted, .decided = loc->decided, .gen = loc->gen,
		                                 .pending = loc->pending, .size = loc->size};
		memcpy(wh->known.etag, loc->etag, sizeof(wh->known.etag));
		for (size_t i = 0; i < loc->n_stale && wh->known.n_stale < ROUTE_MAX; i++)
			wh->stale_sites[wh->known.n_stale++] = loc->stale_sites[i];
	}
	one_answered(wh);
}

static void on_found(void *arg, const struct search *s, const struct search_verdict *v, const struct object_info *info)
{
	struct where *wh = arg;

	if (info) {
		snprintf(wh->read_site, sizeof(wh->read_site), "%s", search_site_name(s));
		wh->read_stale = s->serves_stale;
	} else {
		snprintf(wh->read_why, sizeof(wh->read_why), "%s", v->text && v->text[0] ? v->text : gfs_err_text(v->err));
	}
	one_answered(wh);
}

void op_where(struct request *req, struct slice key)
{
	static const struct timeval deadline = {.tv_sec = WHERE_DEADLINE_MS / 1000};
	struct worker *w = req->worker;
	struct where *wh;

	req->op_name = "where";
	if (!op_check_key(req, key))
		return;
	wh = xcalloc(1, sizeof(*wh));
	wh->req = req;
	wh->w = w;
	wh->key = xmemdup(key.p, key.n);
	wh->key_n = key.n;
	wh->timer = evtimer_new(w->base, on_timer, wh);
	gfs_assert(wh->timer && evtimer_add(wh->timer, &deadline) == 0);
	req->op = wh;
	req->on_abort = on_abort;
	wh->n_heads = w->n_sites;
	wh->heads = xcalloc(w->n_sites ? w->n_sites : 1, sizeof(*wh->heads));
	wh->waiting = (unsigned)wh->n_heads + 2;
	for (size_t i = 0; i < wh->n_heads; i++) {
		struct where_head *h = &wh->heads[i];

		*h = (struct where_head){.where = wh, .id = w->sites[i].conf->id, .copy = {.present = -1, .error = "no answer in time"}};
		h->op = site_head(w->sites[i].site, where_key(wh), 0, on_head, h);
	}
	wh->lookup = repld_lookup(w->repld, where_key(wh), on_located, wh);
	find_start(&wh->find, w, where_key(wh), false, on_found, wh);
}
