/* SPDX-License-Identifier: Apache-2.0 */
/* Binding the front doors (listeners.h); called by the supervisor at start, while it may still be root. */
#include "config.h"

#include "listeners.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

#define BACKLOG 4096
#define RETRY_EVERY_US 20000

/* Splits at the last colon and takes the brackets off. False when it has none or is too long. */
static bool split_addr(const char *addr, char *host, size_t host_cap, const char **port)
{
	const char *colon = strrchr(addr, ':');
	size_t n = colon ? (size_t)(colon - addr) : 0;

	if (!colon)
		return false;
	*port = colon + 1;
	if (n >= 2 && addr[0] == '[' && addr[n - 1] == ']') {
		addr++;
		n -= 2;
	}
	if (n >= host_cap)
		return false;
	memcpy(host, addr, n);
	host[n] = '\0';
	return true;
}

static int open_socket(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0, saved;

	if (fd < 0)
		return -1;
	/* REUSEADDR: connections of the last run in TIME_WAIT do not keep us out. V6ONLY off: [::] takes IPv4 as well. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    (ai->ai_family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0) &&
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* A name that has an IPv4 address is bound there, as clients of "localhost" expect; no name means every address. */
static int bind_first(const struct addrinfo *list, bool any)
{
	int want[] = {any ? AF_INET6 : AF_INET, any ? AF_INET : AF_INET6}, fd = -1, i;
	const struct addrinfo *ai;

	errno = EADDRNOTAVAIL;
	for (i = 0; i < 2; i++) {
		for (ai = list; ai; ai = ai->ai_next) {
			if (ai->ai_family != want[i])
				continue;
			fd = open_socket(ai);
			if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
				return fd;
		}
	}
	return fd;
}

int listeners_bind(struct listeners *l, const char *door, const char *addr, int64_t retry_ms, char *why, size_t cap)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list;
	int64_t until = clock_mono_ms() + retry_ms;
	char host[256];
	const char *port;
	int fd, rc;

	gfs_assert(l->n < LISTENERS_MAX);
	if (!split_addr(addr, host, sizeof(host), &port)) {
		snprintf(why, cap, "%s: an address is HOST:PORT, [IPV6]:PORT or :PORT", addr);
		return GFS_ERR_CONFIG;
	}
	rc = getaddrinfo(*host ? host : NULL, port, &hints, &list);
	if (rc) {
		snprintf(why, cap, "%s: %s", addr, gai_strerror(rc));
		return GFS_ERR_CONFIG;
	}
	while ((fd = bind_first(list, !*host)) < 0 && errno == EADDRINUSE && clock_mono_ms() < until)
		usleep(RETRY_EVERY_US);
	if (fd < 0)
		snprintf(why, cap, "cannot listen on %s (%s): %s", addr, door, strerror(errno));
	freeaddrinfo(list);
	if (fd < 0)
		return GFS_ERR_IO;
	l->v[l->n++] = (struct listener){door, fd};
	return 0;
}

void listeners_close(struct listeners *l)
{
	while (l->n > 0)
		close(l->v[--l->n].fd);
}

void listeners_shut(struct listeners *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		shutdown(l->v[i].fd, SHUT_RDWR);
	listeners_close(l);
}

void listeners_tell(const struct listeners *l)
{
	struct sockaddr_storage sa;
	socklen_t n;
	char host[64], port[16];
	size_t i;

	for (i = 0; i < l->n; i++) {
		n = sizeof(sa);
		if (getsockname(l->v[i].fd, (struct sockaddr *)&sa, &n) ||
		    getnameinfo((struct sockaddr *)&sa, n, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
			continue;
		log_info(strchr(host, ':') ? "event=listening door=%s addr=[%s]:%s" : "event=listening door=%s addr=%s:%s", l->v[i].door,
		         host, port);
	}
}

void listeners_other_port(const char *addr, unsigned port, char *buf, size_t cap)
{
	const char *colon = strrchr(addr, ':');

	snprintf(buf, cap, "%.*s:%u", colon ? (int)(colon - addr) : 0, addr, port);
}
