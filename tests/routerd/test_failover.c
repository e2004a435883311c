/* SPDX-License-Identifier: Apache-2.0 */
/* Reads whose sites break off, fail, ask for time or hang: what the client gets, byte for byte, and who was asked. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "routerd/conn_list.h"
#include "tests/helpers/front_world.h"

#define BODY "0123456789"
#define BIG (600 * 1024)

static struct front_world f;

static void fini(void)
{
	front_world_free(&f);
}

static void one_site(void)
{
	front_world_init(&f, "p");
	f.conf->resilience.retry.initial_delay_ms = 2;
}

static void two_sites(void)
{
	front_world_init(&f, "pb");
	f.conf->resilience.retry.initial_delay_ms = 2;
}

static void three_sites(void)
{
	front_world_init(&f, "ppb");
	f.conf->resilience.retry.initial_delay_ms = 2;
}

TestSuite(failover_one, .init = one_site, .fini = fini);
TestSuite(failover, .init = two_sites, .fini = fini);
TestSuite(failover_three, .init = three_sites, .fini = fini);

static void retry(unsigned attempts)
{
	f.conf->resilience.retry.enabled = true;
	f.conf->resilience.retry.max_attempts = attempts;
	f.conf->resilience.retry.initial_delay_ms = 2;
	f.conf->resilience.retry.max_delay_ms = 4;
}

static unsigned takeovers(void)
{
	return (unsigned)stats_total(f.w.stats, STAT_READ_TAKEOVER);
}

/* ---- in mid-body ---- */

struct cut_case {
	const char *range;
	int status;
	const char *body;
};

static const struct cut_case cut_cases[] = {
	{"", 200, BODY},
	{"Range: bytes=2-\r\n", 206, "23456789"},
	{"Range: bytes=3-7\r\n", 206, "34567"},
	{"Range: bytes=-4\r\n", 206, "6789"},
	{"Range: bytes=9-9\r\n", 206, "9"},
};

Test(failover, any_cut_of_any_range_gives_the_exact_bytes)
{
	front_store(&f, 1, "k", BODY, 5);
	front_store(&f, 2, "k", BODY, 5);
	for (size_t i = 0; i < sizeof(cut_cases) / sizeof(cut_cases[0]); i++) {
		const struct cut_case *c = &cut_cases[i];
		size_t n = strlen(c->body);

		for (size_t cut = 0; cut <= n; cut++) {
			unsigned before = takeovers();

			f.stores[0].cut = true, f.stores[0].cut_bytes = 1 + cut;
			cr_assert_eq(front_ask(&f, "GET", "k", c->range, NULL), c->status);
			cr_assert_str_eq(f.body, c->body, "%scut after %zu: %s", c->range, cut, f.body);
			cr_assert_eq(takeovers() - before, cut < n, "%scut after %zu", c->range, cut);
		}
	}
}

Test(failover, a_file_that_breaks_off_is_taken_over)
{
	front_store(&f, 1, "k", BODY, 5);
	front_store(&f, 2, "k", BODY, 5);
	f.stores[0].as_fd = true;
	for (int mode = 0; mode < 2; mode++) {
		f.stores[1].as_fd = mode;
		for (size_t n = 1; n < 10; n++) {
			f.stores[0].fd_bytes = n;
			cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
			cr_assert_str_eq(f.body, BODY);
			cr_assert_eq(front_ask(&f, "GET", "k", "Range: bytes=3-7\r\n", NULL), 206);
			cr_assert_str_eq(f.body, "34567");
		}
	}
	cr_assert_eq(takeovers(), 2 * (9 + 7));
}

Test(failover, sites_that_break_off_again_and_again_still_deliver)
{
	front_store(&f, 1, "k", BODY, 5);
	front_store(&f, 2, "k", BODY, 5);
	f.stores[0].cut = f.stores[1].cut = true;
	f.stores[0].cut_bytes = f.stores[1].cut_bytes = 1 + 1;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, BODY);
	cr_assert_eq(f.stores[0].gets + f.stores[1].gets, 10);
	cr_assert_geq(f.stores[1].gets, 1);
}

