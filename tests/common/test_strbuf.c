/* SPDX-License-Identifier: Apache-2.0 */
/* strbuf: growth, sticky failure, JSON strings. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/strbuf.h"

Test(strbuf, grows_and_formats)
{
	struct strbuf sb = STRBUF_INIT;
	int i;

	cr_assert_str_eq(strbuf_str(&sb), "");
	for (i = 0; i < 1000; i++)
		strbuf_addf(&sb, "%d,", i % 10);
	cr_assert_eq(sb.n, 2000);
	strbuf_addf(&sb, "%0300d", 7);
	cr_assert_eq(sb.n, 2300);
	cr_assert_eq(sb.p[sb.n], '\0');
	strbuf_truncate(&sb, 4);
	cr_assert_str_eq(strbuf_str(&sb), "0,1,");
	strbuf_add_hex(&sb, "\x00\xfe", 2);
	cr_assert_str_eq(strbuf_str(&sb), "0,1,00fe");
	strbuf_free(&sb);
}

Test(strbuf, failure_over_the_limit_is_sticky)
{
	struct strbuf sb;

	strbuf_init(&sb, 4);
	strbuf_adds(&sb, "abcd");
	cr_assert(!strbuf_failed(&sb));
	strbuf_addc(&sb, 'e');
	cr_assert(strbuf_failed(&sb));
	strbuf_truncate(&sb, 0);
	strbuf_adds(&sb, "x");
	cr_assert_str_eq(strbuf_str(&sb), "");
	cr_assert_null(strbuf_steal(&sb));
	cr_assert(!strbuf_failed(&sb));
	strbuf_adds(&sb, "abcde");
	cr_assert(strbuf_failed(&sb), "the limit outlives strbuf_free()");
	strbuf_free(&sb);
}

Test(strbuf, steal_of_an_empty_one_is_an_empty_string)
{
	struct strbuf sb = STRBUF_INIT;
	char *s = strbuf_steal(&sb);

	cr_assert_str_eq(s, "");
	free(s);
}

Test(strbuf, json_strings)
{
	static const struct {
		struct slice in;
		const char *out;
	} cases[] = {
		{{"", 0}, "\"\""},
		{{"a/b", 3}, "\"a/b\""},
		{{"q\"\\\n\t", 5}, "\"q\\\"\\\\\\n\\t\""},
		{{"\x01\x7f\0z", 4}, "\"\\u0001\\u007f\\u0000z\""},
		{{"h\xc3\xa9", 3}, "\"h\xc3\xa9\""},
		{{"\xf0\x9f\x98\x80", 4}, "\"\xf0\x9f\x98\x80\""},
		{{"a\xff" "b", 3}, "\"a\xef\xbf\xbd" "b\""},
		{{"\xc3", 1}, "\"\xef\xbf\xbd\""},
		{{"\xed\xa0\x80", 3}, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{{"\xc0\xaf", 2}, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct strbuf sb = STRBUF_INIT;

		strbuf_add_json(&sb, cases[i].in);
		cr_assert_str_eq(strbuf_str(&sb), cases[i].out, "case %zu: %s", i, strbuf_str(&sb));
		strbuf_free(&sb);
	}
}
