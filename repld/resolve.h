/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intents in doubt: granted, and their owner is gone or does not know how they ended. Every target is asked what it holds. One
 * that holds the version makes it count everywhere; when all have answered "not here" after the in-doubt time, and the owner
 * does not live, it is withdrawn. A delete always counts.
 */
#ifndef GFS_REPLD_RESOLVE_H
#define GFS_REPLD_RESOLVE_H

#include "keys.h"

struct resolver;

struct resolver *resolve_create(void);
void resolve_destroy(struct repld *r, struct resolver **rv);
/* e->intent is in doubt from now on. */
void resolve_start(struct repld *r, struct key_entry *e);
/* It was resolved otherwise, or a newer intent covers it. */
void resolve_drop(struct repld *r, struct key_entry *e);
void resolve_tick(struct repld *r);
size_t resolve_count(const struct resolver *rv);

#endif
