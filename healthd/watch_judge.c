/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a probe or a batch of outcomes means for a site: feeds verdict, breaker and latency, which are pure, with what came and
 * the time, logs what changed, and publishes the row. Called by watch.c and, for outcomes, by control.c.
 */
#include "config.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "watch.h"

/* A probe without an answer for so many times its average is late; one that took less than a second never is. */
#define WATCH_LATE_FACTOR 16
#define WATCH_LATE_MIN_MS 1000
/* A reader that gave up after so many times the average, and at least so long, may have met a hanging site; so may several, if
 * nobody got an answer meanwhile. */
#define WATCH_WAITED_FACTOR 4
#define WATCH_WAITED_US 200000
#define WATCH_GIVEN_UP 3

int64_t watch_late_ms(const struct watch *w)
{
	int64_t ms = (int64_t)(w->latency.probe_us * WATCH_LATE_FACTOR / 1000);

	if (ms < WATCH_LATE_MIN_MS)
		ms = WATCH_LATE_MIN_MS;
	return ms < w->h->timeout_ms ? ms : w->h->timeout_ms;
}

static void watch_reason(struct watch *w, int err, const char *reason)
{
	w->status.err = err;
	snprintf(w->status.reason, sizeof(w->status.reason), "%s", reason[0] || !err ? reason : gfs_err_text(err));
}

void watch_publish(struct watch *w)
{
	struct site_status *st = &w->status;
	int64_t left_ms = w->breaker.retry_ms - clock_mono_ms();

	st->state = w->verdict.state;
	st->fails = w->verdict.fails;
	st->circuit = w->breaker.state;
	st->retry_ms = w->breaker.state == CIRCUIT_OPEN ? clock_real_ms() + left_ms : 0;
	st->latency_us = latency_mean_us(&w->latency);
	st->p95_us = latency_p95_us(&w->latency);
	st->nearness = nearest_place(&w->h->nearest, w->id);
	sites_board_put(&w->h->board, st);
}

/* ---- state ---- */

static void watch_log_state(const struct watch *w, enum site_state old)
{
	char q[LOG_QUOTE_MAX];

	if (w->verdict.state == SITE_STATE_UP)
		log_info("event=state site=%s old=%s new=up latency_us=%" PRId64, w->conf->name, site_state_name(old),
			 latency_mean_us(&w->latency));
	else
		log_warn("event=state site=%s old=%s new=%s why=%s fails=%u", w->conf->name, site_state_name(old),
			 site_state_name(w->verdict.state), log_quote(q, sizeof(q), slice_str(w->status.reason)),
			 w->verdict.fails);
}

/* The verdict has changed from old to what it is now. */
static void watch_state_changed(struct watch *w, enum site_state old)
{
	w->status.changed_ms = clock_real_ms();
	watch_log_state(w, old);
}

/* ---- circuit ---- */

static void watch_retry_set(struct watch *w)
{
	int64_t ms = w->breaker.retry_ms - clock_mono_ms();
	struct timeval tv = {0};

	if (w->breaker.state != CIRCUIT_OPEN) {
		event_del(w->retry);
		return;
	}
	if (ms > 0) {
		tv.tv_sec = ms / 1000;
		tv.tv_usec = ms % 1000 * 1000;
	}
	event_add(w->retry, &tv);
}

static void watch_circuit(struct watch *w, const struct breaker *now, const char *why)
{
	enum circuit_state old = w->breaker.state;
	char q[LOG_QUOTE_MAX];

	w->breaker = *now;
	watch_retry_set(w);
	if (now->state == old)
		return;
	log_quote(q, sizeof(q), slice_str(why));
	if (now->state == CIRCUIT_OPEN)
		log_warn("event=circuit site=%s old=%s new=open why=%s cooldown_ms=%" PRId64, w->conf->name,
			 circuit_state_name(old), q, breaker_cooldown_ms(now, &w->h->breaker));
	else
		log_info("event=circuit site=%s old=%s new=%s why=%s", w->conf->name, circuit_state_name(old),
			 circuit_state_name(now->state), q);
	/* Faults of before do not open it again. */
	if (now->state == CIRCUIT_CLOSED)
		runs_add_good(&w->traffic.runs, clock_mono_us());
}

/* ---- what came ---- */

void watch_judge_probe(struct watch *w, int err, const char *reason, int64_t latency_us)
{
	int64_t now_ms = clock_mono_ms();
	struct verdict_probe p = {
		.err = err, .latency_us = latency_us, .slow_us = w->h->timeout_ms * 1000 / 2, .now_ms = now_ms,
	};
	enum site_state old = w->verdict.state;
	struct breaker b;

	w->verdict = verdict_after(w->verdict, &p);
	w->status.checked_ms = clock_real_ms();
	if (err) {
		w->probes_failed++;
		watch_reason(w, err, reason);
	} else {
		w->probes_good++;
		latency_add_probe(&w->latency, latency_us, now_ms);
		if (w->verdict.state == SITE_STATE_UP)
			watch_reason(w, GFS_OK, ""); /* nothing is known against it */
		else if (latency_us >= p.slow_us)
			watch_reason(w, GFS_OK, "answers slowly");
	}
	if (w->verdict.state != old)
		watch_state_changed(w, old);
	b = breaker_after_probe(w->breaker, &w->h->breaker, err == GFS_OK, now_ms);
	if (old == SITE_STATE_DOWN && w->verdict.state == SITE_STATE_UP)
		b = breaker_after_return(b, &w->h->breaker, now_ms);
	watch_circuit(w, &b, err ? w->status.reason : "the probe was answered");
	watch_publish(w);
}

