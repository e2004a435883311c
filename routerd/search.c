/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which site to ask next: the walk over the candidates, its passes and its timer. See search.h; search_plan.c makes the candidates,
 * search_judge.c says what their answers amount to, patience.c how long to wait.
 *
 * Passes: everybody once (FIRST); then older versions if any were met and may be served (OLD_ONES); retries of those that
 * failed, as far as configured (RETRY); those that were cut short because others were waiting, with all the time that is left
 * (PATIENT). In mid-body, the sites that broke off before come after the others (BROKEN).
 */
#include "config.h"

#include "search.h"

#include <event2/event.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"

static void search_next(struct search *s);

/* ---- the timer ---- */

static void timer_set(struct search *s, int64_t us)
{
	struct timeval tv = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};

	evtimer_add(&s->timer, &tv);
}

/* Goes on from the loop, so that an attempt that ends at once cannot nest. */
static void search_go_on(struct search *s, int64_t ms)
{
	s->hedge_us = 0;
	timer_set(s, ms * 1000);
}

/* For what comes first of what is awaited. */
static void search_arm(struct search *s)
{
	int64_t now_us = clock_mono_us(), at_us = s->hedge_us ? s->hedge_us : INT64_MAX;

	for (int i = 0; i < 2; i++) {
		if (s->tries[i].open && s->tries[i].end_ms * 1000 < at_us)
			at_us = s->tries[i].end_ms * 1000;
	}
	timer_set(s, at_us > now_us ? at_us - now_us : 0);
}

static bool any_open(const struct search *s)
{
	return s->tries[0].open || s->tries[1].open;
}

/* After an attempt has ended: the other one may still answer, else on with the walk. */
static void search_settle(struct search *s)
{
	if (any_open(s))
		search_arm(s);
	else
		search_go_on(s, 0);
}

/* ---- one attempt ---- */

static void site_failed(struct search_site *c, int err, const char *why)
{
	c->said = SEARCH_FAULT;
	c->err = err;
	snprintf(c->why, sizeof(c->why), "%s", why);
}

static void attempt_drop(struct attempt *a, bool expired)
{
	if (!a->open)
		return;
	a->open = false;
	a->s->cbs->drop(a, expired);
}

/* One line, and one more fall-back in the metrics; what is left out of a flood of them is counted in the next that is not. */
static void fault_log(struct search *s, const struct search_site *c)
{
	char q1[LOG_QUOTE_MAX], q2[LOG_QUOTE_MAX], more[WORKER_LOG_MORE];

	stats_add(s->w->stats, STAT_READ_FALLBACK, 1);
	if (worker_may_log(s->w, c->id, WORKER_LOG_READ_FAULT, more))
		log_info("event=read-fault site=%s key=%s why=%s%s", c->name, log_quote(q1, sizeof(q1), s->key),
		         log_quote(q2, sizeof(q2), slice_str(c->why)), more);
}

static void attempt_expire(struct attempt *a)
{
	struct search *s = a->s;

	site_failed(a->site, GFS_ERR_TIMEOUT, "timed out");
	fault_log(s, a->site);
	attempt_drop(a, true);
}

static void attempt_start(struct search *s, struct search_site *c, struct site *site, int64_t end_ms, bool hedge)
{
	struct attempt *a = s->tries[0].open ? &s->tries[1] : &s->tries[0];

	gfs_assert(!a->open);
	*a = (struct attempt){.s = s, .site = c, .open = true, .hedge = hedge, .end_ms = end_ms};
	if (s->cbs->ask(a, site) && !s->taken)
		search_arm(s);
}

/* ---- hedges ---- */

/* Who may be asked besides the site that is asked. Nobody while half of the sites are not well: they would carry the load twice. */
static struct search_site *hedge_target(struct search *s)
{
	struct search_site *best = NULL;
	size_t n_well = 0;

	for (size_t i = s->n; i-- > 0;) {
		n_well += s->v[i].well;
		if (i > s->at && s->v[i].well && s->v[i].said == SEARCH_UNASKED)
			best = &s->v[i];
	}
	return 2 * n_well > s->n ? best : NULL;
}

