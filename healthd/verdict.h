/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From probes to a state: pure. Hysteresis keeps one lost packet from taking a site away, and one lucky answer from bringing an
 * ill one back.
 *
 *   a definite answer (no such directory, no marker, another's marker, access denied) = down at once
 *   VERDICT_DOWN_FAILS failures in a row = down; before that = degraded
 *   VERDICT_UP_GOODS good probes in a row = up again; the very first good probe = up at once
 *   good but slow = degraded
 */
#ifndef GFS_VERDICT_H
#define GFS_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/board/sites_board.h"

#define VERDICT_DOWN_FAILS 3
#define VERDICT_UP_GOODS 2

struct verdict {
	enum site_state state;
	unsigned fails, goods; /* in a row */
};

struct verdict_probe {
	int err;            /* 0 = good */
	int64_t latency_us; /* of a good probe */
	int64_t slow_us;    /* from here on a good probe counts as slow */
};

/* The verdict after one more probe. */
struct verdict verdict_after(struct verdict before, const struct verdict_probe *p);
/* An answer that will be the same the next time: no need to ask three times. */
bool verdict_err_is_definite(int err);

#endif
