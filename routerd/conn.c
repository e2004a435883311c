/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client connections: the list of a worker, the state machine, events and deadlines. Plain libevent events; the read event stays
 * armed from request to request, so that a keep-alive request costs no epoll_ctl. See conn_impl.h for how it is driven.
 */
#include "config.h"

#include "conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "conn_impl.h"

#define LINGER_MS 30000          /* at most */
#define LINGER_QUIET_MS 5000     /* without a byte from the client */
#define LINGER_HURRY_MS 1000      /* while draining, and for who was given up for being slow: it would drip on */
#define SHED_IDLE_MS 1000
#define SHED_MAX 64
#define TICK_MIN_MS 10
#define TICK_MAX_MS 1000

struct conn_step {
	const char *name;
	bool (*step)(struct conn *c); /* true: run the step of the (perhaps new) state again */
	bool (*wants_input)(const struct conn *c);
	void (*overdue)(struct conn *c);
};

/* ---- the states ---- */

static bool always(const struct conn *c)
{
	(void)c;
	return true;
}

static bool never(const struct conn *c)
{
	(void)c;
	return false;
}

/* With a read open: yes. Else only what tells that the client is gone, or the next request: one block of it, and not while a
 * body waits that the handler has not asked for. */
static bool busy_wants_input(const struct conn *c)
{
	if (c->body.cb)
		return true;
	return c->body.ended && !c->peer_eof && (!c->in || block_room(c->in) > 0);
}

static void close_now(struct conn *c)
{
	conn_set_state(c, CONN_CLOSED);
}

static void head_overdue(struct conn *c)
{
	c->slow = true;
	conn_request_refuse(c, 408, "the head of the request did not arrive in time");
}

/* How a state ends that has a response: the next request, or one of the ways to close. */
static void after_response(struct conn *c)
{
	const struct conn_body *b = &c->body;
	bool asked_to_close = c->req && !c->req->head.keep_alive && !b->err;
	bool clean = b->ended && asked_to_close && block_used(c->in) == 0;
	bool keep_alive = c->reply.keep_alive && !b->err && !c->list->w->draining;

	conn_request_end(c, false);
	c->served++;
	if (c->peer_eof && block_used(c->in) == 0)
		conn_set_state(c, CONN_CLOSED);
	else if (!keep_alive)
		conn_set_state(c, clean ? CONN_CLOSED : CONN_LINGER);
	else
		conn_set_state(c, b->ended ? CONN_IDLE : CONN_DISCARD);
}

/* The request cannot be completed: what is ready still goes out, and the client must see that it is not all. */
static void give_up(struct conn *c)
{
	const struct linger reset = {.l_onoff = 1};

	if (!c->reply.cut && !c->reply.ended && c->req->on_abort)
		c->req->on_abort(c->req);
	if (c->req->responded && !c->reply.has_length && !c->reply.chunked)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); /* a plain end would look like a whole body */
	else if (!c->broken)
		conn_out_flush(c);
	conn_request_end(c, true);
	conn_set_state(c, CONN_CLOSED);
}

static bool step_busy(struct conn *c)
{
	if (c->reply.cut || c->broken) {
		give_up(c);
		return true;
	}
	if (conn_step_body(c))
		return true;
	conn_out_flush(c);
	if (c->broken || conn_out_file_over(c))
		return true;
	if (c->reply.drain_wanted && c->out_bytes <= CONN_OUT_LOW && !c->reply.ended) {
		if (c->turn_left == 0) {
			conn_later(c);
			return false;
		}
		c->reply.drain_wanted = false;
		if (c->req->on_drain)
			c->req->on_drain(c->req);
		return true;
	}
	if (!c->reply.ended || conn_out_pending(c))
		return false;
	after_response(c);
	return true;
}

static bool step_closed(struct conn *c)
{
	(void)c;
	return false;
}

static const struct conn_step steps[CONN_STATE_COUNT] = {
	[CONN_IDLE] = {"idle", conn_step_head, always, close_now},
	[CONN_HEAD] = {"head", conn_step_head, always, head_overdue},
	[CONN_BUSY] = {"busy", step_busy, busy_wants_input, NULL},
	[CONN_DISCARD] = {"discard", conn_step_discard, always, close_now},
	[CONN_LINGER] = {"linger", conn_step_linger, always, close_now},
	[CONN_CLOSED] = {"closed", step_closed, never, NULL},
};

