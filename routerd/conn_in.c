/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes in on a client connection: heads, bodies, and what is only read away. Bodies go straight from the socket into the
 * handler's buffer; only what came along with a head, and the framing of chunks, passes through the connection's block.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/log.h"
#include "conn_impl.h"

/* Bytes, or 0: nothing now, or the end (peer_eof), or a failure (broken). */
static size_t conn_recv(struct conn *c, struct iovec *iov, int n_iov)
{
	size_t want = 0;
	ssize_t n;

	for (int i = 0; i < n_iov; i++)
		want += iov[i].iov_len;
	do
		n = n_iov == 1 ? recv(c->fd, iov->iov_base, iov->iov_len, 0) : readv(c->fd, iov, n_iov);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		c->readable = (size_t)n == want;
		c->turn_left -= (size_t)n < c->turn_left ? (size_t)n : c->turn_left;
		return (size_t)n;
	}
	c->readable = false;
	if (n == 0)
		c->peer_eof = true;
	else if (errno != EAGAIN && errno != EWOULDBLOCK)
		c->broken = true;
	return 0;
}

/* Drops what was used up from the block; an empty one goes back to the pool. */
static void in_consume(struct conn *c, size_t n)
{
	if (!c->in)
		return;
	c->in->start += n;
	if (c->in->start == c->in->end)
		block_put(&c->list->blocks, &c->in);
}

/* Room in the block for more of a head: from the pool, by moving up, or by growing to the limit of heads. */
static bool in_make_room(struct conn *c)
{
	struct block *big;

	if (!c->in)
		c->in = block_get(&c->list->blocks);
	if (!c->in)
		return false;
	if (block_room(c->in) > 0)
		return true;
	if (c->in->start > 0) {
		memmove(c->in->data, c->in->data + c->in->start, block_used(c->in));
		c->in->end -= c->in->start;
		c->in->start = 0;
		return true;
	}
	big = block_get_sized(c->list->max_head_bytes + 1);
	if (!big || big->cap <= c->in->cap) {
		free(big);
		return false;
	}
	memcpy(big->data, c->in->data, c->in->end);
	big->end = c->in->end;
	block_put(&c->list->blocks, &c->in);
	c->in = big;
	return true;
}

static size_t in_fill(struct conn *c)
{
	struct iovec iov = {.iov_base = c->in->data + c->in->end, .iov_len = block_room(c->in)};
	size_t n = conn_recv(c, &iov, 1);

	c->in->end += n;
	in_consume(c, 0);
	return n;
}

/* ---- heads ---- */

bool conn_step_head(struct conn *c)
{
	size_t len;
	bool sound;

	for (;;) {
		len = c->in ? http_head_length(c->in->data + c->in->start, block_used(c->in), &c->scanned) : 0;
		if (len || block_used(c->in) > c->list->max_head_bytes)
			break;
		if (c->peer_eof || c->broken) {
			conn_set_state(c, CONN_CLOSED);
			return true;
		}
		if (c->in)
			conn_set_state(c, CONN_HEAD);
		if (!c->readable || c->turn_left == 0)
			return false;
		if (!in_make_room(c)) {
			conn_set_state(c, CONN_CLOSED);
			return true;
		}
		in_fill(c);
	}
	c->scanned = 0;
	if (len == 0 || len > c->list->max_head_bytes) {
		conn_request_refuse(c, 431, "the head of the request is larger than allowed");
		return true;
	}
	sound = conn_request_begin(c, c->in->data + c->in->start, len);
	in_consume(c, len);
	if (sound)
		c->handler(c->req);
	return true;
}

/* While a handler is at work: notes that the client went away, and takes what it pipelines, one block of it. */
void conn_read_ahead(struct conn *c)
{
	if (!c->in)
		c->in = block_get(&c->list->blocks);
	if (c->in && block_room(c->in) > 0)
		in_fill(c);
	if (c->peer_eof && c->req->ends_with_client && !c->req->responded)
		c->broken = true;
}

/* ---- bodies ---- */

static void body_fail(struct conn *c, int err)
{
	c->body.err = err;
	log_info("event=bad-body peer=%s request_id=%s why=\"%s\"", c->peer, c->req->id, gfs_err_text(err));
}

/* Payload that comes before any framing or the end. */
static uint64_t body_payload(const struct conn_body *b)
{
	return b->chunked ? http_chunked_payload(&b->chunk) : b->left;
}

