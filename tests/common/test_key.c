/* SPDX-License-Identifier: Apache-2.0 */
/* key: which keys are allowed, and the sentence for those that are not. */
#include "config.h"

#include <criterion/criterion.h>

#include "common/key.h"

static char long_key[KEY_MAX + 2];

Test(key, allowed)
{
	static const char *const good[] = {
		"a", "a/b", "a//b", "/a", "a/", "//", "a b%?#+&=c", "h\xc3\xa9llo/\xe4\xb8\xad", "...", "a/.b", "a/..b", ".globalfsx",
		"a/.globalfs", ".gfsx", "a.gfs-b", "\x01",
	};
	const char *why;
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_assert_eq(key_check(slice_str(good[i]), &why), 0, "%s: %s", good[i], why);
		cr_assert_str_eq(why, "");
	}
	memset(long_key, 'x', sizeof(long_key));
	cr_assert_eq(key_check(slice_of(long_key, KEY_MAX), NULL), 0);
}

Test(key, refused)
{
	static const struct slice bad[] = {
		{"", 0}, {NULL, 0}, {"a\0b", 3}, {".", 1}, {"..", 2}, {"a/..", 4}, {"../a", 4}, {"a/./b", 5}, {".globalfs", 9},
		{".globalfs/site", 14}, {".gfs-x", 6}, {"a/.gfs-obj", 10}, {"a/.gfs-", 7}, {"\xff", 1}, {"a\xc3", 2}, {"\xed\xa0\x80", 3},
		{"\xf4\x90\x80\x80", 4}, {"\xe0\x80\x80", 3},
	};
	const char *why;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(key_check(bad[i], &why), GFS_ERR_KEY_INVALID, "case %zu", i);
		cr_assert_gt(strlen(why), 5);
	}
	memset(long_key, 'x', sizeof(long_key));
	cr_assert_eq(key_check(slice_of(long_key, KEY_MAX + 1), NULL), GFS_ERR_KEY_INVALID);
}
