/* SPDX-License-Identifier: Apache-2.0 */
/* The watch over one site: see watch.h. Called by schedule.c; owns the open site, the probe in flight and the two timers. */
#include "config.h"

#include "watch.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/stubs/supervisor_client.h"
#include "common/xalloc.h"

/* How soon a site is asked again while its state is in question. */
#define WATCH_RECHECK_MS 1000

static void watch_timer_set(struct event *ev, int64_t ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};

	event_add(ev, &tv);
}

/* Interval with 10 % of jitter either way, so that many sites and many suites do not probe in step. */
static void watch_schedule(struct watch *w)
{
	int64_t ms = w->h->interval_ms;
	bool in_question = w->verdict.state != SITE_STATE_UP && w->verdict.fails < VERDICT_DOWN_FAILS &&
			   !verdict_err_is_definite(w->status.err);

	if (w->verdict.state == SITE_STATE_DOWN && w->verdict.goods > 0)
		in_question = true;
	if (in_question && ms > WATCH_RECHECK_MS)
		ms = WATCH_RECHECK_MS;
	ms += (random() % 201 - 100) * ms / 1000;
	watch_timer_set(w->timer, ms > 0 ? ms : 1);
}

static void watch_log_change(const struct watch *w, enum site_state old)
{
	char q[LOG_QUOTE_MAX];

	if (w->verdict.state == SITE_STATE_UP)
		log_info("event=state site=%s old=%s new=up latency_us=%lld", w->conf->name, site_state_name(old),
			 (long long)w->status.latency_us);
	else
		log_warn("event=state site=%s old=%s new=%s why=%s fails=%u", w->conf->name, site_state_name(old),
			 site_state_name(w->verdict.state), log_quote(q, sizeof(q), slice_str(w->status.reason)),
			 w->verdict.fails);
}

static void watch_verdict(struct watch *w, int err, const char *reason, int64_t latency_us)
{
	struct verdict_probe p = {.err = err, .latency_us = latency_us, .slow_us = w->h->timeout_ms * 1000 / 2};
	enum site_state old = w->verdict.state;
	struct site_status *st = &w->status;
	int64_t now_ms = clock_real_ms();

	w->verdict = verdict_after(w->verdict, &p);
	st->state = w->verdict.state;
	st->fails = w->verdict.fails;
	st->checked_ms = now_ms;
	if (err == GFS_OK) {
		st->latency_us = latency_us;
		if (w->verdict.state == SITE_STATE_UP) {
			st->err = GFS_OK;
			st->reason[0] = '\0';
		}
	} else {
		st->err = err;
		snprintf(st->reason, sizeof(st->reason), "%s", reason[0] ? reason : gfs_err_text(err));
	}
	if (w->verdict.state != old) {
		st->changed_ms = now_ms;
		watch_log_change(w, old);
	}
	sites_board_put(&w->h->board, st);
	watch_schedule(w);
}

static void watch_free(struct watch *w)
{
	event_free(w->timer);
	event_free(w->deadline);
	if (w->site)
		site_close(&w->site);
	free(w);
}

static void watch_probed(void *arg, const struct site_result *r, int64_t latency_us)
{
	struct watch *w = arg;

	w->probe = NULL;
	event_del(w->deadline);
	watch_verdict(w, r->outcome == SITE_DONE ? GFS_OK : r->err, r->reason, latency_us);
}

static void watch_claimed(void *arg, const struct site_result *r)
{
	struct watch *w = arg;

	w->claiming = false;
	if (r->outcome == SITE_DONE) {
		if (w->h->proc->supervisor)
			supervisor_site_claimed(w->h->proc->supervisor, w->id);
		log_info("event=claimed site_id=%u", w->id);
	}
	if (w->ended) {
		watch_free(w);
		return;
	}
	event_del(w->deadline);
	w->claimed = r->outcome == SITE_DONE;
	watch_verdict(w, r->outcome == SITE_DONE ? GFS_OK : r->err, r->reason, clock_mono_us() - w->started_us);
}

/* The probe goes on: on a hung mount it holds a thread of the pool whether it is cancelled or not, and a second one would hold
 * another, until none is left for the other sites. */
static void watch_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	if (w->probe || w->claiming)
		watch_verdict(w, GFS_ERR_TIMEOUT, "no answer to the probe in time", 0);
}

static void watch_due(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	char why[sizeof(w->status.reason)];

	(void)fd;
	(void)what;
	if (w->probe || w->claiming) {
		watch_verdict(w, GFS_ERR_TIMEOUT, "still no answer to an earlier probe", 0);
		return;
	}
	if (!w->site) {
		snprintf(why, sizeof(why), "%s", w->status.reason); /* which the verdict writes again */
		watch_verdict(w, GFS_ERR_CONFIG, why, 0);
		return;
	}
	w->started_us = clock_mono_us();
	if (w->claimed) {
		watch_timer_set(w->deadline, w->h->timeout_ms);
		w->probe = site_probe(w->site, watch_probed, w);
	} else if (w->h->proc->supervisor) {
		watch_timer_set(w->deadline, w->h->timeout_ms);
		w->claiming = true;
		site_claim(w->site, watch_claimed, w);
	} else {
		/* Whoever writes a marker must be able to write down that it did. */
		watch_verdict(w, GFS_ERR_SITE_MARKER, "not claimed yet: routerd has to run once", 0);
	}
}

struct watch *watch_create(struct healthd *h, const struct site_conf *conf, const struct watch *before)
{
	struct watch *w = xcalloc(1, sizeof(*w));

	w->h = h;
	w->id = conf->id;
	w->conf = conf;
	w->claimed = conf->claimed || (before && before->claimed);
	if (before) {
		w->verdict = before->verdict;
		w->status = before->status;
	}
	w->status.id = conf->id;
	w->status.circuit = CIRCUIT_CLOSED;
	w->timer = evtimer_new(h->proc->base, watch_due, w);
	w->deadline = evtimer_new(h->proc->base, watch_deadline, w);
	gfs_assert(w->timer && w->deadline);
	if (site_open(&h->env, conf, &w->site, w->status.reason, sizeof(w->status.reason)) != GFS_OK)
		w->site = NULL;
	watch_timer_set(w->timer, 0);
	return w;
}

void watch_destroy(struct watch **w_io)
{
	struct watch *w = *w_io;

	*w_io = NULL;
	if (!w)
		return;
	site_op_cancel(&w->probe);
	event_del(w->timer);
	event_del(w->deadline);
	w->ended = true;
	if (!w->claiming)
		watch_free(w);
}
