/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of dates, ranges and conditionals. */
#include "config.h"

#include <criterion/criterion.h>

#include "common/http/fields.h"

#define SUN_06_NOV_1994 784111777000

Test(http_date, formats)
{
	static const struct {
		int64_t ms;
		const char *http, *rfc3339;
	} cases[] = {
		{SUN_06_NOV_1994, "Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000Z"},
		{0, "Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00.000Z"},
		{-1, "Wed, 31 Dec 1969 23:59:59 GMT", "1969-12-31T23:59:59.999Z"},
		{951782400123, "Tue, 29 Feb 2000 00:00:00 GMT", "2000-02-29T00:00:00.123Z"},
		{4107542400000, "Mon, 01 Mar 2100 00:00:00 GMT", "2100-03-01T00:00:00.000Z"},
		{253402300799999, "Fri, 31 Dec 9999 23:59:59 GMT", "9999-12-31T23:59:59.999Z"},
		{INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT", "9999-12-31T23:59:59.000Z"},
		{INT64_MIN, "Sat, 01 Jan 0000 00:00:00 GMT", "0000-01-01T00:00:00.000Z"},
	};
	char buf[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		http_date_format(cases[i].ms, buf);
		cr_assert_str_eq(buf, cases[i].http);
		http_rfc3339_format(cases[i].ms, true, buf);
		cr_assert_str_eq(buf, cases[i].rfc3339);
	}
	http_rfc3339_format(SUN_06_NOV_1994, false, buf);
	cr_assert_str_eq(buf, "1994-11-06T08:49:37Z");
}

Test(http_date, reads_all_three_forms)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{"Sun, 06 Nov 1994 08:49:37 GMT", SUN_06_NOV_1994},
		{"Sunday, 06-Nov-94 08:49:37 GMT", SUN_06_NOV_1994},
		{"Sun Nov  6 08:49:37 1994", SUN_06_NOV_1994},
		{"Thu, 31 Dec 1998 23:59:60 GMT", 915148800000},
		{"Wed, 31 Dec 1969 23:59:59 GMT", -1000},
		{"Monday, 01-Jan-69 00:00:00 GMT", 3124224000000},
	};
	static const char *const bad[] = {
		"", "Sun", "Sun,", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 29 Feb 1900 00:00:00 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC", "784111777", "Sun Nov 06 08:49:37 94",
		"Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
	};
	int64_t ms;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(http_date_parse(slice_str(cases[i].text), &ms), 0, "%s", cases[i].text);
		cr_assert_eq(ms, cases[i].ms, "%s", cases[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(http_date_parse(slice_str(bad[i]), &ms), GFS_ERR_INVALID, "%s", bad[i]);
}

Test(http_date, every_day_goes_there_and_back)
{
	char buf[32];
	int64_t ms;

	for (int64_t day = -100000; day < 200000; day += 7) {
		http_date_format(day * 86400000, buf);
		cr_assert_eq(http_date_parse(slice_str(buf), &ms), 0, "%s", buf);
		cr_assert_eq(ms, day * 86400000, "%s", buf);
		http_rfc3339_format(day * 86400000 + 7, true, buf);
		cr_assert_eq(http_rfc3339_parse(slice_str(buf), &ms), 0, "%s", buf);
		cr_assert_eq(ms, day * 86400000 + 7, "%s", buf);
	}
}

Test(http_rfc3339, reads)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{"1994-11-06T08:49:37Z", SUN_06_NOV_1994},
		{"1994-11-06t08:49:37.5z", SUN_06_NOV_1994 + 500},
		{"1994-11-06T08:49:37.123456789Z", SUN_06_NOV_1994 + 123},
		{"1994-11-06T09:49:37+01:00", SUN_06_NOV_1994},
		{"1994-11-06 08:19:37-00:30", SUN_06_NOV_1994},
	};
	static const char *const bad[] = {"", "1994-11-06", "1994-11-06T08:49:37", "1994-11-06T08:49:37.Z", "1994-13-06T08:49:37Z",
	                                  "1994-11-06T08:49:37+0100", "1994-11-06T08:49:37Zx", "1994-11-06T08:49:37+24:00"};
	int64_t ms;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(http_rfc3339_parse(slice_str(cases[i].text), &ms), 0, "%s", cases[i].text);
		cr_assert_eq(ms, cases[i].ms, "%s", cases[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(http_rfc3339_parse(slice_str(bad[i]), &ms), GFS_ERR_INVALID, "%s", bad[i]);
}

Test(http_range, parses_and_resolves)
{
	static const struct {
		const char *value;
		uint64_t size;
		bool ok;
		uint64_t off, len;
	} cases[] = {
		{"bytes=0-0", 10, true, 0, 1},
		{"bytes=0-9", 10, true, 0, 10},
		{"bytes=0-10", 10, true, 0, 10},
		{"bytes=9-", 10, true, 9, 1},
		{"bytes=10-", 10, false, 0, 0},
		{"bytes=10-20", 10, false, 0, 0},
		{"bytes=-3", 10, true, 7, 3},
		{"bytes=-30", 10, true, 0, 10},
		{"bytes=-0", 10, false, 0, 0},
		{"bytes=-1", 0, false, 0, 0},
		{"bytes=0-", 0, false, 0, 0},
		{" BYTES= 2-3 ", 10, true, 2, 2},
		{"bytes=0-99999999999999999999999", 10, true, 0, 10},
		{"bytes=99999999999999999999999-", 10, false, 0, 0},
		{"bytes=-18446744073709551616", 10, true, 0, 10},
		{"bytes=0-18446744073709551615", UINT64_MAX, true, 0, UINT64_MAX},
		/* ignored: the whole */
		{"", 10, true, 0, 10},
		{"bytes", 10, true, 0, 10},
		{"bytes=", 10, true, 0, 10},
		{"bytes=-", 10, true, 0, 10},
		{"bytes=5-4", 10, true, 0, 10},
		{"bytes=0-1,3-4", 10, true, 0, 10},
		{"bytes=a-b", 10, true, 0, 10},
		{"bytes=1", 10, true, 0, 10},
		{"bytes=1-2x", 10, true, 0, 10},
		{"bytes=+1-2", 10, true, 0, 10},
		{"items=0-1", 10, true, 0, 10},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_range r;
		uint64_t off, len;

		http_range_parse(slice_str(cases[i].value), &r);
		cr_assert_eq(http_range_resolve(&r, cases[i].size, &off, &len), cases[i].ok, "%s", cases[i].value);
		if (cases[i].ok) {
			cr_assert_eq(off, cases[i].off, "%s", cases[i].value);
			cr_assert_eq(len, cases[i].len, "%s", cases[i].value);
		}
	}
}

#define OLDER "Sun, 06 Nov 1994 08:49:36 GMT"
#define SAME "Sun, 06 Nov 1994 08:49:37 GMT"
#define NEWER "Sun, 06 Nov 1994 08:49:38 GMT"

Test(http_conditions, follow_the_order_of_the_rfc)
{
	enum { P = HTTP_COND_PASS, N = HTTP_COND_NOT_MODIFIED, F = HTTP_COND_FAILED };
	/* expected: read of an existing object, write to an existing one, read of an absent one, write to an absent one */
	static const struct {
		const char *match, *none_match, *modified, *unmodified;
		int read, write, read_absent, write_absent;
	} cases[] = {
		{NULL, NULL, NULL, NULL, P, P, P, P},
		{"\"e\"", NULL, NULL, NULL, P, P, F, F},
		{"\"x\"", NULL, NULL, NULL, F, F, F, F},
		{"\"x\", \"e\"", NULL, NULL, NULL, P, P, F, F},
		{"W/\"e\"", NULL, NULL, NULL, F, F, F, F},
		{"e", NULL, NULL, NULL, P, P, F, F},
		{"*", NULL, NULL, NULL, P, P, F, F},
		{"", NULL, NULL, NULL, F, F, F, F},
		{"\"e", NULL, NULL, NULL, F, F, F, F},
		{NULL, "\"e\"", NULL, NULL, N, F, P, P},
		{NULL, "W/\"e\"", NULL, NULL, N, F, P, P},
		{NULL, "\"x\",,W/\"y\" , \"e\"", NULL, NULL, N, F, P, P},
		{NULL, "\"x\"", NULL, NULL, P, P, P, P},
		{NULL, "*", NULL, NULL, N, F, P, P},
		{NULL, NULL, SAME, NULL, N, P, P, P},
		{NULL, NULL, NEWER, NULL, N, P, P, P},
		{NULL, NULL, OLDER, NULL, P, P, P, P},
		{NULL, NULL, "nonsense", NULL, P, P, P, P},
		{NULL, NULL, NULL, SAME, P, P, P, P},
		{NULL, NULL, NULL, OLDER, F, F, P, P},
		{NULL, NULL, NULL, "nonsense", P, P, P, P},
		/* the tag decides, the date is not looked at */
		{"\"e\"", NULL, NULL, OLDER, P, P, F, F},
		{NULL, "\"x\"", SAME, NULL, P, P, P, P},
		{NULL, "\"e\"", OLDER, NULL, N, F, P, P},
		/* If-Match before If-None-Match */
		{"\"x\"", "\"e\"", NULL, NULL, F, F, F, F},
		{"\"e\"", "\"e\"", NULL, NULL, N, F, F, F},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_conditions c = {
			.if_match = slice_str(cases[i].match),
			.if_none_match = slice_str(cases[i].none_match),
			.if_modified_since = slice_str(cases[i].modified),
			.if_unmodified_since = slice_str(cases[i].unmodified),
		};
		const int64_t mtime_ms = SUN_06_NOV_1994 + 999;

		cr_assert_eq(http_conditions_any(&c), i != 0);
		cr_assert_eq((int)http_conditions_check(&c, true, true, "e", mtime_ms), cases[i].read, "read %zu", i);
		cr_assert_eq((int)http_conditions_check(&c, false, true, "e", mtime_ms), cases[i].write, "write %zu", i);
		cr_assert_eq((int)http_conditions_check(&c, true, false, "", 0), cases[i].read_absent, "read absent %zu", i);
		cr_assert_eq((int)http_conditions_check(&c, false, false, "", 0), cases[i].write_absent, "write absent %zu", i);
	}
}

Test(http_conditions, if_range_is_strong)
{
	cr_assert(http_if_range_ok((struct slice){NULL, 0}, "e", 0));
	cr_assert(http_if_range_ok(SLICE_LIT("\"e\""), "e", 0));
	cr_assert_not(http_if_range_ok(SLICE_LIT("W/\"e\""), "e", 0));
	cr_assert_not(http_if_range_ok(SLICE_LIT("\"x\""), "e", 0));
	cr_assert_not(http_if_range_ok(SLICE_LIT("*"), "e", 0));
	cr_assert_not(http_if_range_ok(SLICE_LIT("\"e\""), "", 0));
	cr_assert(http_if_range_ok(SLICE_LIT(SAME), "e", SUN_06_NOV_1994 + 5));
	cr_assert_not(http_if_range_ok(SLICE_LIT(NEWER), "e", SUN_06_NOV_1994));
	cr_assert_not(http_if_range_ok(SLICE_LIT(OLDER), "e", SUN_06_NOV_1994));
}

Test(http_reason, names_what_we_send)
{
	cr_assert_str_eq(http_reason(404), "Not Found");
	cr_assert_str_eq(http_reason(507), "Insufficient Storage");
	cr_assert_str_eq(http_reason(799), "Unknown");
}
