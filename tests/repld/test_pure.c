/* SPDX-License-Identifier: Apache-2.0 */
/* The pure modules of repld: backoff, planner, judge, clock. */
#include "config.h"

#include <criterion/criterion.h>
#include <string.h>

#include "repld/backoff.h"
#include "repld/clock.h"
#include "repld/judge.h"
#include "repld/planner.h"

Test(backoff, doubles_up_to_the_maximum_with_jitter_in_the_upper_half)
{
	for (unsigned attempts = 1; attempts < 80; attempts++) {
		int64_t full = attempts > 9 ? 300000 : (int64_t)1000 << (attempts - 1);

		if (full > 300000)
			full = 300000;
		for (uint64_t random = 0; random < 100000; random += 7919) {
			int64_t ms = backoff_delay_ms(attempts, 1000, 300000, random);

			cr_assert(ms >= full / 2 && ms <= full, "attempt %u: %lld", attempts, (long long)ms);
		}
	}
	cr_assert_eq(backoff_delay_ms(5, 0, 0, 3), 1);
	cr_assert_leq(backoff_delay_ms(4000000000u, INT64_MAX / 2, INT64_MAX, UINT64_MAX), INT64_MAX);
}

Test(backoff, an_unknown_outcome_is_checked_at_1s_10s_1min_15min)
{
	static const int64_t at_ms[] = {1000, 10000, 60000, 900000};
	int64_t t = 0;

	for (unsigned step = 1; step <= BACKOFF_WATCH_STEPS; step++) {
		t += backoff_watch_ms(step);
		cr_assert_eq(t, at_ms[step - 1]);
	}
}

static unsigned run_all(struct planner_site *v, size_t n, unsigned total)
{
	unsigned started = 0;
	size_t at = 0;
	enum lane lane;

	while (planner_pick(v, n, total, at, &at, &lane)) {
		v[at].inflight[lane]++;
		v[at].last = lane;
		cr_assert_leq(++started, 1000u);
	}
	return started;
}

Test(planner, keeps_the_limit_over_all_sites_and_shares_it)
{
	struct planner_site v[3] = {{.waiting = {true, false}}, {.waiting = {true, false}}, {.waiting = {true, true}}};

	cr_assert_eq(run_all(v, 3, 8), 8u);
	for (int i = 0; i < 3; i++)
		cr_assert_geq(v[i].inflight[0] + v[i].inflight[1], 2u);
}

Test(planner, one_site_with_work_may_use_everything)
{
	struct planner_site v[4] = {{.waiting = {true, false}}};

	cr_assert_eq(run_all(v, 4, 8), 8u);
}

Test(planner, large_objects_leave_a_place_for_small_ones)
{
	struct planner_site v[1] = {{.waiting = {false, true}}};

	cr_assert_eq(run_all(v, 1, 8), 7u);
	v[0].waiting[LANE_SMALL] = true;
	cr_assert_eq(run_all(v, 1, 8), 1u);
	cr_assert_eq(v[0].inflight[LANE_SMALL], 1u);
}

Test(planner, with_one_place_the_lanes_take_turns)
{
	struct planner_site v[1] = {{.waiting = {true, true}, .last = LANE_SMALL}};
	enum lane lane;
	size_t at;

	cr_assert(planner_pick(v, 1, 1, 0, &at, &lane));
	cr_assert_eq(lane, LANE_LARGE);
	v[0].last = LANE_LARGE;
	cr_assert(planner_pick(v, 1, 1, 0, &at, &lane));
	cr_assert_eq(lane, LANE_SMALL);
}

Test(planner, a_site_that_is_down_gets_one_try_when_it_is_due)
{
	struct planner_site v[1] = {{.waiting = {true, true}, .down = true}};

	cr_assert_eq(run_all(v, 1, 8), 0u);
	v[0].retry_due = true;
	cr_assert_eq(run_all(v, 1, 8), 1u);
}

Test(planner, a_drained_site_gets_nothing_and_leaves_its_share_to_others)
{
	struct planner_site v[2] = {{.waiting = {true, true}, .drained = true}, {.waiting = {true, false}}};

	cr_assert_eq(run_all(v, 2, 8), 8u);
	cr_assert_eq(v[0].inflight[0] + v[0].inflight[1], 0u);
	v[0].down = v[0].retry_due = true;
	v[1].waiting[LANE_SMALL] = false;
	cr_assert_eq(run_all(v, 1, 8), 0u, "not even the try of a site that is down");
}

Test(planner, nothing_waits_nothing_starts)
{
	struct planner_site v[2] = {{.inflight = {1, 0}}};
	enum lane lane;
	size_t at;

	cr_assert_not(planner_pick(v, 2, 8, 0, &at, &lane));
	cr_assert_not(planner_pick(NULL, 0, 8, 0, &at, &lane));
	cr_assert_eq(planner_share(0, 0), 1u);
	cr_assert_eq(planner_lane(true, UINT64_MAX), LANE_SMALL);
	cr_assert_eq(planner_lane(false, UINT64_MAX), LANE_LARGE);
}

static struct gen gen_of(int64_t ms, const char *node)
{
	struct gen g = {.hlc = (uint64_t)ms << 16};