static int64_t state_ms(const struct conn *c, enum conn_state state)
{
	const struct conf *conf = c->list->w->conf;

	switch (state) {
	case CONN_IDLE:
		return c->served ? conf->limits.idle_timeout_ms : conf->limits.header_timeout_ms;
	case CONN_HEAD:
	case CONN_DISCARD:
		return conf->limits.header_timeout_ms;
	case CONN_LINGER:
		return c->list->w->draining || c->slow ? LINGER_HURRY_MS : LINGER_QUIET_MS;
	default:
		return 0;
	}
}

void conn_set_state(struct conn *c, enum conn_state state)
{
	int64_t ms = state_ms(c, state);

	if (c->state == CONN_CLOSED || c->state == state)
		return;
	if (log_get_level() >= LOG_LVL_DEBUG)
		log_debug("event=conn peer=%s old=%s new=%s", c->peer, steps[c->state].name, steps[state].name);
	c->state = state;
	c->deadline_ms = ms ? clock_mono_ms() + ms : INT64_MAX;
	if (state == CONN_LINGER) {
		shutdown(c->fd, SHUT_WR);
		c->linger_end_ms = c->deadline_ms + LINGER_MS - LINGER_QUIET_MS;
	}
	if (state == CONN_BUSY) {
		c->rate_bytes = 0;
		c->rate_wait_ms = 0;
		c->was_waiting = false;
	}
}

void conn_linger_on(struct conn *c)
{
	int64_t until_ms = clock_mono_ms() + LINGER_QUIET_MS;

	if (!c->list->w->draining && !c->slow)
		c->deadline_ms = until_ms < c->linger_end_ms ? until_ms : c->linger_end_ms;
}

/* ---- driving ---- */

static void tick_watch(struct conn_list *list);

static void conn_free(struct conn *c)
{
	struct conn_list *list = c->list;

	gfs_assert(!c->req);
	event_del(&c->read_ev);
	event_del(&c->write_ev);
	event_del(&c->later_ev);
	conn_out_clear(c);
	block_put(&list->blocks, &c->in);
	close(c->fd);
	if (list->walk == c)
		list->walk = c->next;
	if (c->prev)
		c->prev->next = c->next;
	else
		list->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	list->count--;
	free(c);
	if (list->w->stats)
		stats_set(list->w->stats, STAT_CONNECTIONS, list->count);
	if (list->count == 0)
		tick_watch(list);
}

void conn_run(struct conn *c)
{
	if (c->running)
		return;
	c->running = true;
	c->turn_left = CONN_TURN_BYTES;
	if (c->later) {
		c->later = false;
		event_del(&c->later_ev);
	}
	while (steps[c->state].step(c))
		;
	c->running = false;
	if (c->state == CONN_CLOSED)
		conn_free(c);
	else
		conn_arm(c);
}

/* Output that the socket would take goes out from the loop, without a word to epoll: most often the handler's next call sends. */
void conn_arm(struct conn *c)
{
	bool input = steps[c->state].wants_input(c), output = conn_out_pending(c) && !c->file.job;

	if (c->state == CONN_CLOSED)
		return;
	if (input != c->read_armed) {
		c->read_armed = input;
		if (input)
			event_add(&c->read_ev, NULL);
		else
			event_del(&c->read_ev);
	}
	if ((output && c->wr_blocked) != c->write_armed) {
		c->write_armed = !c->write_armed;
		if (c->write_armed)
			event_add(&c->write_ev, NULL);
		else
			event_del(&c->write_ev);
	}
	if ((output && !c->wr_blocked) || c->broken || c->reply.cut)
		conn_later(c);
}

void conn_later(struct conn *c)
{
	static const struct timeval now = {0, 0};

	if (c->later)
		return;
	c->later = true;
	event_add(&c->later_ev, &now);
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	c->readable = true;
	if (c->state == CONN_BUSY && !c->body.cb)
		conn_read_ahead(c);
	conn_run(c);
}

static void on_write(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	c->wr_blocked = false;
	conn_run(c);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	conn_run(c);
}

/* ---- deadlines ---- */

/* Is the client the one that everything waits for? Only that time counts against it. */
static bool waits_for_client(const struct conn *c)
{
	return c->state == CONN_BUSY && (c->body.cb || (c->wr_blocked && conn_out_pending(c)));
}

