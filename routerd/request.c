/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request from its head to its end: made by conn.c when a head is complete, one per connection at a time; counted, logged and
 * freed here. It holds a copy of its head, so that the connection's block is free for what follows.
 */
#include "config.h"

#include "request.h"

#include <stddef.h>
#include <stdlib.h>

#include "access_log.h"
#include "common/clock.h"
#include "common/log.h"
#include "conn_impl.h"

/* splitmix64 over a random start: no two ids of a worker are equal, and nothing secret depends on them. */
static void fresh_id(struct conn_list *list, char id[REQUEST_ID_MAX + 1])
{
	static const char digits[] = "0123456789abcdef";
	uint64_t x = list->id_state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	x ^= x >> 31;
	for (int i = 0; i < 16; i++, x <<= 4)
		id[i] = digits[x >> 60];
	id[16] = '\0';
}

static bool id_valid(struct slice id)
{
	if (id.n < 1 || id.n > REQUEST_ID_MAX)
		return false;
	for (size_t i = 0; i < id.n; i++) {
		char ch = id.p[i];

		if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '.' || ch == '_' ||
		      ch == '-'))
			return false;
	}
	return true;
}

static void take_id(struct request *req)
{
	struct slice id = http_head_get(&req->head, "x-request-id");

	if (id_valid(id)) {
		memcpy(req->id, id.p, id.n);
		req->id[id.n] = '\0';
	}
}

/* The headers array is left as it is: n_headers says what is in it. */
static struct request *request_create(struct conn *c, size_t head_n)
{
	struct request *req = malloc(sizeof(*req) + head_n);
	const size_t after = offsetof(struct request, head) + sizeof(req->head);

	if (!req)
		return NULL;
	memset(req, 0, offsetof(struct request, head) + offsetof(struct http_head, headers));
	memset((char *)req + after, 0, sizeof(*req) - after);
	req->worker = c->list->w;
	req->conn = c;
	req->start_us = clock_mono_us();
	req->stat_ok = req->stat_err = req->stat_time = -1;
	req->op_name = "";
	req->head.content_length = -1;
	fresh_id(c->list, req->id);
	c->req = req;
	c->body = (struct conn_body){.ended = true};
	c->reply = (struct conn_reply){0};
	return req;
}

void conn_request_refuse(struct conn *c, int status, const char *why)
{
	struct request *req = c->req ? c->req : request_create(c, 0);

	if (!req) {
		conn_set_state(c, CONN_CLOSED);
		return;
	}
	conn_set_state(c, CONN_BUSY);
	c->body = (struct conn_body){.err = GFS_ERR_INVALID}; /* what follows cannot be understood */
	response_status_error(req, status, why);
}

static int refusal_status(int err, const struct http_head *head)
{
	if (err == GFS_ERR_TOO_LARGE)
		return 431;
	if (err == GFS_ERR_UNSUPPORTED)
		return head->minor < 0 ? 505 : 501;
	return 400;
}

bool conn_request_begin(struct conn *c, const char *head, size_t n)
{
	struct request *req = request_create(c, n);
	char *copy = req ? (char *)(req + 1) : NULL;
	const char *why = "";
	int err;

	if (!req) {
		conn_set_state(c, CONN_CLOSED);
		return false;
	}
	memcpy(copy, head, n);
	err = http_head_parse(copy, n, c->list->w->conf->limits.max_headers, &req->head, &why);
	if (err) {
		log_info("event=bad-request peer=%s request_id=%s why=\"%s\"", c->peer, req->id, why);
		req->head.keep_alive = false;
		conn_request_refuse(c, refusal_status(err, &req->head), why);
		return false;
	}
	take_id(req);
	c->body.chunked = req->head.chunked;
	c->body.left = req->head.content_length > 0 ? (uint64_t)req->head.content_length : 0;
	c->body.ended = !c->body.chunked && c->body.left == 0;
	c->body.need_continue = req->head.expect_continue && !c->body.ended;
	http_chunked_init(&c->body.chunk);
	conn_set_state(c, CONN_BUSY);
	return true;
}

static void count(const struct request *req, int64_t duration_us, bool aborted)
{
	struct stats *stats = req->worker->stats;
	int outcome = aborted || req->status >= 400 ? req->stat_err : req->stat_ok;

	if (!stats)
		return;
	if (outcome >= 0)
		stats_add(stats, (enum stat_id)outcome, 1);
	if (req->stat_time >= 0)
		stats_time(stats, (enum stat_id)req->stat_time, duration_us);
	if (req->body_in)
		stats_add(stats, STAT_BYTES_IN, req->body_in);
	if (req->body_out)
		stats_add(stats, STAT_BYTES_OUT, req->body_out);
}

void conn_request_end(struct conn *c, bool aborted)
{
	struct request *req = c->req;
	int64_t duration_us = clock_mono_us() - req->start_us;

	count(req, duration_us, aborted);
	access_log(req, c->peer, duration_us, aborted);
	c->req = NULL;
	c->body.cb = NULL;
	c->body.buf = NULL;
	free(req);
}

void request_read_body(struct request *req, void *buf, size_t cap, request_body_cb *cb)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct conn *c = req->conn;
	struct conn_body *b = &c->body;

	gfs_assert(!b->cb && cap > 0 && !c->reply.ended);
	b->cb = cb;
	b->buf = buf;
	b->cap = cap;
	b->got = 0;
	if (b->need_continue) {
		b->need_continue = false;
		/* a client that did not wait has no use for it */
		if (!req->responded && !c->in)
			conn_out_add(c, go_on, sizeof(go_on) - 1);
	}
	conn_run(c);
}
