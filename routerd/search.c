/* SPDX-License-Identifier: Apache-2.0 */
/* Which site to ask next, and what it means when none of them has the object: see search.h. */
#include "config.h"

#include "search.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"

/* While others wait to be asked, no site holds up a read for longer than this. */
#define SEARCH_IMPATIENCE_MS 5000

static void search_next(struct search *s);

static void timer_set(struct search *s, int64_t ms, bool is_attempt)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};

	s->timer_is_attempt = is_attempt;
	evtimer_add(s->timer, &tv);
}

/* Goes on from the loop, so that an attempt that ends at once cannot nest. */
static void search_go_on(struct search *s)
{
	timer_set(s, 0, false);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct search *s = arg;
	struct search_site *c;

	(void)fd, (void)what;
	if (s->timer_is_attempt) {
		c = &s->v[s->at];
		c->said = SEARCH_FAULT;
		c->err = GFS_ERR_TIMEOUT;
		snprintf(c->why, sizeof(c->why), "timed out");
		s->cbs->cancel(s->arg);
	}
	search_next(s);
}

static bool lists(const uint64_t *ids, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++) {
		if (ids[i] == id)
			return true;
	}
	return false;
}

/* Whose 404 counts: the sites that every acknowledged write is on. Under a rule that keeps reads away from all of those, the
 * ones it routes reads to. A site that joined later says nothing about what was written before; when all of them joined one by
 * one, the first has seen the most. */
static void mark_authoritative(struct search *s)
{
	bool any_sync = false, any_founder = false;
	uint32_t first_id = UINT32_MAX;

	for (size_t i = 0; i < s->n; i++)
		any_sync = any_sync || s->v[i].sync;
	for (size_t i = 0; i < s->n; i++) {
		const struct search_site *c = &s->v[i];

		if (any_sync && !c->sync)
			continue;
		any_founder = any_founder || !c->joined;
		first_id = c->id < first_id ? c->id : first_id;
	}
	for (size_t i = 0; i < s->n; i++) {
		struct search_site *c = &s->v[i];

		c->authoritative = (c->sync || !any_sync) && !c->lagging && (any_founder ? !c->joined : c->id == first_id);
	}
}

static void search_plan(struct search *s, const struct repld_location *loc)
{
	const struct conf *conf = s->w->conf;
	struct route_site v[ROUTE_MAX];
	struct route_write write;
	struct route_read read;
	size_t n = candidates_build(s->w, v);

	for (size_t i = 0; loc && i < n; i++)
		v[i].stale = lists(loc->stale_sites, loc->n_stale, v[i].conf->id);
	route_write(v, n, policy_match(conf->rules, conf->n_rules, s->key, OP_WRITE), conf->routing.write_min, &write);
	route_read(v, n, policy_match(conf->rules, conf->n_rules, s->key, OP_READ), conf->routing.order, &read);
	s->n = read.n;
	s->v = xcalloc(s->n ? s->n : 1, sizeof(*s->v));
	for (size_t i = 0; i < s->n; i++) {
		const struct route_site *r = &v[read.order[i]];

		s->v[i].id = r->conf->id;
		snprintf(s->v[i].name, sizeof(s->v[i].name), "%s", r->conf->name);
		s->v[i].lagging = r->stale;
		s->v[i].joined = r->conf->runtime;
		for (size_t k = 0; k < write.n_sync; k++)
			s->v[i].sync = s->v[i].sync || write.sync[k] == read.order[i];
	}
	mark_authoritative(s);
	s->at = SIZE_MAX;
}

static void search_fail(struct search *s, int err, const char *text)
{
	struct search_verdict v = {.err = err, .text = text, .retry_after_s = s->retry_after_s};

	if (gfs_err_retryable(err) && v.retry_after_s == 0)
		v.retry_after_s = 1;
	s->cbs->failed(s->arg, &v);
}

/* True when it is known that the object does not exist. */
static bool is_missing(const struct search *s)
{
	bool any_said_so = false, all_sync = true, any_sync = false;

	if (s->known && s->deleted)
		return true; /* and a newer write that is not decided is nowhere to be seen */
	for (size_t i = 0; i < s->n; i++) {
		const struct search_site *c = &s->v[i];

		if (c->said == SEARCH_OLDER)
			return false;
		any_said_so = any_said_so || (c->authoritative && c->said == SEARCH_MISSING);
		any_sync = any_sync || c->sync;
		all_sync = all_sync && (!c->sync || c->said == SEARCH_MISSING);
	}
	/* A write that is not decided yet makes every target lag; if all of them say that nothing was there before, so do we. */
	return any_said_so || (s->known && !s->decided && any_sync && all_sync);
}

