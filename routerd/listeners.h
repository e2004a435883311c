/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front doors: one listening socket per door, bound by the supervisor and inherited by every worker. Without SO_REUSEPORT,
 * which would let a second suite bind the same port unseen.
 */
#ifndef GFS_LISTENERS_H
#define GFS_LISTENERS_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct listener {
	const char *door; /* "api", "metrics" */
	int fd;
};

#define LISTENERS_MAX 4

struct listeners {
	struct listener v[LISTENERS_MAX];
	size_t n;
};

/* Binds addr (":8090", "host:8090", "[::1]:8090") for the door and adds it. An address in use is tried again for retry_ms: the
 * workers of a supervisor that was killed may need a moment to die. 0; GFS_ERR_IO, GFS_ERR_CONFIG with a sentence naming addr. */
int listeners_bind(struct listeners *l, const char *door, const char *addr, int64_t retry_ms, char *why, size_t cap) GFS_MUST_USE;
void listeners_close(struct listeners *l);
/* Closes them for every process that shares them, at once: no worker takes a connection any more. */
void listeners_shut(struct listeners *l);
/* Logs each door's real address, for port 0 and names. */
void listeners_tell(const struct listeners *l);
/* The address with another port: "host:8090", 9090 -> "host:9090". */
void listeners_other_port(const char *addr, unsigned port, char *buf, size_t cap);

#endif
