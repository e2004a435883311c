/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board "stats": each process counts on a page of its own without locks; whoever answers /metrics adds the pages up. The
 * page of a process that has died is folded into a base page before it is given to the next one, so totals never drop.
 */
#ifndef GFS_STATS_H
#define GFS_STATS_H

#include <stdint.h>

#include "board/board.h"
#include "strbuf.h"

enum stat_id {
#define STAT(id, kind, family, labels, help) STAT_##id,
#include "stats.def"
#undef STAT
	STAT_COUNT
};

struct stats;

/* Claims a page (or folds and takes a dead process's). 0, GFS_ERR_IO, GFS_ERR_BUSY when all pages are taken. */
int stats_open(const char *run_dir, bool create, struct stats **out) GFS_MUST_USE;
void stats_close(struct stats **s);
void stats_add(struct stats *s, enum stat_id id, uint64_t n);    /* counters */
void stats_set(struct stats *s, enum stat_id id, uint64_t value); /* gauges: summed over processes */
void stats_time(struct stats *s, enum stat_id id, int64_t us);   /* histograms */
uint64_t stats_total(const struct stats *s, enum stat_id id);    /* over all processes */
/* Prometheus text exposition format 0.0.4. */
void stats_print(const struct stats *s, struct strbuf *out);

#endif