Test(failover_one, the_only_site_goes_on_while_it_makes_progress)
{
	front_store(&f, 1, "k", BODY, 5);
	f.stores[0].cut = true, f.stores[0].cut_bytes = 1 + 3;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, BODY);
	cr_assert_eq(f.stores[0].gets, 4);
}

Test(failover_one, without_progress_the_connection_is_cut)
{
	front_store(&f, 1, "k", BODY, 5);
	f.stores[0].cut = true, f.stores[0].cut_bytes = 1 + 0;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(front_header(&f, "Content-Length"), "10");
	cr_assert_str_eq(f.body, "");
	cr_assert_eq(f.stores[0].gets, 1);
	retry(3);
	f.stores[0].cuts = 1;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, BODY);
}

struct version_case {
	const char *what, *body, *etag;
	uint64_t hlc;
	bool no_tags, ignores_if_match, used;
};

static const struct version_case version_cases[] = {
	{"the same", BODY, NULL, 5, false, false, true},
	{"other bytes of the same size", "abcdefghij", NULL, 5, false, false, false},
	{"the same from a store that ignores If-Match", "abcdefghij", NULL, 5, false, true, false},
	{"a newer version", "abcdefghij", NULL, 9, false, true, false},
	{"the same bytes written anew", BODY, NULL, 9, false, false, false},
	{"a copy that lost its tag", BODY, NULL, 5, true, false, true},
	{"another ETag", BODY, "other", 5, false, true, false},
	{"another size under the same ETag", "01234567890", "781e5e245d69b566979b86e28d23f2c7", 5, false, false, false},
	{"a shorter one that ignores If-Match", "012", NULL, 5, false, true, false},
};

Test(failover, only_the_same_version_goes_on)
{
	front_store(&f, 1, "k", BODY, 5);
	front_store(&f, 2, "k", BODY, 5);
	f.stores[0].cut = true, f.stores[0].cut_bytes = 1 + 4;
	for (size_t i = 0; i < sizeof(version_cases) / sizeof(version_cases[0]); i++) {
		const struct version_case *c = &version_cases[i];

		f.stores[1].objects[0].body = c->body;
		f.stores[1].objects[0].gen.hlc = c->hlc;
		f.stores[1].etag = c->etag;
		f.stores[1].no_tags = c->no_tags;
		f.stores[1].ignores_if_match = c->ignores_if_match;
		f.stores[0].gets = f.stores[1].gets = 0;
		/* so that the first site does not go on by itself */
		f.stores[0].cut = true, f.stores[0].cuts = 0;
		f.stores[0].read_err = 0;
		cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
		cr_assert_eq(strncmp(f.body, BODY, strlen(f.body)), 0, "%s: never mixed: %s", c->what, f.body);
		cr_assert_eq(f.stores[1].gets >= 1, true, "%s", c->what);
		cr_assert_str_eq(f.body, BODY, "%s: %s", c->what, f.body);
		cr_assert_eq(f.stores[0].gets == 1, c->used, "%s: %u", c->what, f.stores[0].gets);
	}
}

Test(failover, nobody_left_with_the_version_cuts_the_connection)
{
	front_store(&f, 1, "k", BODY, 5);
	front_store(&f, 2, "k", "abcdefghij", 9);
	f.stores[0].cut = true, f.stores[0].cut_bytes = 1 + 4;
	f.stores[0].read_faults = 0;
	front_begin(&f, "GET /api/v1/objects/k HTTP/1.1\r\nHost: x\r\n\r\n");
	while (f.stores[1].gets == 0)
		front_turn(&f);
	f.stores[0].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_finish(&f), 200);
	cr_assert_str_eq(f.body, "0123");
	cr_assert_eq(f.stores[0].gets, 2);
}

Test(failover_one, the_same_site_with_a_new_version_is_not_the_same)
{
	front_store(&f, 1, "k", BODY, 5);
	f.stores[0].cut = true, f.stores[0].cut_bytes = 1 + 4;
	f.conf->resilience.retry.initial_delay_ms = 50;
	front_begin(&f, "GET /api/v1/objects/k HTTP/1.1\r\nHost: x\r\n\r\n");
	while (!strstr(strbuf_str(&f.got), "\r\n\r\n0123"))
		front_turn(&f);
	f.stores[0].objects[0].body = "abcdefghij";
	f.stores[0].objects[0].gen.hlc = 9;
	cr_assert_eq(front_finish(&f), 200);
	cr_assert_str_eq(f.body, "0123");
}

