/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is told how each site operation of a process ended: the process's site_env.observer points to observer below. One struct
 * per process (worker, repld, healthd). It counts per site in the stats board, and hands every event on to outcomes.
 */
#ifndef GFS_SITE_WATCHERS_H
#define GFS_SITE_WATCHERS_H

#include "site.h"

struct stats;

struct site_watchers {
	struct site_observer observer;        /* for site_env */
	struct stats *stats;                  /* borrowed */
	const struct site_observer *outcomes; /* borrowed, or NULL: what makes batches for healthd */
};

/* Borrows stats. outcomes is set by who makes one, at any time. */
void site_watchers_init(struct site_watchers *w, struct stats *stats);

#endif
