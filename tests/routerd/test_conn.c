/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections and requests, over loopback with a handler of our own in the same process: pipelining, both framings in both
 * directions, every split, 100-continue, refusals, time limits, back-pressure, files, aborts and drain.
 */
#include "config.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pool.h"
#include "common/strbuf.h"
#include "common/xalloc.h"
#include "routerd/conn.h"
#include "routerd/listener.h"
#include "routerd/request.h"
#include "routerd/worker.h"

#define WAIT_MS 10000
#define BIG (8 * 1024 * 1024)

static struct world {
	struct conf conf;
	struct worker w;
	struct listener *door;
	struct sockaddr_in addr;
	int fd; /* the client's */
	struct strbuf got;
	bool eof, reset;
	uint64_t file_left;
	/* what the handler saw */
	unsigned requests, aborts, drains, body_reads;
	int body_err;
	struct request *held;
	bool drained;
} world;

/* ---- the handler ---- */

struct job {
	char buf[1000];
	uint64_t left, at, sum;
	size_t cap;
};

static void job_end(struct request *req)
{
	free(req->op);
	req->op = NULL;
}

static void on_abort(struct request *req)
{
	world.aborts++;
	if (world.held == req)
		world.held = NULL;
	job_end(req);
}

static char pattern(uint64_t at)
{
	return (char)('a' + (at * 7 + at / 1000) % 26);
}

static void send_pattern(struct request *req)
{
	struct job *job = req->op;
	char buf[16384];

	while (job->left) {
		size_t n = job->left < sizeof(buf) ? (size_t)job->left : sizeof(buf);

		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(job->at + i);
		job->at += n;
		job->left -= n;
		if (!response_write(req, buf, n))
			return; /* on_drain goes on */
	}
	job_end(req);
	response_end(req);
}

static void on_drain(struct request *req)
{
	world.drains++;
	send_pattern(req);
}

static void on_echo(struct request *req, int err, size_t n, bool end)
{
	struct job *job = req->op;

	world.body_reads++;
	if (err) {
		world.body_err = err;
		job_end(req);
		response_error(req, err, NULL);
		return;
	}
	response_write(req, job->buf, n);
	if (!end) {
		request_read_body(req, job->buf, job->cap, on_echo);
		return;
	}
	job_end(req);
	response_end(req);
}

static void on_sum(struct request *req, int err, size_t n, bool end)
{
	struct job *job = req->op;
	char text[64];

	world.body_reads++;
	if (err) {
		world.body_err = err;
		job_end(req);
		response_error(req, err, NULL);
		return;
	}
	for (size_t i = 0; i < n; i++)
		job->sum = job->sum * 31 + (unsigned char)job->buf[i];
	job->at += n;
	if (!end) {
		request_read_body(req, job->buf, job->cap, on_sum);
		return;
	}
	snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)job->at, (unsigned long long)job->sum);
	job_end(req);
	response_text(req, 200, text);
}

static int make_file(size_t n)
{
	char path[] = "/tmp/test_conn.XXXXXX";
	int fd = mkstemp(path);
	char *all = malloc(n ? n : 1);

	cr_assert_geq(fd, 0);
	unlink(path);
	for (size_t i = 0; i < n; i++)
		all[i] = pattern(i);
	cr_assert_eq(write(fd, all, n), (ssize_t)n);
	free(all);
	return fd;
}

static void on_file_done(struct request *req, uint64_t left)
{
	world.file_left = left;
	if (left)
		response_cut(req);
	else
		response_end(req);
}

static void send_file(struct request *req, int fd, uint64_t off, uint64_t len)
{
	struct response_file file = {.fd = fd, .off = off, .len = len, .stall_ms = 60000, .done = on_file_done};

	response_send_file(req, &file);
}

static const char *after(struct slice path, const char *prefix)
{
	static char rest[64];

	if (!slice_starts_with(path, slice_str(prefix)))
		return NULL;
	snprintf(rest, sizeof(rest), "%.*s", (int)(path.n - strlen(prefix)), path.p + strlen(prefix));
	return rest;
}

