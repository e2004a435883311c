/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first message of every channel, both ways: who speaks, and whether the two may talk. What HELLO claims is checked against
 * what the kernel says of the peer (SO_PEERCRED).
 */
#ifndef GFS_HELLO_H
#define GFS_HELLO_H

#include <sys/types.h>

#include "msg.h"

struct hello_peer {
	enum peer_role role;
	pid_t pid;
	uid_t uid;
	uint64_t start;
};

void hello_fill(enum peer_role self, struct msg *out);
/* 0 with *out; or GFS_ERR_VERSION, GFS_ERR_FORBIDDEN, GFS_ERR_PROTOCOL with a sentence. monitor: the read-only socket, where
 * only gfsctl may come, and counts as PEER_MONITOR. */
int hello_check(const struct msg *m, int sock, enum peer_role self, bool monitor, struct hello_peer *out,
                char *why, size_t cap) GFS_MUST_USE;

#endif