Test(failover, a_multipart_etag_and_an_unknown_one)
{
	front_store(&f, 1, "k", BODY, 5);
	front_store(&f, 2, "k", BODY, 5);
	f.stores[0].cut = true;
	f.stores[0].etag = f.stores[1].etag = "9b2cf535f27731c974343645a3985328-3";
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, BODY);
	f.stores[0].etag = f.stores[1].etag = "";
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, BODY, "equal tags will do");
	cr_assert_eq(takeovers(), 2);
	f.stores[1].no_tags = true;
	f.stores[0].cut_bytes = 1 + 0;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "", "nothing says that it is the same");
}

Test(failover_three, the_order_of_the_search_holds_and_lagging_sites_come_last)
{
	front_dirty(&f, "k");
	fake_repld.location = (struct repld_location){.known = true, .decided = true, .gen = {.hlc = 5, .node = "n"}, .n_stale = 1};
	fake_repld.stale[0] = 2;
	for (uint32_t id = 1; id <= 3; id++)
		front_store(&f, id, "k", BODY, id == 2 ? 4 : 5);
	f.stores[0].cut = true;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, BODY);
	cr_assert_eq(f.stores[1].gets, 0);
	cr_assert_eq(f.stores[2].gets, 1);
}

Test(failover_three, a_site_that_fails_is_passed_by_and_one_that_asked_to_wait_is_left_alone)
{
	for (uint32_t id = 1; id <= 3; id++)
		front_store(&f, id, "k", BODY, 5);
	f.stores[0].read_err = GFS_ERR_SITE_BUSY, f.stores[0].retry_after_s = 30;
	f.stores[1].cut = true, f.stores[1].cuts = 1;
	f.stores[2].cut = true, f.stores[2].cuts = 1, f.stores[2].cut_bytes = 1 + 2;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, BODY);
	cr_assert_eq(f.stores[0].gets, 1);
	cr_assert_eq(f.stores[1].gets, 2);
	cr_assert_eq(f.stores[2].gets, 1);
}

Test(failover, a_slow_client_and_cuts_do_not_mix_bytes)
{
	char *body = malloc(BIG + 1);

	for (size_t i = 0; i < BIG; i++)
		body[i] = (char)('a' + i * 7 % 26);
	body[BIG] = '\0';
	front_store(&f, 1, "k", body, 5);
	front_store(&f, 2, "k", body, 5);
	f.stores[0].cut = f.stores[1].cut = true;
	f.stores[0].cut_bytes = 1 + 100001;
	f.stores[1].cut_bytes = 1 + 200003;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_eq(strlen(f.body), BIG);
	cr_assert_eq(memcmp(f.body, body, BIG), 0);
	f.stores[0].as_fd = f.stores[1].as_fd = true;
	f.stores[0].cut = f.stores[1].cut = false;
	f.stores[0].fd_bytes = 123457;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_eq(strlen(f.body), BIG);
	cr_assert_eq(memcmp(f.body, body, BIG), 0);
	free(body);
}

/* ---- a client that goes away ---- */

Test(failover, a_client_that_leaves_ends_the_request_at_the_site_at_once)
{
	f.stores[0].hangs = true;
	f.conf->routing.read_deadline_ms = 60000;
	for (int i = 0; i < 2; i++) {
		const char *method = i ? "HEAD" : "GET";
		char text[128];

		f.stores[0].gets = f.stores[0].heads = f.stores[0].cancels = 0;
		snprintf(text, sizeof(text), "%s /api/v1/objects/k HTTP/1.1\r\nHost: x\r\n\r\n", method);
		front_begin(&f, text);
		while (f.stores[0].gets + f.stores[0].heads == 0)
			front_turn(&f);
		close(f.fd);
		f.fd = -1;
		for (int turn = 0; turn < 10 && f.stores[0].cancels == 0; turn++)
			front_turn(&f);
		cr_assert_eq(f.stores[0].cancels, 1, "%s", method);
		cr_assert_eq(conn_list_count(f.w.conns), 0);
	}
	cr_assert_eq(f.stores[1].gets, 0);
}

