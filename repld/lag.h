/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far each site lags behind, as gauges per site: the rows it lacks, and since when the oldest of them is waiting. The rows
 * are true at every moment. So is a lag of none, and that of the first row; when one of several rows goes, which is the oldest
 * now is asked of the journal within a second.
 */
#ifndef GFS_REPLD_LAG_H
#define GFS_REPLD_LAG_H

#include "queue.h"

void lag_account(struct repld *r, struct repl_site *rs); /* its counts have changed */
int lag_load(struct repld *r, struct repl_site *rs) GFS_MUST_USE; /* at start, before the journal's thread runs */
void lag_tick(struct repld *r);                          /* every second */

#endif
