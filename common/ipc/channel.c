/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel: socket, HELLO, out-queue, calls, callbacks. Made by links, listeners and tests; owns its descriptor, its queued
 * frames and its open calls.
 *
 * Lifetime: every function that runs callbacks holds the channel first (hold/release); channel_destroy() takes everything apart
 * at once, but leaves the struct to the last release. A failure never runs callbacks from inside the call that met it: the
 * channel goes to CLOSING, and on_closing() does the rest from the loop.
 */
#include "config.h"

#include "channel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>

#include "../log.h"
#include "../xalloc.h"
#include "call.h"
#include "channel_impl.h"
#include "frame.h"
#include "hello.h"

#define OUT_MAX_DAEMON (8u << 20) /* bytes queued for a peer daemon: some 20,000 open writes */
#define OUT_MAX_OTHER (256u << 10) /* for gfsctl and before HELLO: four full frames */
#define HELLO_TIMEOUT_S 5
#define FRAMES_PER_TURN 64 /* then the other events of the loop get theirs */

enum channel_state { CHANNEL_GREETING, CHANNEL_UP, CHANNEL_CLOSING, CHANNEL_CLOSED };

struct out_frame {
	TAILQ_ENTRY(out_frame) next;
	int fd;
	size_t n;
	char p[];
};

struct channel {
	struct event_base *base;
	int fd;
	enum peer_role self;
	struct channel_cbs cbs;
	void *arg;
	enum channel_state state;
	unsigned holds;
	bool destroyed, monitor;
	struct event *readable, *writable, *closing, *hello_timer;
	TAILQ_HEAD(, out_frame) out;
	size_t out_bytes;
	struct strbuf scratch;
	uint8_t *in; /* MSG_MAX_BYTES */
	struct hello_peer peer;
	struct call_table calls;
	char why[256];
	void (*gone)(void *owner);
	void *owner;
	struct channel_show show;
};

/* ---- life ---- */

static void channel_hold(struct channel *ch)
{
	ch->holds++;
}

static void channel_release(struct channel *ch)
{
	if (--ch->holds > 0 || !ch->destroyed)
		return;
	strbuf_free(&ch->scratch);
	strbuf_free(&ch->show.json);
	free(ch->in);
	free(ch);
}

static void event_drop(struct event **ev)
{
	if (*ev)
		event_free(*ev);
	*ev = NULL;
}

/* Stops all I/O; what was queued is lost. */
static void channel_shut(struct channel *ch)
{
	struct out_frame *f;

	event_drop(&ch->readable);
	event_drop(&ch->writable);
	event_drop(&ch->hello_timer);
	while ((f = TAILQ_FIRST(&ch->out))) {
		TAILQ_REMOVE(&ch->out, f, next);
		if (f->fd >= 0)
			close(f->fd);
		free(f);
	}
	ch->out_bytes = 0;
	if (ch->fd >= 0)
		close(ch->fd);
	ch->fd = -1;
}

void channel_destroy(struct channel **ch_io)
{
	struct channel *ch = *ch_io;

	*ch_io = NULL;
	if (!ch)
		return;
	gfs_assert(!ch->destroyed);
	channel_hold(ch);
	ch->destroyed = true;
	ch->state = CHANNEL_CLOSED;
	channel_shut(ch);
	event_drop(&ch->closing);
	call_drop_all(&ch->calls);
	if (ch->gone)
		ch->gone(ch->owner);
	channel_release(ch);
}

static void on_closing(evutil_socket_t fd, short what, void *arg)
{
	struct channel *ch = arg;
	uint64_t last_id = ch->calls.last_id;
	struct channel *self = ch;

	(void)fd;
	(void)what;
	channel_hold(ch);
	ch->state = CHANNEL_CLOSED;
	while (!ch->destroyed && call_fail_first(&ch->calls, last_id, GFS_ERR_UNAVAILABLE))
		;
	if (!ch->destroyed && ch->cbs.closed)
		ch->cbs.closed(ch->arg, ch, ch->why);
	if (!ch->destroyed && ch->gone)
		channel_destroy(&self);
	channel_release(ch);
}

