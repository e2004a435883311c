/* SPDX-License-Identifier: Apache-2.0 */
/* Key slots: see slots.h. Owned by repld, used by writes.c (clients) and transfer.c and apply.c (repld's own work). */
#include "config.h"

#include "slots.h"

#include <stdlib.h>

#include "common/error.h"
#include "common/log.h"
#include "common/map.h"
#include "common/xalloc.h"

TAILQ_HEAD(slot_list, slot_claim);

struct slot_key {
	struct slot_list holders, waiters;
	char *name;
	size_t n;
};

struct slots {
	struct map *keys;
	struct slot_list ready;
	struct slot_list timed; /* waiters with a deadline, by deadline */
	size_t waiting;
	void (*wake)(void *arg);
	void *arg;
};

struct slots *slots_create(void (*wake)(void *arg), void *arg)
{
	struct slots *s = xcalloc(1, sizeof(*s));

	s->keys = map_create();
	TAILQ_INIT(&s->ready);
	TAILQ_INIT(&s->timed);
	s->wake = wake;
	s->arg = arg;
	return s;
}

void slots_destroy(struct slots **s_io)
{
	struct slots *s = *s_io;
	struct map_iter it = MAP_ITER_INIT;
	struct slice key;
	void *value;

	*s_io = NULL;
	if (!s)
		return;
	while (map_next(s->keys, &it, &key, &value)) {
		struct slot_key *k = value;

		map_del(s->keys, key);
		free(k->name);
		free(k);
	}
	map_destroy(&s->keys);
	free(s);
}

size_t slots_waiting(const struct slots *s)
{
	return s->waiting;
}

static bool has_site(const struct slot_claim *c, uint32_t site)
{
	for (size_t i = 0; i < c->n_sites; i++)
		if (c->sites[i] == site)
			return true;
	return false;
}

static bool conflict(const struct slot_claim *a, const struct slot_claim *b)
{
	if (a->client && b->client)
		return true;
	for (size_t i = 0; i < a->n_sites; i++)
		if (has_site(b, a->sites[i]))
			return true;
	return false;
}

/* Conflicts with a holder, or with a waiter that came before it. */
static bool blocked(const struct slot_key *k, const struct slot_claim *c)
{
	const struct slot_claim *o;

	TAILQ_FOREACH(o, &k->holders, next)
		if (conflict(c, o))
			return true;
	TAILQ_FOREACH(o, &k->waiters, next) {
		if (o == c)
			break;
		if (conflict(c, o))
			return true;
	}
	return false;
}

static void key_forget(struct slots *s, struct slot_key *k)
{
	if (!TAILQ_EMPTY(&k->holders) || !TAILQ_EMPTY(&k->waiters))
		return;
	map_del(s->keys, slice_of(k->name, k->n));
	free(k->name);
	free(k);
}

static void wait_begin(struct slots *s, struct slot_key *k, struct slot_claim *c)
{
	struct slot_claim *before = TAILQ_LAST(&s->timed, slot_list);

	TAILQ_INSERT_TAIL(&k->waiters, c, next);
	s->waiting++;
	c->state = SLOT_WAITING;
	if (!c->deadline_ms)
		return;
	while (before && before->deadline_ms > c->deadline_ms)
		before = TAILQ_PREV(before, slot_list, next_timed);
	if (before)
		TAILQ_INSERT_AFTER(&s->timed, before, c, next_timed);
	else
		TAILQ_INSERT_HEAD(&s->timed, c, next_timed);
}

static void wait_end(struct slots *s, struct slot_key *k, struct slot_claim *c)
{
	TAILQ_REMOVE(&k->waiters, c, next);
	s->waiting--;
	if (c->deadline_ms)
		TAILQ_REMOVE(&s->timed, c, next_timed);
}

static void key_advance(struct slots *s, struct slot_key *k)
{
	struct slot_claim *c = TAILQ_FIRST(&k->waiters);
	bool any = false;

	while (c) {
		struct slot_claim *following = TAILQ_NEXT(c, next);

		if (!blocked(k, c)) {
			wait_end(s, k, c);
			TAILQ_INSERT_TAIL(&k->holders, c, next);
			c->state = SLOT_READY;
			TAILQ_INSERT_TAIL(&s->ready, c, next_ready);
			any = true;
		}
		c = following;
	}
	if (any && s->wake)
		s->wake(s->arg);
}

static struct slot_key *key_need(struct slots *s, struct slice key)
{
	struct slot_key *k = map_get(s->keys, key);

	if (!k) {
		k = xcalloc(1, sizeof(*k));
		TAILQ_INIT(&k->holders);
		TAILQ_INIT(&k->waiters);
		k->name = xmemdup(key.p, key.n);
		k->n = key.n;
		map_put(s->keys, key, k);
	}
	return k;
}

void slots_hold(struct slots *s, struct slice key, struct slot_claim *c)
{
	gfs_assert(c->state == SLOT_IDLE);
	c->key = key_need(s, key);
	TAILQ_INSERT_TAIL(&c->key->holders, c, next);
	c->state = SLOT_HELD;
}

bool slots_claim(struct slots *s, struct slice key, struct slot_claim *c)
{
	struct slot_key *k = key_need(s, key);

	gfs_assert(c->state == SLOT_IDLE);
	c->key = k;
	if (!blocked(k, c)) {
		TAILQ_INSERT_TAIL(&k->holders, c, next);
		c->state = SLOT_HELD;
		return true;
	}
	wait_begin(s, k, c);
	return false;
}

void slots_release(struct slots *s, struct slot_claim *c)
{
	struct slot_key *k = c->key;

	switch (c->state) {
	case SLOT_IDLE:
		return;
	case SLOT_WAITING:
		wait_end(s, k, c);
		break;
	case SLOT_READY:
		TAILQ_REMOVE(&s->ready, c, next_ready);
		TAILQ_REMOVE(&k->holders, c, next);
		break;
	case SLOT_HELD:
		TAILQ_REMOVE(&k->holders, c, next);
		break;
	}
	c->state = SLOT_IDLE;
	c->key = NULL;
	key_advance(s, k);
	key_forget(s, k);
}

void slots_run(struct slots *s)
{
	struct slot_claim *c;

	while ((c = TAILQ_FIRST(&s->ready))) {
		TAILQ_REMOVE(&s->ready, c, next_ready);
		c->state = SLOT_HELD;
		c->cb(c->arg, GFS_OK);
	}
}

void slots_expire(struct slots *s, int64_t now_ms)
{
	struct slot_claim *c;

	while ((c = TAILQ_FIRST(&s->timed)) && c->deadline_ms <= now_ms) {
		slots_release(s, c);
		c->cb(c->arg, GFS_ERR_BUSY);
	}
}
