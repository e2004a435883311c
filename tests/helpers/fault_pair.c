/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client of the fault proxy and the connection to the store that belongs to it. Requests and answers are followed with
 * http_parser, one at a time; their bytes pass as they came, but for what the request's fault changes. Every event ends in
 * settle(), the only place where a pair dies or changes what it waits for.
 */
#include "config.h"

#include <errno.h>
#include <event2/buffer.h>
#include <http_parser.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "fault_core.h"

#define QUEUE_MAX 262144
#define PACE_MS   10
#define PIECE     262144

struct fault_side {
	int fd; /* -1: not connected */
	struct event *ev_read, *ev_write;
	bool reads, writes; /* what is waited for */
	struct evbuffer *out;
	http_parser parser;
};

struct fault_pair {
	struct fault_core *core;
	struct fault_pair *next, **at;
	struct fault_side client, store;
	struct event *timer;
	struct evbuffer *early; /* what the client sent behind its request */
	bool connecting, doomed, reset;
	/* the request */
	char path[1200];
	size_t path_n;
	unsigned rule; /* its id */
	enum fault_kind kind;
	int64_t arg;
	unsigned retry_after_s;
	char fault[32];
	int64_t began_us, hold_until_ms;
	uint64_t up, down; /* bytes of the bodies */
	bool begun, decided, taken; /* bytes came; the head is whole; all of it came */
	bool swallow;               /* the store does not see it */
	/* the answer */
	struct evbuffer *head; /* held back to be changed */
	bool head_done, head_changed, answered, last, stalled, store_gone;
	int64_t allowance, paced_ms; /* FAULT_SLOW: bytes that may go now */
	char *body_cut;              /* in the bytes being parsed: no further */
};

static void request_done(struct fault_pair *p);

static void side_close(struct fault_side *s)
{
	if (s->ev_read)
		event_free(s->ev_read);
	if (s->ev_write)
		event_free(s->ev_write);
	if (s->fd >= 0)
		close(s->fd);
	if (s->out)
		evbuffer_free(s->out);
}

static const char *method_of(const struct fault_pair *p)
{
	return http_method_str((enum http_method)p->client.parser.method);
}

static void log_request(struct fault_pair *p, const char *end)
{
	fault_core_log(p->core, "req %s %.*s %u up=%llu down=%llu us=%lld fault=%s end=%s", p->decided ? method_of(p) : "-",
	               (int)p->path_n, p->path, p->head_done ? p->store.parser.status_code : 0, (unsigned long long)p->up,
	               (unsigned long long)p->down, (long long)(clock_mono_us() - p->began_us), p->fault[0] ? p->fault : "-", end);
}

