/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is counted per site: a board per site id, see stats.h. Counters and histograms are added to the share of the process,
 * gauges live in the first share. A board that cannot be made is said once; the site is not counted then. The board of a site
 * that has left stays with run_dir: 16 KiB, and ids are not used again.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "board/sites_board.h"
#include "log.h"
#include "map.h"
#include "stats_impl.h"
#include "xalloc.h"

#define SHARES 16

const struct stat_row stats_site_rows[SITE_STAT_COUNT] = {
#define SITE_STAT(id, kind, family, labels, help) {kind, family, labels, help},
#include "stats.def"
};

/* Where each row begins in a share. A histogram is its count, its sum and its buckets, anything else one word. */
enum {
	WORDS_COUNTER = 1,
	WORDS_GAUGE = 1,
	WORDS_AGE = 1,
	WORDS_HISTOGRAM = 2 + STATS_BUCKETS + 1,
	WORDS_QUICK = WORDS_HISTOGRAM,
};
enum {
#define SITE_STAT(id, kind, family, labels, help) FIRST_##id, LAST_##id = FIRST_##id + WORDS_##kind - 1,
#include "stats.def"
	SHARE_WORDS
};
static const size_t first_words[SITE_STAT_COUNT] = {
#define SITE_STAT(id, kind, family, labels, help) FIRST_##id,
#include "stats.def"
};

struct share {
	_Alignas(64) _Atomic uint64_t words[SHARE_WORDS];
};

struct stats_sites {
	char *run_dir;
	size_t share;
	struct {
		struct board b;
		bool failed;
	} v[SITES_BOARD_MAX];
};

static uint32_t site_version(void)
{
	static const char text[] = "1;"
#define SITE_STAT(id, kind, family, labels, help) #id " " #kind ";"
#include "stats.def"
		;

	return (uint32_t)hash64(text, sizeof(text) - 1);
}

static void site_board_name(uint32_t site, char name[32])
{
	snprintf(name, 32, "stats.site.%" PRIu32, site);
}

struct stats_sites *stats_sites_create(const char *run_dir, size_t process)
{
	struct stats_sites *ss = xcalloc(1, sizeof(*ss));

	ss->run_dir = xstrdup(run_dir);
	ss->share = process % SHARES;
	return ss;
}

void stats_sites_destroy(struct stats_sites **ss_io)
{
	struct stats_sites *ss = *ss_io;
	size_t i;

	*ss_io = NULL;
	if (!ss)
		return;
	for (i = 0; i < SITES_BOARD_MAX; i++)
		board_close(&ss->v[i].b);
	free(ss->run_dir);
	free(ss);
}

/* The shares of the site; NULL when there are none, or (with create) none can be made. */
static struct share *site_shares(struct stats_sites *ss, uint32_t site, bool create)
{
	char name[32];
	struct board *b;

	if (site == 0 || site >= SITES_BOARD_MAX)
		return NULL;
	b = &ss->v[site].b;
	if (b->p || ss->v[site].failed)
		return b->p;
	site_board_name(site, name);
	if (board_open(ss->run_dir, name, site_version(), SHARES * sizeof(struct share), create, b, NULL) == 0)
		return b->p;
	if (create) {
		ss->v[site].failed = true;
		log_error("event=board name=%s why=\"cannot be made: what site %" PRIu32 " does is not counted\"", name, site);
	}
	return NULL;
}

static _Atomic uint64_t *site_words(struct stats *s, uint32_t site, enum site_stat_id id, size_t share)
{
	struct share *v = site_shares(stats_sites_of(s), site, true);

	return v ? &v[share].words[first_words[id]] : NULL;
}

void stats_site_add(struct stats *s, uint32_t site, enum site_stat_id id, uint64_t n)
{
	_Atomic uint64_t *w = site_words(s, site, id, stats_sites_of(s)->share);

	if (w)
		atomic_fetch_add_explicit(w, n, memory_order_relaxed);
}

void stats_site_set(struct stats *s, uint32_t site, enum site_stat_id id, uint64_t value)
{
	_Atomic uint64_t *w = site_words(s, site, id, 0);

	if (w)
		atomic_store_explicit(w, value, memory_order_relaxed);
}

void stats_site_time(struct stats *s, uint32_t site, enum site_stat_id id, int64_t us)
{
	_Atomic uint64_t *w = site_words(s, site, id, stats_sites_of(s)->share);

	if (!w)
		return;
	atomic_fetch_add_explicit(&w[2 + stat_bucket(stats_site_rows[id].kind, us)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&w[1], (uint64_t)(us > 0 ? us : 0), memory_order_relaxed);
	atomic_fetch_add_explicit(&w[0], 1, memory_order_relaxed);
}

/* ---- reading ---- */

static void value_add(struct stat_value *to, const _Atomic uint64_t *w, enum stat_kind kind)
{
	size_t i;

	to->count += w[0];
	if (kind != HISTOGRAM && kind != QUICK)
		return;
	to->sum_us += w[1];
	for (i = 0; i <= STATS_BUCKETS; i++)
		to->buckets[i] += w[2 + i];
}

static void sum_row(const struct share *v, enum site_stat_id id, struct stat_value *sum)
{
	size_t i;

	*sum = (struct stat_value){0};
	for (i = 0; v && i < SHARES; i++)
		value_add(sum, &v[i].words[first_words[id]], stats_site_rows[id].kind);
}

void stats_site_sum(const struct stats *s, uint32_t site, struct stat_value *sum)
{
	const struct share *v = site_shares(stats_sites_of(s), site, false);
	int id;

	for (id = 0; id < SITE_STAT_COUNT; id++)
		sum_row(v, (enum site_stat_id)id, &sum[id]);
}

uint64_t stats_site_total(const struct stats *s, uint32_t site, enum site_stat_id id)
{
	struct stat_value sum;

	sum_row(site_shares(stats_sites_of(s), site, false), id, &sum);
	return atomic_load(&sum.count);
}

int64_t stats_site_age_ms(const struct stats *s, uint32_t site, enum site_stat_id id, int64_t now_real_ms)
{
	int64_t began_ms = (int64_t)stats_site_total(s, site, id);

	return began_ms > 0 && now_real_ms > began_ms ? now_real_ms - began_ms : 0;
}
