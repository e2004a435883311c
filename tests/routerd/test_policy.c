/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of cases for policy.c. */
#include "config.h"

#include <criterion/criterion.h>

#include "routerd/route.h"

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
};

Test(policy, globs)
{
	for (size_t i = 0; i < sizeof(globs) / sizeof(globs[0]); i++) {
		const struct glob_case *c = &globs[i];

		cr_assert_eq(policy_glob(slice_str(c->pattern), slice_str(c->key)), c->match, "%s against %s", c->pattern, c->key);
	}
}

static char name_a[] = "a", name_b[] = "b", name_c[] = "c", pat_prefix[] = "a/[x]/", pat_all[] = "", pat_exact[] = "k";

Test(policy, trailing_slash_is_a_literal_prefix)
{
	struct policy_rule r = {.name = name_a, .key_pattern = pat_prefix};

	cr_assert_eq(policy_match(&r, 1, SLICE_LIT("a/[x]/b/c"), OP_READ), &r);
	cr_assert_null(policy_match(&r, 1, SLICE_LIT("a/x/b/c"), OP_READ));
}

Test(policy, lowest_priority_wins_and_ties_keep_file_order)
{
	struct policy_rule r[] = {
		{.name = name_a, .key_pattern = pat_all, .priority = 5},
		{.name = name_b, .key_pattern = pat_all, .priority = 1},
		{.name = name_c, .key_pattern = pat_all, .priority = 1},
	};

	cr_assert_eq(policy_match(r, 3, SLICE_LIT("k"), OP_READ), &r[1]);
	r[1].ops[OP_WRITE] = true;
	cr_assert_eq(policy_match(r, 3, SLICE_LIT("k"), OP_READ), &r[2]);
	cr_assert_eq(policy_match(r, 3, SLICE_LIT("k"), OP_WRITE), &r[1]);
	r[2].key_pattern = pat_exact;
	cr_assert_eq(policy_match(r, 3, SLICE_LIT("k"), OP_DELETE), &r[2]);
	cr_assert_eq(policy_match(r, 3, SLICE_LIT("kk"), OP_DELETE), &r[0]);
}