/* Not while it cannot be told whose copy is current: the first site is the best guess. */
static int64_t hedge_due_us(struct search *s, const struct search_site *c)
{
	int64_t wait_us = patience_hedge_us(c->p95_us);

	if (!s->w->conf->routing.hedge || s->pass != SEARCH_FIRST || s->mid_body || s->unverified || wait_us == 0 || !hedge_target(s))
		return 0;
	return clock_mono_us() + wait_us;
}

/* True when it was sent; s may be gone then. */
static bool hedge_send(struct search *s)
{
	int64_t now_ms = clock_mono_ms(), left = s->deadline_ms - now_ms, ms;
	struct search_site *c = hedge_target(s);
	struct site *site = c ? worker_site_by_id(s->w, c->id) : NULL;

	if (!site || left <= 0 || !hedge_budget_take(&s->w->hedges))
		return false;
	stats_add(s->w->stats, STAT_HEDGE_SENT, 1);
	ms = patience_ms(c->p95_us);
	c->cut_short = ms < left;
	attempt_start(s, c, site, now_ms + (ms < left ? ms : left), true);
	return true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct search *s = arg;
	int64_t now_us = clock_mono_us();

	(void)fd, (void)what;
	for (int i = 0; i < 2; i++) {
		if (s->tries[i].open && now_us >= s->tries[i].end_ms * 1000)
			attempt_expire(&s->tries[i]);
	}
	if (!any_open(s)) {
		s->hedge_us = 0;
		search_next(s);
		return;
	}
	if (s->hedge_us && now_us >= s->hedge_us) {
		s->hedge_us = 0;
		if (hedge_send(s))
			return;
	}
	search_arm(s);
}

/* ---- the walk ---- */

static bool pass_has(const struct search *s, const struct search_site *c, int64_t now_ms)
{
	switch (s->pass) {
	case SEARCH_FIRST:
		return c->said == SEARCH_UNASKED && !c->broke;
	case SEARCH_OLD_ONES:
		return c->said == SEARCH_OLDER;
	case SEARCH_PATIENT:
		return c->cut_short;
	case SEARCH_BROKEN:
		return c->said == SEARCH_UNASKED && c->broke;
	case SEARCH_RETRY:
		return c->said == SEARCH_FAULT && !c->cut_short && gfs_err_retryable(c->err) && c->not_before_ms <= now_ms;
	}
	return false;
}

static bool any_in_pass(struct search *s, enum search_pass pass)
{
	s->pass = pass;
	for (size_t i = 0; i < s->n; i++) {
		if (pass_has(s, &s->v[i], INT64_MAX))
			return true;
	}
	return false;
}

static bool has_older(const struct search *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].said == SEARCH_OLDER)
			return true;
	return false;
}

static unsigned cut_short_count(const struct search *s)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->v[i].cut_short;
	return n;
}

/* A site was left only because it was late: before older copies are served it is asked with more time. */
static bool late_ones_first(const struct search *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].cut_short && !s->v[i].down)
			return true;
	return false;
}

static int64_t backoff_ms(const struct search *s, unsigned n)
{
	uint64_t chance;

	/* by chance, so that clients do not come back together */
	evutil_secure_rng_get_bytes(&chance, sizeof(chance));
	return patience_retry_ms(s->w->conf, n, chance);
}

/* How long until the next round of retries: not before the first site that may be asked again wants it. -1: there is none. */
static int64_t retry_in_ms(struct search *s)
{
	const struct conf *conf = s->w->conf;
	int64_t now_ms = clock_mono_ms(), ready_ms = INT64_MAX, delay_ms;

	if (!conf->resilience.retry.enabled || s->rounds + 1 >= conf->resilience.retry.max_attempts)
		return -1;
	s->pass = SEARCH_RETRY;
	for (size_t i = 0; i < s->n; i++) {
		if (pass_has(s, &s->v[i], INT64_MAX) && s->v[i].not_before_ms < ready_ms)
			ready_ms = s->v[i].not_before_ms;
	}
	if (ready_ms == INT64_MAX)
		return -1;
	delay_ms = backoff_ms(s, s->rounds);
	return ready_ms > now_ms + delay_ms ? ready_ms - now_ms : delay_ms;
}