/* What the kernel holds and the client has not acknowledged. */
static uint64_t kernel_queue(const struct conn *c)
{
	int n = 0;

	return ioctl(c->fd, SIOCOUTQ, &n) == 0 && n > 0 ? (uint64_t)n : 0;
}

static void rate_window_begin(struct conn *c)
{
	c->rate_bytes = 0;
	c->rate_wait_ms = 0;
	c->rate_queued = kernel_queue(c);
}

/*
 * What reached the client counts, not what the kernel took: it takes megabytes at a time, and to a slow client nothing for minutes
 * in between.
 */
static bool rate_too_low(const struct conn *c)
{
	const struct conf *conf = c->list->w->conf;
	uint64_t queued = kernel_queue(c), moved = c->rate_bytes + c->rate_queued;

	moved -= queued < moved ? queued : moved;
	return (double)moved * 1000 < (double)conf->limits.min_rate * (double)conf->limits.stall_timeout_ms;
}

static void check_rate(struct conn *c, int64_t elapsed_ms)
{
	const struct conf *conf = c->list->w->conf;
	bool waiting = waits_for_client(c), slow;

	if (waiting && c->was_waiting)
		c->rate_wait_ms += elapsed_ms;
	else if (waiting && c->rate_wait_ms == 0)
		rate_window_begin(c);
	c->was_waiting = waiting;
	if (!waiting || conf->limits.min_rate == 0 || c->rate_wait_ms < conf->limits.stall_timeout_ms)
		return;
	slow = rate_too_low(c);
	rate_window_begin(c);
	if (!slow)
		return;
	log_info("event=slow peer=%s request_id=%s direction=%s", c->peer, c->req->id, c->body.cb ? "in" : "out");
	c->slow = true;
	if (c->body.cb)
		c->body.err = GFS_ERR_CLIENT_SLOW;
	else
		c->broken = true;
	conn_run(c);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct conn_list *list = arg;
	int64_t now_ms = clock_mono_ms(), elapsed_ms = now_ms - list->ticked_ms;
	struct conn *c;

	(void)fd;
	(void)what;
	list->ticked_ms = now_ms;
	for (c = list->first; c; c = list->walk) {
		list->walk = c->next;
		if (c->state == CONN_BUSY) {
			if (c->file.job)
				conn_out_file_watch(c, now_ms);
			else
				check_rate(c, elapsed_ms);
		} else if (now_ms >= c->deadline_ms) {
			c->running = true; /* what overdue() answers is sent by the run below */
			steps[c->state].overdue(c);
			c->running = false;
			conn_run(c);
		}
	}
	tick_watch(list);
}

static void on_empty(evutil_socket_t fd, short what, void *arg)
{
	struct conn_list *list = arg;
	void (*empty)(void *) = list->empty;

	(void)fd;
	(void)what;
	list->empty = NULL;
	if (empty)
		empty(list->empty_arg);
}

/* The tick runs while there are connections; the end of the last one wakes whoever waits for it. */
static void tick_watch(struct conn_list *list)
{
	struct timeval tv = {.tv_sec = list->tick_ms / 1000, .tv_usec = list->tick_ms % 1000 * 1000};
	struct timeval now = {0, 0};

	if (list->count > 0) {
		if (!evtimer_pending(list->tick, NULL)) {
			list->ticked_ms = clock_mono_ms();
			evtimer_add(list->tick, &tv);
		}
		return;
	}
	evtimer_del(list->tick);
	if (list->empty)
		evtimer_add(list->empty_ev, &now);
}

/* ---- the list ---- */

struct conn_list *conn_list_create(struct worker *w)
{
	struct conn_list *list = xcalloc(1, sizeof(*list));
	const struct conf *conf = w->conf;
	int64_t ms = conf->limits.header_timeout_ms;

