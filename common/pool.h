/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small thread pool for work that blocks (disk, hashing). work() runs on a pool thread and must touch only what its
 * argument owns; done() runs afterwards on the event loop of the base, in order of completion. The queue is unbounded:
 * callers submit at most a few jobs per request. pool_destroy() waits for running work and still calls every done().
 */
#ifndef GFS_POOL_H
#define GFS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct pool;

struct pool *pool_create(struct event_base *base, unsigned threads);
void pool_destroy(struct pool **pool);
/* Waits until nothing is pending, running done() as usual; false when something still is after ms. */
bool pool_wait(struct pool *pool, int64_t ms);
void pool_submit(struct pool *pool, void (*work)(void *arg), void (*done)(void *arg), void *arg);
size_t pool_pending(const struct pool *pool); /* submitted and not yet done() */

#endif
