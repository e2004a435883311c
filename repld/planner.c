/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses what to transfer next: see planner.h. Pure. */
#include "config.h"

#include "planner.h"

enum lane planner_lane(bool deleted, uint64_t size)
{
	return !deleted && size > PLANNER_LARGE_BYTES ? LANE_LARGE : LANE_SMALL;
}

unsigned planner_share(unsigned total, unsigned active)
{
	if (active == 0)
		active = 1;
	unsigned share = (total + active - 1) / active;

	return share ? share : 1;
}

static unsigned site_inflight(const struct planner_site *s)
{
	return s->inflight[LANE_SMALL] + s->inflight[LANE_LARGE];
}

static bool site_active(const struct planner_site *s)
{
	if (site_inflight(s) > 0)
		return true;
	return !s->drained && (!s->down || s->retry_due) && (s->waiting[LANE_SMALL] || s->waiting[LANE_LARGE]);
}

/* One place of a site's share is kept from large objects; with a share of one the lanes take turns. */
static bool site_lane(const struct planner_site *s, unsigned share, enum lane *lane_out)
{
	unsigned busy = site_inflight(s);
	bool small = s->waiting[LANE_SMALL], large = s->waiting[LANE_LARGE];

	if (s->drained || (s->down && (!s->retry_due || busy > 0)))
		return false;
	if (busy >= share || (!small && !large))
		return false;
	if (share > 1 && s->inflight[LANE_LARGE] >= share - 1)
		large = false;
	if (!small && !large)
		return false;
	*lane_out = small && (!large || s->last == LANE_LARGE) ? LANE_SMALL : LANE_LARGE;
	return true;
}

bool planner_pick(const struct planner_site *v, size_t n, unsigned total, size_t after, size_t *site_out, enum lane *lane_out)
{
	unsigned busy = 0, active = 0, best_busy = 0;
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		busy += site_inflight(&v[i]);
		active += site_active(&v[i]);
	}
	if (busy >= total)
		return false;
	unsigned share = planner_share(total, active);
	for (size_t k = 1; k <= n; k++) {
		size_t i = (after + k) % n;
		enum lane lane;

		if (!site_lane(&v[i], share, &lane))
			continue;
		if (found && site_inflight(&v[i]) >= best_busy)
			continue;
		found = true;
		best_busy = site_inflight(&v[i]);
		*site_out = i;
		*lane_out = lane;
	}
	return found;
}
