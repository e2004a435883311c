/* SPDX-License-Identifier: Apache-2.0 */
/* Waits of reads and the budget of hedges, by tables. */
#include "config.h"

#include <criterion/criterion.h>

#include "routerd/patience.h"

TestSuite(patience);

Test(patience, follows_the_p95_within_bounds)
{
	static const struct { int64_t p95_us, ms, hedge_us; } cases[] = {
		{0, 2000, 0}, {-1, 2000, 0}, {100, 500, 2000}, {2000, 500, 2000}, {31250, 500, 31250}, {50000, 800, 50000},
		{312500, 5000, 312500}, {1000000, 5000, 1000000}, {INT64_MAX, 5000, INT64_MAX},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(patience_ms(cases[i].p95_us), cases[i].ms, "row %zu: %lld", i, (long long)patience_ms(cases[i].p95_us));
		cr_assert_eq(patience_hedge_us(cases[i].p95_us), cases[i].hedge_us, "row %zu", i);
	}
}

Test(patience, every_delay_is_below_its_cap)
{
	static const struct { int64_t initial_ms, max_ms; double multiplier; unsigned n; int64_t most_ms; } cases[] = {
		{100, 2000, 2, 0, 100}, {100, 2000, 2, 1, 200}, {100, 2000, 2, 4, 1600}, {100, 2000, 2, 5, 2000},
		{100, 2000, 2, 1000000, 2000},
		{5000, 2000, 2, 0, 2000}, /* the first one too */
		{100, 2000, 1, 50, 100}, {100, 2000, 0, 50, 100}, {0, 2000, 2, 3, 0}, {100, 0, 2, 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf conf = {0};
		int64_t lowest = INT64_MAX, highest = -1;

		conf.resilience.retry.initial_delay_ms = cases[i].initial_ms;
		conf.resilience.retry.max_delay_ms = cases[i].max_ms;
		conf.resilience.retry.multiplier = cases[i].multiplier;
		for (uint64_t chance = 0; chance < 20000; chance++) {
			int64_t ms = patience_retry_ms(&conf, cases[i].n, chance);

			lowest = ms < lowest ? ms : lowest;
			highest = ms > highest ? ms : highest;
		}
		cr_assert_eq(lowest, 0, "row %zu: the jitter is full", i);
		cr_assert_eq(highest, cases[i].most_ms, "row %zu: %lld", i, (long long)highest);
	}
}

static unsigned taken(struct hedge_budget *b, double share, unsigned reads, bool win)
{
	unsigned n = 0;

	for (unsigned i = 0; i < reads; i++) {
		hedge_budget_earn(b, share);
		if (!hedge_budget_take(b))
			continue;
		n++;
		if (win)
			hedge_budget_won(b);
	}
	return n;
}

Test(patience, hedges_are_a_share_of_the_reads_and_a_few)
{
	struct hedge_budget b = {0};
	unsigned n = taken(&b, 0.05, 10000, true);

	cr_assert(n >= 500 && n <= 511, "%u", n);
	b = (struct hedge_budget){0};
	cr_assert_eq(taken(&b, 0, 10000, true), 0);
	b = (struct hedge_budget){0};
	n = taken(&b, 0.001, 10000, true);
	cr_assert(n >= 9 && n <= 11, "%u", n);
	b = (struct hedge_budget){0};
	cr_assert_eq(taken(&b, 1, 100, true), 100);
}

Test(patience, hedges_that_never_win_nearly_cease_and_come_back)
{
	struct hedge_budget b = {0};
	unsigned n = taken(&b, 0.05, 1000, false);

	cr_assert(hedge_budget_brownout(&b));
	cr_assert_lt(n, 35, "%u", n);
	n = taken(&b, 0.05, 10000, false);
	cr_assert(n >= 45 && n <= 55, "a tenth: %u", n);
	n = taken(&b, 0.05, 10000, true);
	cr_assert_not(hedge_budget_brownout(&b));
	cr_assert_gt(n, 350, "%u", n);
}
