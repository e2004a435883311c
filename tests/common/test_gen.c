/* SPDX-License-Identifier: Apache-2.0 */
/* gen: order, text, derived generations, tags bound to their key. */
#include "config.h"

#include <criterion/criterion.h>

#include "common/gen.h"

static struct gen gen_of(const char *text)
{
	struct gen g = {0};

	cr_assert_eq(gen_parse(slice_str(text), &g), 0, "%s", text);
	return g;
}

Test(gen, text_round_trips)
{
	struct gen g = gen_of("0193a5c4e2f00001-node1");
	char buf[GEN_TEXT_MAX];

	cr_assert_eq(g.hlc, UINT64_C(0x0193a5c4e2f00001));
	cr_assert_eq(gen_ms(&g), INT64_C(0x0193a5c4e2f0));
	cr_assert_str_eq(gen_format(&g, buf), "0193a5c4e2f00001-node1");
	cr_assert_str_eq(gen_format(&(struct gen){0}, buf), "");
}

Test(gen, malformed_texts_are_refused)
{
	static const char *const bad[] = {
		"", "0193a5c4e2f00001", "0193a5c4e2f00001-", "0193A5C4E2F00001-n", "0193a5c4e2f0001-node", "0193a5c4e2f00001_node",
		"0000000000000000-node", "0193a5c4e2f00001-no de", "0193a5c4e2f00001-n:x", "g193a5c4e2f00001-n",
		"0193a5c4e2f00001-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	struct gen g;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(gen_parse(slice_str(bad[i]), &g), GFS_ERR_INVALID, "%s", bad[i]);
	cr_assert_eq(gen_parse(slice_of("0193a5c4e2f00001-a\0b", 20), &g), GFS_ERR_INVALID);
}

Test(gen, ordered_by_clock_then_node)
{
	struct gen a = gen_of("0193a5c4e2f00001-b"), b = gen_of("0193a5c4e2f00002-a"), c = gen_of("0193a5c4e2f00002-b");

	cr_assert_lt(gen_cmp(&a, &b), 0);
	cr_assert_lt(gen_cmp(&b, &c), 0);
	cr_assert_gt(gen_cmp(&c, &a), 0);
	cr_assert_eq(gen_cmp(&c, &c), 0);
}

Test(gen, derived_ones_name_their_site)
{
	char name[80], other[80], buf[GEN_TEXT_MAX];
	struct gen g = gen_derive(1700000000123, "onprem"), h;

	cr_assert_str_eq(g.node, "ext@onprem");
	cr_assert_eq(gen_ms(&g), 1700000000123);
	cr_assert(gen_is_derived(&g));
	cr_assert_not(gen_is_none(&g));
	g = gen_derive(0, "onprem");
	cr_assert_not(gen_is_none(&g), "the epoch is a time too");
	g = gen_derive(INT64_MAX, "onprem");
	cr_assert_eq(gen_ms(&g), (INT64_C(1) << 48) - 1);
	memset(name, 'x', 63);
	name[63] = '\0';
	memcpy(other, name, 64);
	other[62] = 'y';
	g = gen_derive(1, name);
	h = gen_derive(1, other);
	cr_assert_neq(gen_cmp(&g, &h), 0);
	cr_assert_eq(gen_parse(slice_str(gen_format(&g, buf)), &h), 0);
	cr_assert_eq(gen_cmp(&g, &h), 0);
}

Test(gen, tag_is_bound_to_its_key)
{
	struct gen g = gen_of("0193a5c4e2f00001-node1"), out;
	char tag[GEN_TAG_MAX];
	uint64_t part;

	gen_tag_format(&g, slice_str("a/b"), 8388608, tag);
	cr_assert_eq(gen_tag_parse(slice_str(tag), slice_str("a/b"), &out, &part), 0);
	cr_assert_eq(gen_cmp(&g, &out), 0);
	cr_assert_eq(part, 8388608);
	cr_assert_eq(gen_tag_parse(slice_str(tag), slice_str("a/c"), &out, &part), GFS_ERR_INVALID);
	cr_assert_eq(gen_tag_parse(slice_of(tag, strlen(tag) - 8), slice_str("a/b"), &out, &part), GFS_ERR_INVALID);
	strcat(tag, "x");
	cr_assert_eq(gen_tag_parse(slice_str(tag), slice_str("a/b"), &out, &part), GFS_ERR_INVALID);
	cr_assert_eq(gen_tag_parse(slice_str("::"), slice_str("a/b"), &out, &part), GFS_ERR_INVALID);
	cr_assert_eq(gen_tag_parse(slice_of(NULL, 0), slice_str("a/b"), &out, &part), GFS_ERR_INVALID);
}
