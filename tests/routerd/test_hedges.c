/* SPDX-License-Identifier: Apache-2.0 */
/* Hedged reads against scripted sites: when a second one is asked, whose answer counts, and when there must be none. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "common/clock.h"
#include "tests/helpers/front_world.h"

static struct front_world f;

static void site_row(uint32_t id, enum site_state state, int64_t p95_us)
{
	struct site_status st = {.id = id, .state = state, .p95_us = p95_us};

	sites_board_put(&f.w.sites_board, &st);
}

static void init_roles(const char *roles)
{
	front_world_init(&f, roles);
	f.conf->routing.read_deadline_ms = 20000;
	f.conf->routing.hedge = true;
	f.conf->routing.hedge_share = 0.05;
	for (uint32_t id = 1; roles[id - 1]; id++) {
		site_row(id, SITE_STATE_UP, 5000);
		front_store(&f, id, "k", id == 1 ? "first" : "other", 5);
	}
}

static void init(void)
{
	init_roles("pb");
}

static void init_three(void)
{
	init_roles("ppb");
}

static void fini(void)
{
	front_world_free(&f);
}

TestSuite(hedge, .init = init, .fini = fini);
TestSuite(hedge_three, .init = init_three, .fini = fini);

static unsigned sent(void)
{
	return (unsigned)stats_total(f.w.stats, STAT_HEDGE_SENT);
}

static unsigned won(void)
{
	return (unsigned)stats_total(f.w.stats, STAT_HEDGE_WON);
}

Test(hedge, wins_when_the_first_site_is_late)
{
	int64_t began_ms = clock_mono_ms();

	f.stores[0].hangs = true;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "other");
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Site"), "two");
	cr_assert_lt(clock_mono_ms() - began_ms, 400, "before anybody's patience ended");
	cr_assert_eq(sent(), 1);
	cr_assert_eq(won(), 1);
	cr_assert_eq(f.stores[0].cancels, 1);
	cr_assert_eq(front_ask(&f, "HEAD", "k", "", NULL), 200);
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Site"), "two");
	cr_assert_eq(won(), 2);
	cr_assert_eq(f.stores[0].cancels, 2);
}

Test(hedge, loses_when_the_first_site_answers_after_all)
{
	f.stores[0].slow_ms = 40;
	f.stores[1].hangs = true;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "first");
	cr_assert_eq(sent(), 1);
	cr_assert_eq(won(), 0);
	cr_assert_eq(f.stores[1].cancels, 1);
}

Test(hedge, is_not_sent_when_the_first_site_is_in_time)
{
	site_row(1, SITE_STATE_UP, 300000);
	f.stores[0].slow_ms = 20;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "first");
	cr_assert_eq(sent(), 0);
	cr_assert_eq(f.stores[1].gets, 0);
}

Test(hedge, its_404_is_no_answer_while_the_first_runs)
{
	f.stores[1].n = 0;
	f.stores[0].slow_ms = 60;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "first");
	cr_assert_eq(sent(), 1);
	f.stores[1].read_err = GFS_ERR_CONNECT;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "first");
	f.conf->routing.on_missing = MISSING_AUTHORITATIVE;
	f.stores[1].read_err = 0;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_eq(won(), 0);
}

Test(hedge, answers_when_the_first_fails_meanwhile)
{
	f.stores[0].slow_ms = 30;
	f.stores[0].read_err = GFS_ERR_SITE_ERROR;
	f.stores[1].slow_ms = 80;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "other");
	cr_assert_eq(f.stores[1].gets, 1);
	f.stores[0].read_err = 0;
	f.stores[0].n = 0;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "other", "nor is the first one's 404 while the hedge runs");
}

Test(hedge, breaks_off_and_is_taken_over_by_the_late_one)
{
	f.stores[1].objects[0].body = "first";
	f.stores[0].slow_ms = 50;
	f.stores[1].cut = true;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_str_eq(f.body, "first");
	cr_assert_str_eq(front_header(&f, "X-GlobalFS-Site"), "two");
	cr_assert_eq(f.stores[0].gets, 2);
}

/* ---- when there must be none ---- */

