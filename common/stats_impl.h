/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For stats*.c only: the rows of stats.def as tables, and what the pages consist of. stats.c has the processes' pages,
 * stats_sites.c what is counted per site, stats_print.c the text.
 */
#ifndef GFS_STATS_IMPL_H
#define GFS_STATS_IMPL_H

#include <stdatomic.h>

#include "stats.h"

#define STATS_BUCKETS 11

enum stat_kind { COUNTER, GAUGE, HISTOGRAM, QUICK, AGE, SECONDS };

struct stat_row {
	enum stat_kind kind;
	const char *family, *labels, *help;
};

extern const struct stat_row stats_rows[STAT_COUNT];
extern const struct stat_row stats_site_rows[SITE_STAT_COUNT];

/* Counters and gauges use count only. buckets are not cumulative here, the last is +Inf. */
struct stat_value {
	_Atomic uint64_t count, sum_us, buckets[STATS_BUCKETS + 1];
};

struct stat_buckets {
	int64_t us[STATS_BUCKETS];
	const char *names[STATS_BUCKETS]; /* in seconds, as Prometheus' own clients print them */
};

/* Of HISTOGRAM or QUICK. */
const struct stat_buckets *stat_buckets_of(enum stat_kind kind);
size_t stat_bucket(enum stat_kind kind, int64_t us);

/* The sums over all processes, of STAT_COUNT and of SITE_STAT_COUNT rows; gauges count only while their process lives. */
void stats_sum(const struct stats *s, struct stat_value *sum);
void stats_site_sum(const struct stats *s, uint32_t site, struct stat_value *sum);

/* ---- between stats.c and stats_sites.c ---- */
struct stats_sites;
struct stats_sites *stats_sites_create(const char *run_dir, size_t process);
void stats_sites_destroy(struct stats_sites **sites);
struct stats_sites *stats_sites_of(const struct stats *s);

#endif
