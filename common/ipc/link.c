/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's link to one daemon, see link.h: owns the channel while there is one, and the calls that were made on it. A call
 * waits here as a packed frame until the channel is up; from then on the channel has its deadline.
 *
 * Lifetime: as in channel.c, callbacks run with the link held, and link_destroy() leaves the struct to the last release.
 */
#include "config.h"

#include "link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>

#include "../clock.h"
#include "../log.h"
#include "../xalloc.h"
#include "sock.h"

#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS 1000
#define SETTLED_MS 1000 /* a channel that lived so long is reconnected at once */

struct link_call {
	TAILQ_ENTRY(link_call) next;
	struct link *link;
	uint64_t id, channel_id; /* channel_id 0: waits */
	int64_t deadline_ms;     /* monotonic */
	struct strbuf frame;     /* while it waits */
	struct event *timer;     /* while it waits */
	int err;                 /* of the timer */
	channel_call_cb *cb;
	void *arg;
};

TAILQ_HEAD(link_call_list, link_call);

struct link {
	struct event_base *base;
	char *path, *daemon;
	enum peer_role self;
	struct link_cbs cbs;
	void *arg;
	struct channel *ch;
	bool up, destroyed;
	unsigned holds;
	int64_t retry_ms, up_since_ms;
	struct event *retry;
	uint64_t last_id;
	struct link_call_list calls;
};

static void link_hold(struct link *l)
{
	l->holds++;
}

static void link_release(struct link *l)
{
	if (--l->holds > 0 || !l->destroyed)
		return;
	free(l->path);
	free(l->daemon);
	free(l);
}

/* ---- calls ---- */

static void link_call_remove(struct link_call *c)
{
	TAILQ_REMOVE(&c->link->calls, c, next);
}

static void link_call_unwait(struct link_call *c)
{
	if (c->timer)
		event_free(c->timer);
	c->timer = NULL;
	strbuf_free(&c->frame);
}

static void link_call_free(struct link_call *c)
{
	link_call_unwait(c);
	free(c);
}

static void link_call_end(struct link_call *c, int err, const struct msg *reply)
{
	link_call_remove(c);
	c->cb(c->arg, err, reply);
	link_call_free(c);
}

static void on_call_timer(evutil_socket_t fd, short what, void *arg)
{
	struct link_call *c = arg;

	(void)fd;
	(void)what;
	link_call_end(c, c->err, NULL);
}

static void on_channel_reply(void *arg, int err, const struct msg *reply)
{
	link_call_end(arg, err, reply);
}

static void link_call_arm(struct link_call *c, int64_t ms)
{
	struct timeval tv = {0};

	if (ms > 0) {
		tv.tv_sec = ms / 1000;
		tv.tv_usec = ms % 1000 * 1000;
	}
	event_add(c->timer, &tv);
}

static void link_call_send(struct link_call *c, const struct msg *m)
{
	c->channel_id = channel_call(c->link->ch, m, c->deadline_ms - clock_mono_ms(), on_channel_reply, c);
}

/* Sends what waited, in order. No callback runs in here. */
static void link_flush(struct link *l)
{
	struct link_call *c;

	TAILQ_FOREACH(c, &l->calls, next) {
		struct msg m;

		if (c->channel_id || c->err != GFS_ERR_TIMEOUT || !channel_is_up(l->ch))
			continue;
		if (msg_unpack(c->frame.p, c->frame.n, &m))
			panic("a packed message does not unpack");
		link_call_send(c, &m);
		msg_free(&m);
		link_call_unwait(c);
	}
}

uint64_t link_call(struct link *l, const struct msg *m, int64_t deadline_ms, channel_call_cb *cb, void *arg)
{
	struct link_call *c = xcalloc(1, sizeof(*c));
	int err;

	*c = (struct link_call){.link = l, .id = ++l->last_id, .cb = cb, .arg = arg, .err = GFS_ERR_TIMEOUT};
	c->deadline_ms = clock_mono_ms() + deadline_ms;
	TAILQ_INSERT_TAIL(&l->calls, c, next);
	if (link_is_up(l)) {
		link_call_send(c, m);
		return c->id;
	}
	c->timer = evtimer_new(l->base, on_call_timer, c);
	gfs_assert(c->timer);
	err = msg_pack(m, &c->frame);
	if (err)
		c->err = err;
	link_call_arm(c, err ? 0 : deadline_ms);
	return c->id;
}

