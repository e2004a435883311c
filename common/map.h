/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash map from byte strings to pointers, seeded at random per map (keys come from clients). Copies its keys, borrows its
 * values. Deleting the entry that map_next() just returned is allowed while walking.
 */
#ifndef GFS_MAP_H
#define GFS_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "slice.h"

struct map;

struct map *map_create(void);
void map_destroy(struct map **m); /* values are not touched */
void *map_get(const struct map *m, struct slice key); /* NULL when absent */
void *map_put(struct map *m, struct slice key, void *value); /* value != NULL; returns the old value or NULL */
void *map_del(struct map *m, struct slice key); /* returns the value or NULL */
size_t map_count(const struct map *m);

struct map_iter {
	size_t bucket;
	void *entry;
};
#define MAP_ITER_INIT {0}
/* Unordered. Returns 1 with key (borrowed until the entry is deleted) and value, 0 at the end. */
int map_next(struct map *m, struct map_iter *it, struct slice *key_out, void **value_out);

/* A 64-bit hash without a seed, the same in every process and for ever (FNV-1a with a finaliser): keys board, sidecar
 * names and generation tags use it. */
uint64_t hash64(const void *p, size_t n);

#endif
