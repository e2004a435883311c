/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts as tables: a string of probes (g good, s good but slow, f failed, m marker missing) and the state after each. */
#include "config.h"

#include <criterion/criterion.h>
#include <string.h>

#include "healthd/verdict.h"

struct row {
	const char *probes;
	const char *states; /* one letter per probe: ? unknown, u up, d degraded, x down */
};

static const struct row rows[] = {
	{"g", "u"},
	{"ggg", "uuu"},
	{"gfg", "udd"},
	{"gfgg", "uddu"},
	{"gfff", "uddx"},
	{"gfffg", "uddxx"},
	{"gfffgg", "uddxxu"},
	{"gfffgfgg", "uddxxxxu"},
	{"gfgfgf", "uddddd"},
	{"gm", "ux"},
	{"gmgg", "uxxu"},
	{"m", "x"},
	{"fff", "??x"},
	{"ffg", "??u"},
	{"s", "d"},
	{"gsgg", "uddu"},
	{"mss", "xxd"},
};

static char letter(enum site_state s)
{
	return "?udx"[s];
}

Test(verdict, follows_the_table)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct verdict v = {0};

		for (size_t j = 0; rows[i].states[j]; j++) {
			char c = rows[i].probes[j];
			struct verdict_probe p = {
				.err = c == 'f' ? GFS_ERR_CONNECT : c == 'm' ? GFS_ERR_SITE_MARKER : GFS_OK,
				.latency_us = c == 's' ? 900 : 10,
				.slow_us = 500,
			};

			v = verdict_after(v, &p);
			cr_assert_eq(letter(v.state), rows[i].states[j], "%s at %zu: %c, not %c", rows[i].probes, j, letter(v.state),
				     rows[i].states[j]);
		}
	}
}