void fault_pair_destroy(struct fault_pair *p, bool reset)
{
	struct linger rst = {.l_onoff = 1};

	if (p->begun)
		log_request(p, p->doomed ? "cut" : "gone");
	if (reset)
		setsockopt(p->client.fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	*p->at = p->next;
	if (p->next)
		p->next->at = p->at;
	p->core->n_open--;
	side_close(&p->client);
	side_close(&p->store);
	event_free(p->timer);
	evbuffer_free(p->early);
	evbuffer_free(p->head);
	free(p);
}

struct fault_pair *fault_pair_next(struct fault_pair *p)
{
	return p->next;
}

/* ---- what is waited for ---- */

static void side_want(struct fault_side *s, bool reads, bool writes)
{
	if (s->fd < 0)
		return;
	if (reads != s->reads)
		reads ? event_add(s->ev_read, NULL) : event_del(s->ev_read);
	if (writes != s->writes)
		writes ? event_add(s->ev_write, NULL) : event_del(s->ev_write);
	s->reads = reads;
	s->writes = writes;
}

static void timer_in(struct fault_pair *p, int64_t ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	event_add(p->timer, &tv);
}

/* How much of the answer may go now. */
static size_t client_may_take(struct fault_pair *p)
{
	size_t n = evbuffer_get_length(p->client.out);
	int64_t now;

	if (n == 0 || p->core->frozen)
		return 0;
	now = clock_mono_ms();
	if (p->hold_until_ms > now) {
		timer_in(p, p->hold_until_ms - now);
		return 0;
	}
	if (p->kind != FAULT_SLOW)
		return n;
	p->allowance += p->arg * (now - p->paced_ms) / 1000;
	if (p->arg * (now - p->paced_ms) >= 1000)
		p->paced_ms = now;
	return p->allowance < (int64_t)n ? (size_t)p->allowance : n;
}

/* Sends what may go. False: the connection is gone. */
static bool side_flush(struct fault_side *s, size_t n)
{
	int sent;

	while (n > 0) {
		sent = evbuffer_write_atmost(s->out, s->fd, (ev_ssize_t)n);
		if (sent < 0)
			return errno == EAGAIN || errno == EINTR;
		n -= (size_t)sent;
	}
	return true;
}

/* Bytes that need not wait go without a copy. */
static void side_send(struct fault_side *s, bool at_once, const char *bytes, size_t n)
{
	ssize_t sent = at_once && evbuffer_get_length(s->out) == 0 ? send(s->fd, bytes, n, MSG_NOSIGNAL) : 0;

	if (sent < 0)
		sent = 0; /* settle() meets the error */
	evbuffer_add(s->out, bytes + sent, n - (size_t)sent);
}

static void client_send(struct fault_pair *p, const char *bytes, size_t n)
{
	side_send(&p->client, !p->core->frozen && p->hold_until_ms == 0 && p->kind != FAULT_SLOW, bytes, n);
}

static void flush_client(struct fault_pair *p)
{
	size_t before = evbuffer_get_length(p->client.out), n = client_may_take(p);

	if (n > 0 && !side_flush(&p->client, n))
		p->doomed = true;
	if (p->kind == FAULT_SLOW)
		p->allowance -= (int64_t)(before - evbuffer_get_length(p->client.out));
	if (evbuffer_get_length(p->client.out) > 0 && p->kind == FAULT_SLOW)
		timer_in(p, PACE_MS);
	if (evbuffer_get_length(p->client.out) > 0 || p->core->frozen || p->stalled)
		return;
	if (p->answered && !p->last && !p->doomed && !p->store_gone) {
		if (!p->taken) /* an answer before the end of the question */
			return;
		log_request(p, "done");
		request_done(p);
	} else if ((p->answered && p->last) || p->store_gone) {
		p->doomed = true;
		if (p->answered && p->begun && p->kind == FAULT_NONE) {
			log_request(p, "done");
			p->begun = false;
		}
	}
}

static void settle(struct fault_pair *p)
{
	bool frozen = p->core->frozen;

	if (!p->doomed && !frozen && p->decided && !p->swallow && !p->connecting && p->store.fd >= 0 &&
	    !side_flush(&p->store, evbuffer_get_length(p->store.out)))
		p->doomed = true;
	if (!p->doomed)
		flush_client(p);
	if (p->doomed) {
		fault_pair_destroy(p, p->reset);
		return;
	}
	side_want(&p->client, !frozen && evbuffer_get_length(p->store.out) + evbuffer_get_length(p->early) < QUEUE_MAX,
	          !frozen && p->hold_until_ms == 0 && p->kind != FAULT_SLOW && evbuffer_get_length(p->client.out) > 0);
	side_want(&p->store, !frozen && !p->connecting && !p->stalled && !p->store_gone &&
	          evbuffer_get_length(p->client.out) < QUEUE_MAX,
	          !frozen && (p->connecting || (p->decided && evbuffer_get_length(p->store.out) > 0)));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct fault_pair *p = arg;

	(void)fd;
	(void)what;
	if (p->hold_until_ms && p->hold_until_ms <= clock_mono_ms())
		p->hold_until_ms = 0;
	settle(p);
}

void fault_pair_thaw(struct fault_pair *p)
{
	settle(p);
}

void fault_pair_release(struct fault_pair *p, unsigned rule)
{
	if (p->rule != rule || (p->kind != FAULT_SLOW && p->kind != FAULT_FIRST_BYTE))
		return;
	p->kind = FAULT_NONE;
	p->hold_until_ms = 0;
	settle(p);
}

/* ---- the answer ---- */

/* Changes the head that p->head holds, whose end has come. */
static void change_head(struct fault_pair *p)
{
	size_t n = evbuffer_get_length(p->head);
	char *head = xcalloc(1, n + 1), *v, *end;
	static const char hex[] = "0123456789abcdef";

	evbuffer_remove(p->head, head, n);
	if (p->kind == FAULT_ETAG && (v = strcasestr(head, "\r\nETag:")) && (v = strchr(v, '"'))) {
		for (v++; *v && *v != '"' && *v != '-' && *v != '\r'; v++)
			if ((end = strchr(hex, *v)) && *end)
				*v = hex[15 - (end - hex)];
	}
	if (p->kind == FAULT_LENGTH && (v = strcasestr(head, "\r\nContent-Length:"))) {
		v += strlen("\r\nContent-Length:");
		evbuffer_add(p->client.out, head, (size_t)(v - head));
		evbuffer_add_printf(p->client.out, " %lld", strtoll(v, &end, 10) + (long long)p->arg);
		evbuffer_add(p->client.out, end, n - (size_t)(end - head));
		p->last = p->arg > 0;
	} else {
		evbuffer_add(p->client.out, head, n);
	}
	free(head);
}

static int on_answer_head(http_parser *parser)
{
	struct fault_pair *p = parser->data;

	if (parser->status_code < 200)
		return 0;
	p->head_done = true;
	p->last = !http_should_keep_alive(parser);
	return p->client.parser.method == HTTP_HEAD;
}

static int on_answer_body(http_parser *parser, const char *at, size_t n)
{
	struct fault_pair *p = parser->data;
	uint64_t limit = (uint64_t)p->arg;
	bool cuts = p->kind == FAULT_CUT || p->kind == FAULT_STALL || (p->kind == FAULT_RESET && p->arg >= 0);

	if (p->kind == FAULT_BYTES && p->arg < 0)
		limit = 0;
	if (p->kind == FAULT_BYTES && p->down <= limit && limit - p->down < n)
		((char *)(uintptr_t)at)[limit - p->down] ^= 1; /* at lies in on_store_readable()'s buffer */
	if (cuts && !p->body_cut && p->down + n > limit)
		p->body_cut = (char *)(uintptr_t)at + (limit - p->down);
	p->down += n;
	return 0;
}

static int on_answer_end(http_parser *parser)
{
	struct fault_pair *p = parser->data;

	if (parser->status_code < 200)
		return 0;
	p->answered = true;
	http_parser_pause(parser, 1);
	return 0;
}

/* The bytes of an answer, parsed: they go on as the request's fault wants it. */
static void pass_answer(struct fault_pair *p, char *bytes, size_t n)
{
	bool held = p->kind == FAULT_ETAG || p->kind == FAULT_LENGTH;

	if (p->body_cut) {
		client_send(p, bytes, (size_t)(p->body_cut - bytes));
		p->down = (uint64_t)p->arg;
		p->answered = false;
		p->stalled = p->kind == FAULT_STALL;
		p->store_gone = !p->stalled; /* ends once what is left has gone */
		p->reset = p->kind == FAULT_RESET;
		return;
	}
	if (!held || p->head_changed) {
		client_send(p, bytes, n);
		return;
	}
	evbuffer_add(p->head, bytes, n);
	if (!p->head_done)
		return;
	change_head(p);
	p->head_changed = true;
}

static void feed_answer(struct fault_pair *p, char *bytes, size_t n)
{
	static const http_parser_settings settings = {
		.on_headers_complete = on_answer_head, .on_body = on_answer_body, .on_message_complete = on_answer_end};
	size_t took;

	if (!p->decided || p->answered) { /* nobody asked */
		p->doomed = true;
		return;
	}
	took = http_parser_execute(&p->store.parser, &settings, bytes, n);
	if (HTTP_PARSER_ERRNO(&p->store.parser) == HPE_PAUSED)
		http_parser_pause(&p->store.parser, 0);
	if (HTTP_PARSER_ERRNO(&p->store.parser) != HPE_OK || (n > 0 && took != n)) {
		fault_core_log(p->core, "error the store's answer: %s", http_errno_name(HTTP_PARSER_ERRNO(&p->store.parser)));
		p->doomed = true;
		return;
	}
	if (p->core->muted || (p->kind == FAULT_LOST && p->head_done)) {
		p->doomed = true;
		return;
	}
	pass_answer(p, bytes, n);
}

static void on_store_readable(evutil_socket_t fd, short what, void *arg)
{
	struct fault_pair *p = arg;
	char bytes[PIECE];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		feed_answer(p, bytes, (size_t)n);
	} else {
		if (n == 0 && p->head_done && !p->answered && http_body_is_final(&p->store.parser) == 0)
			feed_answer(p, bytes, 0);
		p->store_gone = true;
	}
	settle(p);
}

