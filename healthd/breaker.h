/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The circuit of one site: pure. It keeps requests away from a site that answers probes but fails at its work.
 *
 *   closed -> open        `threshold` faults in a row, over all processes
 *   open -> half-open     after the cooldown: healthd probes, clients still stay away
 *   half-open -> closed   the probe was good
 *   half-open -> open     it was not: the cooldown doubles, up to 16 times the configured one
 *
 * A circuit that opens again before it was closed for twice its last cooldown doubles as well: a site whose probe works and
 * whose traffic fails is then tried more and more rarely. Once it stayed closed that long, the next cooldown is the first again.
 * A site that was down and came up is not held to a doubled cooldown: what was waited for has happened.
 */
#ifndef GFS_BREAKER_H
#define GFS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/board/sites_board.h"

#define BREAKER_DOUBLINGS_MAX 4

struct breaker_conf {
	bool enabled;
	unsigned threshold;
	int64_t cooldown_ms;
};

/* All zero: closed, and never open before. Times are monotonic. */
struct breaker {
	enum circuit_state state;
	bool was_open;
	unsigned doublings;
	int64_t opened_ms, closed_ms;
	int64_t retry_ms; /* when open: the end of the cooldown */
};

/* run: faults in a row. */
struct breaker breaker_after_faults(struct breaker before, const struct breaker_conf *conf, unsigned run, int64_t now_ms);
/* Half-open when the cooldown is over. */
struct breaker breaker_after_time(struct breaker before, int64_t now_ms);
/* Of a probe; matters to a half-open circuit only. */
struct breaker breaker_after_probe(struct breaker before, const struct breaker_conf *conf, bool good, int64_t now_ms);
/* The site was down and is up. */
struct breaker breaker_after_return(struct breaker before, const struct breaker_conf *conf, int64_t now_ms);
/* An open circuit as an earlier healthd left it. */
struct breaker breaker_reopened(int64_t retry_ms, int64_t now_ms);
int64_t breaker_cooldown_ms(const struct breaker *b, const struct breaker_conf *conf);

#endif
