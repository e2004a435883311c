/* SPDX-License-Identifier: Apache-2.0 */
/* GET, HEAD and LIST against scripted sites: who is asked, and what the answers amount to. */
#include "config.h"

#include <criterion/criterion.h>

#include "routerd/conn_list.h"
#include "tests/helpers/front_world.h"

static struct front_world f;

static void fini(void)
{
	front_world_free(&f);
}

static void two_primaries(void)
{
	front_world_init(&f, "pp");
}

static void primary_and_backup(void)
{
	front_world_init(&f, "pb");
}

static void decided(uint64_t hlc)
{
	front_dirty(&f, "k");
	fake_repld.location = (struct repld_location){.known = true, .decided = true, .gen = {.hlc = hlc, .node = "n"}};
}

TestSuite(get, .init = primary_and_backup, .fini = fini);
TestSuite(get_two, .init = two_primaries, .fini = fini);

Test(get, costs_one_request)
{
	front_store(&f, 1, "k", "hello", 5);
	front_store(&f, 2, "k", "hello", 5);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "hello");
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Site"), "one");
	cr_assert_str_eq(front_header(&f, "Content-Length"), "5");
	cr_assert_str_eq(front_header(&f, "Content-Type"), "application/octet-stream");
	cr_assert_str_eq(front_header(&f, "ETag"), "\"5d41402abc4b2a76b9719d911017c592\"");
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Generation"), "0000000000000005-n");
	cr_assert_null(front_header(&f, "X-GlobalFS-Stale"));
	cr_assert_eq(f.stores[0].gets + f.stores[1].gets + f.stores[0].heads + f.stores[1].heads, 1);
	cr_assert_eq(fake_repld.lookups, 0);
}

Test(get, sends_from_a_descriptor)
{
	front_store(&f, 1, "k", "hello", 5);
	f.stores[0].as_fd = true;
	cr_assert_eq(front_ask(&f, "GET", "k", "Range: bytes=1-3\r\n", NULL), 206);
	cr_assert_str_eq(f.body, "ell");
	cr_assert_str_eq(front_header(&f, "Content-Range"), "bytes 1-3/5");
}

Test(get, falls_back_on_a_fault)
{
	f.stores[0].read_err = GFS_ERR_CONNECT;
	front_store(&f, 2, "k", "hello", 5);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Site"), "two");
	cr_assert_eq(stats_total(f.w.stats, STAT_READ_FALLBACK), 1);
}

Test(get, falls_back_on_a_404)
{
	front_store(&f, 2, "k", "hello", 5);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Site"), "two");
	cr_assert_eq(front_ask(&f, "HEAD", "k", "", NULL), 200);
	cr_assert_str_eq(front_header(&f, "Content-Length"), "5");
	cr_assert_str_eq(f.body, "");
}

Test(get, asks_a_site_that_is_down_last)
{
	front_site_state(&f, 1, SITE_STATE_DOWN);
	front_store(&f, 1, "k", "hello", 5);
	front_store(&f, 2, "k", "hello", 5);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_eq(f.stores[0].gets, 0);
}

Test(get, missing_everywhere_is_404)
{
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 404);
	cr_assert_eq(f.stores[1].gets, 1);
	cr_assert_null(front_header(&f, "Retry-After"));
}

Test(get, a_backup_is_enough_to_miss_when_the_primary_said_404)
{
	f.stores[1].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 404);
}

Test(get, a_404_of_a_backup_alone_is_503)
{
	f.stores[0].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 503);
	cr_assert_not_null(strstr(f.body, "one"));
	cr_assert_null(strstr(f.body, "two"));
	cr_assert_not_null(front_header(&f, "Retry-After"));
	cr_assert_eq(front_ask(&f, "HEAD", "k", "", NULL), 503);
}

Test(get, silence_is_504)
{
	f.stores[0].hangs = f.stores[1].hangs = true;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 504);
	cr_assert_not_null(strstr(f.body, "one"));
	cr_assert_geq(f.stores[0].cancels, 1);
}

Test(get, on_missing_authoritative_asks_no_further)
{
	f.conf->routing.on_missing = MISSING_AUTHORITATIVE;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 404);
	cr_assert_eq(f.stores[0].gets, 1);
	cr_assert_eq(f.stores[1].gets, 0);
}

Test(get, retries_only_when_configured)
{
	front_store(&f, 1, "k", "hello", 5);
	f.stores[0].read_err = f.stores[1].read_err = GFS_ERR_SITE_ERROR;
	f.stores[0].read_faults = 1;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 503);
	f.stores[0].read_err = GFS_ERR_SITE_ERROR;
	f.stores[0].read_faults = 1;
	f.conf->resilience.retry.enabled = true;
	f.conf->resilience.retry.max_attempts = 3;
	f.conf->resilience.retry.initial_delay_ms = 1;
	f.conf->resilience.retry.max_delay_ms = 2;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
}