static void on_store_writable(evutil_socket_t fd, short what, void *arg)
{
	struct fault_pair *p = arg;
	int err = 0;
	socklen_t n = sizeof(err);

	(void)what;
	if (p->connecting) {
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n);
		p->connecting = false;
		if (err)
			p->doomed = true;
	}
	settle(p);
}

static void connect_store(struct fault_pair *p)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fd < 0 || (connect(fd, (struct sockaddr *)&p->core->store, sizeof(p->core->store)) && errno != EINPROGRESS)) {
		if (fd >= 0)
			close(fd);
		p->doomed = true;
		return;
	}
	p->store.fd = fd;
	p->connecting = true;
	p->store.ev_read = event_new(p->core->base, fd, EV_READ | EV_PERSIST, on_store_readable, p);
	p->store.ev_write = event_new(p->core->base, fd, EV_WRITE | EV_PERSIST, on_store_writable, p);
}

/* ---- the request ---- */

static int on_url(http_parser *parser, const char *at, size_t n)
{
	struct fault_pair *p = parser->data;
	size_t room = sizeof(p->path) - 1 - p->path_n;

	n = n < room ? n : room;
	memcpy(p->path + p->path_n, at, n);
	p->path_n += n;
	p->path[p->path_n] = '\0';
	return 0;
}