static void search_conclude(struct search *s)
{
	struct strbuf text = STRBUF_INIT;
	bool all_timed_out = true;
	unsigned silent = 0, older = 0;

	if (is_missing(s)) {
		search_fail(s, GFS_ERR_NO_SUCH_KEY, NULL);
		return;
	}
	strbuf_adds(&text, "no answer from ");
	for (size_t i = 0; i < s->n; i++) {
		const struct search_site *c = &s->v[i];

		older += c->said == SEARCH_OLDER;
		if (c->said != SEARCH_FAULT)
			continue;
		strbuf_addf(&text, "%s%s (%s)", silent++ ? ", " : "", c->name, c->why);
		all_timed_out = all_timed_out && c->err == GFS_ERR_TIMEOUT;
	}
	if (silent == 0) {
		strbuf_reset(&text);
		strbuf_adds(&text, s->n == 0 ? "no site serves this key"
		                             : older ? "only older versions of it can be reached"
		                                     : "the sites that must have it cannot tell, others do not have it");
	}
	search_fail(s, silent && all_timed_out ? GFS_ERR_TIMEOUT : GFS_ERR_SITE_DOWN, strbuf_str(&text));
	strbuf_free(&text);
}

static bool pass_has(const struct search *s, const struct search_site *c)
{
	switch (s->pass) {
	case SEARCH_FIRST:
		return c->said == SEARCH_UNASKED;
	case SEARCH_OLD_ONES:
		return c->said == SEARCH_OLDER;
	case SEARCH_PATIENT:
		return c->cut_short;
	case SEARCH_RETRY:
		return c->said == SEARCH_FAULT;
	}
	return false;
}

static bool any_in_pass(struct search *s, enum search_pass pass)
{
	s->pass = pass;
	for (size_t i = 0; i < s->n; i++) {
		if (pass_has(s, &s->v[i]))
			return true;
	}
	return false;
}

static int64_t retry_delay_ms(const struct search *s)
{
	const struct conf *conf = s->w->conf;
	double ms = (double)conf->resilience.retry.initial_delay_ms;

	for (unsigned i = 1; i < s->rounds && ms < (double)conf->resilience.retry.max_delay_ms; i++)
		ms *= conf->resilience.retry.multiplier;
	if (ms > (double)conf->resilience.retry.max_delay_ms)
		ms = (double)conf->resilience.retry.max_delay_ms;
	/* Half fixed, half by chance, so that clients do not come back together. */
	return (int64_t)(ms / 2 + ms / 2 * (double)(clock_mono_us() % 1000) / 1000);
}

/* Every candidate of this pass was asked. */
static void pass_over(struct search *s)
{
	const struct conf *conf = s->w->conf;
	enum search_pass last = s->pass;
	int64_t left = s->deadline_ms - clock_mono_ms();

	s->at = SIZE_MAX;
	if (!s->only_current && last != SEARCH_OLD_ONES && any_in_pass(s, SEARCH_OLD_ONES)) {
		search_go_on(s);
		return;
	}
	if (is_missing(s) || left <= 0) {
		search_conclude(s);
		return;
	}
	if (last == SEARCH_FIRST && any_in_pass(s, SEARCH_PATIENT)) {
		search_go_on(s);
		return;
	}
	s->rounds++;
	if (conf->resilience.retry.enabled && s->rounds < conf->resilience.retry.max_attempts && any_in_pass(s, SEARCH_RETRY) &&
	    retry_delay_ms(s) < left) {
		timer_set(s, retry_delay_ms(s), false);
		return;
	}
	search_conclude(s);
}

static void search_ask(struct search *s, struct search_site *c)
{
	int64_t left = s->deadline_ms - clock_mono_ms();
	bool others = false;
	struct site *site = worker_site_by_id(s->w, c->id);

	if (!site || left <= 0) {
		c->said = SEARCH_FAULT;
		c->err = site ? GFS_ERR_TIMEOUT : GFS_ERR_NO_SUCH_SITE;
		snprintf(c->why, sizeof(c->why), "%s", site ? "not asked in time" : "removed");
		search_go_on(s);
		return;
	}
	for (size_t i = s->at + 1; i < s->n; i++)
		others = others || pass_has(s, &s->v[i]);
	c->cut_short = others && s->pass == SEARCH_FIRST && left > SEARCH_IMPATIENCE_MS;
	timer_set(s, c->cut_short ? SEARCH_IMPATIENCE_MS : left, true);
	s->cbs->ask(s->arg, site);
}

static void search_next(struct search *s)
{
	if (s->repeat) {
		s->repeat = false;
		search_ask(s, &s->v[s->at]);
		return;
	}
	/* An answer of 404 that counts ends the search when the configuration says so. */
	if (s->w->conf->routing.on_missing == MISSING_AUTHORITATIVE && s->at != SIZE_MAX && s->v[s->at].authoritative &&
	    s->v[s->at].said == SEARCH_MISSING) {
		search_conclude(s);
		return;
	}
	for (s->at++; s->at < s->n; s->at++) {
		if (pass_has(s, &s->v[s->at])) {
			search_ask(s, &s->v[s->at]);
			return;
		}
	}
	pass_over(s);
}

