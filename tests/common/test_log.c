/* SPDX-License-Identifier: Apache-2.0 */
/* log: quoting, levels, one whole line per event in a file. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"

Test(log, values_are_quoted_when_they_need_it)
{
	static const struct {
		struct slice in;
		const char *out;
	} cases[] = {
		{{"a/b-c.d:e@f+g_1", 15}, "a/b-c.d:e@f+g_1"}, {{"", 0}, "\"\""}, {{"a b", 3}, "\"a b\""},
		{{"a\"\\b", 4}, "\"a\\\"\\\\b\""}, {{"x\n\0y", 4}, "\"x\\x0a\\x00y\""},
	};
	char q[LOG_QUOTE_MAX], big[2000];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_str_eq(log_quote(q, sizeof(q), cases[i].in), cases[i].out);
	memset(big, 'a', sizeof(big));
	log_quote(q, sizeof(q), slice_of(big, sizeof(big)));
	cr_assert_lt(strlen(q), sizeof(q));
	cr_assert_str_eq(q + strlen(q) - 4, "...\"");
	memset(big, '\n', sizeof(big));
	cr_assert_lt(strlen(log_quote(q, 16, slice_of(big, sizeof(big)))), 16);
}

Test(log, levels_parse)
{
	enum log_level level;

	cr_assert(log_parse_level(slice_str("warning"), &level) && level == LOG_LVL_WARN);
	cr_assert(log_parse_level(slice_str("DeBuG"), &level) && level == LOG_LVL_DEBUG);
	cr_assert_not(log_parse_level(slice_str("loud"), &level));
	cr_assert_not(log_parse_level(slice_str(""), &level));
}

Test(log, writes_whole_lines_and_reopens)
{
	char dir[] = "/tmp/gfs-test-XXXXXX", path[64], old[64], line[8192];
	FILE *f;
	size_t n;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log", dir);
	snprintf(old, sizeof(old), "%s/log.1", dir);
	cr_assert_eq(log_open("testd", path), 0);
	log_info("event=one text=a\nb");
	log_debug("event=hidden");
	cr_assert_eq(rename(path, old), 0);
	cr_assert_eq(log_reopen(), 0);
	log_warn("event=long text=%05000d", 1);
	f = fopen(old, "r");
	n = fread(line, 1, sizeof(line) - 1, f);
	line[n] = '\0';
	fclose(f);
	cr_assert_not_null(strstr(line, "Z testd["));
	cr_assert_not_null(strstr(line, "] INFO event=one text=a b\n"));
	cr_assert_null(strstr(line, "hidden"));
	f = fopen(path, "r");
	n = fread(line, 1, sizeof(line), f);
	fclose(f);
	cr_assert_eq(n, 4096);
	cr_assert_eq(memcmp(line + n - 4, "...\n", 4), 0);
	cr_assert_neq(log_open("testd", "/nonexistent/x"), 0);
	unlink(path);
	unlink(old);
	rmdir(dir);
}

Test(log, what_repeats_is_held_back_and_counted)
{
	struct log_limit l = {0};
	unsigned held_back;

	for (int i = 0; i < LOG_LIMIT_LINES; i++)
		cr_assert(log_limit_take(&l, 5000, &held_back) && held_back == 0, "line %d", i);
	for (int i = 0; i < 300; i++)
		cr_assert_not(log_limit_take(&l, 5000 + i, &held_back), "line %d more", i);
	cr_assert(log_limit_take(&l, 5000 + LOG_LIMIT_MS, &held_back));
	cr_assert_eq(held_back, 300);
	cr_assert(log_limit_take(&l, 5001 + LOG_LIMIT_MS, &held_back));
	cr_assert_eq(held_back, 0);
}