static int on_request_head(http_parser *parser)
{
	struct fault_pair *p = parser->data;
	const struct fault_rule *r = fault_core_pick(p->core, method_of(p), p->path);

	p->decided = true;
	p->rule = r ? r->id : 0;
	if (!r)
		return 0;
	p->kind = r->kind;
	p->arg = r->arg;
	p->retry_after_s = r->retry_after_s;
	snprintf(p->fault, sizeof(p->fault), "%s", r->name);
	p->swallow = r->kind == FAULT_HANG || r->kind == FAULT_STATUS;
	if (r->kind == FAULT_RESET && r->arg < 0)
		p->reset = p->doomed = true;
	if (r->kind == FAULT_FIRST_BYTE)
		p->hold_until_ms = clock_mono_ms() + r->arg;
	p->paced_ms = clock_mono_ms();
	p->allowance = 1024; /* the head is not what is slow */
	return 0;
}

static int on_request_body(http_parser *parser, const char *at, size_t n)
{
	struct fault_pair *p = parser->data;

	(void)at;
	p->up += n;
	if (p->kind == FAULT_CUT_UP && p->up > (uint64_t)p->arg)
		p->doomed = true;
	return 0;
}

static int on_request_end(http_parser *parser)
{
	struct fault_pair *p = parser->data;

	p->taken = true;
	http_parser_pause(parser, 1);
	return 0;
}

/* The answer that the store did not give. */
static void answer_status(struct fault_pair *p)
{
	int status = (int)p->arg;
	const char *code = status == 503 ? "SlowDown" : status == 429 ? "TooManyRequests" : "InternalError";
	char body[256];
	int n = snprintf(body, sizeof(body), "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>%s</Code>"
	                 "<Message>by the fault proxy</Message></Error>", code);

	evbuffer_add_printf(p->client.out, "HTTP/1.1 %d %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n", status, code,
	                    n);
	if (p->retry_after_s)
		evbuffer_add_printf(p->client.out, "Retry-After: %u\r\n", p->retry_after_s);
	evbuffer_add(p->client.out, "\r\n", 2);
	if (p->client.parser.method != HTTP_HEAD)
		evbuffer_add(p->client.out, body, (size_t)n);
	p->store.parser.status_code = (unsigned)status;
	p->head_done = p->answered = true;
}

