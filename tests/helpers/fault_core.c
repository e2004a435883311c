/* SPDX-License-Identifier: Apache-2.0 */
/* The fault proxy's listener, its faults and when they begin and end, see fault_core.h. */
#include "config.h"

#include "fault_core.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

int64_t fault_core_now_ms(const struct fault_core *c)
{
	return clock_mono_ms() - c->began_ms;
}

void fault_core_log(struct fault_core *c, const char *fmt, ...)
{
	va_list ap;

	if (!c->log)
		return;
	fprintf(c->log, "%lld ", (long long)fault_core_now_ms(c));
	va_start(ap, fmt);
	vfprintf(c->log, fmt, ap);
	va_end(ap);
	fputc('\n', c->log);
}

/* xorshift64*: the same seed and the same requests meet the same faults */
static double dice(struct fault_core *c)
{
	c->random ^= c->random >> 12;
	c->random ^= c->random << 25;
	c->random ^= c->random >> 27;
	return (double)((c->random * 2685821657736338717ULL) >> 11) / 9007199254740992.0;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	int got, one = 1;

	(void)what;
	while ((got = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		setsockopt(got, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		fault_pair_create(arg, got);
	}
}

static int bound_socket(int port, int *port_out)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) || getsockname(fd, (struct sockaddr *)&sin, &n)) {
		close(fd);
		return -1;
	}
	*port_out = ntohs(sin.sin_port);
	return fd;
}

static bool listen_again(struct fault_core *c)
{
	int port;

	c->listen_fd = bound_socket(c->port, &port);
	if (c->listen_fd < 0 || listen(c->listen_fd, 512))
		return false;
	c->listener = event_new(c->base, c->listen_fd, EV_READ | EV_PERSIST, on_accept, c);
	event_add(c->listener, NULL);
	return true;
}

static void listen_no_more(struct fault_core *c)
{
	event_free(c->listener);
	c->listener = NULL;
	close(c->listen_fd);
	c->listen_fd = -1;
	fault_core_drop(c);
}

static void set_refusing(struct fault_core *c, bool on)
{
	if (c->refusing == on)
		return;
	c->refusing = on;
	if (on)
		listen_no_more(c);
	else if (!listen_again(c))
		abort();
}

static void set_frozen(struct fault_core *c, bool on)
{
	struct fault_pair *p, *next;

	if (c->frozen == on)
		return;
	c->frozen = on;
	for (p = c->pairs; p; p = next) {
		next = fault_pair_next(p);
		fault_pair_thaw(p);
	}
}

/* What was only slow goes on; what was dropped or hung stays so. */
static void release(struct fault_core *c, unsigned rule)
{
	struct fault_pair *p, *next;

	for (p = c->pairs; p; p = next) {
		next = fault_pair_next(p);
		fault_pair_release(p, rule);
	}
}

/* Begins and ends what is due, and sets the clock for the next. */
static void turn(struct fault_core *c)
{
	int64_t now = fault_core_now_ms(c), next = INT64_MAX;
	bool refusing = false, frozen = false, muted = false;
	struct fault_rule **at = &c->rules, *r;
	struct timeval tv;

	while ((r = *at)) {
		if (r->until_ms <= now) {
			fault_core_log(c, "end %u %s", r->id, r->name);
			*at = r->next;
			release(c, r->id);
			free(r);
			continue;
		}
		if (!r->active && r->from_ms <= now) {
			r->active = true;
			fault_core_log(c, "begin %u %s", r->id, r->name);
		}
		if (r->active) {
			refusing |= r->kind == FAULT_REFUSE;
			frozen |= r->kind == FAULT_FREEZE;
			muted |= r->kind == FAULT_MUTE;
		}
		if (!r->active && r->from_ms < next)
			next = r->from_ms;
		if (r->until_ms < next)
			next = r->until_ms;
		at = &r->next;
	}
	set_refusing(c, refusing);
	set_frozen(c, frozen);
	c->muted = muted;
	if (next == INT64_MAX)
		return;
	tv = (struct timeval){(next - now) / 1000, (next - now) % 1000 * 1000};
	event_add(c->tick, &tv);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	turn(arg);
}

unsigned fault_core_add(struct fault_core *c, const char *line, const char **why_out)
{
	char *copy = strdup(line);
	struct fault_rule *r = fault_rule_parse(copy, fault_core_now_ms(c), why_out), **at = &c->rules;
	unsigned id = ++c->last_id;

	free(copy);
	if (!r)
		return 0;
	r->id = id;
	while (*at)
		at = &(*at)->next;
	*at = r;
	turn(c);
	return id;
}

bool fault_core_remove(struct fault_core *c, unsigned id)
{
	bool found = id == 0;

	for (struct fault_rule *r = c->rules; r; r = r->next) {
		if (id && r->id != id)
			continue;
		r->until_ms = INT64_MIN;
		found = true;
	}
	turn(c);
	return found;
}

const struct fault_rule *fault_core_pick(struct fault_core *c, const char *method, const char *path)
{
	c->n_requests++;
	for (struct fault_rule *r = c->rules; r; r = r->next) {
		if (!r->active || !fault_rule_takes(r, method, path, r->p < 1 && fault_rule_fits(r, method, path) ? dice(c) : 0))
			continue;
		c->n_faults++;
		fault_core_log(c, "fault %u %s %s %s", r->id, r->name, method, path);
		return r;
	}
	return NULL;
}

void fault_core_drop(struct fault_core *c)
{
	while (c->pairs)
		fault_pair_destroy(c->pairs, false);
}

bool fault_core_begin(struct fault_core *c, struct event_base *base, const char *store, uint64_t seed)
{
	const char *colon = strrchr(store, ':');
	int port = colon ? atoi(colon + 1) : 0;

	*c = (struct fault_core){.base = base, .random = seed * 0x9e3779b97f4a7c15ULL + 1, .listen_fd = -1, .reserve_fd = -1};
	c->store = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
	                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	c->began_ms = clock_mono_ms();
	c->reserve_fd = bound_socket(0, &c->port);
	if (port <= 0 || port > 65535 || c->reserve_fd < 0 || !listen_again(c))
		return false;
	c->tick = evtimer_new(base, on_tick, c);
	return true;
}

void fault_core_end(struct fault_core *c)
{
	fault_core_remove(c, 0);
	fault_core_drop(c);
	event_free(c->listener);
	event_free(c->tick);
	close(c->listen_fd);
	close(c->reserve_fd);
}
