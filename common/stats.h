/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board "stats": each process counts on a page of its own without locks; whoever answers /metrics adds the pages up. The
 * page of a process that has died is folded into a base page before it is given to the next one, so totals never drop.
 *
 * What is counted per site is on a small board of its own per site id ("stats.site.ID"), made when the first process counts
 * there: sites that do not exist take no memory. All processes add to it, spread over a few shares so that they do not wait for
 * one another's cache lines; nothing of it belongs to a process, so nothing is lost with one.
 */
#ifndef GFS_STATS_H
#define GFS_STATS_H

#include <stdint.h>

#include "board/board.h"
#include "strbuf.h"

enum stat_id {
#define STAT(id, kind, family, labels, help) STAT_##id,
#include "stats.def"
	STAT_COUNT
};

enum site_stat_id {
#define SITE_STAT(id, kind, family, labels, help) SITE_STAT_##id,
#include "stats.def"
	SITE_STAT_COUNT
};

enum site_fact_id {
#define SITE_FACT(id, kind, family, labels, help) SITE_FACT_##id,
#include "stats.def"
	SITE_FACT_COUNT
};

struct stats;

/* Claims a page (or folds and takes a dead process's). 0, GFS_ERR_IO, GFS_ERR_BUSY when all pages are taken. */
int stats_open(const char *run_dir, bool create, struct stats **out) GFS_MUST_USE;
void stats_close(struct stats **s);
void stats_add(struct stats *s, enum stat_id id, uint64_t n);    /* counters */
void stats_set(struct stats *s, enum stat_id id, uint64_t value); /* gauges: summed over processes */
void stats_time(struct stats *s, enum stat_id id, int64_t us);   /* histograms */
uint64_t stats_total(const struct stats *s, enum stat_id id);    /* over all processes */

/* Per site, by id (1 to SITES_BOARD_MAX - 1; others are not counted). From the process's event loop only. */
void stats_site_add(struct stats *s, uint32_t site, enum site_stat_id id, uint64_t n);
/* Gauges and ages have one writer, whose last value stays until its successor sets it. An age is set to the real time in ms at
 * which it began, 0: there is none. */
void stats_site_set(struct stats *s, uint32_t site, enum site_stat_id id, uint64_t value);
void stats_site_time(struct stats *s, uint32_t site, enum site_stat_id id, int64_t us);
uint64_t stats_site_total(const struct stats *s, uint32_t site, enum site_stat_id id);
/* The age in ms at now_real_ms, 0 when there is none. */
int64_t stats_site_age_ms(const struct stats *s, uint32_t site, enum site_stat_id id, int64_t now_real_ms);

struct stats_site {
	uint32_t id;
	const char *name;               /* borrowed */
	int64_t facts[SITE_FACT_COUNT]; /* -1: no sample */
};

/* Prometheus text exposition format 0.0.4, with the families of these sites. */
void stats_print(const struct stats *s, const struct stats_site *sites, size_t n_sites, struct strbuf *out);

#endif