/* Every candidate of this pass was asked. */
static void pass_over(struct search *s)
{
	enum search_pass last = s->pass;
	int64_t left = s->deadline_ms - clock_mono_ms(), delay;
	bool patient = cut_short_count(s) > 0;

	s->at = SIZE_MAX;
	if (!s->mid_body && !s->only_current && last != SEARCH_OLD_ONES && any_in_pass(s, SEARCH_OLD_ONES)) {
		if (late_ones_first(s))
			s->pass = SEARCH_PATIENT;
		search_go_on(s, 0);
		return;
	}
	if (left <= 0 || (!s->mid_body && search_is_missing(s))) {
		search_conclude(s);
		return;
	}
	if (s->mid_body && last == SEARCH_FIRST && any_in_pass(s, SEARCH_BROKEN)) {
		delay = backoff_ms(s, 0);
		search_go_on(s, delay < left ? delay : 0);
		return;
	}
	delay = retry_in_ms(s);
	if (delay >= 0 && delay < left && (!patient || delay <= PATIENCE_MAX_MS)) {
		s->rounds++;
		s->pass = SEARCH_RETRY;
		search_go_on(s, delay);
		return;
	}
	if (patient) {
		s->pass = SEARCH_PATIENT;
		search_go_on(s, 0);
		return;
	}
	search_conclude(s);
}

/* As long as others wait to be asked no site holds up a read for much longer than it is used to; nor when an answer is there,
 * and it is only asked whether it has what nobody else has. */
static int64_t time_for(const struct search *s, struct search_site *c, int64_t now_ms)
{
	unsigned waiting = cut_short_count(s) - c->cut_short;
	int64_t left = s->deadline_ms - now_ms, ms = patience_ms(c->p95_us);
	bool others = waiting > 0 || (!s->mid_body && search_authority_lacks_it(s));

	c->cut_short = false;
	if (s->pass == SEARCH_PATIENT) {
		left /= waiting + 1;
		if (!has_older(s) || s->only_current)
			return left;
		return left / 2 < PATIENCE_MAX_MS ? left / 2 : PATIENCE_MAX_MS;
	}
	for (size_t i = s->at + 1; i < s->n; i++)
		others = others || (&s->v[i] != c && pass_has(s, &s->v[i], now_ms));
	if (!others || ms >= left)
		return left;
	c->cut_short = true;
	return ms;
}

static void search_ask(struct search *s, struct search_site *c, int64_t now_ms)
{
	struct site *site = worker_site_by_id(s->w, c->id);

	if (!site || s->deadline_ms <= now_ms) {
		site_failed(c, site ? GFS_ERR_TIMEOUT : GFS_ERR_NO_SUCH_SITE, site ? "not asked in time" : "removed");
		c->cut_short = false;
		search_go_on(s, 0);
		return;
	}
	s->hedge_us = hedge_due_us(s, c);
	attempt_start(s, c, site, now_ms + time_for(s, c, now_ms), false);
}

static void search_next(struct search *s)
{
	struct search_site *repeat = s->repeat;
	int64_t now_ms = clock_mono_ms();

	s->repeat = NULL;
	if (repeat) {
		search_ask(s, repeat, now_ms);
		return;
	}
	/* An answer of 404 that counts ends the search when the configuration says so. */
	if (s->w->conf->routing.on_missing == MISSING_AUTHORITATIVE && !s->mid_body && search_authority_lacks_it(s)) {
		search_conclude(s);
		return;
	}
	for (s->at++; s->at < s->n; s->at++) {
		/* A resting site is left alone when the others have said all there is to say; and no miss waits for one that is down. */
		if ((s->v[s->at].rests || s->v[s->at].down) && !s->mid_body && search_authority_lacks_it(s))
			continue;
		if (pass_has(s, &s->v[s->at], now_ms)) {
			search_ask(s, &s->v[s->at], now_ms);
			return;
		}
	}
	pass_over(s);
}

/* ---- begin and end ---- */

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
	evtimer_assign(&s->timer, w->base, on_timer, s);
	if (w->conf->routing.hedge)
		hedge_budget_earn(&w->hedges, w->conf->routing.hedge_share);
	if (keys_board_dirty(&w->keys_board, keys_board_cell(key))) {
		s->lookup = repld_lookup(w->repld, key, on_located, s);
		return;
	}
	search_plan(s, NULL);
	search_begin(s);
}

void search_stop(struct search *s)
{
	attempt_drop(&s->tries[0], false);
	attempt_drop(&s->tries[1], false);
	if (s->lookup)
		repld_lookup_cancel(s->w->repld, s->lookup);
	s->lookup = 0;
	evtimer_del(&s->timer);
	free(s->v);
	s->v = NULL;
	s->n = 0;
}

