/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses: the head with what every response carries, the body in one of its framings, and whole responses for the handlers.
 * Called by the operations and front doors; the bytes are conn_out.c's.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "conn_impl.h"

#define RETRY_AFTER_S 2

/* ---- the head ---- */

/* A small line builder: the heads of small responses are a good part of their cost. */
struct head_buf {
	size_t n;
	char p[512];
};

static void put(struct head_buf *h, const char *p, size_t n)
{
	gfs_assert(h->n + n <= sizeof(h->p));
	memcpy(h->p + h->n, p, n);
	h->n += n;
}

static void put_str(struct head_buf *h, const char *s)
{
	put(h, s, strlen(s));
}

static void put_u64(struct head_buf *h, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	put(h, digits + n, sizeof(digits) - n);
}

static const char *date_now(struct conn_list *list)
{
	int64_t s = (int64_t)time(NULL);

	if (s != list->date_s) {
		list->date_s = s;
		http_date_format(s * 1000, list->date);
	}
	return list->date;
}

/* May another request follow? Not when it is unclear where this one's body ends, or too much of it is still to come. */
static bool may_keep_alive(const struct request *req)
{
	const struct conn *c = req->conn;
	const struct conn_body *b = &c->body;

	if (!req->head.keep_alive || req->worker->draining || b->err || (c->peer_eof && block_used(c->in) == 0))
		return false;
	return b->ended || (!b->chunked && !b->need_continue && b->left <= CONN_DISCARD_MAX);
}

static void decide_framing(struct request *req, int status, int64_t length)
{
	struct conn_reply *r = &req->conn->reply;

	r->no_body = req->head.method == HTTP_M_HEAD || status == 204 || status == 304 || status < 200;
	r->has_length = length >= 0;
	r->left = length > 0 ? (uint64_t)length : 0;
	r->keep_alive = may_keep_alive(req);
	if (!r->has_length && !r->no_body) {
		r->chunked = req->head.minor >= 1;
		r->keep_alive = r->keep_alive && r->chunked;
	}
}

static void build_head(const struct request *req, struct head_buf *h)
{
	const struct conn_reply *r = &req->conn->reply;

	put_str(h, "HTTP/1.1 ");
	put_u64(h, (uint64_t)req->status);
	put_str(h, " ");
	put_str(h, http_reason(req->status));
	put_str(h, "\r\nDate: ");
	put_str(h, date_now(req->conn->list));
	put_str(h, "\r\nX-Request-ID: ");
	put_str(h, req->id);
	if (r->has_length && req->status != 204 && req->status >= 200) {
		put_str(h, "\r\nContent-Length: ");
		put_u64(h, r->left);
	} else if (r->chunked) {
		put_str(h, "\r\nTransfer-Encoding: chunked");
	}
	if (!r->keep_alive)
		put_str(h, "\r\nConnection: close");
	else if (req->head.minor == 0)
		put_str(h, "\r\nConnection: keep-alive");
	put_str(h, "\r\n");
}

void response_start(struct request *req, int status, struct slice headers, int64_t length)
{
	struct conn *c = req->conn;
	struct head_buf h = {.n = 0};

	gfs_assert(!req->responded && !c->reply.ended);
	req->responded = true;
	req->status = status;
	decide_framing(req, status, length);
	build_head(req, &h);
	conn_out_add(c, h.p, h.n);
	conn_out_add(c, headers.p, headers.n);
	conn_out_add(c, "\r\n", 2);
}

/* ---- the body ---- */