/* The end, from whatever cause; the callbacks follow from the loop. quiet: the peer just went away. */
static void channel_fail(struct channel *ch, bool quiet, const char *why)
{
	char q[LOG_QUOTE_MAX];

	if (ch->state >= CHANNEL_CLOSING)
		return;
	snprintf(ch->why, sizeof(ch->why), "%s", why);
	log_quote(q, sizeof(q), slice_str(ch->why));
	if (quiet)
		log_debug("event=channel state=closed peer=%s pid=%d why=%s", peer_role_name(ch->peer.role), (int)ch->peer.pid, q);
	else
		log_warn("event=channel state=closed peer=%s pid=%d why=%s", peer_role_name(ch->peer.role), (int)ch->peer.pid, q);
	ch->state = CHANNEL_CLOSING;
	channel_shut(ch);
	event_active(ch->closing, EV_TIMEOUT, 0);
}

/* ---- out ---- */

static size_t channel_out_max(const struct channel *ch)
{
	return ch->peer.role == PEER_NONE || ch->peer.role == PEER_CTL || ch->peer.role == PEER_MONITOR ?
		OUT_MAX_OTHER : OUT_MAX_DAEMON;
}

static int channel_queue(struct channel *ch, struct slice bytes, int fd)
{
	struct out_frame *f;

	f = ch->out_bytes + bytes.n > channel_out_max(ch) ? NULL : malloc(sizeof(*f) + bytes.n);
	if (!f) {
		channel_fail(ch, false, "the peer does not read: out-queue is full");
		return GFS_ERR_BUSY;
	}
	f->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && f->fd < 0) {
		free(f);
		channel_fail(ch, false, "out of descriptors");
		return GFS_ERR_IO;
	}
	f->n = bytes.n;
	memcpy(f->p, bytes.p, bytes.n);
	TAILQ_INSERT_TAIL(&ch->out, f, next);
	ch->out_bytes += bytes.n;
	event_add(ch->writable, NULL);
	return GFS_OK;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct channel *ch = arg;
	struct out_frame *f;

	(void)fd;
	(void)what;
	while ((f = TAILQ_FIRST(&ch->out))) {
		int err = frame_send(ch->fd, f->p, f->n, f->fd);

		if (err == GFS_ERR_BUSY)
			return;
		if (err == GFS_ERR_UNAVAILABLE)
			break; /* on_readable() meets the end, after what the peer said last */
		if (err) {
			channel_fail(ch, false, "cannot send");
			return;
		}
		TAILQ_REMOVE(&ch->out, f, next);
		ch->out_bytes -= f->n;
		if (f->fd >= 0)
			close(f->fd);
		free(f);
	}
	event_del(ch->writable);
}

static void channel_trace(const struct channel *ch, const char *dir, const struct msg *m)
{
	struct strbuf sb;

	if (log_get_level() < LOG_LVL_DEBUG)
		return;
	strbuf_init(&sb, 1024);
	if (m->type == MSG_SITE_ADD) /* holds credentials */
		strbuf_addf(&sb, "%s id=%" PRIu64, msg_name(MSG_SITE_ADD), m->id);
	else
		msg_dump(m, &sb);
	log_debug("event=message dir=%s peer=%s pid=%d msg=%s", dir, peer_role_name(ch->peer.role), (int)ch->peer.pid,
	          strbuf_str(&sb));
	strbuf_free(&sb);
}

