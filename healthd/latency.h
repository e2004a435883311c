/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast one site answers: pure. A moving average of the time to the first byte, over real reads and probes, whose memory is a
 * few seconds when there is traffic and the last few probes when there is none; and the 95th percentile of real reads, from a
 * histogram on a log scale that forgets half each time it is full or old.
 */
#ifndef GFS_LATENCY_H
#define GFS_LATENCY_H

#include <stddef.h>
#include <stdint.h>

#define LATENCY_MEMORY_MS 2000
#define LATENCY_PER_OCTAVE 8
#define LATENCY_BUCKETS (26 * LATENCY_PER_OCTAVE) /* 1 us to one minute */
#define LATENCY_FULL 2048
#define LATENCY_HALVE_MS 60000
#define LATENCY_P95_SAMPLES 20

/* All zero: nothing is known. */
struct latency {
	double mean_us;
	double probe_us;   /* average of good probes alone */
	int64_t mean_at_ms, halved_at_ms;
	int64_t p95_before_us; /* what is said while there are too few samples: what was found before */
	unsigned n;
	unsigned counts[LATENCY_BUCKETS];
};

void latency_add_probe(struct latency *l, int64_t us, int64_t now_ms);
/* First bytes of reads that came in one batch. */
void latency_add_reads(struct latency *l, const uint64_t *us, size_t n, int64_t now_ms);
/* Time-outs, and how long each was waited for: they weigh on the average; the percentile is of answers. */
void latency_add_late(struct latency *l, const uint64_t *us, size_t n, int64_t now_ms);
int64_t latency_mean_us(const struct latency *l); /* 0: never measured */
int64_t latency_p95_us(const struct latency *l);  /* 0: too few samples */

#endif
