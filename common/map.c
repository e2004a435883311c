/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash map of map.h: chains, doubled when full, hashed with SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast
 * short-input PRF") under a random seed, so that clients who choose keys cannot make chains long. Single-threaded.
 */
#include "config.h"

#include "map.h"

#include <stdlib.h>
#include <sys/random.h>

#include "clock.h"
#include "log.h"
#include "xalloc.h"

struct map_entry {
	struct map_entry *next;
	uint64_t hash;
	void *value;
	size_t n;
	char key[];
};

struct map {
	struct map_entry **buckets;
	size_t mask, count;
	uint64_t seed[2];
};

static uint64_t rotl(uint64_t x, unsigned b)
{
	return (x << b) | (x >> (64 - b));
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static uint64_t map_hash(const struct map *m, struct slice key)
{
	uint64_t v[4] = {m->seed[0] ^ 0x736f6d6570736575, m->seed[1] ^ 0x646f72616e646f6d, m->seed[0] ^ 0x6c7967656e657261,
	                 m->seed[1] ^ 0x7465646279746573};
	uint64_t word, last = (uint64_t)key.n << 56;
	size_t i = 0, j;

	for (; key.n - i >= 8; i += 8) {
		memcpy(&word, key.p + i, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (j = 0; i + j < key.n; j++)
		last |= (uint64_t)(unsigned char)key.p[i + j] << (8 * j);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (j = 0; j < 3; j++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_create(void)
{
	struct map *m = xcalloc(1, sizeof(*m));

	m->mask = 15;
	m->buckets = xcalloc(m->mask + 1, sizeof(*m->buckets));
	if (getrandom(m->seed, sizeof(m->seed), GRND_NONBLOCK) != sizeof(m->seed)) {
		m->seed[0] = (uint64_t)clock_mono_us();
		m->seed[1] = (uint64_t)(uintptr_t)m;
	}
	return m;
}

void map_destroy(struct map **m_io)
{
	struct map *m = *m_io;
	size_t i;

	*m_io = NULL;
	if (!m)
		return;
	for (i = 0; i <= m->mask; i++) {
		while (m->buckets[i]) {
			struct map_entry *e = m->buckets[i];

			m->buckets[i] = e->next;
			free(e);
		}
	}
	free(m->buckets);
	free(m);
}

/* The pointer that points to the entry, or to the NULL at the end of its chain. */
static struct map_entry **map_find(const struct map *m, struct slice key, uint64_t hash)
{
	struct map_entry **at = &m->buckets[hash & m->mask];

	while (*at && !((*at)->hash == hash && slice_eq(slice_of((*at)->key, (*at)->n), key)))
		at = &(*at)->next;
	return at;
}

void *map_get(const struct map *m, struct slice key)
{
	struct map_entry *e = *map_find(m, key, map_hash(m, key));

	return e ? e->value : NULL;
}

static void map_grow(struct map *m)
{
	size_t mask = m->mask * 2 + 1, i;
	struct map_entry **buckets = xcalloc(mask + 1, sizeof(*buckets));

	for (i = 0; i <= m->mask; i++) {
		while (m->buckets[i]) {
			struct map_entry *e = m->buckets[i];

			m->buckets[i] = e->next;
			e->next = buckets[e->hash & mask];
			buckets[e->hash & mask] = e;
		}
	}
	free(m->buckets);
	m->buckets = buckets;
	m->mask = mask;
}

void *map_put(struct map *m, struct slice key, void *value)
{
	uint64_t hash = map_hash(m, key);
	struct map_entry **at = map_find(m, key, hash), *e = *at;

	gfs_assert(value);
	if (e) {
		void *old = e->value;

		e->value = value;
		return old;
	}
	e = xcalloc(1, sizeof(*e) + key.n);
	e->hash = hash;
	e->value = value;
	e->n = key.n;
	if (key.n)
		memcpy(e->key, key.p, key.n);
	*at = e;
	if (++m->count > m->mask)
		map_grow(m);
	return NULL;
}

void *map_del(struct map *m, struct slice key)
{
	struct map_entry **at = map_find(m, key, map_hash(m, key)), *e = *at;
	void *value;

	if (!e)
		return NULL;
	value = e->value;
	*at = e->next;
	free(e);
	m->count--;
	return value;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

/* it->entry is the entry to hand out next (so the last one may be deleted), it->bucket the bucket to look into after it. */
int map_next(struct map *m, struct map_iter *it, struct slice *key_out, void **value_out)
{
	struct map_entry *e = it->entry;

	while (!e) {
		if (it->bucket > m->mask)
			return 0;
		e = m->buckets[it->bucket++];
	}
	it->entry = e->next;
	*key_out = slice_of(e->key, e->n);
	*value_out = e->value;
	return 1;
}

/* FNV-1a spreads short keys badly in its high bits; the finaliser (that of MurmurHash3) mends it. */
uint64_t hash64(const void *p, size_t n)
{
	const unsigned char *b = p;
	uint64_t h = 0xcbf29ce484222325;
	size_t i;

	for (i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3;
	h = (h ^ (h >> 33)) * 0xff51afd7ed558ccd;
	h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53;
	return h ^ (h >> 33);
}
