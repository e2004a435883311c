/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that are open on one channel: an id, a deadline, a callback that runs exactly once. Embedded in struct channel,
 * which numbers requests from here and hands in replies. Every callback may destroy the channel and with it the table: nothing
 * here touches the table after a callback, unless the channel is held.
 */
#ifndef GFS_CALL_H
#define GFS_CALL_H

#include <sys/queue.h>

#include "channel.h"

#define CALL_BUCKETS 64

struct call;
TAILQ_HEAD(call_list, call);

struct call_table {
	struct event_base *base;
	uint64_t last_id;
	size_t n;
	struct call_list all; /* in the order they were made */
	struct call_list buckets[CALL_BUCKETS];
};

void call_table_init(struct call_table *t, struct event_base *base);
/* Returns the call's id. err != 0: the call is lost already, its callback says so from the loop. */
uint64_t call_add(struct call_table *t, int err, int64_t deadline_ms, channel_call_cb *cb, void *arg);
/* Runs the callback of an open call. False when there is none of that id: it timed out or was cancelled. */
bool call_finish(struct call_table *t, uint64_t id, int err, const struct msg *reply);
bool call_cancel(struct call_table *t, uint64_t id);
/* Takes out the oldest call if its id is at most last_id, runs its callback with err. False: there is no such call. */
bool call_fail_first(struct call_table *t, uint64_t last_id, int err);
void call_drop_all(struct call_table *t); /* without callbacks */

#endif
