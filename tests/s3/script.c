/* SPDX-License-Identifier: Apache-2.0 */
/* The store that answers by a script, see script.h. */
#include "config.h"

#include "script.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/s3/sign.h"
#include "common/xalloc.h"

#define FIELDS_MAX 64

struct script_conn {
	struct script *script;
	struct script_conn *next;
	struct event *ev;
	int fd;
	struct strbuf in;
	bool answered;  /* an early answer went out for this request */
	struct strbuf out; /* a flood, sent as the other side takes it */
	size_t sent;
};

static void conn_close(struct script_conn *c)
{
	struct script_conn **at = &c->script->conns;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	event_free(c->ev);
	close(c->fd);
	strbuf_free(&c->in);
	strbuf_free(&c->out);
	free(c);
}

static struct slice field(const struct sign_header *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (slice_caseeq_str(v[i].name, name))
			return v[i].value;
	return slice_of("", 0);
}

static size_t split_head(const char *head, struct sign_header *v)
{
	const char *line = strstr(head, "\r\n"), *end, *colon;
	size_t n = 0;

	while (line && n < FIELDS_MAX) {
		line += 2;
		end = strstr(line, "\r\n");
		colon = end ? memchr(line, ':', (size_t)(end - line)) : NULL;
		if (!colon)
			break;
		v[n].name = slice_of(line, (size_t)(colon - line));
		colon++;
		while (*colon == ' ')
			colon++;
		v[n++].value = slice_of(colon, (size_t)(end - colon));
		line = end;
	}
	return n;
}

static void check_signature(const char *head, const struct sign_header *v, size_t n)
{
	const char *space = strchr(head, ' '), *target = space + 1, *end = strchr(target, ' '), *q = memchr(target, '?',
	     (size_t)(end - target));
	struct sign_request rq = {.method = slice_of(head, (size_t)(space - head)), .headers = v, .n_headers = n};
	struct sign_auth auth;

	rq.path = slice_of(target, (size_t)((q ? q : end) - target));
	if (q)
		rq.query = slice_of(q + 1, (size_t)(end - q - 1));
	rq.payload_hash = field(v, n, "x-amz-content-sha256");
	CHECK(sign_auth_parse(field(v, n, "authorization"), field(v, n, "x-amz-date"), &auth) == 0, "unsigned: %.100s", head);
	CHECK(slice_eq_str(auth.access_key, "AK"), "access key");
	CHECK(sign_verify(&rq, &auth, SLICE_LIT("SK"), clock_real_ms()) == SIGN_OK, "signature of %.200s", head);
	CHECK(field(v, n, "expect").n == 0 && field(v, n, "host").n > 0, "head: %.500s", head);
	sign_auth_free(&auth);
}

static void send_more(struct script_conn *c)
{
	ssize_t n;

	while (c->sent < c->out.n) {
		n = send(c->fd, c->out.p + c->sent, c->out.n - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0)
			return;
		c->sent += (size_t)n;
	}
}

/* Returns false when the connection is gone. */
static bool answer(struct script_conn *c)
{
	struct script *s = c->script;
	const struct script_step *step = &s->steps[s->at];

	s->at++;
	if (step->answer && strcmp(step->answer, "hang") != 0) {
		strbuf_adds(&c->out, step->answer);
		for (size_t i = 0; i < step->flood; i++)
			strbuf_addc(&c->out, '<');
		send_more(c);
	}
	if (step->answer && !step->close)
		return true;
	conn_close(c);
	return false;
}

/* Takes one request from what has come. 1: took it, 0: not whole yet, -1: the connection is gone. */
static int take_request(struct script_conn *c)
{
	struct sign_header v[FIELDS_MAX];
	struct script *s = c->script;
	const char *end = c->in.n > 0 ? strstr(c->in.p, "\r\n\r\n") : NULL;
	size_t head_n, body_n, n;

	if (!end)
		return 0;
	head_n = (size_t)(end + 4 - c->in.p);
	n = split_head(c->in.p, v);
	body_n = (size_t)strtoull(field(v, n, "content-length").n ? field(v, n, "content-length").p : "0", NULL, 10);
	if (!c->answered && s->at >= s->n) {
		CHECK(false, "a request too many: %.100s", c->in.p);
		conn_close(c);
		return -1;
	}
	if (c->in.n < head_n + body_n && (c->answered || !s->steps[s->at].early))
		return 0;
	if (!c->answered) {
		snprintf(s->last_head, sizeof(s->last_head), "%.*s", (int)head_n, c->in.p);
		s->last_body = body_n;
		CHECK(strstr(s->last_head, s->steps[s->at].expect), "step %zu: not %s but %.200s", s->at, s->steps[s->at].expect,
		     s->last_head);
		check_signature(s->last_head, v, n);
		c->answered = true;
		if (!answer(c))
			return -1;
	}
	if (c->in.n < head_n + body_n)
		return 0;
	c->answered = false;
	memmove(c->in.p, c->in.p + head_n + body_n, c->in.n - head_n - body_n + 1);
	c->in.n -= head_n + body_n;
	return 1;
}

static void on_request(evutil_socket_t fd, short what, void *arg)
{
	struct script_conn *c = arg;
	char buf[65536];
	ssize_t got;
	int took;

	send_more(c);
	/* edge-triggered: all there is */
	while (what & EV_READ) {
		got = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			conn_close(c);
			return;
		}
		strbuf_add(&c->in, buf, (size_t)got);
		while ((took = take_request(c)) > 0)
			;
		if (took < 0)
			return;
	}
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct script *s = arg;
	struct script_conn *c;
	int got = accept(fd, NULL, NULL);

	(void)what;
	if (got < 0)
		return;
	c = xcalloc(1, sizeof(*c));
	c->script = s;
	c->fd = got;
	c->ev = event_new(s->x->base, got, EV_READ | EV_WRITE | EV_PERSIST | EV_ET, on_request, c);
	event_add(c->ev, NULL);
	c->next = s->conns;
	s->conns = c;
}

void script_begin(struct script *s, struct exercise *x)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sin);

	*s = (struct script){.x = x};
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(s->fd, (struct sockaddr *)&sin, n) || listen(s->fd, 64) || getsockname(s->fd, (struct sockaddr *)&sin, &n))
		abort();
	s->port = ntohs(sin.sin_port);
	s->listener = event_new(x->base, s->fd, EV_READ | EV_PERSIST, on_accept, s);
	event_add(s->listener, NULL);
}

void script_set(struct script *s, const struct script_step *steps, size_t n)
{
	struct script_step *copy = xcalloc(n, sizeof(*copy));

	memcpy(copy, steps, n * sizeof(*copy));
	free((void *)(uintptr_t)s->steps);
	s->steps = copy;
	s->n = n;
	s->at = 0;
}

void script_done(struct script *s)
{
	run_idle(s->x);
	CHECK(s->at == s->n, "only %zu of %zu steps were used", s->at, s->n);
}

void script_end(struct script *s)
{
	while (s->conns)
		conn_close(s->conns);
	event_free(s->listener);
	close(s->fd);
	free((void *)(uintptr_t)s->steps);
}