static void handle(struct request *req)
{
	struct slice none = {NULL, 0}, path = req->head.path;
	struct job *job = req->op = xcalloc(1, sizeof(*job));
	const char *arg;

	world.requests++;
	job->cap = sizeof(job->buf);
	req->on_abort = on_abort;
	req->on_drain = on_drain;
	if ((arg = after(path, "/len/")) || (arg = after(path, "/chunks/"))) {
		job->left = strtoull(arg, NULL, 10);
		response_start(req, 200, none, path.p[1] == 'l' ? (int64_t)job->left : -1);
		send_pattern(req);
	} else if ((arg = after(path, "/file/"))) {
		size_t n = strtoull(arg, NULL, 10);

		job_end(req);
		response_start(req, 200, SLICE_LIT("X-File: yes\r\n"), (int64_t)n);
		send_file(req, make_file(n + 10), 10, n);
	} else if ((arg = after(path, "/echo/"))) {
		job->cap = strtoull(arg, NULL, 10);
		response_start(req, 200, none, request_body_length(req));
		request_read_body(req, job->buf, job->cap, on_echo);
	} else if (slice_eq_str(path, "/sum")) {
		request_read_body(req, job->buf, job->cap, on_sum);
	} else if (slice_eq_str(path, "/hold")) {
		world.held = req;
	} else if ((arg = after(path, "/status/"))) {
		job_end(req);
		response_start(req, atoi(arg), SLICE_LIT("X-Some: thing\r\n"), 0);
		response_end(req);
	} else if (slice_eq_str(path, "/cut")) {
		job_end(req);
		response_start(req, 200, none, 100);
		response_write(req, "0123456789", 10);
		response_cut(req);
	} else {
		job_end(req);
		response_text(req, 200, req->id);
	}
}

/* ---- the world ---- */

static void make_world(void)
{
	struct conf *conf = &world.conf;
	socklen_t len = sizeof(world.addr);
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	log_set_level(LOG_LVL_ERROR);
	conf->limits.max_connections = 100;
	conf->coordinator.workers = 1;
	conf->limits.max_head_bytes = 32768;
	conf->limits.max_headers = 20;
	conf->limits.header_timeout_ms = 60000;
	conf->limits.idle_timeout_ms = 60000;
	conf->limits.stall_timeout_ms = 60000;
	conf->limits.min_rate = 1024;
	world.w.conf = conf;
	world.w.base = event_base_new();
	world.w.pool = pool_create(world.w.base, 1);
	world.w.conns = conn_list_create(&world.w);
	world.addr.sin_family = AF_INET;
	world.addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	cr_assert_eq(bind(fd, (struct sockaddr *)&world.addr, sizeof(world.addr)), 0);
	cr_assert_eq(listen(fd, 64), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&world.addr, &len), 0);
	world.door = listener_create(&world.w, fd, handle);
	world.fd = -1;
}

static void drop_client(void)
{
	if (world.fd >= 0)
		close(world.fd);
	world.fd = -1;
	strbuf_free(&world.got);
	world.eof = world.reset = false;
}

static void end_world(void)
{
	drop_client();
	listener_destroy(&world.door);
	conn_list_destroy(&world.w.conns);
	pool_destroy(&world.w.pool);
	event_base_free(world.w.base);
}

