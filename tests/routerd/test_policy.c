/* SPDX-License-Identifier: Apache-2.0 */
/* Which rule applies: routerd/policy.c. For its patterns see tests/common/test_pattern.c. */
#include "config.h"

#include <criterion/criterion.h>

#include "routerd/route.h"

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
