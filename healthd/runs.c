/* SPDX-License-Identifier: Apache-2.0 */
/* Faults in a row over all processes: see runs.h. */
#include "config.h"

#include "runs.h"

int64_t runs_when(uint64_t told_us, int64_t now_us)
{
	return told_us < (uint64_t)now_us ? (int64_t)told_us : now_us;
}

void runs_add_good(struct runs *r, int64_t at_us)
{
	size_t kept = 0;

	if (at_us <= r->good_us)
		return;
	r->good_us = at_us;
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].from_us >= at_us)
			r->v[kept++] = r->v[i];
	r->n = kept;
}

void runs_add_faults(struct runs *r, const struct run *run)
{
	struct run *last;

	if (run->faults == 0 || run->from_us < r->good_us)
		return;
	if (r->n < RUNS_MAX) {
		r->v[r->n++] = *run;
		return;
	}
	/* One more for the newest; a good answer in between would have ended both or neither, near enough. */
	last = &r->v[RUNS_MAX - 1];
	last->faults += run->faults;
	last->timeouts += run->timeouts;
	if (run->from_us < last->from_us)
		last->from_us = run->from_us;
}

uint64_t runs_faults(const struct runs *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->v[i].faults;
	return n;
}

uint64_t runs_timeouts(const struct runs *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->v[i].timeouts;
	return n;
}
