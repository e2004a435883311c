/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps one watch per site of the table, the order of the sites by latency, and the heartbeat of the board. */
#include "config.h"

#include "schedule.h"

#include <event2/event.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "watch.h"

#define SCHEDULE_ROUND_MS 1000

/* ---- the table ---- */

static struct watch **schedule_slot(struct watch **v, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] && v[i]->id == id)
			return &v[i];
	return NULL;
}

/* The watch of a site that is where it was goes on as it is; one that moved, or has other credentials, begins anew. */
static struct watch *schedule_watch(struct healthd *h, const struct site_conf *conf, struct watch **slot)
{
	struct watch *w = slot ? *slot : NULL;
	bool was_claimed = w && w->claimed;

	if (w && w->site && site_conf_same(site_conf_of(w->site), conf)) {
		*slot = NULL;
		w->conf = conf;
		w->claimed = was_claimed || conf->claimed;
		return w;
	}
	w = watch_create(h, conf, NULL);
	w->claimed = w->claimed || was_claimed;
	return w;
}

void schedule_sites(struct healthd *h)
{
	const struct site_table *t = h->proc->sites;
	struct watch **v = xcalloc(t->n ? t->n : 1, sizeof(*v)), **old = h->watches;
	size_t n_old = h->n_watches;

	h->env.namespace_id = t->namespace_id;
	for (size_t i = 0; i < t->n; i++)
		v[i] = schedule_watch(h, &t->v[i], schedule_slot(old, n_old, t->v[i].id));
	for (size_t i = 0; i < n_old; i++) {
		if (old[i] && !site_table_by_id(t, old[i]->id))
			sites_board_clear(&h->board, old[i]->id);
		watch_destroy(&old[i]);
	}
	free(old);
	h->watches = v;
	h->n_watches = t->n;
}

struct watch *schedule_find(const struct healthd *h, uint32_t id)
{
	struct watch **slot = schedule_slot(h->watches, h->n_watches, id);

	return slot ? *slot : NULL;
}

/* ---- timers ---- */

static void schedule_beat(evutil_socket_t fd, short what, void *arg)
{
	struct healthd *h = arg;

	(void)fd;
	(void)what;
	sites_board_beat(&h->board, clock_real_ms(), h->interval_ms);
}

static void schedule_round(evutil_socket_t fd, short what, void *arg)
{
	struct healthd *h = arg;
	struct nearest_site *v = xcalloc(h->n_watches ? h->n_watches : 1, sizeof(*v));

	(void)fd;
	(void)what;
	for (size_t i = 0; i < h->n_watches; i++)
		v[i] = (struct nearest_site){.id = h->watches[i]->id, .latency_us = latency_mean_us(&h->watches[i]->latency)};
	if (nearest_round(&h->nearest, v, h->n_watches)) {
		for (size_t i = 0; i < h->n_watches; i++)
			watch_publish(h->watches[i]);
	}
	for (size_t i = 0; i < h->n_watches; i++)
		if (nearest_challenges(&h->nearest, v[i].id))
			watch_probe_soon(h->watches[i]);
	free(v);
}

static struct event *schedule_every(struct healthd *h, int64_t ms, event_callback_fn cb)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	struct event *ev = event_new(h->proc->base, -1, EV_PERSIST, cb, h);

	gfs_assert(ev);
	event_add(ev, &tv);
	return ev;
}

/* ---- start and stop ---- */

static int by_place(const void *a, const void *b)
{
	const struct site_status *x = a, *y = b;

	return x->nearness < y->nearness ? -1 : x->nearness > y->nearness;
}

/* Rows of an earlier healthd that ended a moment ago hold good; what is older is forgotten before the heartbeat could make it
 * look fresh. Returns how many rows of rows[] there are, one per site at most. */
static size_t schedule_recall(struct healthd *h, struct site_status *rows)
{
	bool stale = sites_board_stale(&h->board, clock_real_ms());
	size_t n = 0;

	for (uint32_t id = 1; id < SITES_BOARD_MAX; id++) {
		if (!sites_board_get(&h->board, id, &rows[n]))
			continue;
		if (stale || !site_table_by_id(h->proc->sites, id))
			sites_board_clear(&h->board, id);
		else
			n++;
	}
	qsort(rows, n, sizeof(*rows), by_place);
	return n;
}

static void schedule_resume(struct healthd *h)
{
	const struct site_table *t = h->proc->sites;
	struct site_status *rows = xcalloc(SITES_BOARD_MAX, sizeof(*rows));
	size_t n = schedule_recall(h, rows);

	for (size_t i = 0; i < n; i++)
		if (rows[i].nearness > 0 && rows[i].latency_us > 0)
			h->nearest.v[h->nearest.n++] = (struct nearest_site){.id = rows[i].id, .latency_us = rows[i].latency_us};
	h->watches = xcalloc(t->n ? t->n : 1, sizeof(*h->watches));
	h->n_watches = t->n;
	for (size_t i = 0; i < t->n; i++) {
		const struct site_status *before = NULL;

		for (size_t k = 0; k < n && !before; k++)
			before = rows[k].id == t->v[i].id ? &rows[k] : NULL;
		h->watches[i] = watch_create(h, &t->v[i], before);
	}
	free(rows);
	log_info("event=sites n=%zu remembered=%zu", t->n, n);
}

void schedule_start(struct healthd *h)
{
	srandom((unsigned)(clock_mono_us() ^ h->proc->sites->epoch));
	h->env.namespace_id = h->proc->sites->namespace_id;
	schedule_resume(h);
	h->beat = schedule_every(h, h->interval_ms, schedule_beat);
	h->round = schedule_every(h, SCHEDULE_ROUND_MS, schedule_round);
	schedule_beat(-1, 0, h);
}

void schedule_stop(struct healthd *h)
{
	if (h->beat)
		event_free(h->beat);
	if (h->round)
		event_free(h->round);
	h->beat = h->round = NULL;
	for (size_t i = 0; i < h->n_watches; i++)
		watch_destroy(&h->watches[i]);
	free(h->watches);
	h->watches = NULL;
	h->n_watches = 0;
}
