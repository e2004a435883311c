/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ETag that S3 clients expect, computed while a body streams: MD5 in hex for one part, or MD5 of the parts' MD5s,
 * '-', number of parts (S3 User Guide, "Checking object integrity for multipart uploads"). The part layout belongs to the
 * version: fixed parts of part_size bytes, the last one shorter; an object of at most part_size bytes has one part and a
 * plain MD5. Beside it a CRC-64/NVME of the whole object.
 */
#ifndef GFS_ETAG_H
#define GFS_ETAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "slice.h"

#define ETAG_MAX 48 /* 32 hex digits, '-', up to 5 digits, NUL */

struct etag_calc;

struct etag_calc *etag_calc_create(uint64_t part_size); /* part_size >= 1 */
void etag_calc_destroy(struct etag_calc **calc);
void etag_calc_update(struct etag_calc *calc, const void *p, size_t n); /* may run on a pool thread, one at a time */
/* Ends the calculation; call once. */
void etag_calc_finish(struct etag_calc *calc, char etag_out[ETAG_MAX], uint64_t *crc64_out);

/* max(chunk, ceil(size / 10000)) rounded up to 1 MiB above the chunk; size < 0 (unknown) gives the chunk. */
uint64_t layout_part_size(int64_t size, uint64_t chunk);
uint64_t layout_part_count(uint64_t size, uint64_t part_size); /* at least 1 */

/* CRC-64/NVME (reflected, polynomial 0xad93d23594c93659); start with crc 0. */
uint64_t crc64nvme(uint64_t crc, const void *p, size_t n);

#endif