	strcpy(g.node, node);
	return g;
}

Test(judge, decides_by_generation_then_by_content)
{
	struct version put = {.gen = gen_of(100000, "n1"), .size = 3, .part_size = 100, .etag = "e1"};
	struct version del = {.gen = gen_of(100000, "n1"), .deleted = true};
	struct object_info same = {.gen = put.gen, .gen_tagged = true, .size = 3, .etag = "e1"};
	struct object_info older = same, newer = same, broken = same, foreign = same;

	older.gen = gen_of(99999, "n1");
	newer.gen = gen_of(100000, "n2");
	strcpy(broken.etag, "e2");
	foreign.gen_tagged = false;
	foreign.gen = gen_of(90000, "ext@a");
	foreign.mtime_ms = 90000;
	strcpy(foreign.etag, "other");
	cr_expect_eq(judge_site(&put, NULL), JUDGE_ACT);
	cr_expect_eq(judge_site(&put, &same), JUDGE_CURRENT);
	cr_expect_eq(judge_site(&put, &older), JUDGE_ACT);
	cr_expect_eq(judge_site(&put, &newer), JUDGE_NEWER);
	cr_expect_eq(judge_site(&put, &broken), JUDGE_ACT);
	cr_expect_eq(judge_site(&put, &foreign), JUDGE_ACT);
	foreign.mtime_ms = 98000;
	cr_expect_eq(judge_site(&put, &foreign), JUDGE_CONFLICT, "too close to the version to be called older");
	strcpy(foreign.etag, "e1");
	cr_expect_eq(judge_site(&put, &foreign), JUDGE_CURRENT, "the same bytes");
	cr_expect_eq(judge_site(&del, NULL), JUDGE_CURRENT);
	cr_expect_eq(judge_site(&del, &older), JUDGE_ACT);
	cr_expect_eq(judge_site(&del, &newer), JUDGE_NEWER);
	cr_expect_eq(judge_site(&del, &foreign), JUDGE_CONFLICT);
	foreign.mtime_ms = 80000;
	cr_expect_eq(judge_site(&del, &foreign), JUDGE_ACT);
}

static struct gen next_of(struct gen_clock *c, int64_t now_ms)
{
	struct gen g;
	uint64_t value;

	if (gen_clock_extend(c, now_ms, &value))
		gen_clock_reserved(c, value, true);
	cr_assert_eq(gen_clock_next(c, now_ms, &g), GFS_OK);
	return g;
}

Test(clock, never_goes_back_when_the_wall_clock_does)
{
	struct gen_clock c;
	struct gen last, g;

	gen_clock_init(&c, "n1", 0);
	last = next_of(&c, 1000000);
	for (int64_t now = 1000000; now > 0; now -= 50000) {
		g = next_of(&c, now);
		cr_assert(gen_cmp(&g, &last) > 0);
		last = g;
	}
}

Test(clock, starts_above_everything_that_was_handed_out_before_a_kill)
{
	struct gen_clock c, again;
	struct gen last, g;

	gen_clock_init(&c, "n1", 0);
	for (int i = 0; i < 100000; i++)
		last = next_of(&c, 1000000);
	uint64_t on_disk = c.reserved;

	gen_clock_init(&again, "n1", on_disk);
	g = next_of(&again, 5000); /* and the wall clock was set back */
	cr_assert(gen_cmp(&g, &last) > 0);
}

Test(clock, hands_out_nothing_that_is_not_reserved_on_disk)
{
	struct gen_clock c;
	struct gen g;
	uint64_t value;

	gen_clock_init(&c, "n1", 0);
	cr_assert_eq(gen_clock_next(&c, 1000000, &g), GFS_ERR_BUSY);
	cr_assert(gen_clock_extend(&c, 1000000, &value));
	cr_assert_not(gen_clock_extend(&c, 1000000, &value), "one reservation at a time");
	cr_assert_eq(gen_clock_next(&c, 1000000, &g), GFS_ERR_BUSY, "not on disk yet");
	gen_clock_reserved(&c, value, false);
	cr_assert_eq(gen_clock_next(&c, 1000000, &g), GFS_ERR_BUSY, "the disk refused");
	cr_assert(gen_clock_extend(&c, 1000000, &value));
	gen_clock_reserved(&c, value, true);
	cr_assert_eq(gen_clock_next(&c, 1000000, &g), GFS_OK);
	cr_assert_eq(gen_clock_next(&c, 1000000 + 60000, &g), GFS_ERR_BUSY, "time went on past the reservation");
}

Test(clock, a_foreign_tag_moves_it_unless_it_is_absurd)
{
	struct gen_clock c;
	struct gen near = gen_of(1000000 + 60000, "n2"), far = gen_of(1000000 + 301000, "n2"), g;

	gen_clock_init(&c, "n1", 0);
	next_of(&c, 1000000);
	cr_assert(gen_clock_observe(&c, &near, 1000000));
	g = next_of(&c, 1000000);
	cr_assert(gen_cmp(&g, &near) > 0);
	cr_assert_not(gen_clock_observe(&c, &far, 1000000));
	g = next_of(&c, 1000000);
	cr_assert(gen_cmp(&g, &far) < 0);
}
