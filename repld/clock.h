/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where generations come from: a hybrid logical clock that never goes back, not after kill -9 and not when the wall clock is
 * set back. What it hands out is always below a reserved maximum that is on disk already; repld extends the reservation in the
 * background before it is reached, and starts from it. Pure: the time is an argument, the disk is the caller's.
 */
#ifndef GFS_REPLD_CLOCK_H
#define GFS_REPLD_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/gen.h"

#define GEN_CLOCK_AHEAD_MS 5000            /* how far a reservation reaches */
#define GEN_CLOCK_FOREIGN_MS (5 * 60 * 1000) /* a foreign tag further ahead does not move our clock */

struct gen_clock {
	uint64_t last;     /* handed out or seen last */
	uint64_t reserved; /* on disk: everything handed out is below */
	uint64_t asked;    /* a reservation that is on its way to the disk, 0: none */
	char node[GEN_NODE_MAX + 1];
};

/* reserved: from the disk, 0 on the very first start. */
void gen_clock_init(struct gen_clock *c, const char *node, uint64_t reserved);
/* 0, or GFS_ERR_BUSY when the reservation is used up: extend it, then ask again. */
int gen_clock_next(struct gen_clock *c, int64_t now_ms, struct gen *out) GFS_MUST_USE;
bool gen_clock_ready(const struct gen_clock *c, int64_t now_ms); /* gen_clock_next() would succeed */
/* True when it is time to extend: write *reserve_out to the disk, then call gen_clock_reserved(). Once until that call. */
bool gen_clock_extend(struct gen_clock *c, int64_t now_ms, uint64_t *reserve_out);
void gen_clock_reserved(struct gen_clock *c, uint64_t reserved, bool written);
/* A generation that was met on a site: later ones of ours will be higher, unless it is absurd. False when it was ignored. */
bool gen_clock_observe(struct gen_clock *c, const struct gen *g, int64_t now_ms);

#endif
