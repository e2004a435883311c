/* SPDX-License-Identifier: Apache-2.0 */
/* Nearness as tables: rounds of latencies in us of the sites a, b, c (ids 1, 2, 3) and the order after each. */
#include "config.h"

#include <criterion/criterion.h>
#include <string.h>

#include "healthd/nearest.h"

#define ROUNDS 8

struct row {
	const char *name;
	struct {
		int64_t us[3];
		const char *order; /* NULL: the end */
	} rounds[ROUNDS];
};

static const struct row rows[] = {
	{"the first measure decides at once", {{{900, 500, 700}, "bca"}}},
	{"who was not measured has no place", {{{0, 500, 0}, "b"}, {{100, 500, 0}, "ab"}, {{100, 500, 300}, "acb"}}},
	{"who left goes", {{{900, 500, 700}, "bca"}, {{900, 0, 700}, "ca"}}},
	{"equal sites keep their places",
	 {{{1000, 1010, 0}, "ab"}, {{1100, 1000, 0}, "ab"}, {{1150, 950, 0}, "ab"}, {{1000, 1050, 0}, "ab"}, {{1200, 1000, 0}, "ab"}}},
	{"a fifth is not enough when it is a few microseconds",
	 {{{100, 110, 0}, "ab"}, {{250, 60, 0}, "ab"}, {{250, 60, 0}, "ab"}, {{250, 60, 0}, "ab"}, {{250, 60, 0}, "ab"}}},
	{"200 us are not enough when they are little of it",
	 {{{100000, 110000, 0}, "ab"}, {{100000, 90000, 0}, "ab"}, {{100000, 90000, 0}, "ab"}, {{100000, 90000, 0}, "ab"},
	  {{100000, 90000, 0}, "ab"}}},
	{"clearly faster three times in a row passes",
	 {{{1000, 2000, 0}, "ab"}, {{9000, 2000, 0}, "ab"}, {{9000, 2000, 0}, "ab"}, {{9000, 2000, 0}, "ba"}, {{9000, 2000, 0}, "ba"}}},
	{"a burst of noise does not",
	 {{{1000, 1000, 0}, "ab"}, {{9000, 1000, 0}, "ab"}, {{9000, 1000, 0}, "ab"}, {{1000, 1000, 0}, "ab"}, {{9000, 1000, 0}, "ab"},
	  {{9000, 1000, 0}, "ab"}, {{1000, 1000, 0}, "ab"}}},
	{"passes all the way, past one that it does not clearly beat",
	 {{{1000, 1100, 9000}, "abc"}, {{1500, 1300, 1100}, "abc"}, {{1500, 1300, 1100}, "abc"}, {{1500, 1300, 1100}, "cab"},
	  {{1500, 1300, 1100}, "cab"}}},
};

Test(nearest, follows_the_table)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct nearest order = {.n = 0};

		for (size_t j = 0; j < ROUNDS && rows[i].rounds[j].order; j++) {
			struct nearest_site v[3];
			char got[4] = "";

			for (uint32_t k = 0; k < 3; k++)
				v[k] = (struct nearest_site){.id = k + 1, .latency_us = rows[i].rounds[j].us[k]};
			nearest_round(&order, v, 3);
			for (size_t k = 0; k < order.n; k++) {
				got[k] = (char)('a' + order.v[k].id - 1);
				cr_assert_eq(nearest_place(&order, order.v[k].id), k + 1);
			}
			cr_assert_str_eq(got, rows[i].rounds[j].order, "%s: round %zu: %s", rows[i].name, j, got);
		}
	}
}

Test(nearest, says_who_challenges)
{
	struct nearest order = {.n = 0};
	struct nearest_site v[2] = {{.id = 1, .latency_us = 1000}, {.id = 2, .latency_us = 2000}};

	cr_assert(nearest_round(&order, v, 2));
	cr_assert_not(nearest_challenges(&order, 1) || nearest_challenges(&order, 2));
	v[0].latency_us = 9000;
	cr_assert_not(nearest_round(&order, v, 2));
	cr_assert(nearest_challenges(&order, 2) && !nearest_challenges(&order, 1));
	cr_assert_not(nearest_challenges(&order, 77));
	cr_assert_eq(nearest_place(&order, 77), 0);
}