static void turn(void)
{
	event_base_loop(world.w.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void dial(void)
{
	drop_client();
	world.fd = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(connect(world.fd, (struct sockaddr *)&world.addr, sizeof(world.addr)), 0);
	fcntl(world.fd, F_SETFL, O_NONBLOCK);
}

/* Takes what has come. */
static bool sip(void)
{
	char buf[65536];
	ssize_t n = world.eof ? 0 : recv(world.fd, buf, sizeof(buf), 0);

	if (n > 0)
		strbuf_add(&world.got, buf, (size_t)n);
	else if (n == 0)
		world.eof = true;
	else if (errno != EAGAIN)
		world.eof = world.reset = true;
	return n > 0;
}

static void send_all(const char *p, size_t n)
{
	int64_t end_ms = clock_mono_ms() + WAIT_MS;

	while (n > 0 && clock_mono_ms() < end_ms) {
		ssize_t k = send(world.fd, p, n, MSG_NOSIGNAL);

		if (k > 0) {
			p += k;
			n -= (size_t)k;
		} else if (errno != EAGAIN) {
			return;
		}
		turn();
		sip();
	}
}

static void say(const char *text)
{
	send_all(text, strlen(text));
}

/* Turns the loop until the text has come, or, with NULL, until the connection is closed. */
static void await(const char *text)
{
	int64_t end_ms = clock_mono_ms() + WAIT_MS;

	while (clock_mono_ms() < end_ms) {
		struct pollfd pfd = {.fd = world.fd, .events = POLLIN};

		turn();
		sip();
		if (text ? strstr(strbuf_str(&world.got), text) != NULL : world.eof)
			return;
		if (world.eof)
			break;
		poll(&pfd, 1, 1);
	}
	cr_assert_fail("never came: %s; got: %.300s", text ? text : "the end", strbuf_str(&world.got));
}

#define await_until(cond) \
	do { \
		int64_t end_ms_ = clock_mono_ms() + WAIT_MS; \
		while (!(cond) && clock_mono_ms() < end_ms_) \
			turn(); \
		cr_assert(cond); \
	} while (0)

static void quiet(int ms)
{
	int64_t end_ms = clock_mono_ms() + ms;

	while (clock_mono_ms() < end_ms) {
		turn();
		sip();
	}
}

static unsigned count_text(const char *text)
{
	unsigned n = 0;

	for (const char *p = strbuf_str(&world.got); (p = strstr(p, text)); p++)
		n++;
	return n;
}

static const char *body(void)
{
	const char *p = strstr(strbuf_str(&world.got), "\r\n\r\n");

	return p ? p + 4 : "";
}

static void check_pattern(const char *p, size_t n, size_t from)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != pattern(from + i))
			cr_assert_fail("byte %zu is wrong", i);
}

#define H "Host: h\r\n"

TestSuite(conn, .init = make_world, .fini = end_world, .timeout = 60);

/* ---- requests and responses ---- */

Test(conn, answers_and_stays)
{
	dial();
	say("GET /x HTTP/1.1\r\n" H "X-Request-ID: my-id.7\r\n\r\n");
	await("my-id.7\r\n");
	await("\r\n\r\nmy-id.7");
	cr_assert_not_null(strstr(strbuf_str(&world.got), "HTTP/1.1 200 OK\r\n"));
	cr_assert_not_null(strstr(strbuf_str(&world.got), "Content-Length: 7\r\n"));
	cr_assert_not_null(strstr(strbuf_str(&world.got), "\r\nDate: "));
	cr_assert_null(strstr(strbuf_str(&world.got), "Connection:"));
	strbuf_reset(&world.got);
	say("GET /x HTTP/1.1\r\n" H "X-Request-ID: not valid\r\nConnection: close\r\n\r\n");
	await(NULL);
	cr_assert_not_null(strstr(strbuf_str(&world.got), "Connection: close\r\n"));
	cr_assert_eq(strlen(body()), 16, "a fresh id of 16 digits");
	cr_assert_not(world.reset);
}

