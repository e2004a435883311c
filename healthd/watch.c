/* SPDX-License-Identifier: Apache-2.0 */
/* The watch over one site: see watch.h. Called by schedule.c; owns the open site, the probe in flight and the timers. */
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
/* However loud traffic complains, probes begin no closer to each other. */
#define WATCH_PROBE_GAP_MS 500
/* So long after a reader waited in vain a late probe counts as a sign of the same trouble. */
#define WATCH_TROUBLE_MS 10000

static void watch_timer_set(struct event *ev, int64_t ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};

	event_add(ev, &tv);
}

/* Interval with 10 % of jitter either way, so that many sites and many suites do not probe in step. */
static void watch_schedule(struct watch *w)
{
	int64_t ms = w->h->interval_ms;
	bool in_question = verdict_in_question(&w->verdict, w->status.err, clock_mono_ms()) ||
			   nearest_challenges(&w->h->nearest, w->id);

	if (in_question && ms > WATCH_RECHECK_MS)
		ms = WATCH_RECHECK_MS;
	ms += (random() % 201 - 100) * ms / 1000;
	watch_timer_set(w->timer, ms > 0 ? ms : 1);
}

bool watch_is_asking(const struct watch *w)
{
	return w->probe || w->claiming;
}

static int64_t watch_asked_ms_ago(const struct watch *w)
{
	return clock_mono_ms() - w->asked_us / 1000;
}

static bool watch_in_trouble(const struct watch *w)
{
	return w->traffic.trouble_ms && clock_mono_ms() - w->traffic.trouble_ms < WATCH_TROUBLE_MS;
}

/* Only while something is known against the site: one that is merely slow has until its deadline. */
static void watch_late_set(struct watch *w)
{
	int64_t left = w->late_ms - watch_asked_ms_ago(w);

	if (watch_in_trouble(w) || w->verdict.state == SITE_STATE_DEGRADED || w->verdict.state == SITE_STATE_DOWN)
		watch_timer_set(w->late, left > 0 ? left : 0);
}

void watch_probe_soon(struct watch *w)
{
	int64_t left = WATCH_PROBE_GAP_MS - watch_asked_ms_ago(w);

	if (watch_is_asking(w))
		watch_late_set(w);
	else
		watch_timer_set(w->timer, left > 0 ? left : 0);
}

static void watch_free(struct watch *w)
{
	struct event *const events[] = {w->timer, w->deadline, w->late, w->retry};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		event_free(events[i]);
	if (w->site)
		site_close(&w->site);
	free(w);
}

static void watch_conclude(struct watch *w, int err, const char *reason, int64_t latency_us)
{
	watch_judge_probe(w, err, reason, latency_us);
	watch_schedule(w);
}

static void watch_asked(struct watch *w)
{
	event_del(w->deadline);
	event_del(w->late);
}

static void watch_probed(void *arg, const struct site_result *r, int64_t latency_us)
{
	struct watch *w = arg;

	w->probe = NULL;
	watch_asked(w);
	watch_conclude(w, r->outcome == SITE_DONE ? GFS_OK : r->err, r->reason, latency_us);
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
	watch_asked(w);
	w->claimed = r->outcome == SITE_DONE;
	watch_conclude(w, r->outcome == SITE_DONE ? GFS_OK : r->err, r->reason, clock_mono_us() - w->started_us);
}

static void watch_ask(struct watch *w)
{
	w->asked_us = clock_mono_us();
	w->probe = site_probe(w->site, watch_probed, w);
	watch_late_set(w);
}

/* On a hung mount a probe holds a thread of the pool whether it is cancelled or not, and a second one would hold another, until
 * none is left for the other sites: there the probe goes on. A store is asked anew. */
static void watch_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	event_del(w->late);
	if (w->probe && w->conf->kind != SITE_KIND_FILE)
		site_op_expire(&w->probe);
	watch_conclude(w, GFS_ERR_TIMEOUT, "no answer to the probe in time", 0);
}

static void watch_late(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	if (!watch_is_asking(w))
		return;
	if (watch_in_trouble(w))
		watch_judge_late(w);
	/* What hangs may be only this connection, or hang on when the store is well again: it is asked anew, more patiently each time,
	 * until one of the answers or the deadline comes. */
	w->late_ms *= 2;
	if (w->probe && w->conf->kind != SITE_KIND_FILE) {
		site_op_cancel(&w->probe);
		watch_ask(w);
	}
}

static void watch_retry(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	watch_judge_retry(w);
}

static void watch_due(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	char why[sizeof(w->status.reason)];

	(void)fd;
	(void)what;
	if (watch_is_asking(w)) {
		watch_conclude(w, GFS_ERR_TIMEOUT, "still no answer to an earlier probe", 0);
		return;
	}
	if (!w->site) {
		snprintf(why, sizeof(why), "%s", w->status.reason); /* which the verdict writes again */
		watch_conclude(w, GFS_ERR_CONFIG, why, 0);
		return;
	}
	w->started_us = w->asked_us = clock_mono_us();
	w->late_ms = watch_late_ms(w);
	if (w->claimed) {
		watch_timer_set(w->deadline, w->h->timeout_ms);
		watch_ask(w);
	} else if (w->h->proc->supervisor) {
		watch_timer_set(w->deadline, w->h->timeout_ms);
		w->claiming = true;
		site_claim(w->site, watch_claimed, w);
	} else {
		/* Whoever writes a marker must be able to write down that it did. */
		watch_conclude(w, GFS_ERR_SITE_MARKER, "not claimed yet: routerd has to run once", 0);
	}
}

struct watch *watch_create(struct healthd *h, const struct site_conf *conf, const struct site_status *before)
{
	struct event_base *base = h->proc->base;
	struct watch *w = xcalloc(1, sizeof(*w));

	w->h = h;
	w->id = conf->id;
	w->conf = conf;
	w->claimed = conf->claimed;
	w->timer = evtimer_new(base, watch_due, w);
	w->deadline = evtimer_new(base, watch_deadline, w);
	w->late = evtimer_new(base, watch_late, w);
	w->retry = evtimer_new(base, watch_retry, w);
	gfs_assert(w->timer && w->deadline && w->late && w->retry);
	watch_restore(w, before);
	if (site_open(&h->env, conf, &w->site, w->status.reason, sizeof(w->status.reason)) != GFS_OK)
		w->site = NULL;
	if (before)
		watch_publish(w); /* what was not taken over is not to stand there either */
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
	watch_asked(w);
	event_del(w->timer);
	event_del(w->retry);
	w->ended = true;
	if (!w->claiming)
		watch_free(w);
}