bool response_write(struct request *req, const void *p, size_t n)
{
	struct conn *c = req->conn;
	struct conn_reply *r = &c->reply;
	char size[24];
	struct iovec iov[3];
	int n_iov = 0;

	gfs_assert(req->responded && !r->ended && c->file.fd < 0);
	if (n == 0 || r->no_body)
		return true;
	if (r->has_length && n > r->left) {
		/* a site's fault at worst, and no reason to end the process: this client must see that something is wrong */
		log_error("event=long-response request_id=%s over=%" PRIu64, req->id, n - r->left);
		c->broken = true;
		conn_later(c);
		return false;
	}
	r->left -= r->has_length ? n : 0;
	if (r->chunked)
		iov[n_iov++] = (struct iovec){.iov_base = size, .iov_len = (size_t)snprintf(size, sizeof(size), "%zx\r\n", n)};
	memcpy(&iov[n_iov].iov_base, &p, sizeof(p)); /* sendmsg() does not write to it */
	iov[n_iov++].iov_len = n;
	if (r->chunked) {
		static char crlf[] = "\r\n";

		iov[n_iov++] = (struct iovec){.iov_base = crlf, .iov_len = 2};
	}
	conn_out_send(c, iov, n_iov);
	req->body_out += n;
	if (!c->running)
		conn_arm(c);
	if (c->out_bytes <= CONN_OUT_HIGH && !c->broken)
		return true;
	r->drain_wanted = true;
	return false;
}

void response_end(struct request *req)
{
	struct conn *c = req->conn;
	struct conn_reply *r = &c->reply;

	gfs_assert(req->responded && !r->ended);
	if (r->has_length && r->left > 0 && !r->no_body) {
		log_error("event=short-response request_id=%s left=%" PRIu64, req->id, r->left);
		response_cut(req);
		return;
	}
	if (r->chunked && !r->no_body)
		conn_out_add(c, "0\r\n\r\n", 5);
	r->ended = true;
	c->body.cb = NULL;
	conn_run(c);
}

void response_send_file(struct request *req, const struct response_file *file)
{
	struct conn_reply *r = &req->conn->reply;

	gfs_assert(req->responded && r->has_length && !r->ended);
	if (r->no_body) {
		close(file->fd);
		file->done(req, 0);
		return;
	}
	gfs_assert(file->len <= r->left);
	r->left -= file->len;
	req->body_out += file->len;
	conn_out_file(req->conn, file);
	conn_run(req->conn);
}

void response_cut(struct request *req)
{
	struct conn *c = req->conn;

	c->reply.cut = true;
	c->body.cb = NULL;
	conn_run(c);
}

/* ---- whole responses ---- */

static void respond_whole(struct request *req, int status, struct slice headers, struct slice body)
{
	response_start(req, status, headers, (int64_t)body.n);
	response_write(req, body.p, body.n);
	response_end(req);
}

void response_text(struct request *req, int status, const char *text)
{
	respond_whole(req, status, SLICE_LIT("Content-Type: text/plain; charset=utf-8\r\n"), slice_str(text));
}

void response_json(struct request *req, int status, struct slice headers, struct slice json)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_adds(&sb, "Content-Type: application/json\r\n");
	strbuf_add_slice(&sb, headers);
	if (strbuf_failed(&sb))
		response_cut(req);
	else
		respond_whole(req, status, strbuf_slice(&sb), json);
	strbuf_free(&sb);
}

static void respond_error(struct request *req, int status, const char *text, struct slice headers)
{
	struct strbuf json = STRBUF_INIT;

	if (req->responded) { /* too late for a status: the client must see that it broke */
		response_cut(req);
		return;
	}
	strbuf_adds(&json, "{\"error\":");
	strbuf_add_json(&json, slice_str(text));
	strbuf_adds(&json, "}\n");
	if (strbuf_failed(&json))
		response_cut(req);
	else
		response_json(req, status, headers, strbuf_slice(&json));
	strbuf_free(&json);
}

void response_error_headers(struct request *req, int err, const char *text, struct slice headers)
{
	int status = gfs_err_http(err);
	struct strbuf sb = STRBUF_INIT;

	strbuf_add_slice(&sb, headers);
	if (status == 503 && !(headers.n && memmem(headers.p, headers.n, "Retry-After:", 12)))
		strbuf_addf(&sb, "Retry-After: %d\r\n", RETRY_AFTER_S);
	respond_error(req, status, text ? text : gfs_err_text(err), strbuf_failed(&sb) ? headers : strbuf_slice(&sb));
	strbuf_free(&sb);
}

void response_error(struct request *req, int err, const char *text)
{
	response_error_headers(req, err, text, (struct slice){NULL, 0});
}

void response_status_error(struct request *req, int status, const char *text)
{
	respond_error(req, status, text, (struct slice){NULL, 0});
}
