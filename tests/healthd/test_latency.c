/* SPDX-License-Identifier: Apache-2.0 */
/* The moving average and the percentile: what they follow, what they ignore, what they forget. */
#include "config.h"

#include <criterion/criterion.h>

#include "healthd/latency.h"

static void reads(struct latency *l, uint64_t us, size_t n, int64_t now_ms)
{
	uint64_t v[64];

	for (size_t i = 0; i < n; i++)
		v[i] = us;
	latency_add_reads(l, v, n, now_ms);
}

Test(latency, knows_nothing_at_first)
{
	struct latency l = {0};

	cr_assert_eq(latency_mean_us(&l), 0);
	cr_assert_eq(latency_p95_us(&l), 0);
	latency_add_reads(&l, NULL, 0, 5);
	cr_assert_eq(latency_mean_us(&l), 0);
	latency_add_probe(&l, 0, 5);
	cr_assert_eq(latency_mean_us(&l), 1, "0 means never measured");
}

Test(latency, average_follows_in_a_few_seconds)
{
	struct latency l = {0};

	latency_add_probe(&l, 1000, 0);
	cr_assert_eq(latency_mean_us(&l), 1000);
	for (int t = 100; t <= 6000; t += 100)
		reads(&l, 5000, 10, t);
	cr_assert(latency_mean_us(&l) > 4500 && latency_mean_us(&l) <= 5000, "%lld", (long long)latency_mean_us(&l));
	/* one old sample is not swept away by one new */
	latency_add_probe(&l, 1000, 1000000);
	cr_assert(latency_mean_us(&l) > 2500 && latency_mean_us(&l) < 3500, "%lld", (long long)latency_mean_us(&l));
}

Test(latency, a_time_out_weighs_on_the_average_only)
{
	struct latency l = {0};
	uint64_t late = 5000000;

	for (int t = 0; t < 30; t++)
		reads(&l, 1000, 1, t * 1000);
	latency_add_late(&l, &late, 1, 31000);
	cr_assert(latency_mean_us(&l) > 500000);
	cr_assert(latency_p95_us(&l) < 1200);
}

Test(latency, percentile_needs_samples_and_is_near)
{
	struct latency l = {0};

	reads(&l, 1000, 19, 0);
	cr_assert_eq(latency_p95_us(&l), 0);
	reads(&l, 1000, 1, 1);
	cr_assert(latency_p95_us(&l) >= 1000 && latency_p95_us(&l) < 1100, "%lld", (long long)latency_p95_us(&l));
	/* a twentieth is slow: just not yet the 95th percentile; a tenth is */
	reads(&l, 1000, 60, 2);
	reads(&l, 1000, 15, 2);
	reads(&l, 40000, 5, 3);
	cr_assert(latency_p95_us(&l) < 1100);
	reads(&l, 40000, 5, 4);
	cr_assert(latency_p95_us(&l) >= 40000 && latency_p95_us(&l) < 44000, "%lld", (long long)latency_p95_us(&l));
}

Test(latency, percentile_forgets)
{
	struct latency l = {0};

	for (int i = 0; i < 20; i++)
		reads(&l, 90000, 60, 1);
	for (int i = 0; i < 600; i++)
		reads(&l, 1000, 60, 2);
	cr_assert(latency_p95_us(&l) < 1100, "%lld", (long long)latency_p95_us(&l));
	/* what was found stays until there are samples enough to say something new */
	for (int minute = 1; minute < 20; minute++)
		reads(&l, 1000, 1, minute * 60000 + 5);
	cr_assert(latency_p95_us(&l) > 900 && latency_p95_us(&l) < 1100, "%lld", (long long)latency_p95_us(&l));
}

Test(latency, bears_nonsense)
{
	struct latency l = {0};
	uint64_t huge = UINT64_MAX;

	latency_add_reads(&l, &huge, 1, 0);
	latency_add_late(&l, &huge, 1, -5);
	latency_add_probe(&l, -7, 3);
	cr_assert(latency_mean_us(&l) > 0);
}