Test(conn, http_1_0_closes_unless_asked)
{
	dial();
	say("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	await("Connection: keep-alive\r\n");
	say("GET /chunks/5000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	await(NULL);
	cr_assert_null(strstr(strbuf_str(&world.got), "Transfer-Encoding"));
	check_pattern(strbuf_str(&world.got) + world.got.n - 5000, 5000, 0);
}

Test(conn, pipelined_requests_are_answered_in_order)
{
	struct strbuf all = STRBUF_INIT;

	for (int i = 0; i < 2000; i++)
		strbuf_addf(&all, "GET /x HTTP/1.1\r\n" H "X-Request-ID: n%d.\r\n\r\n", i);
	dial();
	send_all(all.p, all.n);
	await("\r\n\r\nn1999.");
	cr_assert_eq(world.requests, 2000);
	for (const char *p = strbuf_str(&world.got), *next = p; next; p = next + 1) {
		next = strstr(p, "\r\n\r\nn");
		if (next && strstr(next + 1, "\r\n\r\nn"))
			cr_assert_lt(atoi(next + 5), atoi(strstr(next + 1, "\r\n\r\nn") + 5));
	}
	strbuf_free(&all);
}

Test(conn, pipelined_behind_bodies)
{
	dial();
	say("PUT /sum HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcPUT /sum HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
	    "1\r\na\r\n2;x\r\nbc\r\n0\r\nT: x\r\n\r\nGET /x HTTP/1.1\r\n" H "X-Request-ID: last\r\n\r\n");
	await("\r\n\r\nlast");
	cr_assert_eq(count_text("\r\n\r\n3 96354"), 2);
}

Test(conn, any_split_of_the_input_gives_the_same)
{
	static const char in[] = "\r\nPUT /sum HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\n\r\n5;e=1\r\nhello\r\n0a\r\n0123456789\r\n"
	                         "0\r\nT: 1\r\n\r\nPUT /sum HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhelloGET /x HTTP/1.1\r\n" H
	                         "X-Request-ID: last\r\nConnection: close\r\n\r\n";
	char *want = NULL;

	for (size_t split = 0; split <= sizeof(in) - 1; split++) {
		char *date;

		dial();
		send_all(in, split);
		turn();
		turn();
		send_all(in + split, sizeof(in) - 1 - split);
		await(NULL);
		while ((date = strstr(world.got.p, "Date: ")))
			memcpy(date, "xxxx: Xxx, xx Xxx xxxx xx:xx:xx GMT", 35);
		while ((date = strstr(world.got.p, "X-Request-ID: ")) && strncmp(date + 14, "last", 4) != 0)
			memcpy(date, "x-xxxxxxx-xx: xxxxxxxxxxxxxxxx", 30);
		if (!want)
			want = xstrdup(strbuf_str(&world.got));
		cr_assert_str_eq(strbuf_str(&world.got), want, "split at %zu", split);
	}
	free(want);
}

Test(conn, byte_by_byte)
{
	static const char in[] = "PUT /echo/7 HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00b\r\n, wide worl\r\n1\r\nd\r\n0\r\n"
	                         "\r\n";

	dial();
	for (size_t i = 0; i < sizeof(in) - 1; i++) {
		send_all(in + i, 1);
		turn();
	}
	await("0\r\n\r\n");
	cr_assert_str_eq(body(), "7\r\nhello, \r\n7\r\nwide wo\r\n3\r\nrld\r\n0\r\n\r\n");
}

Test(conn, large_bodies_echo_in_both_framings)
{
	char *in = malloc(BIG);
	struct strbuf chunks = STRBUF_INIT;

	for (size_t i = 0; i < BIG; i++)
		in[i] = pattern(i);
	dial();
	say("PUT /echo/1000 HTTP/1.1\r\n" H "Content-Length: 8388608\r\n\r\n");
	send_all(in, BIG);
	await_until((sip(), world.got.n >= BIG && strlen(body()) == BIG));
	check_pattern(body(), BIG, 0);
	await(NULL); /* it was answered before it was read: more than is worth reading away */
	dial();
	for (size_t at = 0, n; at < BIG; at += n) {
		n = at * 31 % 70000 + 1;
		n = n < BIG - at ? n : BIG - at;
		strbuf_addf(&chunks, "%zX\r\n", n);
		strbuf_add(&chunks, in + at, n);
		strbuf_adds(&chunks, "\r\n");
	}
	strbuf_adds(&chunks, "0\r\n\r\n");
	say("PUT /sum HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
	send_all(chunks.p, chunks.n);
	await("\r\n\r\n8388608 ");
	strbuf_free(&chunks);
	free(in);
}

Test(conn, bodiless_answers_have_no_body)
{
	dial();
	say("HEAD /len/100 HTTP/1.1\r\n" H "\r\nHEAD /chunks/100 HTTP/1.1\r\n" H "\r\nGET /status/204 HTTP/1.1\r\n" H "\r\n"
	    "GET /status/304 HTTP/1.1\r\n" H "\r\nHEAD /file/100 HTTP/1.1\r\n" H
	    "\r\nGET /x HTTP/1.1\r\n" H "X-Request-ID: last\r\n\r\n");
	await("\r\n\r\nlast");
	cr_assert_eq(count_text("\r\n\r\nHTTP/1.1 "), 5);
	cr_assert_eq(count_text("Content-Length: 100\r\n"), 2);
	cr_assert_eq(count_text("HTTP/1.1 204 No Content\r\n"), 1);
}

Test(conn, chunked_out)
{
	dial();
	say("GET /chunks/20000 HTTP/1.1\r\n" H "\r\n");
	await("\r\n0\r\n\r\n");
	cr_assert_not_null(strstr(strbuf_str(&world.got), "Transfer-Encoding: chunked\r\n"));
	cr_assert_eq(strncmp(body(), "4000\r\n", 6), 0);
	check_pattern(body() + 6, 16384, 0);
	check_pattern(body() + 6 + 16384 + 2 + 5, 20000 - 16384, 16384);
}

/* ---- 100-continue ---- */

Test(conn, continue_is_sent_when_the_body_is_asked_for)
{
	dial();
	say("PUT /sum HTTP/1.1\r\n" H "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	await("HTTP/1.1 100 Continue\r\n\r\n");
	say("abc");
	await("\r\n\r\n3 96354");
	cr_assert_eq(count_text("100 Continue"), 1);
	say("PUT /sum HTTP/1.1\r\n" H "Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc");
	await_until((sip(), count_text("\r\n\r\n3 96354") == 2));
	cr_assert_eq(count_text("100 Continue"), 1, "who does not wait needs none");
}

Test(conn, an_early_answer_without_continue_closes)
{
	dial();
	say("PUT /status/412 HTTP/1.1\r\n" H "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	await(NULL);
	cr_assert_not_null(strstr(strbuf_str(&world.got), "HTTP/1.1 412"));
	cr_assert_not_null(strstr(strbuf_str(&world.got), "Connection: close\r\n"));
	cr_assert_eq(count_text("100 Continue"), 0);
}

/* ---- refusals ---- */

Test(conn, smuggling_shapes_get_400_and_the_end)
{
	static const char *const cases[] = {
		"GET / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"GET / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n",
		"GET / HTTP/1.1\n" H "\n",
		"GET / HTTP/1.1\r\n" H "X : a\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET http://h/ HTTP/1.1\r\n" H "\r\n",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		dial();
		say(cases[i]);
		say("GET /smuggled HTTP/1.1\r\n" H "\r\n");
		await("HTTP/1.1 400 Bad Request\r\n");
		shutdown(world.fd, SHUT_WR);
		await(NULL);
		cr_assert_eq(count_text("HTTP/1.1 "), 1, "%s", cases[i]);
		cr_assert_not_null(strstr(strbuf_str(&world.got), "Connection: close\r\n"));
		cr_assert_not_null(strstr(strbuf_str(&world.got), "{\"error\":\""));
		cr_assert_not(world.reset);
	}
	cr_assert_eq(world.requests, 0);
}

Test(conn, limits_of_heads)
{
	char *big = malloc(40000);

	memset(big, 'a', 40000);
	dial();
	say("GET /");
	send_all(big, 40000);
	await("HTTP/1.1 431 ");
	dial();
	say("GET /");
	send_all(big, 30000);
	say(" HTTP/1.1\r\n" H "X-Request-ID: fits\r\n\r\n");
	await("\r\n\r\nfits");
	dial();
	say("GET / HTTP/1.1\r\n" H);
	for (int i = 0; i < 20; i++)
		say("X: y\r\n");
	say("\r\n");
	await("HTTP/1.1 431 ");
	dial();
	say("GET / HTTP/2.0\r\n" H "\r\n");
	await("HTTP/1.1 505 ");
	dial();
	say("BREW / HTTP/1.1\r\n" H "\r\n");
	await("HTTP/1.1 501 ");
	free(big);
}

Test(conn, broken_chunks_reach_the_handler_as_an_error)
{
	dial();
	say("PUT /sum HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n" H "\r\n");
	await("HTTP/1.1 400 ");
	shutdown(world.fd, SHUT_WR);
	await(NULL);
	cr_assert_eq(world.body_err, GFS_ERR_INVALID);
	cr_assert_eq(world.requests, 1);
	cr_assert_not_null(strstr(strbuf_str(&world.got), "Connection: close\r\n"));
}

/* ---- bodies nobody wants ---- */

Test(conn, a_small_unread_body_is_read_away)
{
	dial();
	say("PUT /status/403 HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n01234");
	await("HTTP/1.1 403 ");
	say("56789GET /x HTTP/1.1\r\n" H "X-Request-ID: next\r\n\r\n");
	await("\r\n\r\nnext");
}

Test(conn, a_client_that_goes_on_sending_still_sees_the_error)
{
	char *in = calloc(1, 4 << 20);

	dial();
	say("PUT /status/413 HTTP/1.1\r\n" H "Content-Length: 1000000000\r\n\r\n");
	send_all(in, 4 << 20);
	await(NULL);
	cr_assert_not(world.reset);
	cr_assert_not_null(strstr(strbuf_str(&world.got), "HTTP/1.1 413 "));
	cr_assert_not_null(strstr(strbuf_str(&world.got), "Connection: close\r\n"));
	free(in);
}

/* ---- time ---- */

Test(conn, a_slow_head_gets_408)
{
	end_world();
	memset(&world, 0, sizeof(world));
	make_world();
	world.conf.limits.header_timeout_ms = 100;
	dial();
	say("GET / HT");
	await("HTTP/1.1 408 ");
}

Test(conn, a_silent_connection_is_closed_without_a_word)
{
	world.conf.limits.header_timeout_ms = 30;
	dial();
	await(NULL);
	cr_assert_eq(world.got.n, 0);
}

static void remake_with_short_stall(void)
{
	end_world();
	memset(&world, 0, sizeof(world));
	make_world();
	conn_list_destroy(&world.w.conns);
	world.conf.limits.stall_timeout_ms = 80;
	world.w.conns = conn_list_create(&world.w);
}

Test(conn, a_trickling_body_is_given_up)
{
	remake_with_short_stall();
	dial();
	say("PUT /sum HTTP/1.1\r\n" H "Content-Length: 100000\r\n\r\n");
	for (int i = 0; i < 100 && !world.body_err; i++) {
		say("x");
		quiet(10);
	}
	cr_assert_eq(world.body_err, GFS_ERR_CLIENT_SLOW);
	await("HTTP/1.1 408 ");
}

Test(conn, a_handler_that_takes_its_time_is_not_the_clients_fault)
{
	remake_with_short_stall();
	dial();
	say("GET /hold HTTP/1.1\r\n" H "\r\n");
	quiet(400);
	cr_assert_eq(world.aborts, 0);
	job_end(world.held);
	response_text(world.held, 200, "at last");
	await("at last");
}

Test(conn, a_reader_that_stalls_is_cut)
{
	remake_with_short_stall();
	dial();
	say("GET /len/100000000 HTTP/1.1\r\n" H "\r\n");
	await_until(world.aborts == 1);
	cr_assert_eq(conn_list_count(world.w.conns), 0);
}

/* ---- back-pressure, files ---- */

Test(conn, a_slow_reader_holds_the_handler_back)
{
	dial();
	say("GET /len/50000000 HTTP/1.1\r\n" H "\r\n");
	for (int i = 0; i < 200; i++)
		turn();
	cr_assert_neq(world.requests, 0);
	cr_assert_eq(world.aborts, 0);
	await_until((sip(), world.got.n > 50000000));
	cr_assert_gt(world.drains, 5);
	check_pattern(body(), 50000000, 0);
}

Test(conn, files_of_all_sizes_arrive_whole)
{
	static const size_t sizes[] = {0, 1, 4096, 32768, 32769, 100000, 5000000};

	dial();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char ask[128];

		strbuf_reset(&world.got);
		snprintf(ask, sizeof(ask), "GET /file/%zu HTTP/1.1\r\n" H "\r\n", sizes[i]);
		say(ask);
		await("\r\n\r\n");
		await_until((sip(), world.got.n >= (size_t)(body() - world.got.p) + sizes[i]));
		check_pattern(body(), sizes[i], 10);
	}
	quiet(5);
	cr_assert_eq(conn_list_count(world.w.conns), 1);
}

Test(conn, a_file_that_shrank_goes_back_to_the_handler)
{
	struct request *req;
	int fd;

	dial();
	say("GET /hold HTTP/1.1\r\n" H "\r\n");
	await_until(world.held);
	req = world.held;
	fd = make_file(100);
	job_end(req);
	response_start(req, 200, (struct slice){NULL, 0}, 100000);
	send_file(req, fd, 0, 100000);
	await(NULL);
	cr_assert_eq(strlen(body()), 100);
	cr_assert_eq(world.file_left, 100000 - 100);
	cr_assert_eq(world.aborts, 0, "the handler had ended it");
}

static void hang(void *arg)
{
	char byte;

	cr_assert_geq(read(*(int *)arg, &byte, 1), 0); /* until its pipe is closed */
}

static void nothing(void *arg)
{
	(void)arg;
}

Test(conn, a_disk_that_hangs_is_given_up)
{
	const uint64_t n = 4 << 20;
	struct response_file file = {.len = n, .stall_ms = 50, .done = on_file_done};
	struct iovec iov = {.iov_len = 1};
	struct request *req;
	char byte;
	int ends[2];

	file.fd = make_file(n);
	iov.iov_base = &byte;
	cr_assert_eq(fsync(file.fd), 0);
	cr_assert_eq(posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	if (preadv2(file.fd, &iov, 1, 0, RWF_NOWAIT) == 1)
		cr_skip_test("this filesystem keeps its files in memory");
	cr_assert_eq(pipe(ends), 0);
	pool_submit(world.w.pool, hang, nothing, &ends[0]); /* its only thread */
	dial();
	say("GET /hold HTTP/1.1\r\n" H "\r\n");
	await_until(world.held);
	req = world.held;
	job_end(req);
	response_start(req, 200, (struct slice){NULL, 0}, (int64_t)n);
	response_send_file(req, &file);
	await(NULL);
	cr_assert_eq(world.file_left, n);
	cr_assert_eq(strlen(body()), 0);
	close(ends[1]);
}

/* ---- many ---- */

#if !defined(__SANITIZE_ADDRESS__)
Test(conn, an_idle_connection_costs_little)
{
	enum { N = 90 };
	int fds[N];
	char buf[1024];
	size_t before;

	dial();
	say("GET /x HTTP/1.1\r\n" H "\r\n");
	await("\r\n\r\n");
	before = mallinfo2().uordblks;
	for (int i = 0; i < N; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		cr_assert_eq(connect(fds[i], (struct sockaddr *)&world.addr, sizeof(world.addr)), 0);
		cr_assert_gt(send(fds[i], "GET /x HTTP/1.1\r\n" H "\r\n", 28, 0), 0);
		turn();
	}
	await_until(world.requests == N + 1);
	for (int i = 0; i < N; i++)
		cr_assert_gt(recv(fds[i], buf, sizeof(buf), 0), 0);
	cr_assert_lt((mallinfo2().uordblks - before) / N, 4096);
	for (int i = 0; i < N; i++)
		close(fds[i]);
}
#endif

Test(conn, a_greedy_client_does_not_starve_the_others)
{
	int greedy = socket(AF_INET, SOCK_STREAM, 0), turns = 0;
	const int big = 64 << 20;
	char *buf = malloc(1 << 20);

	setsockopt(greedy, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
	cr_assert_eq(connect(greedy, (struct sockaddr *)&world.addr, sizeof(world.addr)), 0);
	cr_assert_gt(send(greedy, "GET /len/500000000 HTTP/1.1\r\n" H "\r\n", 40, 0), 0);
	await_until(world.requests == 1);
	dial();
	cr_assert_gt(send(world.fd, "GET /x HTTP/1.1\r\n" H "\r\n", 28, 0), 0);
	for (; !sip() && turns < 10; turns++) {
		turn();
		while (recv(greedy, buf, 1 << 20, MSG_DONTWAIT) > 0)
			;
	}
	cr_assert_lt(turns, 10);
	close(greedy);
	free(buf);
}

Test(conn, requests_sent_before_the_client_shut_its_side_are_all_answered)
{
	dial();
	say("GET /x HTTP/1.1\r\n" H "\r\nGET /x HTTP/1.1\r\n" H "\r\nGET /x HTTP/1.1\r\n" H "X-Request-ID: last\r\n\r\nGET /half");
	shutdown(world.fd, SHUT_WR);
	await(NULL);
	cr_assert_eq(count_text("HTTP/1.1 200"), 3);
}

Test(conn, a_body_longer_than_promised_cuts_the_connection)
{
	struct request *req;

	dial();
	say("GET /hold HTTP/1.1\r\n" H "\r\n");
	await_until(world.held);
	req = world.held;
	response_start(req, 200, (struct slice){NULL, 0}, 4);
	cr_assert(response_write(req, "abc", 3));
	cr_assert_not(response_write(req, "de", 2));
	await(NULL);
	cr_assert_eq(world.aborts, 1);
}

/* ---- the end ---- */

Test(conn, a_client_that_leaves_in_mid_body_aborts_the_request)
{
	dial();
	say("PUT /sum HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\nabc");
	await_until(world.requests == 1);
	drop_client();
	await_until(world.aborts == 1);
	cr_assert_eq(conn_list_count(world.w.conns), 0);
}

Test(conn, a_reset_while_the_handler_works_aborts_the_request)
{
	const struct linger hard = {.l_onoff = 1};

	dial();
	say("GET /hold HTTP/1.1\r\n" H "\r\n");
	await_until(world.held);
	setsockopt(world.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	drop_client();
	await_until(world.aborts == 1);
}

Test(conn, a_client_that_only_shut_its_side_still_gets_the_answer)
{
	dial();
	say("GET /hold HTTP/1.1\r\n" H "\r\n");
	shutdown(world.fd, SHUT_WR);
	await_until(world.held);
	quiet(20);
	cr_assert_eq(world.aborts, 0);
	job_end(world.held);
	response_text(world.held, 200, "still here");
	await("still here");
	await(NULL);
}

Test(conn, a_cut_response_ends_short)
{
	dial();
	say("GET /cut HTTP/1.1\r\n" H "\r\n");
	await(NULL);
	cr_assert_not_null(strstr(strbuf_str(&world.got), "Content-Length: 100\r\n"));
	cr_assert_lt(strlen(body()), 100);
	cr_assert_eq(world.aborts, 0);
}

static void on_empty(void *arg)
{
	(void)arg;
	world.drained = true;
}

Test(conn, drain_ends_idle_ones_now_and_the_others_after_their_request)
{
	int idle = socket(AF_INET, SOCK_STREAM, 0);
	char byte;

	cr_assert_eq(connect(idle, (struct sockaddr *)&world.addr, sizeof(world.addr)), 0);
	dial();
	say("GET /hold HTTP/1.1\r\n" H "\r\n");
	await_until(world.held && conn_list_count(world.w.conns) == 2);
	listener_destroy(&world.door);
	conn_list_drain(world.w.conns, on_empty, NULL);
	await_until(conn_list_count(world.w.conns) == 1);
	cr_assert_eq(recv(idle, &byte, 1, 0), 0);
	cr_assert_not(world.drained);
	job_end(world.held);
	response_text(world.held, 200, "done");
	await("done");
	cr_assert_not_null(strstr(strbuf_str(&world.got), "Connection: close\r\n"));
	await(NULL);
	drop_client();
	await_until(world.drained);
	close(idle);
}

Test(conn, drain_closes_after_a_response_that_had_begun_before)
{
	dial();
	say("GET /len/20000000 HTTP/1.1\r\n" H "\r\n");
	await("\r\n\r\n");
	cr_assert_lt(world.got.n, 20000000);
	conn_list_drain(world.w.conns, on_empty, NULL);
	await(NULL);
	cr_assert_gt(world.got.n, 20000000);
	drop_client();
	await_until(world.drained);
}

Test(conn, drain_answers_a_request_that_has_arrived_unseen)
{
	dial();
	await_until(conn_list_count(world.w.conns) == 1);
	cr_assert_gt(send(world.fd, "GET /x HTTP/1.1\r\n" H "X-Request-ID: unseen\r\n\r\n", 51, 0), 0);
	conn_list_drain(world.w.conns, on_empty, NULL);
	await("\r\n\r\nunseen");
	drop_client();
	await_until(world.drained);
}

Test(conn, drain_of_nothing_ends_at_once)
{
	conn_list_drain(world.w.conns, on_empty, NULL);
	cr_assert_not(world.drained);
	await_until(world.drained);
}

Test(conn, the_end_of_the_world_aborts_what_is_open)
{
	dial();
	say("GET /hold HTTP/1.1\r\n" H "\r\n");
	await_until(world.held);
	conn_list_destroy(&world.w.conns);
	cr_assert_eq(world.aborts, 1);
}

Test(conn, at_the_limit_clients_wait_their_turn)
{
	int others[3];
	char buf[1024];

	world.conf.limits.max_connections = 2;
	for (int i = 0; i < 3; i++) {
		others[i] = socket(AF_INET, SOCK_STREAM, 0);
		cr_assert_eq(connect(others[i], (struct sockaddr *)&world.addr, sizeof(world.addr)), 0);
		cr_assert_gt(send(others[i], "GET /x HTTP/1.1\r\n" H "\r\n", 28, 0), 0);
	}
	await_until(world.requests == 2);
	for (int i = 0; i < 50; i++)
		turn();
	cr_assert_eq(world.requests, 2);
	close(others[0]);
	await_until(world.requests == 3);
	cr_assert_gt(recv(others[2], buf, sizeof(buf), 0), 0);
	close(others[1]);
	close(others[2]);
}
