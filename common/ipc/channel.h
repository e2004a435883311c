/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connected SOCK_SEQPACKET socket on an event loop: HELLO both ways, messages with an optional descriptor, calls with
 * deadlines, an out-queue with a cap. A message that the peer's role may not send, a bad frame, a version mismatch or a full
 * out-queue closes the channel with one clear log line; it never ends the process.
 *
 * Callbacks: `up` once after the peer's HELLO was accepted; `message` for each message that is not a reply to a call of ours;
 * `closed` exactly once (not after channel_destroy by the owner), after every open call got its callback with
 * GFS_ERR_UNAVAILABLE. Inside any callback the channel may be destroyed. channel_destroy() drops open calls without their
 * callbacks: whoever destroys knows. Callbacks may be NULL.
 */
#ifndef GFS_CHANNEL_H
#define GFS_CHANNEL_H

#include <sys/types.h>

#include "msg.h"

struct event_base;
struct channel;

struct channel_cbs {
	void (*up)(void *arg, struct channel *ch);
	/* m borrowed; fd >= 0 is the callee's now. */
	void (*message)(void *arg, struct channel *ch, const struct msg *m, int fd);
	void (*closed)(void *arg, struct channel *ch, const char *why);
};

/* Takes fd. self: our role in HELLO. */
struct channel *channel_create(struct event_base *base, int fd, enum peer_role self, const struct channel_cbs *cbs, void *arg);
void channel_destroy(struct channel **ch);
void channel_set_arg(struct channel *ch, void *arg);
bool channel_is_up(const struct channel *ch);
enum peer_role channel_peer_role(const struct channel *ch); /* from HELLO */
pid_t channel_peer_pid(const struct channel *ch);           /* from HELLO; equals SO_PEERCRED's or the HELLO is refused */
uint64_t channel_peer_start(const struct channel *ch);
uid_t channel_peer_uid(const struct channel *ch);

/* Sends a message that expects no reply. fd >= 0 is duplicated by the kernel and stays the caller's. 0 or an error, after which
 * the channel closes by itself; only GFS_ERR_TOO_LARGE (the message does not fit a frame) leaves it open. */
int channel_send(struct channel *ch, const struct msg *m, int fd);

/* A reply to the message of that id. */
int channel_reply(struct channel *ch, uint64_t id, const struct msg *m);
int channel_reply_ok(struct channel *ch, uint64_t id);
int channel_reply_error(struct channel *ch, uint64_t id, int err, const char *text);

/* A call; deadline_ms from now. cb runs exactly once, never before channel_call returns: err 0 with the reply, or
 * GFS_ERR_TIMEOUT, GFS_ERR_UNAVAILABLE, GFS_ERR_TOO_LARGE, or, when the reply was ERROR, its err (text in reply->error.text). reply
 * is NULL when there is none. Returns the call's id for channel_call_cancel(), after which cb does not run. */
typedef void channel_call_cb(void *arg, int err, const struct msg *reply);
uint64_t channel_call(struct channel *ch, const struct msg *m, int64_t deadline_ms, channel_call_cb *cb, void *arg);
void channel_call_cancel(struct channel *ch, uint64_t id);

#endif
