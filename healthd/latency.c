/* SPDX-License-Identifier: Apache-2.0 */
/* How fast one site answers: see latency.h. */
#include "config.h"

#include "latency.h"

#include <math.h>

#define SAMPLE_MAX_US (3600 * 1000000.0)

/* However old the average is, one sample does not replace it; however young, a sample counts. */
#define WEIGHT_MIN 0.02
#define WEIGHT_MAX 0.5

static void mean_add(struct latency *l, double us, int64_t now_ms)
{
	double weight = 1 - exp(-(double)(now_ms - l->mean_at_ms) / LATENCY_MEMORY_MS);

	if (us < 1)
		us = 1; /* 0 says that nothing is known */
	if (us > SAMPLE_MAX_US)
		us = SAMPLE_MAX_US;
	if (!(weight >= WEIGHT_MIN))
		weight = WEIGHT_MIN;
	if (weight > WEIGHT_MAX)
		weight = WEIGHT_MAX;
	l->mean_us = l->mean_us > 0 ? l->mean_us + weight * (us - l->mean_us) : us;
	l->mean_at_ms = now_ms;
}

static double mean_of(const uint64_t *us, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)us[i];
	return sum / (double)n;
}

static void halve(struct latency *l)
{
	l->p95_before_us = latency_p95_us(l);
	l->n = 0;
	for (size_t i = 0; i < LATENCY_BUCKETS; i++)
		l->n += l->counts[i] /= 2;
}

static void count(struct latency *l, uint64_t us)
{
	double at = us > 1 ? log2((double)us) * LATENCY_PER_OCTAVE : 0;
	size_t i = at < LATENCY_BUCKETS - 1 ? (size_t)at : LATENCY_BUCKETS - 1;

	l->counts[i]++;
	l->n++;
}

void latency_add_probe(struct latency *l, int64_t us, int64_t now_ms)
{
	mean_add(l, (double)us, now_ms);
	l->probe_us = l->probe_us > 0 ? l->probe_us + 0.25 * ((double)us - l->probe_us) : (double)us;
}

void latency_add_reads(struct latency *l, const uint64_t *us, size_t n, int64_t now_ms)
{
	if (n == 0)
		return;
	mean_add(l, mean_of(us, n), now_ms);
	if (l->n >= LATENCY_FULL || now_ms - l->halved_at_ms >= LATENCY_HALVE_MS) {
		halve(l);
		l->halved_at_ms = now_ms;
	}
	for (size_t i = 0; i < n; i++)
		count(l, us[i]);
}

void latency_add_late(struct latency *l, const uint64_t *us, size_t n, int64_t now_ms)
{
	if (n > 0)
		mean_add(l, mean_of(us, n), now_ms);
}

int64_t latency_mean_us(const struct latency *l)
{
	return (int64_t)l->mean_us;
}

int64_t latency_p95_us(const struct latency *l)
{
	unsigned above = 0;

	if (l->n < LATENCY_P95_SAMPLES)
		return l->p95_before_us;
	for (size_t i = LATENCY_BUCKETS; i-- > 0;) {
		above += l->counts[i];
		if (above * 20 > l->n)
			return (int64_t)ceil(exp2((double)(i + 1) / LATENCY_PER_OCTAVE));
	}
	return 0;
}
