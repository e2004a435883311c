/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps one watch per site of the table, and the heartbeat of the board. */
#ifndef GFS_SCHEDULE_H
#define GFS_SCHEDULE_H

#include "healthd.h"

/* Brings the watches in line with the table: what is known of a site that stays is kept, rows of sites that left are cleared. */
void schedule_sites(struct healthd *h);
void schedule_start(struct healthd *h); /* heartbeat, then schedule_sites() */
void schedule_stop(struct healthd *h);

#endif