	signal(SIGPIPE, SIG_IGN); /* sendfile() knows no MSG_NOSIGNAL */
	list->w = w;
	list->scratch = xcalloc(1, CONN_SCRATCH_BYTES);
	list->tick = evtimer_new(w->base, on_tick, list);
	list->empty_ev = evtimer_new(w->base, on_empty, list);
	gfs_assert(list->tick && list->empty_ev);
	if (conf->limits.idle_timeout_ms < ms)
		ms = conf->limits.idle_timeout_ms;
	if (conf->limits.stall_timeout_ms < ms)
		ms = conf->limits.stall_timeout_ms;
	ms /= 8;
	list->tick_ms = ms < TICK_MIN_MS ? TICK_MIN_MS : ms > TICK_MAX_MS ? TICK_MAX_MS : ms;
	list->max_head_bytes = conf->limits.max_head_bytes;
	if (getrandom(&list->id_state, sizeof(list->id_state), 0) != sizeof(list->id_state))
		list->id_state = (uint64_t)clock_real_ms() << 20 ^ (uint64_t)getpid();
	return list;
}

void conn_list_destroy(struct conn_list **list_io)
{
	struct conn_list *list = *list_io;
	struct conn *c;

	*list_io = NULL;
	if (!list)
		return;
	list->empty = NULL;
	for (c = list->first; c; c = list->walk) {
		list->walk = c->next;
		c->broken = true;
		if (c->state != CONN_BUSY)
			conn_set_state(c, CONN_CLOSED);
		conn_run(c);
	}
	event_free(list->tick);
	event_free(list->empty_ev);
	block_pool_clear(&list->blocks);
	free(list->scratch);
	free(list);
}

size_t conn_list_count(const struct conn_list *list)
{
	return list->count;
}

/* Closes a connection that has no request, unless one has arrived that the loop has not told us of yet. */
static void close_idle(struct conn *c)
{
	c->readable = true;
	c->turn_left = CONN_TURN_BYTES;
	c->running = true;
	while (steps[c->state].step(c))
		;
	c->running = false;
	if (c->state == CONN_IDLE)
		conn_set_state(c, CONN_CLOSED);
	conn_run(c);
}

unsigned conn_list_shed(struct conn_list *list)
{
	int64_t before_ms = clock_mono_ms() - SHED_IDLE_MS;
	unsigned n = 0;
	struct conn *c;

	for (c = list->first; c && n < SHED_MAX; c = list->walk) {
		list->walk = c->next;
		if (c->state != CONN_IDLE || c->deadline_ms - state_ms(c, CONN_IDLE) > before_ms)
			continue;
		close_idle(c);
		n++;
	}
	list->walk = NULL;
	return n;
}

void conn_list_drain(struct conn_list *list, void (*empty)(void *arg), void *arg)
{
	struct conn *c;

	list->w->draining = true;
	list->empty = empty;
	list->empty_arg = arg;
	for (c = list->first; c; c = list->walk) {
		list->walk = c->next;
		if (c->state == CONN_LINGER && c->deadline_ms > clock_mono_ms() + LINGER_HURRY_MS)
			c->deadline_ms = clock_mono_ms() + LINGER_HURRY_MS;
		if (c->state == CONN_IDLE)
			close_idle(c);
	}
	tick_watch(list);
}

static void peer_name(const struct sockaddr *sa, char out[CONN_PEER_MAX])
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
	char host[INET6_ADDRSTRLEN] = "";

	if (sa && sa->sa_family == AF_INET) {
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(out, CONN_PEER_MAX, "%s:%u", host, ntohs(in->sin_port));
	} else if (sa && sa->sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(out, CONN_PEER_MAX, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		snprintf(out, CONN_PEER_MAX, "local");
	}
}

void conn_open(struct conn_list *list, int fd, const struct sockaddr *peer, conn_handler *handler)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	const int on = 1;

	c->list = list;
	c->fd = fd;
	c->handler = handler;
	c->file.fd = -1;
	c->state = CONN_IDLE;
	c->deadline_ms = clock_mono_ms() + state_ms(c, CONN_IDLE);
	peer_name(peer, c->peer);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	event_assign(&c->read_ev, list->w->base, fd, EV_READ | EV_PERSIST, on_read, c);
	event_assign(&c->write_ev, list->w->base, fd, EV_WRITE | EV_PERSIST, on_write, c);
	evtimer_assign(&c->later_ev, list->w->base, on_later, c);
	c->next = list->first;
	if (c->next)
		c->next->prev = c;
	list->first = c;
	list->count++;
	if (list->w->stats)
		stats_set(list->w->stats, STAT_CONNECTIONS, list->count);
	tick_watch(list);
	conn_arm(c);
}