/* ---- answers ---- */

static bool may_serve(struct search *s, struct search_site *c, const struct object_info *info)
{
	bool older = !search_is_current(s, c, info), best_old = c->lagging && !has_older(s) && !late_ones_first(s);

	/* What is left of a deleted object is none, nor is what a write under way may just have deleted. */
	if (older && (s->deleted || (!s->decided && search_authority_lacks_it(s)))) {
		c->said = SEARCH_MISSING;
		return false;
	}
	/* Lagging sites come last: the first that has anything at all is the best of them. */
	if (older && (s->only_current || !(s->pass == SEARCH_OLD_ONES || best_old))) {
		c->said = SEARCH_OLDER;
		return false;
	}
	s->serves_stale = older;
	return true;
}

static bool may_go_on(const struct search *s, struct search_site *c, const struct object_info *info)
{
	if (search_same_version(&s->version, info))
		return true;
	c->said = SEARCH_OLDER;
	return false;
}

static void keep_version(struct search *s, const struct object_info *info)
{
	s->version.size = info->size;
	memcpy(s->version.etag, info->etag, sizeof(s->version.etag));
	s->version.gen = info->gen_tagged ? info->gen : (struct gen){0};
}

static void hedge_won(struct search *s)
{
	stats_add(s->w->stats, STAT_HEDGE_WON, 1);
	hedge_budget_won(&s->w->hedges);
}

bool search_offer(struct attempt *a, const struct object_info *info)
{
	struct search *s = a->s;
	struct attempt *other = a == &s->tries[0] ? &s->tries[1] : &s->tries[0];

	a->site->cut_short = false;
	if (!(s->mid_body ? may_go_on(s, a->site, info) : may_serve(s, a->site, info))) {
		attempt_drop(a, false);
		search_settle(s);
		return false;
	}
	if (a->hedge)
		hedge_won(s);
	attempt_drop(other, false);
	s->hedge_us = 0;
	evtimer_del(&s->timer);
	s->taken = a;
	if (!s->mid_body)
		keep_version(s, info);
	return true;
}

void search_again(struct attempt *a)
{
	struct search *s = a->s;

	attempt_drop(a, false);
	s->taken = NULL;
	s->repeat = a->site;
	search_go_on(s, 0);
}

static void note_fault(struct search *s, struct search_site *c, const struct site_result *r)
{
	site_failed(c, r->err, r->reason && r->reason[0] ? r->reason : gfs_err_text(r->err));
	c->not_before_ms = r->retry_after_s ? clock_mono_ms() + (int64_t)r->retry_after_s * 1000 : 0;
	fault_log(s, c);
}

void search_result(struct attempt *a, const struct site_result *r)
{
	struct search_site *c = a->site;

	a->open = false;
	c->cut_short = false;
	if (r->err == GFS_ERR_NO_SUCH_KEY)
		c->said = SEARCH_MISSING;
	else if (a->s->mid_body && (r->err == GFS_ERR_PRECONDITION || r->err == GFS_ERR_RANGE))
		c->said = SEARCH_OLDER;
	else
		note_fault(a->s, c, r);
	search_settle(a->s);
}

void search_take_over(struct attempt *a, uint64_t from, bool moved, const struct site_result *r)
{
	struct search *s = a->s;
	int64_t now_ms = clock_mono_ms();

	attempt_drop(a, false);
	s->taken = NULL;
	s->mid_body = true;
	s->pass = SEARCH_FIRST;
	s->at = SIZE_MAX;
	s->rounds = 0;
	s->deadline_ms = now_ms + s->w->conf->routing.read_deadline_ms;
	note_fault(s, a->site, r);
	a->site->broke = true;
	a->site->stuck_at = moved ? UINT64_MAX : from;
	for (size_t i = 0; i < s->n; i++) {
		struct search_site *c = &s->v[i];

		c->cut_short = false;
		if (c->stuck_at == from || c->not_before_ms > now_ms)
			c->said = SEARCH_FAULT;
		else
			c->said = SEARCH_UNASKED;
	}
	search_go_on(s, 0);
}

const char *search_site_name(const struct search *s)
{
	return s->taken ? s->taken->site->name : "";
}
