/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon's two listening sockets and its lock, see listen.h: owns every channel it accepts. A channel leaves the list when
 * it is destroyed, whoever does it; one that closed destroys itself after its callback.
 */
#include "config.h"

#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "../log.h"
#include "../xalloc.h"
#include "channel_impl.h"
#include "sock.h"

#define PEERS_MAX 256
#define MONITORS_MAX 16
#define ACCEPT_PAUSE_MS 100 /* when the process is out of descriptors */

struct listen_peer {
	TAILQ_ENTRY(listen_peer) next;
	struct listen_door *door;
	struct channel *ch;
};

/* One of the two sockets. */
struct listen_door {
	struct listen_sock *l;
	char *path;
	int fd;
	bool monitor;
	size_t n, max;
	struct event *readable, *resume;
};

struct listen_sock {
	struct event_base *base;
	enum peer_role self;
	struct channel_cbs cbs;
	void *arg;
	int lock_fd;
	char *daemon;
	TAILQ_HEAD(, listen_peer) peers;
	struct listen_door doors[2];
};

static void on_gone(void *owner)
{
	struct listen_peer *peer = owner;

	TAILQ_REMOVE(&peer->door->l->peers, peer, next);
	peer->door->n--;
	free(peer);
}

static void door_pause(struct listen_door *d)
{
	const struct timeval tv = {.tv_usec = ACCEPT_PAUSE_MS * 1000};

	log_warn("event=accept daemon=%s err=\"%s\"", d->l->daemon, strerror(errno));
	event_del(d->readable);
	event_add(d->resume, &tv);
}

static void on_resume(evutil_socket_t sock, short what, void *arg)
{
	struct listen_door *d = arg;

	(void)sock;
	(void)what;
	event_add(d->readable, NULL);
}

static void on_accept(evutil_socket_t sock, short what, void *arg)
{
	struct listen_door *d = arg;
	struct listen_sock *l = d->l;
	struct listen_peer *peer;
	int fd = accept4(sock, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			door_pause(d);
		return;
	}
	if (d->n >= d->max) {
		log_warn("event=accept daemon=%s refused=\"too many connections\" max=%zu", l->daemon, d->max);
		close(fd);
		return;
	}
	peer = xcalloc(1, sizeof(*peer));
	peer->door = d;
	TAILQ_INSERT_TAIL(&l->peers, peer, next);
	d->n++;
	peer->ch = channel_create(l->base, fd, l->self, &l->cbs, l->arg);
	channel_set_owner(peer->ch, on_gone, peer);
	if (d->monitor)
		channel_set_monitor(peer->ch);
}

/* 0, GFS_ERR_LOCKED, GFS_ERR_IO. */
static int take_lock(struct listen_sock *l, const char *run_dir)
{
	char *path = xasprintf("%s/%s.lock", run_dir, l->daemon);
	int err = GFS_OK;

	l->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (l->lock_fd < 0 || flock(l->lock_fd, LOCK_EX | LOCK_NB)) {
		err = l->lock_fd >= 0 && errno == EWOULDBLOCK ? GFS_ERR_LOCKED : GFS_ERR_IO;
		log_error("event=listen daemon=%s path=%s err=\"%s\"", l->daemon, path,
		          err == GFS_ERR_LOCKED ? gfs_err_text(err) : strerror(errno));
	}
	free(path);
	return err;
}

static int make_dir(const char *path, mode_t mode)
{
	if (mkdir(path, mode) == 0)
		return chmod(path, mode) ? GFS_ERR_IO : GFS_OK; /* umask or not */
	if (errno == EEXIST)
		return GFS_OK;
	log_error("event=listen path=%s err=\"%s\"", path, strerror(errno));
	return GFS_ERR_IO;
}

