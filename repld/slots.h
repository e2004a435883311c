/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may change a key now. A client's write claims the whole key for the other clients, and the sites it completes against
 * repld; repld's own copies and deletes claim one (key, site). First come, first served per key: a claim is granted when it is
 * in conflict with no holder and no earlier waiter. So at most one mutation is in flight per (key, site).
 *
 * The claim is the caller's, who keeps it alive until slots_release(). Waiters learn of their grant from
 * slots_run(), never from
 * inside another call; `wake` asks for that call.
 */
#ifndef GFS_REPLD_SLOTS_H
#define GFS_REPLD_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/slice.h"

struct slots;
struct slot_key;

enum slot_state { SLOT_IDLE, SLOT_WAITING, SLOT_READY /* granted, cb not yet called */, SLOT_HELD };

struct slot_claim {
	/* the caller's, set before slots_claim() */
	bool client;              /* false: one site of repld's own work */
	const uint32_t *sites;    /* borrowed for the claim's life */
	size_t n_sites;
	int64_t deadline_ms;      /* 0: none */
	void (*cb)(void *arg, int err); /* 0 = held; GFS_ERR_BUSY = the deadline passed, the claim is idle again */
	void *arg;
	/* slots.c's */
	enum slot_state state;
	struct slot_key *key;
	TAILQ_ENTRY(slot_claim) next;
	TAILQ_ENTRY(slot_claim) next_ready;
	TAILQ_ENTRY(slot_claim) next_timed;
};

struct slots *slots_create(void (*wake)(void *arg), void *arg);
void slots_destroy(struct slots **s);
/* True: held at once, cb is not called. False: it waits. */
bool slots_claim(struct slots *s, struct slice key, struct slot_claim *c);
/* Held at once, whoever else holds it: a client's write from before a restart, which is already being completed. */
void slots_hold(struct slots *s, struct slice key, struct slot_claim *c);
/* From any state; no callback follows. */
void slots_release(struct slots *s, struct slot_claim *c);
/* Calls back the claims that were granted. */
void slots_run(struct slots *s);
/* Calls back the waiters whose deadline has passed. */
void slots_expire(struct slots *s, int64_t now_ms);
size_t slots_waiting(const struct slots *s);

#endif
