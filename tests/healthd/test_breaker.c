/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Circuits as tables: steps at times in seconds and the circuit after each. fN: N faults in a row; t: time passes; g, b: a good or
 * bad probe; r: the site was down and is up. Threshold 5, cooldown 30 s.
 */
#include "config.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "healthd/breaker.h"

#define STEPS 12

static const struct breaker_conf conf = {.enabled = true, .threshold = 5, .cooldown_ms = 30000};

struct step {
	int at_s;
	const char *what;
	enum circuit_state state;
	int retry_s; /* of an open circuit */
};

struct row {
	const char *name;
	struct step steps[STEPS];
};

#define C CIRCUIT_CLOSED
#define O CIRCUIT_OPEN
#define H CIRCUIT_HALF_OPEN

static const struct row rows[] = {
	{"below the threshold nothing happens", {{0, "f4", C, 0}, {1, "f4", C, 0}, {2, "t", C, 0}, {3, "g", C, 0}, {4, "b", C, 0}}},
	{"opens at the threshold", {{10, "f5", O, 40}, {11, "f9", O, 40}, {39, "t", O, 40}}},
	{"only the end of the cooldown lets a probe decide", {{10, "f5", O, 40}, {20, "g", O, 40}, {21, "b", O, 40}, {40, "t", H, 0}}},
	{"closes after a good probe", {{10, "f5", O, 40}, {40, "t", H, 0}, {41, "g", C, 0}, {42, "f4", C, 0}}},
	{"faults of requests say nothing while half-open", {{10, "f5", O, 40}, {40, "t", H, 0}, {41, "f50", H, 0}, {42, "g", C, 0}}},
	{"doubles up to sixteen times",
	 {{0, "f5", O, 30}, {30, "t", H, 0}, {30, "b", O, 90}, {90, "t", H, 0}, {90, "b", O, 210}, {210, "t", H, 0},
	  {210, "b", O, 450}, {450, "t", H, 0}, {450, "b", O, 930}, {930, "t", H, 0}, {930, "b", O, 1410}}},
	{"keeps doubling when it opens again soon",
	 {{0, "f5", O, 30}, {30, "t", H, 0}, {30, "g", C, 0}, {31, "f5", O, 91}, {91, "t", H, 0}, {91, "g", C, 0},
	  {210, "f5", O, 330}}},
	{"forgets after it was closed for twice the cooldown",
	 {{0, "f5", O, 30}, {30, "t", H, 0}, {30, "b", O, 90}, {90, "t", H, 0}, {90, "g", C, 0}, {210, "f5", O, 240}}},
	{"a first cooldown is not cut short by the site's return", {{0, "f5", O, 30}, {10, "r", O, 30}}},
	{"a doubled one is",
	 {{0, "f5", O, 30}, {30, "t", H, 0}, {30, "b", O, 90}, {50, "r", O, 60}, {60, "t", H, 0}, {60, "b", O, 180},
	  {100, "r", O, 100}, {100, "t", H, 0}, {100, "g", C, 0}}},
};

static struct breaker step(struct breaker b, const char *what, int64_t now_ms)
{
	switch (what[0]) {
	case 'f':
		return breaker_after_faults(b, &conf, (unsigned)atoi(what + 1), now_ms);
	case 't':
		return breaker_after_time(b, now_ms);
	case 'r':
		return breaker_after_return(b, &conf, now_ms);
	default:
		return breaker_after_probe(b, &conf, what[0] == 'g', now_ms);
	}
}

Test(breaker, follows_the_table)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct breaker b = {0};

		for (size_t j = 0; j < STEPS && rows[i].steps[j].what; j++) {
			const struct step *s = &rows[i].steps[j];

			b = step(b, s->what, s->at_s * 1000);
			cr_assert_eq(b.state, s->state, "%s: step %zu: %s", rows[i].name, j, circuit_state_name(b.state));
			if (s->state == CIRCUIT_OPEN)
				cr_assert_eq(b.retry_ms, s->retry_s * 1000, "%s: step %zu: retry at %lld", rows[i].name, j,
					     (long long)b.retry_ms);
		}
	}
}

Test(breaker, stays_closed_when_not_enabled)
{
	struct breaker_conf off = conf;
	struct breaker b = {0};

	off.enabled = false;
	b = breaker_after_faults(b, &off, 1000, 5);
	cr_assert_eq(b.state, CIRCUIT_CLOSED);
}

Test(breaker, goes_on_after_a_restart)
{
	struct breaker b = breaker_reopened(5000, 1000);

	cr_assert_eq(breaker_after_time(b, 4999).state, CIRCUIT_OPEN);
	cr_assert_eq(breaker_after_time(b, 5000).state, CIRCUIT_HALF_OPEN);
}
