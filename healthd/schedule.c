/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps one watch per site of the table, and the heartbeat of the board. */
#include "config.h"

#include "schedule.h"

#include <event2/event.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "watch.h"

static struct watch *schedule_find(const struct healthd *h, uint32_t id)
{
	for (size_t i = 0; i < h->n_watches; i++)
		if (h->watches[i]->id == id)
			return h->watches[i];
	return NULL;
}

static void schedule_free(struct watch **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		watch_destroy(&v[i]);
	free(v);
}

void schedule_sites(struct healthd *h)
{
	const struct site_table *t = h->proc->sites;
	struct watch **v = xcalloc(t->n ? t->n : 1, sizeof(*v));
	struct watch **old = h->watches;
	size_t n_old = h->n_watches;

	h->env.namespace_id = t->namespace_id;
	for (size_t i = 0; i < t->n; i++)
		v[i] = watch_create(h, &t->v[i], schedule_find(h, t->v[i].id));
	for (size_t i = 0; i < n_old; i++)
		if (!site_table_by_id(t, old[i]->id))
			sites_board_clear(&h->board, old[i]->id);
	h->watches = v;
	h->n_watches = t->n;
	schedule_free(old, n_old);
}

static void schedule_beat(evutil_socket_t fd, short what, void *arg)
{
	struct healthd *h = arg;

	(void)fd;
	(void)what;
	sites_board_beat(&h->board, clock_real_ms(), h->interval_ms);
}

void schedule_start(struct healthd *h)
{
	struct timeval tv = {.tv_sec = h->interval_ms / 1000, .tv_usec = (h->interval_ms % 1000) * 1000};

	srandom((unsigned)(clock_mono_us() ^ h->proc->sites->epoch));
	h->beat = event_new(h->proc->base, -1, EV_PERSIST, schedule_beat, h);
	gfs_assert(h->beat);
	event_add(h->beat, &tv);
	schedule_beat(-1, 0, h);
	schedule_sites(h);
}

void schedule_stop(struct healthd *h)
{
	if (h->beat)
		event_free(h->beat);
	h->beat = NULL;
	schedule_free(h->watches, h->n_watches);
	h->watches = NULL;
	h->n_watches = 0;
}
