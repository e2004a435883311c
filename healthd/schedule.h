/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps one watch per site of the table, the order of the sites by latency, and the heartbeat of the board. */
#ifndef GFS_SCHEDULE_H
#define GFS_SCHEDULE_H

#include "healthd.h"

/* Brings the watches in line with the table: a site that stays as it is keeps its watch, rows of sites that left are cleared. */
void schedule_sites(struct healthd *h);
void schedule_start(struct healthd *h); /* with what the board still says, when it is fresh; heartbeat */
void schedule_stop(struct healthd *h);
struct watch *schedule_find(const struct healthd *h, uint32_t site_id); /* or NULL */

#endif
