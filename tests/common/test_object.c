/* SPDX-License-Identifier: Apache-2.0 */
/* object: metadata rules and deep copies. */
#include "config.h"

#include <criterion/criterion.h>

#include "common/object.h"
#include "common/xalloc.h"

Test(object, metadata_names_are_lowered_and_joined)
{
	struct meta m = {0}, copy;

	cr_assert_eq(meta_add(&m, slice_str("Project"), slice_str("x")), 0);
	cr_assert_eq(meta_add(&m, slice_str("PROJECT"), slice_str("y z")), 0);
	cr_assert_eq(meta_add(&m, slice_str("a._-9"), slice_str("")), 0);
	cr_assert_eq(m.n, 2);
	cr_assert_str_eq(meta_get(&m, "project"), "x,y z");
	cr_assert_null(meta_get(&m, "none"));
	meta_copy(&copy, &m);
	meta_free(&m);
	cr_assert_eq(m.n, 0);
	cr_assert_str_eq(meta_get(&copy, "project"), "x,y z");
	meta_free(&copy);
}

Test(object, bad_metadata_is_refused)
{
	static const struct {
		struct slice name, value;
	} bad[] = {
		{{"", 0}, {"v", 1}}, {{"a b", 3}, {"v", 1}}, {{"gfs-gen", 7}, {"v", 1}}, {{"GFS-x", 5}, {"v", 1}}, {{"a\0b", 3}, {"v", 1}},
		{{"a:", 2}, {"v", 1}}, {{"a", 1}, {"\n", 1}}, {{"a", 1}, {"h\xc3\xa9", 3}}, {{"a", 1}, {"\0", 1}},
	};
	struct meta m = {0};
	char big[META_BYTES_MAX];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(meta_add(&m, bad[i].name, bad[i].value), GFS_ERR_META_INVALID, "case %zu", i);
	memset(big, 'v', sizeof(big));
	cr_assert_eq(meta_add(&m, slice_str("a"), slice_of(big, sizeof(big))), GFS_ERR_META_INVALID);
	cr_assert_eq(meta_add(&m, slice_str("a"), slice_of(big, sizeof(big) - 1)), 0);
	cr_assert_eq(meta_add(&m, slice_str("a"), slice_str("")), GFS_ERR_META_INVALID, "the comma counts");
	meta_free(&m);
}

Test(object, info_copy_is_deep)
{
	struct object_info a = {.size = 5, .content_type = xstrdup("text/plain")}, b;

	cr_assert_eq(meta_add(&a.meta, slice_str("k"), slice_str("v")), 0);
	object_info_copy(&b, &a);
	object_info_free(&a);
	cr_assert_str_eq(b.content_type, "text/plain");
	cr_assert_str_eq(meta_get(&b.meta, "k"), "v");
	cr_assert_eq(b.size, 5);
	object_info_free(&b);
}