static void search_begin(struct search *s)
{
	if (s->known && s->decided && s->deleted) {
		search_fail(s, GFS_ERR_NO_SUCH_KEY, NULL);
		return;
	}
	if (s->unverified && s->only_current) {
		search_fail(s, GFS_ERR_UNAVAILABLE, "it cannot be told whether the sites hold the current version: repld does not answer");
		return;
	}
	search_next(s);
}

static void on_located(void *arg, int err, const struct repld_location *loc)
{
	struct search *s = arg;

	s->lookup = 0;
	s->unverified = err != GFS_OK;
	if (!s->unverified && loc->known) {
		s->known = true;
		s->decided = loc->decided;
		s->deleted = loc->deleted;
		s->gen = loc->gen;
		s->pending = loc->pending;
		memcpy(s->etag, loc->etag, sizeof(s->etag));
	}
	search_plan(s, s->known ? loc : NULL);
	search_begin(s);
}

void search_start(struct search *s, struct worker *w, struct slice key, bool only_current, const struct search_cbs *cbs, void *arg)
{
	memset(s, 0, sizeof(*s));
	s->w = w;
	s->key = key;
	s->only_current = only_current;
	s->cbs = cbs;
	s->arg = arg;
	s->deadline_ms = clock_mono_ms() + w->conf->routing.read_deadline_ms;
	s->timer = evtimer_new(w->base, on_timer, s);
	gfs_assert(s->timer);
	if (keys_board_dirty(&w->keys_board, keys_board_cell(key))) {
		s->lookup = repld_lookup(w->repld, key, on_located, s);
		return;
	}
	search_plan(s, NULL);
	search_begin(s);
}

void search_stop(struct search *s)
{
	if (s->lookup)
		repld_lookup_cancel(s->w->repld, s->lookup);
	s->lookup = 0;
	if (s->timer)
		event_free(s->timer);
	s->timer = NULL;
	free(s->v);
	s->v = NULL;
	s->n = 0;
}

/* Whether a copy is at least as new as what the journal decided, which counts while a newer write is not decided. A lagging site's
 * copy must then be of the newer write itself: that one may be acknowledged, its COMMIT on the way to repld. A copy without a tag
 * that has the decided bytes is the decided version as well: some stores lose metadata. */
static bool is_current(const struct search *s, const struct search_site *c, const struct object_info *info)
{
	if (!s->known)
		return true;
	if (!s->decided && c->lagging)
		return !gen_is_none(&s->pending) && gen_cmp(&info->gen, &s->pending) >= 0;
	if (gen_is_none(&s->gen))
		return true;
	return gen_cmp(&info->gen, &s->gen) >= 0 || (!s->deleted && info->etag[0] && strcmp(info->etag, s->etag) == 0);
}

static bool authority_lacks_it(const struct search *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].authoritative && s->v[i].said == SEARCH_MISSING)
			return true;
	return false;
}

bool search_offer(struct search *s, const struct object_info *info)
{
	struct search_site *c = &s->v[s->at];
	bool older = !is_current(s, c, info), first_old = true;

	/* What is left of a deleted object is none, nor is what a write under way may just have deleted. */
	if (older && (s->deleted || (!s->decided && authority_lacks_it(s)))) {
		c->said = SEARCH_MISSING;
		return false;
	}
	for (size_t i = 0; i < s->n; i++)
		first_old = first_old && s->v[i].said != SEARCH_OLDER;
	/* Lagging sites come last: the first that has anything at all is the best of them. */
	if (older && (s->only_current || !(s->pass == SEARCH_OLD_ONES || (c->lagging && first_old)))) {
		c->said = SEARCH_OLDER;
		return false;
	}
	s->serves_stale = older;
	evtimer_del(s->timer);
	return true;
}

void search_pass(struct search *s)
{
	search_go_on(s);
}

void search_again(struct search *s)
{
	s->repeat = true;
	search_go_on(s);
}

void search_result(struct search *s, const struct site_result *r)
{
	struct search_site *c = &s->v[s->at];
	char q1[LOG_QUOTE_MAX], q2[LOG_QUOTE_MAX];

	if (r->err == GFS_ERR_NO_SUCH_KEY) {
		c->said = SEARCH_MISSING;
	} else {
		c->said = SEARCH_FAULT;
		c->err = r->err;
		snprintf(c->why, sizeof(c->why), "%s", r->reason && r->reason[0] ? r->reason : gfs_err_text(r->err));
		if (r->retry_after_s > s->retry_after_s)
			s->retry_after_s = r->retry_after_s;
		stats_add(s->w->stats, STAT_READ_FALLBACK, 1);
		log_info("event=read-fault site=%s key=%s why=%s", c->name, log_quote(q1, sizeof(q1), s->key),
		         log_quote(q2, sizeof(q2), slice_str(c->why)));
	}
	c->cut_short = false;
	search_go_on(s);
}

const char *search_site_name(const struct search *s)
{
	return s->v[s->at].name;
}
