/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of open calls of a channel. A call leaves the table before its callback runs, and is freed after it, so a callback
 * may make calls, cancel others, or destroy the channel.
 */
#include "config.h"

#include "call.h"

#include <stdlib.h>

#include <event2/event.h>

#include "../log.h"
#include "../xalloc.h"

struct call {
	TAILQ_ENTRY(call) all, bucket;
	struct call_table *table;
	uint64_t id;
	int err; /* what the timer tells: GFS_ERR_TIMEOUT, or why the call was lost at once */
	channel_call_cb *cb;
	void *arg;
	struct event *timer;
};

void call_table_init(struct call_table *t, struct event_base *base)
{
	t->base = base;
	t->last_id = 0;
	t->n = 0;
	TAILQ_INIT(&t->all);
	for (size_t i = 0; i < CALL_BUCKETS; i++)
		TAILQ_INIT(&t->buckets[i]);
}

static struct call_list *bucket_of(struct call_table *t, uint64_t id)
{
	return &t->buckets[id % CALL_BUCKETS];
}

static void call_remove(struct call *c)
{
	TAILQ_REMOVE(&c->table->all, c, all);
	TAILQ_REMOVE(bucket_of(c->table, c->id), c, bucket);
	c->table->n--;
	c->table = NULL;
}

static void call_free(struct call *c)
{
	event_free(c->timer);
	free(c);
}

static void call_end(struct call *c, int err, const struct msg *reply)
{
	call_remove(c);
	event_del(c->timer);
	c->cb(c->arg, err, reply);
	call_free(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct call *c = arg;

	(void)fd;
	(void)what;
	call_end(c, c->err, NULL);
}

uint64_t call_add(struct call_table *t, int err, int64_t deadline_ms, channel_call_cb *cb, void *arg)
{
	struct call *c = xcalloc(1, sizeof(*c));
	struct timeval tv = {0};

	c->table = t;
	c->id = ++t->last_id;
	c->err = err ? err : GFS_ERR_TIMEOUT;
	c->cb = cb;
	c->arg = arg;
	c->timer = evtimer_new(t->base, on_timer, c);
	gfs_assert(c->timer);
	if (!err && deadline_ms > 0) {
		tv.tv_sec = deadline_ms / 1000;
		tv.tv_usec = deadline_ms % 1000 * 1000;
	}
	event_add(c->timer, &tv);
	TAILQ_INSERT_TAIL(&t->all, c, all);
	TAILQ_INSERT_TAIL(bucket_of(t, c->id), c, bucket);
	t->n++;
	return c->id;
}

static struct call *call_find(struct call_table *t, uint64_t id)
{
	struct call *c;

	TAILQ_FOREACH(c, bucket_of(t, id), bucket) {
		if (c->id == id)
			return c;
	}
	return NULL;
}

bool call_finish(struct call_table *t, uint64_t id, int err, const struct msg *reply)
{
	struct call *c = call_find(t, id);

	if (!c)
		return false;
	call_end(c, err, reply);
	return true;
}

bool call_cancel(struct call_table *t, uint64_t id)
{
	struct call *c = call_find(t, id);

	if (!c)
		return false;
	call_remove(c);
	call_free(c);
	return true;
}

bool call_fail_first(struct call_table *t, uint64_t last_id, int err)
{
	struct call *c = TAILQ_FIRST(&t->all);

	if (!c || c->id > last_id)
		return false;
	call_end(c, err, NULL);
	return true;
}

void call_drop_all(struct call_table *t)
{
	struct call *c;

	while ((c = TAILQ_FIRST(&t->all))) {
		call_remove(c);
		call_free(c);
	}
}
