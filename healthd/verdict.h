/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From probes and traffic to a state: pure. Hysteresis keeps one lost packet from taking a site away, and one lucky answer from
 * bringing an ill one back.
 *
 *   a definite answer (no such directory, no marker, another's marker, access denied) = down at once
 *   VERDICT_DOWN_FAILS failed probes in a row = down; before that = degraded
 *   VERDICT_UP_GOODS good probes in a row = up again; the very first good probe = up at once
 *   good but slow = degraded
 *   VERDICT_TRAFFIC_FAULTS faults of traffic in a row, or VERDICT_TRAFFIC_TIMEOUTS time-outs, or a time-out while a probe is
 *   late = degraded. Traffic takes a site no further than that; while it goes on failing, good probes do not count.
 *
 * Flaps are damped: from the third time on that a site stopped being up within VERDICT_WINDOW_MS, each doubles the good probes
 * that it takes to be up again, up to VERDICT_UP_GOODS_MAX.
 */
#ifndef GFS_VERDICT_H
#define GFS_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/board/sites_board.h"

#define VERDICT_DOWN_FAILS 3
#define VERDICT_UP_GOODS 2
#define VERDICT_UP_GOODS_MAX 32
#define VERDICT_TRAFFIC_FAULTS 3
#define VERDICT_TRAFFIC_TIMEOUTS 2
#define VERDICT_WINDOW_MS (10 * 60 * 1000)
#define VERDICT_FALLS_MAX 8

struct verdict {
	enum site_state state;
	unsigned fails, goods; /* probes in a row */
	unsigned n_falls;
	int64_t falls_ms[VERDICT_FALLS_MAX]; /* when it stopped being up, the last n_falls times, oldest first */
};

struct verdict_probe {
	int err;            /* 0 = good */
	int64_t latency_us; /* of a good probe */
	int64_t slow_us;    /* from here on a good probe counts as slow */
	int64_t now_ms;
};

/* What a batch of outcomes said. */
struct verdict_traffic {
	uint64_t goods, faults; /* in this batch */
	uint64_t run, timeouts; /* faults in a row up to now over all batches; how many of them were time-outs */
	bool gave_up;           /* a reader went elsewhere because the site did not answer in good time */
	bool connects_fail;     /* the last fault was a refused or lost connection */
	bool definite;          /* verdict_err_is_definite() of the last fault */
	bool probe_late;        /* a probe waits for its answer for far longer than usual */
	int64_t now_ms;
};

/* The verdict after one more probe, or after one more batch. */
struct verdict verdict_after(struct verdict before, const struct verdict_probe *p);
struct verdict verdict_after_traffic(struct verdict before, const struct verdict_traffic *t);
/* Reason enough to probe now instead of at the next interval. */
bool verdict_wants_probe(const struct verdict *v, const struct verdict_traffic *t);
/* Good probes in a row that it takes to be up again. */
unsigned verdict_goods_needed(const struct verdict *v, int64_t now_ms);
unsigned verdict_falls(const struct verdict *v, int64_t now_ms); /* within the window */
/* The next probes will change it, so they should come soon. */
bool verdict_in_question(const struct verdict *v, int last_err, int64_t now_ms);
/* An answer that will be the same the next time: no need to ask three times. */
bool verdict_err_is_definite(int err);

#endif