void link_call_cancel(struct link *l, uint64_t id)
{
	struct link_call *c;

	TAILQ_FOREACH(c, &l->calls, next) {
		if (c->id == id)
			break;
	}
	if (!c)
		return;
	if (c->channel_id && l->ch)
		channel_call_cancel(l->ch, c->channel_id);
	link_call_remove(c);
	link_call_free(c);
}

int link_send(struct link *l, const struct msg *m)
{
	return link_is_up(l) ? channel_send(l->ch, m, -1) : GFS_ERR_UNAVAILABLE;
}

/* ---- connection ---- */

static void link_retry_later(struct link *l)
{
	struct timeval tv = {.tv_sec = l->retry_ms / 1000, .tv_usec = l->retry_ms % 1000 * 1000};

	event_add(l->retry, &tv);
	l->retry_ms += RETRY_FIRST_MS;
	if (l->retry_ms > RETRY_MAX_MS)
		l->retry_ms = RETRY_MAX_MS;
}

static void on_up(void *arg, struct channel *ch)
{
	struct link *l = arg;

	(void)ch;
	link_hold(l);
	l->up = true;
	l->up_since_ms = clock_mono_ms();
	log_debug("event=link state=up daemon=%s", l->daemon);
	if (l->cbs.up)
		l->cbs.up(l->arg);
	if (!l->destroyed)
		link_flush(l);
	link_release(l);
}

static void on_message(void *arg, struct channel *ch, const struct msg *m, int fd)
{
	struct link *l = arg;

	(void)ch;
	if (l->cbs.message)
		l->cbs.message(l->arg, m, fd);
	else if (fd >= 0)
		close(fd);
}

static void on_closed(void *arg, struct channel *ch, const char *why)
{
	struct link *l = arg;
	bool was_up = l->up;

	(void)ch;
	link_hold(l);
	l->up = false;
	if (was_up && clock_mono_ms() - l->up_since_ms >= SETTLED_MS)
		l->retry_ms = 0;
	if (was_up && l->cbs.down)
		l->cbs.down(l->arg, why);
	if (!l->destroyed) {
		channel_destroy(&l->ch); /* its calls have had their callbacks */
		link_retry_later(l);
	}
	link_release(l);
}

static void on_retry(evutil_socket_t sock, short what, void *arg)
{
	static const struct channel_cbs cbs = {on_up, on_message, on_closed};
	struct link *l = arg;
	int fd, err = sock_connect(l->path, &fd);

	(void)sock;
	(void)what;
	if (err) {
		link_retry_later(l);
		return;
	}
	l->ch = channel_create(l->base, fd, l->self, &cbs, l);
}

struct link *link_create(struct event_base *base, const char *run_dir, const char *daemon, enum peer_role self,
                         const struct link_cbs *cbs, void *arg)
{
	struct link *l = xcalloc(1, sizeof(*l));

	*l = (struct link){.base = base, .self = self, .cbs = *cbs, .arg = arg};
	l->daemon = xstrdup(daemon);
	l->path = xasprintf("%s/%s.sock", run_dir, daemon);
	TAILQ_INIT(&l->calls);
	l->retry = evtimer_new(base, on_retry, l);
	gfs_assert(l->retry);
	link_retry_later(l);
	return l;
}

void link_destroy(struct link **l_io)
{
	struct link *l = *l_io;
	struct link_call *c;

	*l_io = NULL;
	if (!l)
		return;
	link_hold(l);
	l->destroyed = true;
	l->up = false;
	channel_destroy(&l->ch);
	event_free(l->retry);
	while ((c = TAILQ_FIRST(&l->calls))) {
		link_call_remove(c);
		link_call_free(c);
	}
	link_release(l);
}

bool link_is_up(const struct link *l)
{
	return l->up && channel_is_up(l->ch);
}
