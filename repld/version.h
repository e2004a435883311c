/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the journal holds, as structs: a version of a key, and a row for each (key, site) that still lacks something.
 */
#ifndef GFS_REPLD_VERSION_H
#define GFS_REPLD_VERSION_H

#include "common/etag.h"
#include "common/gen.h"

#define VERSION_SITES_MAX 64 /* targets of one write */

struct version {
	struct gen gen;
	bool deleted;        /* a tombstone */
	uint64_t size, part_size;
	char etag[ETAG_MAX];
	bool has_crc64;
	uint64_t crc64;
	unsigned write_min;
	size_t n_sync, n_sites;             /* the first n_sync of sites are completed by the worker */
	uint32_t sites[VERSION_SITES_MAX];
	int owner_pid;                      /* of an intent: the worker */
	uint64_t owner_start;
	int64_t stamp_ms;                   /* real time of the intent or the decision */
};

/* The row of this pseudo site keeps a version in the journal that no site lacks: a tombstone until the in-doubt time has
 * passed, a guard while older writes on the key are open. Site ids begin at 1. */
#define ROW_KEEPER 0u

struct site_row {
	uint32_t site;
	bool unconfirmed;    /* the site is not known to hold the decided version */
	bool parked;         /* failed its last try */
	unsigned watch;      /* next re-check after an unknown outcome: 1 to BACKOFF_WATCH_STEPS; 0: none */
	unsigned attempts;
	int err;             /* of the last failure */
	int64_t next_ms;     /* real time; not before */
	int64_t since_ms;    /* real time at which the row began */
	uint64_t bytes;
	/* memory only */
	bool dirty;          /* differs from the journal */
	bool stored;         /* the journal has a row */
	bool gone;           /* to be removed at the next save */
	bool busy;           /* a task works on it */
	bool counted, counted_parked;
	uint64_t counted_bytes;
};

#endif