static void watch_traffic_verdict(struct watch *w, const struct verdict_traffic *t, int err, const char *why)
{
	enum site_state old = w->verdict.state;

	w->verdict = verdict_after_traffic(w->verdict, t);
	if (w->verdict.state != old) {
		watch_reason(w, err, why);
		watch_state_changed(w, old);
	}
}

void watch_judge_late(struct watch *w)
{
	struct verdict_traffic t = {
		.run = runs_faults(&w->traffic.runs), .timeouts = runs_timeouts(&w->traffic.runs), .probe_late = true, .gave_up = true,
		.now_ms = clock_mono_ms(),
	};

	watch_traffic_verdict(w, &t, GFS_ERR_TIMEOUT, "neither readers nor a probe got an answer in good time");
	watch_publish(w);
}

void watch_judge_retry(struct watch *w)
{
	struct breaker b = breaker_after_time(w->breaker, clock_mono_ms());

	watch_circuit(w, &b, w->verdict.state == SITE_STATE_UP ? "its probes are answered: trying it" : "the cooldown is over");
	watch_publish(w);
	if (w->breaker.state == CIRCUIT_HALF_OPEN && !watch_is_asking(w))
		event_active(w->timer, EV_TIMEOUT, 0);
}

static void watch_add_up(struct watch_traffic *t, const struct msg_outcomes *m, bool gave_up)
{
	int64_t now_us = clock_mono_us();
	struct run run = {
		.from_us = m->has_run_from_us ? runs_when(m->run_from_us, now_us) : now_us, .faults = m->run, .timeouts = m->timeouts,
	};

	t->goods += m->goods;
	t->faults += m->faults;
	if (m->goods)
		runs_add_good(&t->runs, m->has_good_at_us ? runs_when(m->good_at_us, now_us) : now_us);
	runs_add_faults(&t->runs, &run);
	if (m->faults)
		t->fault_ms = clock_real_ms();
	if (m->timeouts || gave_up)
		t->trouble_ms = clock_mono_ms();
}

static bool watch_gave_up(const struct watch *w, const struct msg_outcomes *m)
{
	if (!m->has_given_up || !m->has_waited_us ||
	    m->waited_us / WATCH_WAITED_FACTOR < (uint64_t)latency_mean_us(&w->latency))
		return false;
	return m->waited_us >= WATCH_WAITED_US || (m->given_up >= WATCH_GIVEN_UP && m->goods == 0);
}

void watch_judge_outcomes(struct watch *w, const struct msg_outcomes *m)
{
	int64_t now_ms = clock_mono_ms();
	int err = m->has_err && m->err < 0 && m->err > -GFS_ORD_COUNT ? (int)m->err : GFS_ERR_SITE_ERROR;
	struct verdict_traffic t = {
		.goods = m->goods,
		.faults = m->faults,
		.gave_up = watch_gave_up(w, m),
		.connects_fail = err == GFS_ERR_CONNECT,
		.definite = verdict_err_is_definite(err),
		.now_ms = now_ms,
	};
	char why[sizeof(w->status.reason)];
	struct breaker b;

	watch_add_up(&w->traffic, m, t.gave_up);
	t.run = runs_faults(&w->traffic.runs);
	t.timeouts = runs_timeouts(&w->traffic.runs);
	latency_add_reads(&w->latency, m->first_us.v, m->has_first_us ? m->first_us.n : 0, now_ms);
	latency_add_late(&w->latency, m->late_us.v, m->has_late_us ? m->late_us.n : 0, now_ms);
	snprintf(why, sizeof(why), "%" PRIu64 " faults of requests in a row, the last: %.*s", t.run,
		 (int)(m->has_reason && m->reason.n < 120 ? m->reason.n : m->has_reason ? 120 : 0), m->has_reason ? m->reason.p : "");
	watch_traffic_verdict(w, &t, err, why);
	if (verdict_wants_probe(&w->verdict, &t))
		watch_probe_soon(w);
	b = breaker_after_faults(w->breaker, &w->h->breaker, t.run > UINT32_MAX ? UINT32_MAX : (unsigned)t.run, now_ms);
	watch_circuit(w, &b, why);
	watch_publish(w);
}

/* ---- start ---- */

void watch_restore(struct watch *w, const struct site_status *before)
{
	int64_t now_ms = clock_mono_ms(), now_real_ms = clock_real_ms(), left_ms;

	w->status.id = w->id;
	if (!before)
		return;
	w->status = *before;
	w->verdict.state = before->state <= SITE_STATE_DOWN ? (enum site_state)before->state : SITE_STATE_UNKNOWN;
	w->verdict.fails = before->fails;
	w->latency.mean_us = (double)before->latency_us;
	w->latency.mean_at_ms = now_ms;
	w->latency.p95_before_us = before->p95_us;
	if (!w->h->breaker.enabled || before->circuit == CIRCUIT_CLOSED)
		return;
	left_ms = before->circuit == CIRCUIT_OPEN ? before->retry_ms - now_real_ms : 0;
	if (left_ms > w->h->breaker.cooldown_ms << BREAKER_DOUBLINGS_MAX)
		left_ms = w->h->breaker.cooldown_ms;
	w->breaker = breaker_reopened(now_ms + left_ms, now_ms);
	watch_retry_set(w);
}
