/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which site's next row is worked on: pure. Small rows (deletes, checks, small objects) and large objects wait in lanes of
 * their own, so that one never starves the other; every site with work gets its share of all transfers.
 */
#ifndef GFS_REPLD_PLANNER_H
#define GFS_REPLD_PLANNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lane { LANE_SMALL, LANE_LARGE, LANE_COUNT };
#define PLANNER_LARGE_BYTES (8u << 20) /* objects above this go in the large lane */

struct planner_site {
	bool waiting[LANE_COUNT];      /* the lane has a row that is due */
	unsigned inflight[LANE_COUNT];
	enum lane last;                /* the lane that was served last */
	bool drained;                  /* by an operator: its rows wait */
	bool down;                     /* on the sites board: only one try now and then */
	bool retry_due;                /* the time for that try has come */
};

/* Picks the next (site, lane) to start under a limit over all sites; false when nothing may start. Among the sites that may,
 * the one with the least in flight is taken, the first of equals after `after` (so that equals take turns). */
bool planner_pick(const struct planner_site *v, size_t n, unsigned total, size_t after, size_t *site_out, enum lane *lane_out);
/* A site's share of total when `active` sites have work: at least 1. */
unsigned planner_share(unsigned total, unsigned active);
enum lane planner_lane(bool deleted, uint64_t size);

#endif
