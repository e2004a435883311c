/* SPDX-License-Identifier: Apache-2.0 */
/* LIST against scripted sites: groups, doubts, sites that fail. What is common to all reads is in test_reads.c. */
#include "config.h"

#include <criterion/criterion.h>

#include "common/clock.h"
#include "tests/helpers/front_world.h"

static struct front_world f;

static void init(void)
{
	front_world_init(&f, "pb");
}

static void fini(void)
{
	front_world_free(&f);
}

TestSuite(list, .init = init, .fini = fini);

static void list(const char *query, int status)
{
	cr_assert_eq(front_ask(&f, "GET", query, "", NULL), status, "%s: %d %s", query, f.status, f.body);
}

static bool tells(const char *text)
{
	return strstr(f.body, text) != NULL;
}

static void trees(void)
{
	front_store(&f, 1, "a", "1", 5);
	front_store(&f, 1, "d/1", "1", 5);
	front_store(&f, 1, "d/2", "1", 5);
	front_store(&f, 1, "d/x/3", "1", 5);
	front_store(&f, 2, "d/3", "1", 5);
	front_store(&f, 2, "e/1", "1", 5);
	front_store(&f, 2, "f", "1", 5);
}

static void check_groups(void)
{
	list("?delimiter=/", 200);
	cr_assert(tells("{\"key\":\"a\"") && tells("{\"key\":\"f\"") && !tells("\"d/1\""), "%s", f.body);
	cr_assert(tells("],\"common_prefixes\":[\"d/\",\"e/\"],\"count\":4,\"truncated\":false}"), "%s", f.body);
	list("?delimiter=/&limit=2", 200);
	cr_assert(tells("\"common_prefixes\":[\"d/\"],\"count\":2,\"truncated\":true,\"next_start_after\":\"d/\"}"), "%s", f.body);
	list("?delimiter=/&limit=2&start_after=d/", 200);
	cr_assert(tells("\"common_prefixes\":[\"e/\"],\"count\":2,\"truncated\":false}") && tells("\"f\""), "%s", f.body);
	list("?delimiter=/&start_after=d/2", 200);
	cr_assert(tells("\"common_prefixes\":[\"e/\"],\"count\":2"), "%s", f.body);
	list("?delimiter=/&prefix=d/", 200);
	cr_assert(tells("\"d/1\"") && tells("\"d/3\"") && tells("\"common_prefixes\":[\"d/x/\"],\"count\":4"), "%s", f.body);
	list("?delimiter=/&prefix=d", 200);
	cr_assert(tells("\"objects\":[],\"common_prefixes\":[\"d/\"],\"count\":1"), "%s", f.body);
	list("?delimiter=%2F1", 200);
	cr_assert(tells("\"common_prefixes\":[\"d/1\",\"e/1\"],\"count\":7"), "%s", f.body);
}

Test(list, shows_a_group_once)
{
	trees();
	check_groups();
	f.stores[0].page = f.stores[1].page = 1;
	check_groups();
	cr_assert_eq(fake_repld.lookups, 0);
}

Test(list, shows_groups_that_a_site_tells_without_keys)
{
	trees();
	f.stores[0].bare_groups = f.stores[1].bare_groups = true;
	check_groups();
	f.stores[0].page = f.stores[1].page = 1;
	check_groups();
	/* With anything dirty it has to look into each. */
	front_dirty(&f, "elsewhere");
	f.stores[0].lists = 0;
	check_groups();
	cr_assert_gt(f.stores[0].lists, 20);
}

static void only_e1_is_deleted(void)
{
	fake_repld.deleted_key = "e/1";
	fake_repld.location = (struct repld_location){.known = true, .decided = true, .deleted = true};
	front_dirty(&f, "e/1");
	list("?delimiter=/", 200);
	cr_assert(tells("\"common_prefixes\":[\"d/\"],\"count\":3,"), "%s", f.body);
	list("?delimiter=/&limit=3", 200);
	cr_assert(tells("\"common_prefixes\":[\"d/\"],\"count\":3,\"truncated\":false}"), "%s", f.body);
}

Test(list, does_not_show_a_group_of_deleted_keys)
{
	trees();
	only_e1_is_deleted();
}

Test(list, does_not_show_a_group_of_deleted_keys_that_a_site_tells_without_keys)
{
	trees();
	f.stores[0].bare_groups = f.stores[1].bare_groups = true;
	only_e1_is_deleted();
}

Test(list, shows_a_group_whose_first_keys_are_deleted)
{
	trees();
	front_store(&f, 2, "h/0", "1", 5);
	front_store(&f, 2, "h/1", "1", 5);
	front_dirty(&f, "h/0");
	fake_repld.deleted_key = "h/0";
	fake_repld.location = (struct repld_location){.known = true, .decided = true, .deleted = true};
	f.stores[1].page = 1;
	list("?delimiter=/&start_after=f", 200);
	cr_assert(tells("\"common_prefixes\":[\"h/\"],\"count\":1,"), "%s", f.body);
}

