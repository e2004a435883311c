/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of faults from several processes whose batches arrive in any order. */
#include "config.h"

#include <criterion/criterion.h>

#include "healthd/runs.h"

struct step {
	int64_t good_us, from_us; /* 0: none */
	uint64_t faults, timeouts;
	uint64_t in_a_row, late;
};

static const struct {
	const char *name;
	struct step steps[6];
} rows[] = {
	{"one process", {{0, 10, 2, 0, 2, 0}, {0, 20, 1, 1, 3, 1}, {30, 0, 0, 0, 0, 0}, {0, 40, 1, 0, 1, 0}}},
	{"a good one before its faults", {{10, 20, 3, 0, 3, 0}}},
	{"an early good one that is told late", {{0, 20, 2, 0, 2, 0}, {10, 30, 1, 0, 3, 0}}},
	{"a good one in the middle of another's run ends it", {{0, 20, 2, 0, 2, 0}, {25, 30, 1, 0, 1, 0}}},
	{"faults that are told after a later good one", {{50, 0, 0, 0, 0, 0}, {0, 40, 4, 4, 0, 0}, {0, 60, 1, 0, 1, 0}}},
	{"an older good one changes nothing", {{50, 60, 2, 0, 2, 0}, {40, 0, 0, 0, 2, 0}}},
};

Test(runs, follow_the_table)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct runs r = {.n = 0};

		for (size_t j = 0; j < 6; j++) {
			const struct step *s = &rows[i].steps[j];
			struct run run = {s->from_us, s->faults, s->timeouts};

			if (!s->good_us && !s->faults)
				break;
			if (s->good_us)
				runs_add_good(&r, s->good_us);
			runs_add_faults(&r, &run);
			cr_assert_eq(runs_faults(&r), s->in_a_row, "%s: step %zu: %lu", rows[i].name, j, runs_faults(&r));
			cr_assert_eq(runs_timeouts(&r), s->late, "%s: step %zu", rows[i].name, j);
		}
	}
}

Test(runs, are_bounded)
{
	struct runs r = {.n = 0};

	for (int i = 1; i <= 1000; i++)
		runs_add_faults(&r, &(struct run){i, 1, 1});
	cr_assert(r.n == RUNS_MAX && runs_faults(&r) == 1000 && runs_timeouts(&r) == 1000);
	runs_add_good(&r, 2000);
	cr_assert(r.n == 0 && runs_faults(&r) == 0);
}

/* A good answer of a time to come would hide every fault until then, a fault no good answer could end. */
Test(runs, no_peer_tells_of_the_future)
{
	struct runs r = {.n = 0};

	cr_assert(runs_when(40, 50) == 40 && runs_when(60, 50) == 50 && runs_when(UINT64_MAX, 50) == 50);
	runs_add_good(&r, runs_when(INT64_MAX, 50));
	runs_add_faults(&r, &(struct run){runs_when(UINT64_MAX, 60), 3, 0});
	cr_assert_eq(runs_faults(&r), 3);
	runs_add_good(&r, 61);
	cr_assert_eq(runs_faults(&r), 0);
}
