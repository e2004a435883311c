/* SPDX-License-Identifier: Apache-2.0 */
/* The progress line: percent, rate, time left, and never wider than the terminal. */
#include "config.h"

#include <criterion/criterion.h>
#include <string.h>

#include "cli/progress.h"

Test(progress, tells_percent_rate_and_time_left)
{
	struct progress p = {.label = "object k", .total = 100 << 20, .start_ms = 1000};
	char line[256];

	progress_line(&p, 25 << 20, 6000, 100, line, sizeof(line));
	cr_assert_str_eq(line, "object k  25% 25.0 MiB of 100.0 MiB, 5.0 MiB/s, 0:15 left");
	p.total = -1;
	progress_line(&p, 25 << 20, 6000, 100, line, sizeof(line));
	cr_assert_str_eq(line, "object k 25.0 MiB, 5.0 MiB/s");
}

Test(progress, what_was_there_before_does_not_count_for_the_rate)
{
	struct progress p = {.label = "k", .total = 2000, .first = 1000, .start_ms = 0};
	char line[256];

	progress_line(&p, 1500, 1000, 100, line, sizeof(line));
	cr_assert_str_eq(line, "k  75% 1.5 KiB of 2.0 KiB, 500 B/s, 0:01 left");
}

Test(progress, fits_the_terminal)
{
	struct progress p = {.label = "a/very/long/key/that/does/not/fit/into/the/line/of/this/terminal", .total = 1000};
	char line[256];

	for (int columns = 60; columns < 120; columns += 7) {
		progress_line(&p, 500, 1000, columns, line, sizeof(line));
		cr_assert_lt((int)strlen(line), columns);
	}
	progress_line(&p, 0, 0, 80, line, sizeof(line)); /* no division by zero */
}