/* Makes way at path: a socket that nobody listens on is removed. */
static int clear_stale(const char *path)
{
	struct stat st;
	int fd, err = sock_connect(path, &fd);

	if (!err || err == GFS_ERR_BUSY) {
		if (fd >= 0)
			close(fd);
		return GFS_ERR_LOCKED;
	}
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && unlink(path))
		return GFS_ERR_IO;
	return GFS_OK;
}

static int door_open(struct listen_door *d, unsigned mode)
{
	int err = clear_stale(d->path);

	if (!err)
		err = sock_listen(d->path, mode, &d->fd);
	if (err) {
		log_error("event=listen daemon=%s path=%s err=\"%s\"", d->l->daemon, d->path,
		          err == GFS_ERR_LOCKED ? gfs_err_text(err) : strerror(errno));
		return err == GFS_ERR_LOCKED ? err : GFS_ERR_IO;
	}
	d->readable = event_new(d->l->base, d->fd, EV_READ | EV_PERSIST, on_accept, d);
	d->resume = evtimer_new(d->l->base, on_resume, d);
	gfs_assert(d->readable && d->resume);
	event_add(d->readable, NULL);
	return GFS_OK;
}

static int listen_open(struct listen_sock *l, const char *run_dir, const char *monitor_dir)
{
	int err = make_dir(run_dir, 0751);

	if (!err)
		err = make_dir(monitor_dir, 0755);
	if (!err)
		err = take_lock(l, run_dir);
	if (!err)
		err = door_open(&l->doors[0], 0660);
	if (!err)
		err = door_open(&l->doors[1], 0666);
	return err;
}

int listen_create(struct event_base *base, const char *run_dir, const char *daemon, enum peer_role self,
                  const struct channel_cbs *cbs, void *arg, struct listen_sock **out)
{
	struct listen_sock *l = xcalloc(1, sizeof(*l));
	char *monitor_dir = xasprintf("%s/monitor", run_dir);
	int err;

	*l = (struct listen_sock){.base = base, .self = self, .cbs = *cbs, .arg = arg, .lock_fd = -1};
	l->daemon = xstrdup(daemon);
	TAILQ_INIT(&l->peers);
	l->doors[0] = (struct listen_door){l, xasprintf("%s/%s.sock", run_dir, daemon), -1, false, 0, PEERS_MAX, NULL, NULL};
	l->doors[1] = (struct listen_door){l, xasprintf("%s/%s.sock", monitor_dir, daemon), -1, true, 0, MONITORS_MAX, NULL, NULL};
	err = listen_open(l, run_dir, monitor_dir);
	free(monitor_dir);
	if (err)
		listen_destroy(&l);
	*out = l;
	return err;
}

static void door_close(struct listen_door *d)
{
	if (d->readable)
		event_free(d->readable);
	if (d->resume)
		event_free(d->resume);
	if (d->fd >= 0) {
		unlink(d->path);
		close(d->fd);
	}
	free(d->path);
}

void listen_destroy(struct listen_sock **l_io)
{
	struct listen_sock *l = *l_io;
	struct listen_peer *peer;

	*l_io = NULL;
	if (!l)
		return;
	while ((peer = TAILQ_FIRST(&l->peers))) {
		struct channel *ch = peer->ch;

		channel_destroy(&ch);
	}
	door_close(&l->doors[0]);
	door_close(&l->doors[1]);
	if (l->lock_fd >= 0) /* the file stays: removing it would let two hold "the" lock */
		close(l->lock_fd);
	free(l->daemon);
	free(l);
}

size_t listen_count(const struct listen_sock *l)
{
	return l->doors[0].n + l->doors[1].n;
}

struct channel *listen_next(struct listen_sock *l, struct channel *after)
{
	struct listen_peer *peer = after ? channel_owner(after) : NULL;

	for (peer = peer ? TAILQ_NEXT(peer, next) : TAILQ_FIRST(&l->peers); peer; peer = TAILQ_NEXT(peer, next)) {
		if (channel_is_up(peer->ch))
			return peer->ch;
	}
	return NULL;
}