static int channel_put(struct channel *ch, const struct msg *m, uint64_t id, int fd)
{
	struct msg copy = *m;
	int err;

	copy.id = id;
	if (ch->state >= CHANNEL_CLOSING)
		return GFS_ERR_UNAVAILABLE;
	strbuf_reset(&ch->scratch);
	err = msg_pack(&copy, &ch->scratch);
	if (err)
		return err;
	channel_trace(ch, "out", &copy);
	if (!TAILQ_EMPTY(&ch->out))
		return channel_queue(ch, strbuf_slice(&ch->scratch), fd);
	err = frame_send(ch->fd, ch->scratch.p, ch->scratch.n, fd);
	if (err == GFS_ERR_BUSY)
		return channel_queue(ch, strbuf_slice(&ch->scratch), fd);
	if (err && err != GFS_ERR_UNAVAILABLE) /* the peer's end is met by on_readable(), after what it said last */
		channel_fail(ch, false, "cannot send");
	return err;
}

int channel_send(struct channel *ch, const struct msg *m, int fd)
{
	return channel_put(ch, m, 0, fd);
}

int channel_reply(struct channel *ch, uint64_t id, const struct msg *m)
{
	return channel_put(ch, m, id | MSG_REPLY_BIT, -1);
}

int channel_reply_ok(struct channel *ch, uint64_t id)
{
	return channel_reply(ch, id, &(struct msg){.type = MSG_OK});
}

int channel_reply_error(struct channel *ch, uint64_t id, int err, const char *text)
{
	struct msg m = {.type = MSG_ERROR};
	struct slice s = slice_str(text);

	m.error.err = err;
	m.error.has_text = text != NULL;
	m.error.text = slice_of(s.p, s.n < 4096 ? s.n : 4096);
	return channel_reply(ch, id, &m);
}

uint64_t channel_call(struct channel *ch, const struct msg *m, int64_t deadline_ms, channel_call_cb *cb, void *arg)
{
	uint64_t id = ch->calls.last_id + 1;
	int err = channel_put(ch, m, id, -1);

	return call_add(&ch->calls, err && err != GFS_ERR_TOO_LARGE ? GFS_ERR_UNAVAILABLE : err, deadline_ms, cb, arg);
}

void channel_call_cancel(struct channel *ch, uint64_t id)
{
	call_cancel(&ch->calls, id);
}

/* ---- in ---- */

/* Tells the peer why, as far as it still listens, and closes. */
static void channel_refuse(struct channel *ch, int err, const char *why)
{
	struct msg m = {.type = MSG_ERROR};

	m.error.err = err;
	m.error.has_text = true;
	m.error.text = slice_str(why);
	(void)channel_put(ch, &m, 0, -1);
	channel_fail(ch, false, why);
}

static void channel_greet(struct channel *ch, const struct msg *m)
{
	char why[200];
	int err;

	if (m->type == MSG_ERROR && m->id == 0) { /* it refused our HELLO */
		snprintf(why, sizeof(why), "refused by the peer: %.*s", (int)(m->error.text.n < 150 ? m->error.text.n : 150),
		         m->error.has_text ? m->error.text.p : "");
		channel_fail(ch, false, why);
		return;
	}
	err = hello_check(m, ch->fd, ch->self, ch->monitor, &ch->peer, why, sizeof(why));
	if (err) {
		channel_refuse(ch, err, why);
		return;
	}
	event_drop(&ch->hello_timer);
	ch->state = CHANNEL_UP;
	if (ch->cbs.up)
		ch->cbs.up(ch->arg, ch);
}

static int error_of(const struct msg *m)
{
	if (m->type != MSG_ERROR)
		return GFS_OK;
	return m->error.err < 0 && m->error.err > -GFS_ORD_COUNT ? (int)m->error.err : GFS_ERR_INTERNAL;
}

