/* SPDX-License-Identifier: Apache-2.0 */
/* The questions of repld_client.h that open no write (LOOKUP, REPLICATE), and copies of struct repld_version; for
 * repld_client.c only. */
#ifndef GFS_REPLD_ASKS_H
#define GFS_REPLD_ASKS_H

#include "../ipc/link.h"
#include "repld_client.h"

struct repld_asks;

struct repld_asks *repld_asks_create(struct link *link); /* borrows the link, which goes first */
void repld_asks_destroy(struct repld_asks **asks);
uint64_t repld_asks_lookup(struct repld_asks *asks, struct slice key, repld_lookup_cb *cb, void *arg);
uint64_t repld_asks_lookup_many(struct repld_asks *asks, const struct slice *keys, size_t n, repld_lookup_many_cb *cb, void *arg);
uint64_t repld_asks_replicate(struct repld_asks *asks, struct slice key, uint32_t from, uint32_t to, repld_replicate_cb *cb,
                              void *arg);
void repld_asks_cancel(struct repld_asks *asks, uint64_t id);

void repld_version_copy(struct repld_version *dst, const struct repld_version *src);
void repld_version_free(struct repld_version *v);

#endif
