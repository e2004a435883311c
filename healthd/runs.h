/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults in a row of one site, over all processes: pure. Batches of different processes arrive in any order; what tells is when a
 * thing happened, by the clock that all processes of a machine share. A good answer ends every run that began before it.
 */
#ifndef GFS_RUNS_H
#define GFS_RUNS_H

#include <stddef.h>
#include <stdint.h>

#define RUNS_MAX 16

struct run {
	int64_t from_us; /* of its first fault, monotonic */
	uint64_t faults, timeouts;
};

/* All zero: nothing is known. */
struct runs {
	int64_t good_us; /* the last good answer */
	struct run v[RUNS_MAX];
	size_t n;
};

/* When a peer says that something was: never later than now, or what it told would outlive all that comes. */
int64_t runs_when(uint64_t told_us, int64_t now_us);
void runs_add_good(struct runs *r, int64_t at_us);
void runs_add_faults(struct runs *r, const struct run *run); /* dropped when a good answer came later than it began */
uint64_t runs_faults(const struct runs *r);
uint64_t runs_timeouts(const struct runs *r);

#endif
