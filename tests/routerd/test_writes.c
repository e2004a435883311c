/* SPDX-License-Identifier: Apache-2.0 */
/* PUT and DELETE against scripted sites and a scripted repld: what is asked, what is told, what is undone. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/helpers/front_world.h"

static struct front_world f;

static void init(void)
{
	front_world_init(&f, "ppb");
}

static void fini(void)
{
	front_world_free(&f);
}

TestSuite(put, .init = init, .fini = fini);

static uint64_t clock_of(const char *key)
{
	return keys_board_clock(&f.w.keys_board, keys_board_cell(slice_str(key)));
}

Test(put, reaches_all_primaries_and_commits)
{
	uint64_t before = clock_of("k");

	cr_assert_eq(front_ask(&f, "PUT", "k", "Content-Type: text/x\r\n", "hello"), 201);
	cr_assert_str_eq(front_header(&f, "ETag"), "\"5d41402abc4b2a76b9719d911017c592\"");
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Generation"), "0000000000001000-n");
	cr_assert_gt(clock_of("k"), before);
	for (int i = 0; i < 2; i++) {
		cr_assert_str_eq(f.stores[i].put_body, "hello");
		cr_assert_str_eq(f.stores[i].put_type, "text/x");
		cr_assert_eq(f.stores[i].completes, 1);
	}
	cr_assert_eq(f.stores[2].puts, 0);
	cr_assert_eq(fake_repld.version.n_sync, 2);
	cr_assert_eq(fake_repld.version.n_async, 1);
	cr_assert_eq(fake_repld.async[0], 3);
	cr_assert_eq(fake_repld.version.size, 5);
	cr_assert_eq(fake_repld.version.write_min, 2);
	cr_assert_eq(fake_repld.commits, 1);
	cr_assert(fake_repld.acknowledged);
	cr_assert_eq(fake_repld.outcomes[0], SITE_DONE);
	cr_assert_eq(fake_repld.outcomes[1], SITE_DONE);
	cr_assert_eq(fake_repld.abandons, 0);
}

Test(put, of_any_length_streams)
{
	static const size_t sizes[] = {0, 1, 16384, 262144, 262145, 1000000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *body = malloc(sizes[i] + 1);

		memset(body, 'x', sizes[i]);
		body[sizes[i]] = '\0';
		cr_assert_eq(front_ask(&f, "PUT", "k", "", body), 201);
		cr_assert_eq(f.stores[0].put_bytes, sizes[i]);
		cr_assert_eq(f.stores[1].put_bytes, sizes[i]);
		cr_assert_eq(fake_repld.version.size, sizes[i]);
		free(body);
	}
}

Test(put, chunked_body)
{
	front_begin(&f, "PUT /api/v1/objects/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
	                "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
	cr_assert_eq(front_finish(&f), 201);
	cr_assert_str_eq(f.stores[0].put_body, "abcde");
}

Test(put, a_site_that_fails_early_is_left_to_repld_if_write_min_allows)
{
	f.conf->routing.write_min = 1;
	f.stores[0].put_fault = FAKE_PUT_FAILS_AT_END;
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 201);
	cr_assert_eq(fake_repld.version.n_sync, 1);
	cr_assert_eq(fake_repld.sync[0], 2);
	cr_assert_eq(fake_repld.version.n_async, 2);
	f.stores[0].put_fault = FAKE_PUT_FAILS_AT_ONCE;
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 201);
	cr_assert_eq(fake_repld.version.n_sync, 1);
}

Test(put, a_site_that_fails_early_undoes_it_all)
{
	static const enum fake_put_fault faults[] = {FAKE_PUT_FAILS_AT_ONCE, FAKE_PUT_FAILS_AT_END};

	for (int i = 0; i < 2; i++) {
		f.stores[1].put_fault = faults[i];
		cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 507);
		cr_assert_not_null(strstr(f.body, "two"));
		cr_assert_null(strstr(f.body, "may still"));
		cr_assert_eq(fake_repld.finalises, 0);
		cr_assert_eq((size_t)fake_repld.abandons, (size_t)i + 1);
		cr_assert_eq((size_t)f.stores[0].aborts, (size_t)i + 1);
		cr_assert_eq(f.stores[0].completes, 0);
	}
}

Test(put, a_failure_after_the_grant_is_told_and_committed)
{
	uint64_t before = clock_of("k");

	f.stores[1].put_fault = FAKE_PUT_UNKNOWN;
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 504);
	cr_assert_not_null(strstr(f.body, "two"));
	cr_assert_not_null(strstr(f.body, "may still take effect"));
	cr_assert_eq(fake_repld.commits, 1);
	cr_assert(!fake_repld.acknowledged);
	cr_assert_eq(fake_repld.outcomes[0], SITE_DONE);
	cr_assert_eq(fake_repld.outcomes[1], SITE_UNKNOWN);
	cr_assert_gt(clock_of("k"), before);
	f.conf->routing.write_min = 1;
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 201);
	cr_assert(fake_repld.acknowledged);
	cr_assert_null(fake_repld.commit_cb, "answered only when repld knew which site lacks it");
	fake_repld.commit_err = GFS_ERR_UNAVAILABLE;
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 503);
	cr_assert_not_null(strstr(f.body, "may take effect"));
}

Test(put, superseded_is_a_success_that_leaves_nothing)
{
	fake_repld.finalise_err = GFS_ERR_SUPERSEDED;
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 201);
	cr_assert_eq(f.stores[0].aborts + f.stores[1].aborts, 2);
	cr_assert_eq(f.stores[0].completes, 0);
	cr_assert_eq(fake_repld.commits, 0);
}

Test(put, a_refused_finalise_aborts)
{
	fake_repld.finalise_err = GFS_ERR_PRECONDITION;
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 412);
	fake_repld.finalise_err = GFS_ERR_BUSY;
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 503);
	cr_assert_not_null(front_header(&f, "Retry-After"));
	cr_assert_eq(f.stores[0].aborts, 2);
	cr_assert_eq(fake_repld.abandons, 2);
}

Test(put, without_repld_is_503)
{
	fake_repld.begin_err = GFS_ERR_UNAVAILABLE;
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 503);
	cr_assert_eq(f.stores[0].puts, 0);
	cr_assert_eq(front_ask(&f, "DELETE", "k", "", NULL), 503);
}

Test(put, fails_at_once_when_a_needed_site_is_down)
{
	front_site_state(&f, 2, SITE_STATE_DOWN);
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 503);
	cr_assert_not_null(strstr(f.body, "two (unplugged)"));
	cr_assert_eq(fake_repld.begins, 0);
	f.conf->routing.write_min = 1;
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 201);
	cr_assert_eq(f.stores[1].puts, 0);
	cr_assert_eq(fake_repld.version.n_async, 2);
}

Test(put, checks_the_digest)
{
	cr_assert_eq(front_ask(&f, "PUT", "k", "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==\r\n", "hello"), 201);
	cr_assert_eq(front_ask(&f, "PUT", "k", "Content-MD5: XUFAKrxLKna5cZ2REBfFkg==\r\n", "hellO"), 400);
	cr_assert_eq(front_ask(&f, "PUT", "k", "Content-MD5: nonsense\r\n", "hello"), 400);
	cr_assert_eq(f.stores[0].completes, 1);
}

Test(put, conditions_are_checked_before_the_body_is_sent_on)
{
	front_store(&f, 1, "k", "hello", 5);
	cr_assert_eq(front_ask(&f, "PUT", "k", "If-None-Match: *\r\n", "x"), 412);
	cr_assert_eq(front_ask(&f, "PUT", "k", "If-Match: \"other\"\r\n", "x"), 412);
	cr_assert_eq(f.stores[0].puts, 0);
	cr_assert_eq(fake_repld.abandons, 2);
	cr_assert_eq(front_ask(&f, "PUT", "k", "If-Match: \"5d41402abc4b2a76b9719d911017c592\"\r\n", "x"), 201);
	cr_assert(fake_repld.version.conditional);
	cr_assert_eq(front_ask(&f, "PUT", "new", "If-Match: \"x\"\r\n", "x"), 412);
	f.stores[0].read_err = f.stores[1].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "PUT", "k", "If-None-Match: *\r\n", "x"), 503);
}

Test(put, too_large)
{
	f.conf->limits.max_object_bytes = 4;
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 413);
	cr_assert_eq(fake_repld.begins, 0);
	front_begin(&f, "PUT /api/v1/objects/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
	                "5\r\nhello\r\n0\r\n\r\n");
	cr_assert_eq(front_finish(&f), 413);
	cr_assert_eq(f.stores[0].completes, 0);
	cr_assert_eq(fake_repld.abandons, 1);
}

Test(put, bad_metadata_and_keys)
{
	cr_assert_eq(front_ask(&f, "PUT", "k", "X-GlobalFS-Meta-gfs-gen: x\r\n", "hello"), 400);
	cr_assert_eq(front_ask(&f, "PUT", "a/../b", "", "hello"), 400);
	cr_assert_eq(front_ask(&f, "PUT", "a%zz", "", "hello"), 400);
	cr_assert_eq(fake_repld.begins, 0);
}

static void go_away(void)
{
	close(f.fd);
	f.fd = -1;
	for (int i = 0; i < 200; i++)
		front_turn(&f);
}

Test(put, a_client_that_goes_away_early_changes_nothing)
{
	front_begin(&f, "PUT /api/v1/objects/k HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
	while (f.stores[0].puts == 0)
		front_turn(&f);
	go_away();
	cr_assert_eq(f.stores[0].aborts, 1);
	cr_assert_eq(f.stores[1].aborts, 1);
	cr_assert_eq(fake_repld.abandons, 1);
	cr_assert_eq(fake_repld.finalises, 0);
}

Test(put, a_client_that_goes_away_late_does_not_stop_it)
{
	fake_repld.hold_finalise = true;
	front_begin(&f, "PUT /api/v1/objects/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
	while (fake_repld.finalises == 0)
		front_turn(&f);
	go_away();
	cr_assert_eq(fake_repld.abandons, 0);
	fake_repld_release();
	for (int i = 0; i < 200 && !fake_repld.commits; i++)
		front_turn(&f);
	cr_assert_eq(fake_repld.commits, 1);
	cr_assert_eq(f.stores[0].completes, 1);
}

Test(put, delete_follows_the_same_protocol)
{
	uint64_t before = clock_of("k");

	cr_assert_eq(front_ask(&f, "DELETE", "k", "", NULL), 204);
	cr_assert_eq(f.stores[0].deletes + f.stores[1].deletes, 2);
	cr_assert_eq(f.stores[2].deletes, 0);
	cr_assert_eq(fake_repld.async[0], 3);
	cr_assert_gt(clock_of("k"), before);
	cr_assert(fake_repld.acknowledged);
	f.stores[1].delete_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "DELETE", "k", "", NULL), 503);
	cr_assert_not_null(strstr(f.body, "two"));
	cr_assert(!fake_repld.acknowledged);
	cr_assert_eq(fake_repld.commits, 2);
	f.conf->routing.write_min = 1;
	cr_assert_eq(front_ask(&f, "DELETE", "k", "", NULL), 204);
	fake_repld.commit_err = GFS_ERR_UNAVAILABLE;
	cr_assert_eq(front_ask(&f, "DELETE", "k", "", NULL), 503);
	fake_repld.finalise_err = GFS_ERR_SUPERSEDED;
	cr_assert_eq(front_ask(&f, "DELETE", "k", "", NULL), 204);
}

Test(put, no_sites_at_all)
{
	f.w.n_sites = 0;
	cr_assert_eq(front_ask(&f, "PUT", "k", "", "hello"), 503);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 503);
	cr_assert_eq(front_ask(&f, "GET", "?", "", NULL), 200);
	f.w.n_sites = 3;
}