Test(failover, a_client_that_leaves_between_two_sites)
{
	front_store(&f, 1, "k", BODY, 5);
	front_store(&f, 2, "k", BODY, 5);
	f.stores[0].cut = true;
	f.stores[1].hangs = true;
	f.conf->routing.read_deadline_ms = 60000;
	front_begin(&f, "GET /api/v1/objects/k HTTP/1.1\r\nHost: x\r\n\r\n");
	while (f.stores[1].gets == 0)
		front_turn(&f);
	conn_list_destroy(&f.w.conns);
	cr_assert_eq(f.stores[1].cancels, 1);
	f.w.conns = conn_list_create(&f.w);
}

/* ---- time ---- */

static unsigned timeouts[FRONT_SITES], silent_ends[FRONT_SITES];

static void on_ended(void *arg, const struct site *site, const struct site_event *e)
{
	(void)arg;
	if (!e->result)
		silent_ends[site_id(site) - 1]++;
	else if (e->result->err == GFS_ERR_TIMEOUT)
		timeouts[site_id(site) - 1]++;
}

static const struct site_observer observer = {.ended = on_ended};

static void site_p95(uint32_t id, int64_t p95_us)
{
	struct site_status st = {.id = id, .state = SITE_STATE_UP, .p95_us = p95_us};

	sites_board_put(&f.w.sites_board, &st);
}

Test(failover, a_hung_site_holds_a_read_up_by_what_it_is_used_to)
{
	int64_t began_ms = clock_mono_ms(), took_ms;

	f.conf->routing.read_deadline_ms = 60000;
	f.w.site_env.observer = &observer;
	site_p95(1, 1000);
	front_store(&f, 2, "k", BODY, 5);
	f.stores[0].hangs = true;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	took_ms = clock_mono_ms() - began_ms;
	cr_assert(took_ms >= 500 && took_ms < 3000, "%lld ms", (long long)took_ms);
	cr_assert_eq(timeouts[0], 1, "it is the site's fault");
	cr_assert_eq(silent_ends[0], 0);
}

Test(failover, who_was_cut_short_gets_the_time_that_is_left)
{
	f.conf->routing.read_deadline_ms = 60000;
	site_p95(1, 1000);
	front_store(&f, 1, "k", BODY, 5);
	f.stores[0].slow_ms = 700;
	f.stores[1].read_err = GFS_ERR_SITE_ERROR;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Site"), "one");
	cr_assert_eq(f.stores[0].gets, 2);
}

Test(failover, a_site_that_failed_once_is_retried_before_a_hung_one_gets_its_time)
{
	int64_t began_ms = clock_mono_ms();

	retry(3);
	f.conf->routing.read_deadline_ms = 60000;
	site_p95(1, 1000);
	front_store(&f, 2, "k", BODY, 5);
	f.stores[0].hangs = true;
	f.stores[1].read_err = GFS_ERR_SITE_ERROR, f.stores[1].read_faults = 1;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_lt(clock_mono_ms() - began_ms, 3000);
}

Test(failover, a_late_current_site_is_waited_for_before_an_older_copy_is_served)
{
	front_dirty(&f, "k");
	fake_repld.location = (struct repld_location){.known = true, .decided = true, .gen = {.hlc = 9, .node = "n"}, .n_stale = 1};
	fake_repld.stale[0] = 2;
	f.conf->routing.read_deadline_ms = 2400;
	site_p95(1, 1000);
	f.stores[0].n = f.stores[1].n = 0;
	front_store(&f, 1, "k", "new", 9);
	front_store(&f, 2, "k", "old", 5);
	f.stores[0].slow_ms = 700; /* longer than a site is given that answers in 1 ms */
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "new");
	cr_assert_null(front_header(&f, "X-GlobalFS-Stale"));
	f.stores[0].hangs = true;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "old");
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Stale"), "true");
}

Test(failover, a_miss_does_not_wait_long_for_a_silent_site)
{
	int64_t began_ms = clock_mono_ms();

	f.stores[0].n = f.stores[1].n = 0;
	site_p95(2, 1000);
	f.conf->routing.read_deadline_ms = 60000;
	f.stores[1].hangs = true;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 404);
	cr_assert_eq(f.stores[1].gets, 1);
	cr_assert_lt(clock_mono_ms() - began_ms, 3000);
}

