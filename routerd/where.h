/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a key and of one site's copy of it, and whether that copy is the current version: pure. For op_where.c. */
#ifndef GFS_WHERE_H
#define GFS_WHERE_H

#include <stdbool.h>

#include "common/etag.h"
#include "common/gen.h"

/* repld's answer. */
struct where_known {
	int err;    /* it did not answer: nothing below counts */
	bool known; /* false: every copy there is is current */
	bool deleted, decided;
	struct gen gen, pending; /* decided; of a write that is not decided yet */
	char etag[ETAG_MAX];
	uint64_t size;
	size_t n_stale;
};

struct where_copy {
	int present; /* 1, 0, or -1 when the site did not tell */
	bool tagged;
	uint64_t size;
	int64_t mtime_ms;
	struct gen gen;
	char etag[ETAG_MAX];
	char error[160]; /* or "" */
};

/* 1, 0, or -1 when that cannot be told. wanted: writes go to this site and some site has a copy, so that none is a lack. */
int where_current(const struct where_known *k, const struct where_copy *c, bool wanted);

#endif