Test(get, a_tombstone_is_404_without_asking_a_site)
{
	decided(9);
	fake_repld.location.deleted = true;
	front_store(&f, 2, "k", "hello", 5);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 404);
	cr_assert_eq(f.stores[0].gets + f.stores[1].gets, 0);
}

Test(get, a_copy_older_than_decided_is_passed_over)
{
	decided(9);
	front_store(&f, 1, "k", "old", 5);
	front_store(&f, 2, "k", "new", 9);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "new");
	cr_assert_null(front_header(&f, "X-GlobalFS-Stale"));
}

Test(get, a_lagging_site_comes_last_and_says_so)
{
	decided(9);
	fake_repld.stale[0] = 2;
	fake_repld.location.n_stale = 1;
	front_store(&f, 1, "k", "new", 9);
	front_store(&f, 2, "k", "old", 5);
	front_site_state(&f, 1, SITE_STATE_DOWN);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "new");
	f.stores[0].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "old");
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Stale"), "true");
	cr_assert_eq(front_ask(&f, "GET", "k", "X-GlobalFS-Consistency: current\r\n", NULL), 503);
	cr_assert_not_null(strstr(f.body, "one"));
}

/* A delete or an overwrite that was acknowledged, its COMMIT not yet at repld: the backup is reached only later. */
static void under_way(uint64_t hlc)
{
	front_dirty(&f, "k");
	fake_repld.location = (struct repld_location){.known = true, .pending = {.hlc = hlc, .node = "n"}, .n_stale = 1};
	fake_repld.stale[0] = 2;
}

Test(get, what_a_write_under_way_reaches_later_does_not_come_back)
{
	under_way(9);
	front_store(&f, 2, "k", "old", 5);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 404);
	cr_assert_eq(front_ask(&f, "GET", "?", "", NULL), 200);
	cr_assert_not_null(strstr(f.body, "\"count\":0"));
	f.stores[0].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Stale"), "true");
}

Test(get, a_copy_of_the_write_under_way_is_current)
{
	under_way(9);
	front_store(&f, 2, "k", "new", 9);
	f.stores[0].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_null(front_header(&f, "X-GlobalFS-Stale"));
}

Test(get, only_older_copies_are_served_with_a_mark)
{
	decided(9);
	front_store(&f, 1, "k", "old", 5);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Stale"), "true");
	cr_assert_eq(front_ask(&f, "HEAD", "k", "X-GlobalFS-Consistency: current\r\n", NULL), 503);
}

Test(get, without_repld_answers_are_unverified)
{
	front_dirty(&f, "k");
	fake_repld.lookup_err = GFS_ERR_TIMEOUT;
	front_store(&f, 1, "k", "hello", 5);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Consistency"), "unverified");
	cr_assert_eq(front_ask(&f, "GET", "k", "X-GlobalFS-Consistency: current\r\n", NULL), 503);
	f.stores[0].n = 0;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 404);
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Consistency"), "unverified");
}

Test(get_two, a_write_under_way_does_not_hide_that_nothing_was_there)
{
	decided(9);
	fake_repld.location.decided = false;
	fake_repld.stale[0] = 1, fake_repld.stale[1] = 2;
	fake_repld.location.n_stale = 2;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 404);
	f.stores[1].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 503);
}

Test(get_two, one_primary_that_says_404_is_enough)
{
	f.stores[1].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 404);
}

Test(get_two, a_primary_that_joined_later_cannot_say_404_alone)
{
	f.confs[1].runtime = true;
	f.stores[0].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 503);
	f.confs[0].runtime = true;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 503);
	f.stores[0].read_err = 0;
	f.stores[1].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 404);
}

Test(get_two, a_lagging_primary_cannot_say_404)
{
	decided(9);
	fake_repld.stale[0] = 2;
	fake_repld.location.n_stale = 1;
	f.stores[0].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 503);
}

Test(get, a_body_that_breaks_off_goes_on_from_another_site)
{
	front_store(&f, 1, "k", "0123456789", 5);
	front_store(&f, 2, "k", "0123456789", 5);
	f.stores[0].cut = true;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(front_header(&f, "Content-Length"), "10");
	cr_assert_str_eq(f.body, "0123456789");
	cr_assert_eq(stats_total(f.w.stats, STAT_READ_TAKEOVER), 1);
}

struct range_case {
	const char *headers;
	int status;
	const char *body;
};