static void body_took(struct conn *c, size_t n)
{
	struct conn_body *b = &c->body;

	b->got += n;
	c->req->body_in += n;
	c->rate_bytes += n;
	if (b->chunked) {
		http_chunked_took(&b->chunk, n);
		return;
	}
	b->left -= n;
	b->ended = b->left == 0;
}

/* Uses what is in the block: framing, and payload as far as the handler's buffer takes it. */
static void body_from_block(struct conn *c)
{
	struct conn_body *b = &c->body;

	while (c->in && !b->ended && !b->err) {
		const char *p = c->in->data + c->in->start;
		size_t used = 0, take;
		int rc = b->chunked ? http_chunked_next(&b->chunk, p, block_used(c->in), &used) : 0;

		in_consume(c, used);
		if (rc < 0)
			body_fail(c, rc);
		if (rc != 0) {
			b->ended = rc == 1;
			return;
		}
		take = block_used(c->in);
		if (take > body_payload(b))
			take = (size_t)body_payload(b);
		if (take > b->cap - b->got)
			take = b->cap - b->got;
		if (take == 0)
			return;
		memcpy(b->buf + b->got, c->in->data + c->in->start, take);
		in_consume(c, take);
		body_took(c, take);
	}
}

/* One read from the socket: payload to where it belongs, and behind it, for chunks, framing into the block. */
static void body_from_socket(struct conn *c)
{
	struct conn_body *b = &c->body;
	struct iovec iov[2];
	size_t direct = b->cap - b->got, n;
	int n_iov = 0;

	if (direct > body_payload(b))
		direct = (size_t)body_payload(b);
	if (direct)
		iov[n_iov++] = (struct iovec){.iov_base = b->buf + b->got, .iov_len = direct};
	if (b->chunked) {
		gfs_assert(!c->in);
		c->in = block_get(&c->list->blocks);
		if (!c->in) {
			c->broken = true;
			return;
		}
		iov[n_iov++] = (struct iovec){.iov_base = c->in->data, .iov_len = c->in->cap};
	}
	n = conn_recv(c, iov, n_iov);
	if (direct > n)
		direct = n;
	if (direct)
		body_took(c, direct);
	if (c->in) {
		c->in->end = n - direct;
		in_consume(c, 0);
	}
	if (c->peer_eof)
		c->broken = true; /* what is left of the body will never come */
}

/* Fills the open read. True when it is complete or has failed. */
static bool body_fill(struct conn *c)
{
	struct conn_body *b = &c->body;

	for (;;) {
		body_from_block(c);
		if (b->err || b->ended || (b->cap > 0 && b->got == b->cap))
			return true;
		if (c->broken || !c->readable)
			return false;
		if (c->peer_eof) {
			c->broken = true;
			return false;
		}
		if (c->turn_left == 0) {
			conn_later(c);
			return false;
		}
		body_from_socket(c);
	}
}

bool conn_step_body(struct conn *c)
{
	struct conn_body *b = &c->body;
	request_body_cb *cb = b->cb;

	if (!cb || !body_fill(c))
		return false;
	b->cb = NULL;
	cb(c->req, b->err, b->err ? 0 : b->got, b->ended);
	return true;
}

/* ---- reading away ---- */

bool conn_step_discard(struct conn *c)
{
	struct conn_body *b = &c->body;

	while (b->left > 0) {
		size_t take = block_used(c->in);
		struct iovec iov = {.iov_base = c->list->scratch, .iov_len = CONN_SCRATCH_BYTES};

		if (take) {
			take = take < b->left ? take : (size_t)b->left;
			in_consume(c, take);
			b->left -= take;
			continue;
		}
		if (!c->readable || c->turn_left == 0)
			return false;
		if (iov.iov_len > b->left)
			iov.iov_len = (size_t)b->left;
		b->left -= conn_recv(c, &iov, 1);
		if (c->peer_eof || c->broken) {
			conn_set_state(c, CONN_CLOSED);
			return true;
		}
	}
	b->ended = true;
	conn_set_state(c, CONN_IDLE);
	return true;
}

bool conn_step_linger(struct conn *c)
{
	struct iovec iov = {.iov_base = c->list->scratch, .iov_len = CONN_SCRATCH_BYTES};

	block_put(&c->list->blocks, &c->in);
	while (c->readable && c->turn_left > 0 && !c->peer_eof && !c->broken)
		if (conn_recv(c, &iov, 1) > 0)
			conn_linger_on(c);
	if (c->peer_eof || c->broken)
		conn_set_state(c, CONN_CLOSED);
	return c->state == CONN_CLOSED;
}