static void feed_request(struct fault_pair *p, const char *bytes, size_t n)
{
	static const http_parser_settings settings = {.on_url = on_url, .on_headers_complete = on_request_head,
		.on_body = on_request_body, .on_message_complete = on_request_end};
	size_t took = 0;

	if (!p->taken) {
		if (!p->begun)
			p->began_us = clock_mono_us();
		p->begun = true;
		took = http_parser_execute(&p->client.parser, &settings, bytes, n);
		if (HTTP_PARSER_ERRNO(&p->client.parser) == HPE_PAUSED)
			http_parser_pause(&p->client.parser, 0);
		if (HTTP_PARSER_ERRNO(&p->client.parser) != HPE_OK) {
			fault_core_log(p->core, "error a request: %s", http_errno_name(HTTP_PARSER_ERRNO(&p->client.parser)));
			p->doomed = true;
			return;
		}
		p->core->up_bytes += took;
		if (p->core->cut_up_after && p->core->up_bytes > p->core->cut_up_after)
			p->doomed = true;
		if (p->swallow)
			evbuffer_drain(p->store.out, evbuffer_get_length(p->store.out));
		else
			side_send(&p->store, p->decided && p->store.fd >= 0 && !p->connecting && !p->core->frozen && !p->doomed, bytes, took);
	}
	evbuffer_add(p->early, bytes + took, n - took);
	if (p->decided && !p->swallow && p->store.fd < 0 && !p->doomed)
		connect_store(p);
	if (p->taken && p->kind == FAULT_STATUS && !p->answered)
		answer_status(p);
}

static void on_client_readable(evutil_socket_t fd, short what, void *arg)
{
	struct fault_pair *p = arg;
	char bytes[PIECE];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fault_pair_destroy(p, false);
		return;
	}
	feed_request(p, bytes, (size_t)n);
	settle(p);
}

static void on_client_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	settle(arg);
}

static void parsers_begin(struct fault_pair *p)
{
	http_parser_init(&p->client.parser, HTTP_REQUEST);
	http_parser_init(&p->store.parser, HTTP_RESPONSE);
	p->client.parser.data = p->store.parser.data = p;
}

/* The answer has gone: the connections are ready for the next request, which may have come already. */
static void request_done(struct fault_pair *p)
{
	size_t n = evbuffer_get_length(p->early);
	char *bytes;

	parsers_begin(p);
	p->path_n = 0;
	p->kind = FAULT_NONE;
	p->fault[0] = '\0';
	p->up = p->down = 0;
	p->hold_until_ms = 0;
	p->begun = p->decided = p->taken = p->swallow = p->head_done = p->head_changed = p->answered = false;
	p->body_cut = NULL;
	if (n == 0)
		return;
	bytes = xcalloc(1, n);
	evbuffer_remove(p->early, bytes, n);
	feed_request(p, bytes, n);
	free(bytes);
}

void fault_pair_create(struct fault_core *c, int fd)
{
	struct fault_pair *p = xcalloc(1, sizeof(*p));

	p->core = c;
	p->client = (struct fault_side){.fd = fd, .out = evbuffer_new()};
	p->store = (struct fault_side){.fd = -1, .out = evbuffer_new()};
	p->early = evbuffer_new();
	p->head = evbuffer_new();
	p->timer = evtimer_new(c->base, on_timer, p);
	p->client.ev_read = event_new(c->base, fd, EV_READ | EV_PERSIST, on_client_readable, p);
	p->client.ev_write = event_new(c->base, fd, EV_WRITE | EV_PERSIST, on_client_writable, p);
	parsers_begin(p);
	p->next = c->pairs;
	p->at = &c->pairs;
	if (p->next)
		p->next->at = &p->next;
	c->pairs = p;
	c->n_open++;
	settle(p);
}
