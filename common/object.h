/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of one copy of an object. Strings are owned by the struct; object_info_free() frees them. A callback that
 * is handed a const struct object_info borrows it until it returns; object_info_copy() keeps it.
 */
#ifndef GFS_OBJECT_H
#define GFS_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "etag.h"
#include "gen.h"
#include "slice.h"

/* User metadata: names lower case without any "x-...-meta-" prefix, values printable ASCII, at most META_BYTES_MAX in all
 * (S3 User Guide, "Working with object metadata"). Names beginning with "gfs-" are ours and never appear here. */
#define META_BYTES_MAX 2048

struct meta_pair {
	char *name, *value;
};

struct meta {
	struct meta_pair *v;
	size_t n;
};

/* 0 or GFS_ERR_META_INVALID: name not [a-z0-9._-]+ after lowering, begins with gfs-, value not printable ASCII, over the
 * total. A second pair of the same name is joined with "," (RFC 9110 section 5.3). */
int meta_add(struct meta *m, struct slice name, struct slice value) GFS_MUST_USE;
const char *meta_get(const struct meta *m, const char *name); /* NULL when absent */
void meta_copy(struct meta *dst, const struct meta *src);
void meta_free(struct meta *m);

struct object_info {
	uint64_t size;
	int64_t mtime_ms;    /* Last-Modified, since 1970 UTC */
	char etag[ETAG_MAX]; /* without quotes; "" when unknown */
	struct gen gen;      /* tagged, or derived from mtime when gen_tagged is false */
	bool gen_tagged;
	uint64_t part_size;  /* layout of the version; 0 when unknown (an object that was put behind our back) */
	bool has_crc64;
	uint64_t crc64;
	char *content_type;  /* NULL when none was given */
	struct meta meta;
};

void object_info_copy(struct object_info *dst, const struct object_info *src);
void object_info_free(struct object_info *info);

#endif