Test(failover, a_miss_does_not_wait_for_a_site_that_is_down)
{
	f.stores[0].n = f.stores[1].n = 0;
	f.stores[1].hangs = true;
	front_site_state(&f, 2, SITE_STATE_DOWN);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 404);
	cr_assert_eq(f.stores[1].gets, 0);
	/* but when nobody else can say so, it is asked */
	f.stores[0].read_err = GFS_ERR_CONNECT;
	f.stores[1].hangs = false;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 503);
	cr_assert_eq(f.stores[1].gets, 1);
}

/* ---- retries ---- */

struct retry_case {
	const char *what;
	int err;
	unsigned faults, attempts;
	int status;
	unsigned gets;
};

static const struct retry_case retry_cases[] = {
	{"off: one attempt", GFS_ERR_SITE_ERROR, 1, 0, 503, 1},
	{"a passing fault", GFS_ERR_SITE_ERROR, 1, 3, 200, 2},
	{"two passing faults", GFS_ERR_CONNECT, 2, 3, 200, 3},
	{"as many as allowed", GFS_ERR_CONNECT, 0, 3, 503, 3},
	{"one attempt is none more", GFS_ERR_CONNECT, 1, 1, 503, 1},
	{"404 is an answer", GFS_ERR_NO_SUCH_KEY, 0, 3, 404, 1},
	{"access denied does not pass", GFS_ERR_FORBIDDEN, 0, 3, 503, 1},
};

Test(failover_one, retries)
{
	front_store(&f, 1, "k", BODY, 5);
	f.conf->routing.read_deadline_ms = 5000;
	for (size_t i = 0; i < sizeof(retry_cases) / sizeof(retry_cases[0]); i++) {
		const struct retry_case *c = &retry_cases[i];

		retry(c->attempts);
		f.conf->resilience.retry.enabled = c->attempts > 0;
		f.stores[0].read_err = c->err;
		f.stores[0].read_faults = c->faults;
		f.stores[0].gets = 0;
		cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), c->status, "%s: %d", c->what, f.status);
		cr_assert_eq(f.stores[0].gets, c->gets, "%s: %u", c->what, f.stores[0].gets);
	}
}

Test(failover_one, retry_after_is_waited_for)
{
	int64_t began_ms = clock_mono_ms();

	retry(3);
	f.conf->routing.read_deadline_ms = 10000;
	front_store(&f, 1, "k", BODY, 5);
	f.stores[0].read_err = GFS_ERR_SITE_BUSY, f.stores[0].read_faults = 1, f.stores[0].retry_after_s = 1;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_geq(clock_mono_ms() - began_ms, 990);
	cr_assert_eq(f.stores[0].gets, 2);
}

Test(failover, retry_after_beyond_the_deadline_goes_to_the_client_at_once)
{
	int64_t began_ms = clock_mono_ms();

	retry(3);
	f.conf->routing.read_deadline_ms = 5000;
	f.stores[0].read_err = GFS_ERR_SITE_BUSY, f.stores[0].retry_after_s = 30;
	f.stores[1].read_err = GFS_ERR_SITE_BUSY, f.stores[1].retry_after_s = 20;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 503);
	cr_assert_lt(clock_mono_ms() - began_ms, 3000);
	cr_assert_str_eq(front_header(&f, "Retry-After"), "20");
	cr_assert_eq(f.stores[0].gets + f.stores[1].gets, 2);
	f.stores[1].read_err = GFS_ERR_SITE_ERROR, f.stores[1].read_faults = 1, f.stores[1].retry_after_s = 0;
	front_store(&f, 2, "k", BODY, 5);
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_eq(f.stores[0].gets, 2, "not before it said");
}

Test(failover, writes_are_not_retried)
{
	retry(5);
	f.stores[0].put_fault = FAKE_PUT_FAILS_AT_ONCE;
	cr_assert_geq(front_ask(&f, "PUT", "k", "", "hello"), 500);
	cr_assert_eq(f.stores[0].puts, 1);
}
