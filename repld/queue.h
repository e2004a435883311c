/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sites as repld works on them, and the rows that are due: per site two lanes with a few candidate keys each, filled by new
 * rows as they come and from the journal when they run dry. planner.c says who is next, tasks.c does it.
 */
#ifndef GFS_REPLD_QUEUE_H
#define GFS_REPLD_QUEUE_H

#include "keys.h"
#include "planner.h"
#include "repld.h"

struct repl_site {
	uint32_t id;
	bool present;             /* in the site table; false: its rows are dropped */
	bool drained;             /* in the site table: its rows are held, and it is read from only when nobody else has a version */
	struct site *site;        /* open while present */
	char *name;
	enum site_state state;    /* from the sites board; UNKNOWN when healthd is away */
	int64_t last_try_ms;      /* while down; monotonic */
	uint64_t rows, parked, bytes;
	int64_t since_ms;         /* lag.c: real time at which the oldest of rows began, 0: no rows */
	bool since_stale, since_asked;
	enum lane last;
	struct queue_lane *lanes[LANE_COUNT];
};

struct queue *queue_create(struct repld *r);
void queue_destroy(struct queue **q);
void queue_set_sites(struct repld *r, const struct site_table *table);
/* A site of which the journal has rows; used at start. */
void queue_account(struct repld *r, uint32_t site, int rows, int parked, int64_t bytes);
void queue_load_counts(struct repld *r, uint32_t site, uint64_t rows, uint64_t parked, uint64_t bytes);
/* The row has something to do now or at its next_ms. */
void queue_offer(struct repld *r, struct key_entry *e, const struct site_row *row);
void queue_offer_all(struct repld *r, struct key_entry *e);
/* A place in the lane is free again. */
void queue_done(struct repld *r, uint32_t site, enum lane lane);
void queue_tick(struct repld *r); /* every second: states of the sites */
void queue_stop(struct repld *r); /* starts nothing more */

struct repl_site *queue_site(struct repld *r, uint32_t id); /* NULL when unknown */
struct repl_site *queue_site_at(struct repld *r, size_t i); /* NULL past the end */
bool queue_site_usable(const struct repl_site *rs);         /* present and not down */
uint64_t queue_depth(struct repld *r, uint64_t *parked_out);
/* Wakes the rows of a site: due at once, no longer parked. */
void queue_retry_site(struct repld *r, uint32_t site);

#endif
