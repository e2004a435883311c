/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is counted, as Prometheus reads it (text exposition format 0.0.4): every family once with its help and type, then its
 * samples together, those of a site with the label site="NAME". Also where the buckets of histograms are.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "stats_impl.h"
#include "xalloc.h"

static const struct stat_row fact_rows[SITE_FACT_COUNT] = {
#define SITE_FACT(id, kind, family, labels, help) {kind, family, labels, help},
#include "stats.def"
};

const struct stat_buckets *stat_buckets_of(enum stat_kind kind)
{
	/* Prometheus' default buckets */
	static const struct stat_buckets usual = {
		{5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000},
		{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"},
	};
	/* a directory answers in far less than the least of them */
	static const struct stat_buckets quick = {
		{100, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 500000, 2500000},
		{"0.0001", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.5", "2.5"},
	};

	return kind == QUICK ? &quick : &usual;
}

size_t stat_bucket(enum stat_kind kind, int64_t us)
{
	const struct stat_buckets *b = stat_buckets_of(kind);
	size_t i;

	for (i = 0; i < STATS_BUCKETS && us > b->us[i]; i++)
		;
	return i;
}

/* ---- one sample ---- */

struct print {
	struct strbuf *out;
	int64_t now_ms;
};

static void add_label_value(struct strbuf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '\n') {
			strbuf_adds(out, "\\n");
			continue;
		}
		if (*s == '\\' || *s == '"')
			strbuf_addc(out, '\\');
		strbuf_addc(out, *s);
	}
}

/* site and le may be NULL. */
static void print_name(struct strbuf *out, const struct stat_row *row, const char *suffix, const char *site, const char *le)
{
	const char *comma = "";

	strbuf_addf(out, "%s%s", row->family, suffix);
	if (!site && !*row->labels && !le) {
		strbuf_addc(out, ' ');
		return;
	}
	strbuf_addc(out, '{');
	if (site) {
		strbuf_adds(out, "site=\"");
		add_label_value(out, site);
		strbuf_addc(out, '"');
		comma = ",";
	}
	if (*row->labels) {
		strbuf_addf(out, "%s%s", comma, row->labels);
		comma = ",";
	}
	if (le)
		strbuf_addf(out, "%sle=\"%s\"", comma, le);
	strbuf_adds(out, "} ");
}

static void print_seconds(struct strbuf *out, uint64_t us)
{
	strbuf_addf(out, "%" PRIu64 ".%06" PRIu64 "\n", us / 1000000, us % 1000000);
}

static void print_histogram(struct strbuf *out, const struct stat_row *row, const char *site, const struct stat_value *v)
{
	const struct stat_buckets *b = stat_buckets_of(row->kind);
	uint64_t below = 0;
	size_t i;

	for (i = 0; i <= STATS_BUCKETS; i++) {
		below += atomic_load(&v->buckets[i]);
		print_name(out, row, "_bucket", site, i < STATS_BUCKETS ? b->names[i] : "+Inf");
		strbuf_addf(out, "%" PRIu64 "\n", below);
	}
	print_name(out, row, "_sum", site, NULL);
	print_seconds(out, atomic_load(&v->sum_us));
	/* The sum of the buckets, not the counter beside them: a scrape in mid-count must still add up. */
	print_name(out, row, "_count", site, NULL);
	strbuf_addf(out, "%" PRIu64 "\n", below);
}

static void print_sample(const struct print *p, const struct stat_row *row, const char *site, const struct stat_value *v)
{
	uint64_t count = atomic_load(&v->count);
	int64_t began_ms = (int64_t)count;

	if (row->kind == HISTOGRAM || row->kind == QUICK) {
		print_histogram(p->out, row, site, v);
		return;
	}
	print_name(p->out, row, "", site, NULL);
	if (row->kind == SECONDS)
		print_seconds(p->out, count);
	else if (row->kind == AGE)
		print_seconds(p->out, began_ms > 0 && began_ms < p->now_ms ? (uint64_t)(p->now_ms - began_ms) * 1000 : 0);
	else
		strbuf_addf(p->out, "%" PRIu64 "\n", count);
}

/* ---- families ---- */

/* The rows of a family stand together. */
static size_t family_end(const struct stat_row *rows, size_t n, size_t i)
{
	size_t end = i + 1;

	while (end < n && strcmp(rows[end].family, rows[i].family) == 0)
		end++;
	return end;
}

static void print_family(const struct print *p, const struct stat_row *row)
{
	static const char *const types[] = {
		[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram",
		[QUICK] = "histogram", [AGE] = "gauge", [SECONDS] = "gauge",
	};

	strbuf_addf(p->out, "# HELP %s %s\n# TYPE %s %s\n", row->family, row->help, row->family, types[row->kind]);
}

static void print_process(const struct print *p, const struct stats *s)
{
	struct stat_value *sum = xcalloc(STAT_COUNT, sizeof(*sum));
	size_t i, j, end;

	stats_sum(s, sum);
	for (i = 0; i < STAT_COUNT; i = end) {
		end = family_end(stats_rows, STAT_COUNT, i);
		print_family(p, &stats_rows[i]);
		for (j = i; j < end; j++)
			print_sample(p, &stats_rows[j], NULL, &sum[j]);
	}
	free(sum);
}

static void print_sites(const struct print *p, const struct stats *s, const struct stats_site *sites, size_t n)
{
	struct stat_value *sums = xcalloc(n * SITE_STAT_COUNT, sizeof(*sums));
	size_t i, j, k, end;

	for (k = 0; k < n; k++)
		stats_site_sum(s, sites[k].id, &sums[k * SITE_STAT_COUNT]);
	for (i = 0; i < SITE_STAT_COUNT; i = end) {
		end = family_end(stats_site_rows, SITE_STAT_COUNT, i);
		print_family(p, &stats_site_rows[i]);
		for (k = 0; k < n; k++)
			for (j = i; j < end; j++)
				print_sample(p, &stats_site_rows[j], sites[k].name, &sums[k * SITE_STAT_COUNT + j]);
	}
	free(sums);
}

static void print_fact(const struct print *p, const struct stat_row *row, const struct stats_site *site, int64_t fact)
{
	struct stat_value v = {.count = (uint64_t)fact};

	if (fact >= 0)
		print_sample(p, row, site->name, &v);
}

static void print_facts(const struct print *p, const struct stats_site *sites, size_t n)
{
	size_t i, j, k, end;

	for (i = 0; i < SITE_FACT_COUNT; i = end) {
		end = family_end(fact_rows, SITE_FACT_COUNT, i);
		print_family(p, &fact_rows[i]);
		for (k = 0; k < n; k++)
			for (j = i; j < end; j++)
				print_fact(p, &fact_rows[j], &sites[k], sites[k].facts[j]);
	}
}

void stats_print(const struct stats *s, const struct stats_site *sites, size_t n_sites, struct strbuf *out)
{
	struct print p = {.out = out, .now_ms = clock_real_ms()};

	print_process(&p, s);
	if (n_sites == 0)
		return;
	print_sites(&p, s, sites, n_sites);
	print_facts(&p, sites, n_sites);
}
