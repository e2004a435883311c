/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buffers of client connections. A connection holds a block only while there is something in it, so that an idle one costs
 * none; a worker keeps a few free ones at hand.
 */
#ifndef GFS_BLOCK_H
#define GFS_BLOCK_H

#include <stddef.h>

#define BLOCK_BYTES 16384 /* with its header */

struct block {
	struct block *next;
	size_t start, end, cap; /* the bytes in it: data[start..end) */
	char data[];
};

struct block_pool {
	struct block *free;
	size_t n_free;
};

struct block *block_get(struct block_pool *pool); /* NULL: out of memory */
struct block *block_get_sized(size_t cap);        /* NULL: out of memory */
void block_put(struct block_pool *pool, struct block **b); /* accepts NULL */
void block_pool_clear(struct block_pool *pool);

static inline size_t block_used(const struct block *b)
{
	return b ? b->end - b->start : 0;
}

static inline size_t block_room(const struct block *b)
{
	return b->cap - b->end;
}

#endif
