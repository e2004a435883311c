/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doors (listener.h). At the limit of connections, and when the system has no descriptor left, connections that only sit there
 * make room; when there are none, a door pauses for a moment: clients wait in the kernel's queue, or another worker takes them.
 */
#include "config.h"

#include "listener.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "conn.h"
#include "worker.h"

#define ACCEPTS_PER_TURN 8
#define PAUSE_MS 20
#define COMPLAIN_EVERY_MS 10000

struct listener {
	struct worker *w;
	int fd;
	listener_front *front;
	struct event *ready, *resume;
	int64_t complained_ms;
};

/* The limit is over all workers; each keeps to its share. */
static size_t connections_max(const struct worker *w)
{
	size_t all = w->conf->limits.max_connections, workers = w->conf->coordinator.workers;

	if (workers == 0) {
		long cpus = sysconf(_SC_NPROCESSORS_ONLN);

		workers = cpus > 0 ? (size_t)cpus : 1;
	}
	return (all + workers - 1) / workers;
}

static void pause_for_a_moment(struct listener *l, const char *why)
{
	static const struct timeval moment = {.tv_usec = PAUSE_MS * 1000};
	int64_t now_ms = clock_mono_ms();

	event_del(l->ready);
	event_add(l->resume, &moment);
	if (l->complained_ms && now_ms - l->complained_ms < COMPLAIN_EVERY_MS)
		return;
	l->complained_ms = now_ms;
	log_warn("event=accept_paused why=\"%s\" connections=%zu", why, conn_list_count(l->w->conns));
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	event_add(l->ready, NULL);
}

/* True when another connection may be waiting. */
static bool accept_one(struct listener *l)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd, err;

	if (conn_list_count(l->w->conns) >= connections_max(l->w) && conn_list_shed(l->w->conns) == 0) {
		pause_for_a_moment(l, "limits.max_connections reached");
		return false;
	}
	memset(&peer, 0, sizeof(peer));
	fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		conn_open(l->w->conns, fd, (const struct sockaddr *)&peer, l->front);
		return true;
	}
	switch (errno) {
	case EAGAIN: /* another worker was faster */
		return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		err = errno;
		if (conn_list_shed(l->w->conns) > 0)
			return true;
		pause_for_a_moment(l, strerror(err));
		return false;
	default: /* this one broke before it was ours: ECONNABORTED and the network's errors, accept(2) */
		return true;
	}
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	for (int i = 0; i < ACCEPTS_PER_TURN && accept_one(l); i++)
		;
}

struct listener *listener_create(struct worker *w, int fd, listener_front *front)
{
	struct listener *l = xcalloc(1, sizeof(*l));

	l->w = w;
	l->fd = fd;
	l->front = front;
	evutil_make_socket_nonblocking(fd);
	l->ready = event_new(w->base, fd, EV_READ | EV_PERSIST, on_ready, l);
	l->resume = evtimer_new(w->base, on_resume, l);
	gfs_assert(l->ready && l->resume);
	event_add(l->ready, NULL);
	return l;
}

void listener_destroy(struct listener **l_io)
{
	struct listener *l = *l_io;

	*l_io = NULL;
	if (!l)
		return;
	event_free(l->ready);
	event_free(l->resume);
	close(l->fd);
	free(l);
}
