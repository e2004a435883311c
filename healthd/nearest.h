/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of the sites by measured latency: pure. A site passes another only when it is clearly faster (by a fifth and by 200
 * us) NEAREST_WINS rounds in a row: equal sites keep their places, and a burst of noise moves nobody.
 */
#ifndef GFS_NEAREST_H
#define GFS_NEAREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/board/sites_board.h"

#define NEAREST_WINS 3
#define NEAREST_CLEAR_US 200

struct nearest_site {
	uint32_t id;
	unsigned wins; /* rounds in a row in which it was clearly faster than a site before it */
	int64_t latency_us;
};

struct nearest {
	struct nearest_site v[SITES_BOARD_MAX]; /* nearest first */
	size_t n;
};

/* One round. v: every site with its latency, 0 when it was never measured (such have no place), in any order; ids are
 * unique. True when any place changed. */
bool nearest_round(struct nearest *order, const struct nearest_site *v, size_t n);
/* 1 is the nearest; 0 when it was never measured. */
uint32_t nearest_place(const struct nearest *order, uint32_t id);
/* It may pass another soon, so its latency should be measured. */
bool nearest_challenges(const struct nearest *order, uint32_t id);

#endif
