/* SPDX-License-Identifier: Apache-2.0 */
/* The buffers of client connections (block.h). */
#include "config.h"

#include "block.h"

#include <stdlib.h>

#define FREE_MAX 64 /* 1 MiB per worker */

struct block *block_get_sized(size_t cap)
{
	struct block *b = malloc(sizeof(*b) + cap);

	if (b) {
		b->next = NULL;
		b->start = b->end = 0;
		b->cap = cap;
	}
	return b;
}

struct block *block_get(struct block_pool *pool)
{
	struct block *b = pool->free;

	if (!b)
		return block_get_sized(BLOCK_BYTES - sizeof(*b));
	pool->free = b->next;
	pool->n_free--;
	b->next = NULL;
	b->start = b->end = 0;
	return b;
}

void block_put(struct block_pool *pool, struct block **b_io)
{
	struct block *b = *b_io;

	*b_io = NULL;
	if (!b)
		return;
	if (pool->n_free >= FREE_MAX || b->cap != BLOCK_BYTES - sizeof(*b)) {
		free(b);
		return;
	}
	b->next = pool->free;
	pool->free = b;
	pool->n_free++;
}

void block_pool_clear(struct block_pool *pool)
{
	struct block *b;

	while ((b = pool->free)) {
		pool->free = b->next;
		free(b);
	}
	pool->n_free = 0;
}
