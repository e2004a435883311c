/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Board "sites": what healthd knows of every site. One writer (healthd), any number of readers that never block. A row is
 * two copies and an index; the reader takes the copy the index names and re-reads if the index moved.
 */
#ifndef GFS_SITES_BOARD_H
#define GFS_SITES_BOARD_H

#include "board.h"

#define SITES_BOARD_MAX 1024 /* site ids below this */

enum site_state { SITE_STATE_UNKNOWN, SITE_STATE_UP, SITE_STATE_DEGRADED, SITE_STATE_DOWN };
enum circuit_state { CIRCUIT_CLOSED, CIRCUIT_OPEN, CIRCUIT_HALF_OPEN };

struct site_status {
	uint32_t id;            /* 0: no row */
	uint32_t state;         /* enum site_state */
	uint32_t circuit;       /* enum circuit_state */
	uint32_t fails;         /* in a row */
	int64_t latency_us;     /* moving average until the first byte, of real reads and of probes; 0: never measured */
	int64_t p95_us;         /* until the first byte of real reads; 0: too few to tell */
	int64_t checked_ms;     /* real time of the last check, 0: never */
	int64_t changed_ms;     /* real time of the last change of state */
	int64_t retry_ms;       /* of an open circuit: real time of the probe that may close it, else 0 */
	int32_t err;            /* enum gfs_err of the last failure */
	uint32_t nearness;      /* place among all sites by measured latency, with hysteresis: 1 is the nearest; 0: never measured */
	char reason[176];       /* sentence, NUL-terminated */
};

struct sites_board {
	struct board b;
};

int sites_board_open(const char *run_dir, bool create, struct sites_board *out) GFS_MUST_USE;
void sites_board_close(struct sites_board *sb);
/* False when the site has no row. A board whose heartbeat is older than three intervals is stale: healthd is away. */
bool sites_board_get(const struct sites_board *sb, uint32_t site_id, struct site_status *out);
void sites_board_put(struct sites_board *sb, const struct site_status *st); /* healthd only */
void sites_board_clear(struct sites_board *sb, uint32_t site_id);           /* healthd only */
void sites_board_beat(struct sites_board *sb, int64_t now_real_ms, int64_t interval_ms); /* healthd only, every interval */
bool sites_board_stale(const struct sites_board *sb, int64_t now_real_ms);
const char *site_state_name(enum site_state s);       /* unknown, up, degraded, down */
const char *circuit_state_name(enum circuit_state s); /* closed, open, half-open */

#endif
