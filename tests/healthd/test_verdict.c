/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verdicts as tables: a string of events and the state after each. Probes: g good, s good but slow, f failed, m marker missing.
 * Batches of traffic: 1 one fault, 3 three in a row, t a time-out, T the second in a row, l a time-out while a probe is late,
 * o one fault among many good ones.
 */
#include "config.h"

#include <criterion/criterion.h>
#include <string.h>

#include "healthd/verdict.h"

struct row {
	const char *events;
	const char *states; /* one letter per event: ? unknown, u up, d degraded, x down */
};

static const struct row rows[] = {
	{"g", "u"},
	{"ggg", "uuu"},
	{"gfg", "udd"},
	{"gfgg", "uddu"},
	{"gfff", "uddx"},
	{"gfffg", "uddxx"},
	{"gfffgg", "uddxxu"},
	{"gfffgfgg", "uddxxxxu"},
	{"gfgfgf", "uddddd"},
	{"gm", "ux"},
	{"gmgg", "uxxu"},
	{"m", "x"},
	{"fff", "??x"},
	{"ffg", "??u"},
	{"s", "d"},
	{"gsgg", "uddu"},
	{"mss", "xxd"},
	/* traffic makes it degraded, never down */
	{"g1g1", "uuuu"},
	{"g3", "ud"},
	{"g3333333", "uddddddd"},
	{"3", "d"},
	{"gt", "uu"},
	{"gtT", "uud"},
	{"gl", "ud"},
	{"gooo", "uuuu"},
	/* two good probes after the last fault */
	{"g3gg", "uddu"},
	{"g3g1g1gg", "uddddddu"},
	{"g3gog", "udddu"},
	/* nor does it bring one back or take it further */
	{"gfff3", "uddxx"},
	{"gfffg1gg", "uddxxxxu"},
	{"gf3f", "uddd"},
	{"g3fff", "udddx"},
	/* flaps: the third fall takes four good probes, the fourth eight */
	{"gfggfggfgggg", "udduddudddd" "u"},
	{"gfggfggfggggfgggggggg", "uddudd" "uddddu" "ddddddddu"},
};

static char letter(enum site_state s)
{
	return "?udx"[s];
}

static struct verdict after_probe(struct verdict v, char c, int64_t now_ms)
{
	struct verdict_probe p = {
		.err = c == 'f' ? GFS_ERR_CONNECT : c == 'm' ? GFS_ERR_SITE_MARKER : GFS_OK,
		.latency_us = c == 's' ? 900 : 10,
		.slow_us = 500,
		.now_ms = now_ms,
	};

	return verdict_after(v, &p);
}

static struct verdict after_traffic(struct verdict v, char c, int64_t now_ms)
{
	struct verdict_traffic t = {.now_ms = now_ms, .faults = 1, .run = 1};

	if (c == '3')
		t.faults = t.run = 3;
	if (c == 't' || c == 'l')
		t.timeouts = 1;
	if (c == 'T')
		t.timeouts = t.run = 2;
	t.probe_late = c == 'l';
	if (c == 'o')
		t.goods = 20;
	return verdict_after_traffic(v, &t);
}

Test(verdict, follows_the_table)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *ev = rows[i].events;
		struct verdict v = {0};

		cr_assert_eq(strlen(ev), strlen(rows[i].states), "%s", ev);
		for (size_t j = 0; ev[j]; j++) {
			v = strchr("gsfm", ev[j]) ? after_probe(v, ev[j], (int64_t)j * 1000) : after_traffic(v, ev[j], (int64_t)j * 1000);
			cr_assert_eq(letter(v.state), rows[i].states[j], "%s at %zu: %c, not %c", ev, j, letter(v.state),
				     rows[i].states[j]);
		}
	}
}

Test(verdict, forgets_flaps_after_the_window)
{
	struct verdict v = {0};

	for (int i = 0; i < 20; i++) {
		v = after_probe(v, 'g', i * 100);
		v.state = SITE_STATE_UP;
		v = after_probe(v, 'f', i * 100);
	}
	cr_assert_eq(verdict_goods_needed(&v, 2000), VERDICT_UP_GOODS_MAX);
	cr_assert_eq(verdict_falls(&v, 2000), VERDICT_FALLS_MAX);
	cr_assert_eq(verdict_goods_needed(&v, 2000 + VERDICT_WINDOW_MS), VERDICT_UP_GOODS);
}

Test(verdict, traffic_asks_for_a_probe)
{
	static const struct {
		enum site_state state;
		struct verdict_traffic t;
		bool wants;
	} cases[] = {
		{SITE_STATE_UP, {.goods = 9}, false},
		{SITE_STATE_UP, {.goods = 9, .faults = 1, .run = 1}, false},
		{SITE_STATE_UP, {.faults = 3, .run = 3}, true},
		{SITE_STATE_UP, {.faults = 1, .run = 1, .timeouts = 1}, true},
		{SITE_STATE_UP, {.faults = 1, .run = 1, .connects_fail = true}, true},
		{SITE_STATE_UP, {.faults = 1, .run = 1, .definite = true}, true},
		{SITE_STATE_UP, {.gave_up = true}, true},
		{SITE_STATE_DEGRADED, {.gave_up = true}, true},
		{SITE_STATE_DOWN, {.faults = 3, .run = 3, .gave_up = true}, false},
		{SITE_STATE_UP, {.run = 3, .goods = 1}, false}, /* an old run is not news */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct verdict v = {.state = cases[i].state};

		cr_assert_eq(verdict_wants_probe(&v, &cases[i].t), cases[i].wants, "case %zu", i);
	}
}

Test(verdict, is_in_question_while_probes_may_change_it)
{
	static const struct {
		struct verdict v;
		int err;
		bool in_question;
	} cases[] = {
		{{.state = SITE_STATE_UNKNOWN}, 0, true},
		{{.state = SITE_STATE_UP, .goods = 5}, 0, false},
		{{.state = SITE_STATE_DEGRADED, .fails = 1}, GFS_ERR_CONNECT, true},
		{{.state = SITE_STATE_DEGRADED}, GFS_ERR_CONNECT, true}, /* by traffic */
		{{.state = SITE_STATE_DEGRADED, .goods = 2}, 0, false},  /* it is slow */
		{{.state = SITE_STATE_DOWN, .fails = 3}, GFS_ERR_CONNECT, false},
		{{.state = SITE_STATE_DOWN, .fails = 1}, GFS_ERR_SITE_MARKER, false},
		{{.state = SITE_STATE_DOWN, .goods = 1}, GFS_ERR_SITE_MARKER, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(verdict_in_question(&cases[i].v, cases[i].err, 0), cases[i].in_question, "case %zu", i);
}
