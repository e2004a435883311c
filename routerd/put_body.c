/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a PUT: pulled from the client into two buffers by turns, each hashed (on the pool, unless it is small) while it
 * goes to all sites at once. The slowest site sets the pace; a buffer is free when every site and the hash are through with it.
 */
#include "config.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/pool.h"
#include "common/xalloc.h"

#include "put.h"

static void put_step(struct put *p);

void put_body_free(struct put *p)
{
	gfs_assert(!p->hashing);
	free(p->buf[0].p);
	free(p->buf[1].p);
	etag_calc_destroy(&p->calc);
	EVP_MD_CTX_free(p->md5_ctx);
}

static void hash_work(void *arg)
{
	struct put *p = arg;
	const struct put_buf *b = &p->buf[p->sending];

	etag_calc_update(p->calc, b->p, b->n);
	if (p->md5_ctx)
		EVP_DigestUpdate(p->md5_ctx, b->p, b->n);
}

/* The buffer that is being sent may be free now. */
static void put_sent(struct put *p)
{
	struct put_buf *b = &p->buf[p->sending];

	if (b->state != PUT_BUF_SENDING || p->hashing)
		return;
	for (size_t i = 0; i < p->n_sites; i++) {
		if (p->sites[i].state == PUT_SITE_WRITING)
			return;
	}
	b->state = PUT_BUF_EMPTY;
	p->sending ^= 1;
}

static void hash_done(void *arg)
{
	struct put *p = arg;

	p->hashing = false;
	if (!p->dead) {
		put_sent(p);
		put_step(p);
	}
	put_release(p);
}

/* True when it began to send a buffer. */
static bool put_send(struct put *p)
{
	struct put_buf *b = &p->buf[p->sending];

	if (b->state != PUT_BUF_FULL)
		return false;
	for (size_t i = 0; i < p->n_sites; i++) {
		if (p->sites[i].state == PUT_SITE_STARTING)
			return false;
	}
	b->state = PUT_BUF_SENDING;
	if (b->n < PUT_INLINE_HASH_BYTES) {
		hash_work(p);
	} else {
		p->hashing = true;
		put_hold(p); /* the pool reads from the buffer, whatever becomes of the request */
		pool_submit(p->w->pool, hash_work, hash_done, p);
	}
	for (size_t i = 0; i < p->n_sites && !p->dead; i++) {
		struct put_site *s = &p->sites[i];

		if (s->state != PUT_SITE_READY)
			continue;
		s->state = PUT_SITE_WRITING;
		site_put_write(s->h, b->p, b->n);
	}
	return true;
}

static void put_read_failed(struct put *p, int err)
{
	put_give_up(p, err, err == GFS_ERR_CLIENT_SLOW ? "the body arrives too slowly" : "the body ended early or is not well formed");
}

static void on_body(struct request *req, int err, size_t n, bool end)
{
	struct put *p = req->op;
	struct put_buf *b;
	uint64_t max;
	char text[96];

	if (!p)
		return;
	b = &p->buf[p->reading];
	max = p->w->conf->limits.max_object_bytes;
	if (err) {
		put_read_failed(p, err);
		return;
	}
	p->total += n;
	if (max && p->total > max) {
		snprintf(text, sizeof(text), "object is larger than limits.max_object_bytes (%llu)", (unsigned long long)max);
		put_give_up(p, GFS_ERR_TOO_LARGE, text);
		return;
	}
	b->n = n;
	b->state = n ? PUT_BUF_FULL : PUT_BUF_EMPTY;
	p->reading ^= n > 0;
	p->ended = end;
	if (end && p->length >= 0 && p->total != (uint64_t)p->length)
		put_read_failed(p, GFS_ERR_INVALID);
	else
		put_step(p);
}

/* True when a whole buffer came at once. */
static bool put_read(struct put *p)
{
	struct put_buf *b = &p->buf[p->reading];

	if (p->ended || b->state != PUT_BUF_EMPTY)
		return false;
	if (!b->p)
		b->p = malloc(p->buf_bytes);
	if (!b->p) {
		put_give_up(p, GFS_ERR_NOMEM, NULL);
		return false;
	}
	b->state = PUT_BUF_READING;
	request_read_body(p->req, b->p, p->buf_bytes, on_body);
	return !p->dead && b->state != PUT_BUF_READING;
}

static void put_finish_hash(struct put *p)
{
	unsigned char md5[EVP_MAX_MD_SIZE];

	etag_calc_finish(p->calc, p->etag, &p->crc64);
	if (p->md5_ctx && (EVP_DigestFinal_ex(p->md5_ctx, md5, NULL) != 1 || memcmp(md5, p->md5, sizeof(p->md5)) != 0)) {
		put_give_up(p, GFS_ERR_INVALID, "Content-MD5 is not that of the body that arrived");
		return;
	}
	put_prepare(p);
}

/* True when the last byte is at every site. */
static bool put_is_through(const struct put *p)
{
	if (!p->ended || p->hashing || p->buf[0].state != PUT_BUF_EMPTY || p->buf[1].state != PUT_BUF_EMPTY)
		return false;
	for (size_t i = 0; i < p->n_sites; i++) {
		if (p->sites[i].state < PUT_SITE_READY)
			return false;
	}
	return true;
}

static void put_step(struct put *p)
{
	bool more = true;

	/* The client's bytes may be there already: then reading calls back at once, and the loop below goes on. */
	if (p->stepping)
		return;
	p->stepping = true;
	put_hold(p);
	while (more && !p->dead) {
		more = put_send(p);
		if (!p->dead)
			more = put_read(p) || more;
	}
	p->stepping = false;
	if (!p->dead && p->state == PUT_STREAMING && put_is_through(p))
		put_finish_hash(p);
	put_release(p);
}

void put_body_site_ready(struct put *p)
{
	put_sent(p);
	put_step(p);
}

void put_body_start(struct put *p)
{
	p->calc = etag_calc_create(p->part_size);
	if (p->has_md5) {
		p->md5_ctx = EVP_MD_CTX_new();
		gfs_assert(p->md5_ctx && EVP_DigestInit_ex(p->md5_ctx, EVP_md5(), NULL) == 1);
	}
	p->buf_bytes = p->length >= 0 && p->length < (int64_t)PUT_BUF_BYTES ? (size_t)p->length : PUT_BUF_BYTES;
	p->ended = p->length == 0;
	put_step(p);
}
