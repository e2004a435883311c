/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a worker knows (site table, board "sites", repld's answer) to the inputs of route.c, and from its answers to the
 * targets of a write. Sites are handed on by id and name, because the table may change while an operation runs.
 */
#ifndef GFS_CANDIDATES_H
#define GFS_CANDIDATES_H

#include "common/strbuf.h"

#include "route.h"
#include "worker.h"

#define SITE_NAME_MAX 64

/* Fills v with the worker's sites, at most ROUTE_MAX; all of them current. Returns how many. */
size_t candidates_build(const struct worker *w, struct route_site v[ROUTE_MAX]);
/* What healthd says of a site that is not well, or "" (buf is used when it says something). */
const char *candidates_reason(const struct worker *w, uint32_t site_id, char *buf, size_t cap);

struct target {
	uint32_t id;
	char name[SITE_NAME_MAX];
};

struct targets {
	size_t n_sync, n_async;
	struct target sync[ROUTE_MAX]; /* none of them known down, if write_min allows to leave those for later */
	uint64_t async[ROUTE_MAX];
	unsigned write_min;
};

/* Of a write or delete. 0; GFS_ERR_NO_TARGET; GFS_ERR_SITE_DOWN when write_min is out of reach, with a sentence that names the
 * sites in why. */
int targets_pick(const struct worker *w, struct slice key, enum op_kind op, struct targets *out, struct strbuf *why) GFS_MUST_USE;

#endif