Test(list, asks_repld_for_many_at_once)
{
	static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};

	for (size_t i = 0; i < 10; i++) {
		front_store(&f, 1, keys[i], "1", 5);
		front_dirty(&f, keys[i]);
	}
	fake_repld.location = (struct repld_location){.known = true, .decided = true, .gen = {.hlc = 5, .node = "n"}};
	list("?", 200);
	cr_assert(tells("\"count\":10,"));
	cr_assert_eq(fake_repld.lookups, 1);
	fake_repld.lookup_max = 3;
	list("?", 200);
	cr_assert(tells("\"count\":10,"));
	cr_assert_eq(fake_repld.lookups, 1 + 4);
	fake_repld.lookup_err = GFS_ERR_UNAVAILABLE;
	list("?", 200);
	cr_assert(tells("\"count\":10,\"truncated\":false,\"unverified\":true}"));
	cr_assert_eq(fake_repld.lookups, 1 + 4 + 1);
}

Test(list, asks_for_generations_where_copies_differ)
{
	front_store(&f, 1, "equal", "same", 5);
	front_store(&f, 2, "equal", "same", 5);
	front_store(&f, 1, "etag", "abcd", 9);
	front_store(&f, 2, "etag", "efgh", 5);
	front_store(&f, 1, "size", "old", 5);
	front_store(&f, 2, "size", "newer", 9);
	list("?", 200);
	cr_assert(tells("\"key\":\"size\",\"size\":5,") && tells("\"count\":3"), "%s", f.body);
	cr_assert(tells("\"key\":\"etag\",\"size\":4,") && tells("e2fc714c4727ee9395f324cd2e7f331f"), "%s", f.body);
	cr_assert_eq(f.stores[0].heads, 2);
	cr_assert_eq(f.stores[1].heads, 2);
}

Test(list, goes_on_without_a_site_that_fails_later)
{
	trees();
	f.stores[0].page = 1;
	f.stores[0].good_pages = 2;
	f.stores[0].list_err = GFS_ERR_CONNECT;
	list("?", 200);
	cr_assert_null(front_header(&f, "X-GlobalFS-Partial"));
	cr_assert(tells("\"d/1\"") && !tells("\"d/2\"") && tells("\"f\""), "%s", f.body);
	cr_assert(tells("\"partial\":[\"one\"],\"partial_reasons\":{\"one\":\""), "%s", f.body);
	/* Strictly, the end of it must be missing. */
	f.stores[0].lists = 0;
	list("?strict=1", 200);
	cr_assert_not(tells("\"count\""));
	cr_assert_null(strstr(f.body, "\r\n0\r\n"));
}

Test(list, fails_strictly_when_a_site_does)
{
	trees();
	list("?strict=1", 200);
	f.stores[1].read_err = GFS_ERR_CONNECT;
	list("?strict=0", 207);
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Partial"), "true; sites=\"two\"");
	list("?strict=1", 503);
	cr_assert(tells("no answer from two ("), "%s", f.body);
	front_site_state(&f, 1, SITE_STATE_DOWN);
	list("?strict=1", 503);
	cr_assert(tells("no answer from one (unplugged)"), "%s", f.body);
}

Test(list, names_a_silent_site)
{
	int64_t began = clock_mono_ms();

	trees();
	f.conf->routing.read_deadline_ms = 200;
	f.stores[0].hangs = true;
	list("?", 207);
	cr_assert(tells("\"partial\":[\"one\"],\"partial_reasons\":{\"one\":\"timed out\"}"), "%s", f.body);
	cr_assert_lt(clock_mono_ms() - began, 2000);
	cr_assert_gt(f.stores[0].cancels, 0);
	list("?strict=1", 504);
	f.stores[1].hangs = true;
	list("?", 504);
	cr_assert(tells("one (timed out), two (timed out)"), "%s", f.body);
}

/* Its list came, its HEADs do not: the list goes on with what is known. */
Test(list, does_not_wait_for_generations_for_ever)
{
	front_store(&f, 1, "k", "old", 5);
	front_store(&f, 2, "k", "newer", 9);
	f.conf->routing.read_deadline_ms = 200;
	f.stores[0].heads_hang = true;
	list("?", 207);
	cr_assert(tells("\"size\":3,") && tells("\"count\":1,") && tells("\"partial\":[\"one\"]"), "%s", f.body);
}

Test(list, refuses_what_it_does_not_know)
{
	static const struct {
		const char *query, *says;
	} v[] = {
		{"?limit=-1", "limit: "}, {"?limit=ten", "limit: "}, {"?limit=", "limit: "}, {"?limit=1&limit=2", "limit: given twice"},
		{"?strict=yes", "strict: "}, {"?strict", "strict: "}, {"?prefx=a", "prefx: no such parameter"},
		{"?prefix=%FF", "prefix: "}, {"?delimiter=%FF", "delimiter: "}, {"?start_after=%00", "start_after: "},
		{"?max-keys=4", "max-keys: no such"},
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		list(v[i].query, 400);
		cr_assert(tells(v[i].says), "%s: %s", v[i].query, f.body);
	}
	list("?&delimiter=&limit=0&", 200);
	cr_assert_not(tells("common_prefixes"));
}
