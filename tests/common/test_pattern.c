/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of cases for common/conf/pattern.c. */
#include "config.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/clock.h"
#include "common/conf/pattern.h"

struct glob_case {
	const char *pattern, *key;
	bool match;
};

static const struct glob_case globs[] = {
	{"a/*", "a/x", true},
	{"a/*", "a/b/x", false},
	{"a/**", "a/b/x", true},
	{"a/**", "a/", true},
	{"**/x", "a/b/x", true},
	{"**/*.bam", "runs/7/s.bam", true},
	{"**/a*b/**c", "q/ab/xc", true},
	{"**/a*b/**c", "q/axx/ab/x/yc", true},
	{"*", "a/b", false},
	{"*", "", true},
	{"**", "a/b", true},
	{"a?c", "abc", true},
	{"a?c", "a/c", false},
	{"a?c", "a\xc3\xa9" "c", true},
	{"[a-c]x", "bx", true},
	{"[^a-c]x", "bx", false},
	{"[!a-c]x", "dx", true},
	{"[]]", "]", true},
	{"[a-]", "-", true},
	{"[^a]", "/", false},
	{"[\xc3\xa0-\xc3\xbc]", "\xc3\xa9", true},
	{"a\\*b", "a*b", true},
	{"a\\*b", "axb", false},
	{"exact", "exact", true},
	{"exact", "exact2", false},
	{"[", "[", false},
	{"a[b", "ab", false},
	{"a\\", "a", false},
	{"[b-a]", "b", false},
	{"*[", "x", false},
	{"a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
	{"***", "a/b", true},
	{"a/**/b", "a/b", false},
	{"a/**/b", "a//b", true},
	{"a/**/b", "a/x/y/b", true},
	{"**", "", true},
	{"*x*/**y", "axb/c/y", true},
	{"*x*/**y", "a/xb/y", false},
	{"a\\[b]", "a[b]", true},
	{"a\\[b]", "ab", false},
	{"a\\\\b", "a\\b", true},
	{"\\?", "?", true},
	{"\\?", "x", false},
	{"[\\]]", "]", true},
	{"[a\\-c]", "b", false},
	{"[a\\-c]", "-", true},
	{"[!]", "x", false},
	{"?", "", false},
	{"?", "\xff", true},
	{"[^/]", "/", false},
	{"", "", true},
	{"", "a", false},
};

Test(pattern, globs)
{
	for (size_t i = 0; i < sizeof(globs) / sizeof(globs[0]); i++) {
		const struct glob_case *c = &globs[i];

		cr_assert_eq(pattern_glob(slice_str(c->pattern), slice_str(c->key)), c->match, "%s against %s", c->pattern, c->key);
	}
}

struct fault_case {
	const char *pattern, *want; /* "" none */
};

static const struct fault_case faults[] = {
	{"", ""}, {"a", ""}, {"/", ""}, {"//a", ""}, {"a//b*", ""}, {"[ab]", ""}, {"[]]", ""}, {"a/[x/", ""},
	{"a\\", "ends in a lone backslash"},
	{"[", "has a [ without its ]"}, {"a[", "has a [ without its ]"}, {"[]", "has a [class] that is malformed"},
	{"a[^", "has a [ without its ]"}, {"[b-a]", "has a [class] that is malformed"}, {"[a\\]", "has a [class] that is malformed"},
	{"..", "key has a segment \".\" or \"..\""}, {"a/../*", "key has a segment \".\" or \"..\""}, {"a/..*", ""}, {"a/..?/x", ""},
	{"./", "key has a segment \".\" or \"..\""}, {".globalfs/", "keys under \".globalfs/\" are reserved"},
	{".globalfs/**", "keys under \".globalfs/\" are reserved"}, {".globalfs*", ""}, {"x/.globalfs/", ""},
	{"a/.gfs-obj", "segments that begin with \".gfs-\" are reserved"},
	{"a/\\.gfs-obj/*", "segments that begin with \".gfs-\" are reserved"},
	{"a\xff", "key is not valid UTF-8"},
};

Test(pattern, faults)
{
	char longest[PATTERN_MAX + 1];

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const char *why = pattern_fault(slice_str(faults[i].pattern));

		cr_assert_str_eq(why ? why : "", faults[i].want, "%s: %s", faults[i].pattern, why ? why : "nothing");
	}
	memset(longest, 'x', sizeof(longest));
	cr_assert_null(pattern_fault(slice_of(longest, PATTERN_MAX)));
	cr_assert_not_null(pattern_fault(slice_of(longest, PATTERN_MAX + 1)));
	cr_assert_not(pattern_matches(slice_of(longest, PATTERN_MAX + 1), slice_of(longest, PATTERN_MAX + 1)));
	longest[PATTERN_MAX - 1] = '/';
	cr_assert_null(pattern_fault(slice_of(longest, PATTERN_MAX)));
}

struct cover_case {
	const char *a, *b;
	bool covers;
};

static const struct cover_case covers[] = {
	{"", "x", true}, {"", "", true}, {"**", "", true}, {"**", "a/[b", true}, {"*", "", false}, {"a/", "a/b/", true},
	{"a/", "a/b/*", true}, {"a/", "a/b", true}, {"a/", "a", false}, {"a/", "ab/", false}, {"a/b/", "a/", false},
	{"a/", "a*", false},
	{"a/**", "a/b/", true}, {"a/**", "a/", true}, {"a/*", "a/b", true}, {"a/*", "a/b/c", false}, {"a/*", "a/", false},
	{"a/*", "a/*", true},
	{"a/*", "a/\\*", true}, {"a/\\*", "a/*", false}, {"*.bam", "x.bam", true}, {"*.bam", "d/x.bam", false},
	{"**.bam", "d/x.bam", true},
	{"[a-c]", "b", true}, {"[a-c]", "[a-b]", false}, {"a[x]/", "a\\[x]/y", true}, {"a[x]/", "a[x]/y", false},
	{"a", "b", false},
};

Test(pattern, what_covers_what)
{
	for (size_t i = 0; i < sizeof(covers) / sizeof(covers[0]); i++)
		cr_assert_eq(pattern_covers(slice_str(covers[i].a), slice_str(covers[i].b)), covers[i].covers, "%s over %s", covers[i].a,
		             covers[i].b);
}

/* The longest pattern with the most places to go wrong, against the longest key. */
Test(pattern, takes_bounded_time)
{
	static const char *const units[] = {"**a", "*a", "**a*", "[a-b]*", "*?", "**?*a", "a"};
	char pattern[PATTERN_MAX], key[KEY_MAX];
	int64_t began_ms = clock_mono_ms();

	memset(key, 'a', sizeof(key));
	for (int slashes = 0; slashes < 2; slashes++) {
		for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
			size_t n = strlen(units[u]), m = 0;

			for (; m + n < sizeof(pattern); m += n)
				memcpy(pattern + m, units[u], n);
			pattern[m++] = 'b';
			cr_assert_not(pattern_glob(slice_of(pattern, m), slice_of(key, sizeof(key))));
		}
		for (size_t i = 7; i < sizeof(key); i += 400)
			key[i] = '/';
	}
	cr_assert_lt(clock_mono_ms() - began_ms, 5000, "%d ms", (int)(clock_mono_ms() - began_ms));
}
