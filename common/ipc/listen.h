/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon's listening socket <run_dir>/<daemon>.sock: directory 0751, socket 0660, a bounded number of channels. A socket file
 * left by a dead daemon is replaced; one that answers means that it is already running (GFS_ERR_LOCKED). A singleton is held by
 * flock on <run_dir>/<daemon>.lock, taken here. Beside it <run_dir>/monitor/<daemon>.sock (0666 in a 0755 directory) takes only
 * PEER_CTL and lets it send SHOW and nothing else.
 */
#ifndef GFS_LISTEN_H
#define GFS_LISTEN_H

#include "channel.h"

struct listen_sock;

/* Channels are created with cbs and arg, and destroyed by the listener when they close or with it.
 * 0, GFS_ERR_IO, GFS_ERR_LOCKED. */
int listen_create(struct event_base *base, const char *run_dir, const char *daemon, enum peer_role self,
                  const struct channel_cbs *cbs, void *arg, struct listen_sock **out) GFS_MUST_USE;
void listen_destroy(struct listen_sock **l); /* removes the socket files */
size_t listen_count(const struct listen_sock *l);
/* Walks the channels that are up. */
struct channel *listen_next(struct listen_sock *l, struct channel *after /* NULL: first */);

#endif
