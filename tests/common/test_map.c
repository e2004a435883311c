/* SPDX-License-Identifier: Apache-2.0 */
/* map: put, get, delete, growth, walking while deleting; hash64 is for ever. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "common/map.h"

static int values[5000];

static struct slice name_of(char *buf, int i)
{
	return slice_of(buf, (size_t)sprintf(buf, "key/%d", i));
}

Test(map, holds_what_was_put)
{
	struct map *m = map_create();
	char buf[32];
	int i;

	for (i = 0; i < 5000; i++)
		cr_assert_null(map_put(m, name_of(buf, i), &values[i]));
	cr_assert_eq(map_count(m), 5000);
	cr_assert_eq(map_put(m, name_of(buf, 7), &values[8]), &values[7]);
	for (i = 0; i < 5000; i++)
		cr_assert_eq(map_get(m, name_of(buf, i)), &values[i == 7 ? 8 : i]);
	for (i = 0; i < 5000; i += 2)
		cr_assert_not_null(map_del(m, name_of(buf, i)));
	cr_assert_null(map_del(m, name_of(buf, 0)));
	cr_assert_null(map_get(m, name_of(buf, 0)));
	cr_assert_eq(map_count(m), 2500);
	map_destroy(&m);
	cr_assert_null(m);
	map_destroy(&m);
}

Test(map, keys_may_be_empty_or_hold_nul)
{
	struct map *m = map_create();

	map_put(m, slice_of("", 0), &values[0]);
	map_put(m, slice_of("a\0b", 3), &values[1]);
	map_put(m, slice_of("a", 1), &values[2]);
	cr_assert_eq(map_get(m, slice_of(NULL, 0)), &values[0]);
	cr_assert_eq(map_get(m, slice_of("a\0b", 3)), &values[1]);
	cr_assert_eq(map_get(m, slice_of("a", 1)), &values[2]);
	map_destroy(&m);
}

Test(map, walk_may_delete_what_it_returned)
{
	struct map *m = map_create();
	struct map_iter it = MAP_ITER_INIT;
	struct slice key;
	void *value;
	char buf[32];
	int i, seen = 0;

	for (i = 0; i < 1000; i++)
		map_put(m, name_of(buf, i), &values[i]);
	while (map_next(m, &it, &key, &value)) {
		seen++;
		cr_assert_eq(map_del(m, key), value);
	}
	cr_assert_eq(seen, 1000);
	cr_assert_eq(map_count(m), 0);
	map_destroy(&m);
}

Test(map, hash64_never_changes)
{
	cr_assert_eq(hash64("", 0), UINT64_C(0xefd01f60ba992926));
	cr_assert_eq(hash64("a", 1), UINT64_C(0x82a2a958a9bece5b));
	cr_assert_neq(hash64("ab", 2), hash64("ba", 2));
}
