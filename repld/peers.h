/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channels that are up, by number: whoever answers later holds the number, not the channel. A reply to a peer that is gone
 * is dropped.
 */
#ifndef GFS_REPLD_PEERS_H
#define GFS_REPLD_PEERS_H

#include <sys/queue.h>

#include "common/ipc/channel.h"
#include "repld.h"

struct peer {
	uint64_t id;
	struct channel *ch;
	int pid;
	uint64_t start;
	enum peer_role role;
	TAILQ_ENTRY(peer) next;
};

struct peers *peers_create(void);
void peers_destroy(struct peers **p);
struct peer *peers_add(struct repld *r, struct channel *ch);
struct peer *peers_of(struct repld *r, const struct channel *ch);
struct peer *peers_get(struct repld *r, uint64_t id);
void peers_clear(struct repld *r); /* their channels are gone */
void peers_remove(struct repld *r, struct peer *p);
/* A worker of that process is connected. */
bool peers_has_process(struct repld *r, int pid, uint64_t start);

void peer_reply(struct repld *r, uint64_t peer, uint64_t call, const struct msg *m);
void peer_ok(struct repld *r, uint64_t peer, uint64_t call);
void peer_error(struct repld *r, uint64_t peer, uint64_t call, int err, const char *text);

#endif