static void ask_late_first(const char *headers)
{
	f.stores[0].slow_ms = 40;
	f.stores[0].gets = f.stores[1].gets = 0;
	cr_assert_eq(front_ask(&f, "GET", "k", headers, NULL), 200);
	cr_assert_str_eq(f.body, "first");
	cr_assert_eq(f.stores[1].gets, 0);
	cr_assert_eq(sent(), 0);
}

Test(hedge, never_unless_configured_measured_and_to_a_site_that_is_well)
{
	static const enum site_state ill[] = {SITE_STATE_DEGRADED, SITE_STATE_DOWN};
	struct site_status open = {.id = 2, .state = SITE_STATE_UP, .circuit = CIRCUIT_HALF_OPEN};

	f.conf->routing.hedge = false;
	ask_late_first("");
	f.conf->routing.hedge = true;
	site_row(1, SITE_STATE_UP, 0);
	ask_late_first("");
	site_row(1, SITE_STATE_UP, 5000);
	for (size_t i = 0; i < 2; i++) {
		site_row(2, ill[i], 5000);
		ask_late_first("");
	}
	sites_board_put(&f.w.sites_board, &open);
	ask_late_first("");
	site_row(2, SITE_STATE_UP, 5000);
	f.confs[1].drained = true;
	ask_late_first("");
}

Test(hedge, never_to_a_lagging_site_nor_while_nothing_is_verified)
{
	front_dirty(&f, "k");
	fake_repld.location = (struct repld_location){.known = true, .decided = true, .gen = {.hlc = 5, .node = "n"}, .n_stale = 1};
	fake_repld.stale[0] = 2;
	ask_late_first("");
	ask_late_first("X-GlobalFS-Consistency: current\r\n");
	fake_repld.location = (struct repld_location){0};
	fake_repld.lookup_err = GFS_ERR_TIMEOUT;
	ask_late_first("");
}

Test(hedge, an_older_copy_does_not_win)
{
	front_dirty(&f, "k");
	fake_repld.location = (struct repld_location){.known = true, .decided = true, .gen = {.hlc = 5, .node = "n"}};
	f.stores[1].objects[0].gen.hlc = 4;
	f.stores[0].slow_ms = 40;
	cr_assert_eq(front_ask(&f, "GET", "k", "X-GlobalFS-Consistency: current\r\n", NULL), 200);
	cr_assert_str_eq(f.body, "first");
	cr_assert_null(front_header(&f, "X-GlobalFS-Stale"));
	cr_assert_eq(sent(), 1);
	cr_assert_eq(won(), 0);
}

Test(hedge_three, never_two_at_once)
{
	f.stores[0].slow_ms = 80;
	f.stores[1].slow_ms = 60;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_eq(sent(), 1);
	cr_assert_eq(f.stores[2].gets, 0);
}

Test(hedge_three, none_while_half_of_the_sites_are_ill)
{
	site_row(2, SITE_STATE_DEGRADED, 5000);
	site_row(3, SITE_STATE_UP, 5000);
	f.stores[0].slow_ms = 30;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_eq(sent(), 1, "two of three are well");
	site_row(1, SITE_STATE_DEGRADED, 5000);
	site_row(2, SITE_STATE_DEGRADED, 5000);
	f.stores[2].slow_ms = 30;
	cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_eq(sent(), 1);
}

Test(hedge, the_budget_ends)
{
	f.conf->routing.hedge_share = 0.01;
	f.stores[0].slow_ms = 15;
	f.stores[1].hangs = true;
	for (int i = 0; i < 20; i++)
		cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_eq(sent(), 2);
	f.conf->routing.hedge_share = 0;
	for (int i = 0; i < 5; i++)
		cr_assert_eq(front_ask(&f, "GET", "k", "", NULL), 200);
	cr_assert_eq(sent(), 2);
}
