/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's side of a channel to one daemon: connects to <run_dir>/<daemon>.sock, reconnects by itself (at once, then every
 * 50 ms up to 1 s, for ever), and tells when it is up so that the stub above can announce again what it has open.
 * Calls while it is down wait for it within their deadline.
 */
#ifndef GFS_LINK_H
#define GFS_LINK_H

#include "channel.h"

struct link_cbs {
	void (*up)(void *arg);   /* after HELLO, also again after each reconnect, before any waiting call is sent */
	void (*down)(void *arg, const char *why);
	void (*message)(void *arg, const struct msg *m, int fd); /* may be NULL */
};

struct link;

struct link *link_create(struct event_base *base, const char *run_dir, const char *daemon, enum peer_role self,
                         const struct link_cbs *cbs, void *arg);
void link_destroy(struct link **l);
bool link_is_up(const struct link *l);
/* As channel_call(); while the link is down the message (copied) waits. When the channel is lost after the message was sent, cb
 * gets GFS_ERR_UNAVAILABLE: whether to ask again is the stub's decision. */
uint64_t link_call(struct link *l, const struct msg *m, int64_t deadline_ms, channel_call_cb *cb, void *arg);
void link_call_cancel(struct link *l, uint64_t id);
/* 0, or GFS_ERR_UNAVAILABLE when down. */
int link_send(struct link *l, const struct msg *m);

/* For programs without a loop of their own (gfsctl): connect, HELLO, one call, reply; blocks up to deadline_ms. reply_out is
 * freed by msg_free() and borrows from frame_out (strbuf_free). 0, the ERROR reply's err (reply_out filled), GFS_ERR_CONNECT
 * when the daemon is not there. */
int link_ask(const char *run_dir, const char *daemon, const struct msg *m, int64_t deadline_ms, struct msg *reply_out,
             struct strbuf *frame_out) GFS_MUST_USE;

#endif