static const struct range_case ranges[] = {
	{"Range: bytes=0-0\r\n", 206, "h"},
	{"Range: bytes=3-\r\n", 206, "lo"},
	{"Range: bytes=-2\r\n", 206, "lo"},
	{"Range: bytes=-99\r\n", 206, "hello"},
	{"Range: bytes=2-99999999999999999999\r\n", 206, "llo"},
	{"Range: bytes=2-18446744073709551615\r\n", 206, "llo"},
	{"Range: bytes=0-0,2-2\r\n", 200, "hello"},
	{"Range: bytes=5-\r\n", 416, NULL},
	{"Range: bytes=-0\r\n", 416, NULL},
	{"Range: bytes=5-\r\nIf-Range: \"other\"\r\n", 200, "hello"},
	{"Range: bytes=1-2\r\nIf-Range: \"other\"\r\n", 200, "hello"},
	{"Range: bytes=1-2\r\nIf-Range: \"5d41402abc4b2a76b9719d911017c592\"\r\n", 206, "el"},
	{"Range: bytes=5-\r\nIf-Range: \"5d41402abc4b2a76b9719d911017c592\"\r\n", 416, NULL},
	{"Range: bytes=5-\r\nIf-None-Match: \"5d41402abc4b2a76b9719d911017c592\"\r\n", 304, ""},
	{"If-None-Match: *\r\n", 304, ""},
	{"If-Match: \"other\"\r\n", 412, NULL},
	{"If-Modified-Since: Sun, 21 Nov 2038 00:00:00 GMT\r\n", 304, ""},
	{"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 412, NULL},
};

Test(get, ranges_and_conditions)
{
	front_store(&f, 1, "k", "hello", 5);
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		const struct range_case *c = &ranges[i];

		cr_assert_eq(front_ask(&f, "GET", "k", c->headers, NULL), c->status, "%s: %d", c->headers, f.status);
		if (c->body)
			cr_assert_str_eq(f.body, c->body, "%s: %s", c->headers, f.body);
		if (c->status == 416)
			cr_assert_str_eq(front_header(&f, "Content-Range"), "bytes */5");
	}
}

Test(get, a_connection_that_ends_ends_the_attempt)
{
	f.stores[0].hangs = true;
	f.conf->routing.read_deadline_ms = 60000;
	front_begin(&f, "GET /api/v1/objects/k HTTP/1.1\r\nHost: x\r\n\r\n");
	while (f.stores[0].gets == 0)
		front_turn(&f);
	conn_list_destroy(&f.w.conns);
	cr_assert_eq(f.stores[0].cancels, 1);
	f.w.conns = conn_list_create(&f.w);
}

/* ---- list ---- */

Test(get, list_merges_in_key_order)
{
	front_store(&f, 1, "a", "1", 5);
	front_store(&f, 1, "c", "333", 5);
	front_store(&f, 2, "a", "22", 5);
	front_store(&f, 2, "b", "22", 5);
	front_store(&f, 2, "d", "4444", 5);
	f.stores[0].page = f.stores[1].page = 1;
	cr_assert_eq(front_ask(&f, "GET", "?", "", NULL), 200);
	cr_assert_not_null(strstr(f.body, "{\"key\":\"a\",\"size\":1,"));
	cr_assert_not_null(strstr(f.body, "\"count\":4,\"truncated\":false}"));
	cr_assert_lt(strstr(f.body, "\"key\":\"b\""), strstr(f.body, "\"key\":\"c\""));
	cr_assert_eq(front_ask(&f, "GET", "?limit=2&start_after=a", "", NULL), 200);
	cr_assert_not_null(strstr(f.body, "\"count\":2,\"truncated\":true,\"next_start_after\":\"c\"}"));
	cr_assert_eq(front_ask(&f, "GET", "?limit=3&start_after=a", "", NULL), 200);
	cr_assert_not_null(strstr(f.body, "\"count\":3,\"truncated\":false}"));
	cr_assert_eq(front_ask(&f, "GET", "?limit=-1", "", NULL), 400);
	cr_assert_eq(front_ask(&f, "GET", "?limit=x", "", NULL), 400);
}

Test(get, list_leaves_out_what_is_deleted)
{
	front_store(&f, 1, "a", "1", 5);
	front_store(&f, 2, "b", "2", 5);
	front_dirty(&f, "b");
	fake_repld.deleted_key = "b";
	fake_repld.location = (struct repld_location){.known = true, .decided = true, .deleted = true};
	cr_assert_eq(front_ask(&f, "GET", "?limit=1", "", NULL), 200);
	cr_assert_null(strstr(f.body, "\"b\""));
	cr_assert_not_null(strstr(f.body, "\"count\":1,\"truncated\":false"));
}

Test(get, list_prefers_the_current_row)
{
	front_store(&f, 1, "k", "old", 5);
	front_store(&f, 2, "k", "newer", 9);
	decided(9);
	fake_repld.stale[0] = 1;
	fake_repld.location.n_stale = 1;
	cr_assert_eq(front_ask(&f, "GET", "?", "", NULL), 200);
	cr_assert_not_null(strstr(f.body, "\"size\":5,"));
}

Test(get, list_names_the_sites_it_lacks)
{
	front_store(&f, 2, "b", "2", 5);
	f.stores[0].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "?", "", NULL), 207);
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Partial"), "true; sites=\"one\"");
	cr_assert_not_null(strstr(f.body, "\"partial\":[\"one\"]"));
	f.stores[1].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "?", "", NULL), 503);
	f.stores[0].read_err = f.stores[1].read_err = 0;
	front_site_state(&f, 1, SITE_STATE_DOWN);
	f.stores[0].lists = 0;
	cr_assert_eq(front_ask(&f, "GET", "?", "", NULL), 207);
	cr_assert_eq(f.stores[0].lists, 0);
}
