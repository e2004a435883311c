/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP relay between site and store on the test's own loop, which cuts, swallows or stops at a chosen moment: what a lost
 * connection or a killed store looks like from the site.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "exercise.h"

struct relay_pair {
	struct relay *relay;
	struct relay_pair *next;
	int fd[2]; /* site, store */
	struct event *ev[2];
};

static void pair_close(struct relay_pair *p)
{
	struct relay_pair **at = &p->relay->pairs;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	p->relay->n_open--;
	for (int i = 0; i < 2; i++) {
		event_free(p->ev[i]);
		close(p->fd[i]);
	}
	free(p);
}

/* The tests' pieces are small beside the sockets' buffers, so that a blocking write does no harm. */
static bool write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct relay_pair *p = arg;
	struct relay *r = p->relay;
	bool up = fd == p->fd[0];
	char buf[16384];
	ssize_t n;

	(void)what;
	if (r->mode == RELAY_STALL) {
		event_del(p->ev[up ? 0 : 1]);
		return;
	}
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		pair_close(p);
		return;
	}
	if (up) {
		r->up_bytes += (uint64_t)n;
		if (r->cut_up_after && r->up_bytes > r->cut_up_after) {
			pair_close(p);
			return;
		}
	} else if (r->mode == RELAY_SWALLOW) {
		pair_close(p);
		return;
	}
	if (!write_all(p->fd[up ? 1 : 0], buf, (size_t)n))
		pair_close(p);
}

static int connect_store(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const char *port = strrchr(getenv("GFS_TEST_S3_ENDPOINT"), ':');
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	sin.sin_port = htons((uint16_t)atoi(port + 1));
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)))
		abort();
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct relay *r = arg;
	struct relay_pair *p;
	int got = accept(fd, NULL, NULL), one = 1;

	(void)what;
	if (got < 0)
		return;
	if (r->mode == RELAY_CUT) {
		close(got);
		return;
	}
	setsockopt(got, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	p = xcalloc(1, sizeof(*p));
	p->relay = r;
	p->fd[0] = got;
	p->fd[1] = connect_store();
	for (int i = 0; i < 2; i++) {
		p->ev[i] = event_new(r->x->base, p->fd[i], EV_READ | EV_PERSIST, on_readable, p);
		event_add(p->ev[i], NULL);
	}
	p->next = r->pairs;
	r->pairs = p;
	r->n_open++;
}

void relay_begin(struct relay *r, struct exercise *x)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sin);

	*r = (struct relay){.x = x};
	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(r->fd, (struct sockaddr *)&sin, n) || listen(r->fd, 64) || getsockname(r->fd, (struct sockaddr *)&sin, &n))
		abort();
	r->port = ntohs(sin.sin_port);
	r->listener = event_new(x->base, r->fd, EV_READ | EV_PERSIST, on_accept, r);
	event_add(r->listener, NULL);
}

void relay_set(struct relay *r, enum relay_mode mode)
{
	r->mode = mode;
	r->up_bytes = r->cut_up_after = 0;
	if (mode == RELAY_CUT || mode == RELAY_PASS)
		while (r->pairs)
			pair_close(r->pairs);
}

void relay_end(struct relay *r)
{
	while (r->pairs)
		pair_close(r->pairs);
	event_free(r->listener);
	close(r->fd);
}

void exercise_use_relay(struct exercise *x, struct relay *r)
{
	free(x->conf.s3_endpoint);
	x->conf.s3_endpoint = xasprintf("http://127.0.0.1:%d", r->port);
	exercise_reopen(x);
}