/* fd is the callee's. */
static void channel_take(struct channel *ch, struct msg *m, int fd)
{
	char why[160];
	bool passed = false;

	if (ch->state == CHANNEL_GREETING) {
		channel_greet(ch, m);
	} else if (m->id & MSG_REPLY_BIT) {
		m->id &= ~MSG_REPLY_BIT;
		if (!call_finish(&ch->calls, m->id, error_of(m), m))
			log_debug("event=late_reply id=%" PRIu64 " msg=%s", m->id, msg_name((int)m->type));
	} else if (m->type == MSG_ERROR) {
		snprintf(why, sizeof(why), "closed by the peer: %.*s", (int)(m->error.text.n < 120 ? m->error.text.n : 120),
		         m->error.has_text ? m->error.text.p : "");
		channel_fail(ch, false, why);
	} else if (m->type == MSG_HELLO || !(msg_senders((int)m->type) & ch->peer.role)) {
		snprintf(why, sizeof(why), "a %s may not send %s here", peer_role_name(ch->peer.role), msg_name((int)m->type));
		channel_refuse(ch, GFS_ERR_PROTOCOL, why);
	} else if (ch->cbs.message) {
		passed = true;
		ch->cbs.message(ch->arg, ch, m, fd);
	}
	if (!passed && fd >= 0)
		close(fd);
}

static void on_readable(evutil_socket_t sock, short what, void *arg)
{
	struct channel *ch = arg;

	(void)sock;
	(void)what;
	channel_hold(ch);
	for (int i = 0; i < FRAMES_PER_TURN && ch->state < CHANNEL_CLOSING; i++) {
		struct msg m;
		size_t n;
		int fd, err = frame_recv(ch->fd, ch->in, MSG_MAX_BYTES, &n, &fd);

		if (err == GFS_ERR_BUSY)
			break;
		if (err == GFS_ERR_UNAVAILABLE) {
			channel_fail(ch, true, "the peer is gone");
			break;
		}
		err = err ? err : msg_unpack(ch->in, n, &m);
		if (err) {
			if (fd >= 0)
				close(fd);
			channel_refuse(ch, err, "malformed message");
			break;
		}
		channel_trace(ch, "in", &m);
		channel_take(ch, &m, fd);
		msg_free(&m);
	}
	channel_release(ch);
}

static void on_hello_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	channel_fail(arg, false, "no HELLO in time");
}

/* ---- creation and queries ---- */

struct channel *channel_create(struct event_base *base, int fd, enum peer_role self, const struct channel_cbs *cbs, void *arg)
{
	struct channel *ch = xcalloc(1, sizeof(*ch));
	const struct timeval tv = {.tv_sec = HELLO_TIMEOUT_S};
	struct msg hello;

	*ch = (struct channel){.base = base, .fd = fd, .self = self, .cbs = *cbs, .arg = arg};
	TAILQ_INIT(&ch->out);
	call_table_init(&ch->calls, base);
	ch->in = xcalloc(1, MSG_MAX_BYTES);
	ch->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, ch);
	ch->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, ch);
	ch->closing = event_new(base, -1, 0, on_closing, ch);
	ch->hello_timer = evtimer_new(base, on_hello_timer, ch);
	gfs_assert(ch->readable && ch->writable && ch->closing && ch->hello_timer);
	event_add(ch->readable, NULL);
	event_add(ch->hello_timer, &tv);
	hello_fill(self, &hello);
	(void)channel_put(ch, &hello, 0, -1); /* a failure closes the channel from the loop */
	return ch;
}

void channel_set_arg(struct channel *ch, void *arg)
{
	ch->arg = arg;
}

bool channel_is_up(const struct channel *ch)
{
	return ch->state == CHANNEL_UP;
}

enum peer_role channel_peer_role(const struct channel *ch)
{
	return ch->peer.role;
}

pid_t channel_peer_pid(const struct channel *ch)
{
	return ch->peer.pid;
}

uint64_t channel_peer_start(const struct channel *ch)
{
	return ch->peer.start;
}

uid_t channel_peer_uid(const struct channel *ch)
{
	return ch->peer.uid;
}

void channel_set_owner(struct channel *ch, void (*gone)(void *owner), void *owner)
{
	ch->gone = gone;
	ch->owner = owner;
}

void *channel_owner(const struct channel *ch)
{
	return ch->owner;
}

void channel_set_monitor(struct channel *ch)
{
	ch->monitor = true;
}

struct channel_show *channel_show(struct channel *ch)
{
	return &ch->show;
}
