/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams one copy: source -> fill buffer -> work buffer -> target, the work buffer hashed on the pool while the target takes
 * it. See transfer.h. The end is always told from the loop, so that no site's callback runs into freed memory.
 */
#include "config.h"

#include "transfer.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/pool.h"
#include "common/xalloc.h"
#include "queue.h"

#define FILL_HIGH_BYTES (256u << 10) /* the source is paused above this */
#define HASH_INLINE_BYTES (16u << 10) /* hashing less is cheaper than handing it to a thread */

struct transfer {
	struct repld *r;
	char *key;
	size_t key_n;
	struct version v;
	uint32_t target;
	struct transfer_cbs cbs;
	void *arg;
	struct site_get *get;
	struct site_put *put;
	struct etag_calc *calc;
	struct strbuf fill, work;
	uint64_t received;
	bool put_ready, hashing, paused, source_over, ended, completing, finished, cancelled;
	bool has_crc64, verified;
	char etag[ETAG_MAX];
	uint64_t crc64;
	struct transfer_end end;
	struct event *end_ev;
};

static void pump(struct transfer *t);

static void transfer_free(struct transfer *t)
{
	etag_calc_destroy(&t->calc);
	strbuf_free(&t->fill);
	strbuf_free(&t->work);
	event_free(t->end_ev);
	free(t->key);
	free(t);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct transfer *t = arg;

	(void)fd;
	(void)what;
	site_get_cancel(&t->get);
	if (!t->completing)
		site_put_abort(&t->put);
	if (t->hashing)
		return; /* a pool thread still reads the work buffer: hash_done() comes back here */
	if (!t->cancelled)
		t->cbs.done(t->arg, &t->end);
	transfer_free(t);
}

static void finish(struct transfer *t, enum site_outcome outcome, int err, const char *reason)
{
	if (t->finished)
		return;
	t->finished = true;
	t->end.outcome = outcome;
	t->end.err = err;
	snprintf(t->end.reason, sizeof(t->end.reason), "%s", reason);
	/* Source and target are let go from the loop: we may be inside one of their callbacks. */
	event_active(t->end_ev, EV_TIMEOUT, 0);
}

static void finish_source(struct transfer *t, int err, bool lacks, const char *reason)
{
	t->end.at_source = true;
	t->end.source_lacks = lacks;
	finish(t, SITE_FAILED, err, reason);
}

/* ---- the end of the body ---- */

/* Whether the version's ETag says which bytes it has: of ours it always does; of an object that was put behind our back when it
 * has the form of an MD5 of the whole. Some stores give other ones. */
static bool etag_tells(const struct transfer *t)
{
	if (t->v.part_size > 0)
		return t->v.etag[0];
	return strlen(t->v.etag) == 32 && strspn(t->v.etag, "0123456789abcdef") == 32;
}

static void verify(struct transfer *t)
{
	etag_calc_finish(t->calc, t->etag, &t->crc64);
	t->verified = true;
	if (etag_tells(t) && strcmp(t->etag, t->v.etag) != 0) {
		finish_source(t, GFS_ERR_SITE_CORRUPT, false, "the source's bytes do not have the version's ETag");
		return;
	}
	if (t->v.has_crc64 && t->crc64 != t->v.crc64) {
		finish_source(t, GFS_ERR_SITE_CORRUPT, false, "the source's bytes do not have the version's checksum");
		return;
	}
	t->end.proof = etag_tells(t) || t->v.has_crc64 ? PROOF_HASH : PROOF_SIZE;
	t->ended = true;
	site_put_end(t->put);
}

static void hash_work(void *arg)
{
	struct transfer *t = arg;

	etag_calc_update(t->calc, t->work.p, t->work.n);
}

static void hash_done(void *arg)
{
	struct transfer *t = arg;

	t->hashing = false;
	if (t->finished)
		event_active(t->end_ev, EV_TIMEOUT, 0);
	else
		pump(t);
}

/* Hands what came from the source to the target, when both the target and the hash are done with the buffer before. */
static void pump(struct transfer *t)
{
	if (t->finished || t->ended || !t->put || !t->put_ready || t->hashing)
		return;
	if (t->fill.n == 0) {
		if (t->source_over)
			verify(t);
		return;
	}
	struct strbuf swap = t->work;

	t->work = t->fill;
	t->fill = swap;
	strbuf_reset(&t->fill);
	t->put_ready = false;
	if (t->work.n < HASH_INLINE_BYTES) {
		hash_work(t);
	} else {
		t->hashing = true;
		pool_submit(t->r->pool, hash_work, hash_done, t);
	}
	site_put_write(t->put, t->work.p, t->work.n);
	if (t->paused && t->get) {
		t->paused = false;
		site_get_resume(t->get);
	}
}

/* ---- the target ---- */

static void on_put_ready(void *arg)
{
	struct transfer *t = arg;

	t->put_ready = true;
	pump(t);
}

static void on_put_prepared(void *arg)
{
	struct transfer *t = arg;

	if (!t->finished)
		t->cbs.prepared(t->arg);
}

static void on_put_done(void *arg, const struct site_result *res, const char *etag)
{
	struct transfer *t = arg;

	t->put = NULL;
	if (t->finished)
		return;
	if (res->outcome == SITE_DONE && etag[0] && strcmp(etag, t->etag) != 0) {
		finish(t, SITE_UNKNOWN, GFS_ERR_SITE_CORRUPT, "the target stored something else");
		return;
	}
	if (res->outcome == SITE_DONE && t->end.proof == PROOF_SIZE && etag[0])
		t->end.proof = PROOF_ETAG;
	t->end.repeated = res->repeated;
	memcpy(t->end.etag, t->etag, sizeof(t->end.etag));
	t->end.crc64 = t->crc64;
	finish(t, res->outcome, res->err, res->reason);
}

static const struct site_put_cbs put_cbs = {on_put_ready, on_put_prepared, on_put_done};

/* ---- the source ---- */

/* The source must have this version, not just something under the key. */
static bool source_fits(const struct transfer *t, const struct object_info *info)
{
	if (info->size != t->v.size)
		return false;
	if (gen_cmp(&info->gen, &t->v.gen) == 0)
		return true;
	/* The copy of an object that nobody tagged, or whose tag is lost: the same bytes are the same version. */
	return !info->gen_tagged && info->etag[0] && strcmp(info->etag, t->v.etag) == 0;
}

static void on_get_head(void *arg, const struct object_info *info, uint64_t off, uint64_t len, int fd)
{
	struct transfer *t = arg;
	const struct repl_site *rs = queue_site(t->r, t->target);

	(void)off;
	(void)len;
	(void)fd;
	if (t->finished)
		return;
	if (!source_fits(t, info)) {
		finish_source(t, GFS_ERR_CONFLICT, true, "the source holds another version");
		return;
	}
	struct site_put_req req = {
		.key = slice_of(t->key, t->key_n),
		.size = (int64_t)t->v.size,
		.part_size = t->v.part_size ? t->v.part_size
					    : layout_part_size((int64_t)t->v.size, t->r->conf->performance.transfer_chunk_size),
		.gen = t->v.gen,
		.content_type = info->content_type,
		.meta = &info->meta,
		.flags = SITE_RESERVED,
	};

	if (!rs || !rs->site) {
		finish(t, SITE_FAILED, GFS_ERR_NO_SUCH_SITE, "the target site is gone");
		return;
	}
	t->calc = etag_calc_create(req.part_size);
	t->put = site_put(rs->site, &req, &put_cbs, t);
}

static bool on_get_data(void *arg, const void *p, size_t n)
{
	struct transfer *t = arg;

	if (t->finished)
		return true;
	t->received += n;
	strbuf_add(&t->fill, p, n);
	if (strbuf_failed(&t->fill)) {
		finish(t, SITE_FAILED, GFS_ERR_NOMEM, "no memory for the copy");
		return true;
	}
	pump(t);
	if (t->finished || t->fill.n < FILL_HIGH_BYTES)
		return true;
	t->paused = true;
	return false;
}

static void on_get_done(void *arg, const struct site_result *res, uint64_t object_size)
{
	struct transfer *t = arg;

	(void)object_size;
	t->get = NULL;
	if (t->finished)
		return;
	if (res->outcome != SITE_DONE) {
		bool lacks = res->err == GFS_ERR_NO_SUCH_KEY || res->err == GFS_ERR_PRECONDITION;

		finish_source(t, res->err ? res->err : GFS_ERR_SITE_ERROR, lacks, res->reason);
		return;
	}
	if (t->received != t->v.size) {
		finish_source(t, GFS_ERR_SITE_CORRUPT, false, "the source sent another number of bytes");
		return;
	}
	t->source_over = true;
	pump(t);
}

static const struct site_get_cbs get_cbs = {on_get_head, on_get_data, on_get_done};

/* ---- life ---- */

struct transfer *transfer_start(struct repld *r, struct slice key, const struct version *v, const uint32_t sites[2],
				const struct transfer_cbs *cbs, void *arg)
{
	struct transfer *t = xcalloc(1, sizeof(*t));
	const struct repl_site *source = queue_site(r, sites[0]);

	t->r = r;
	t->key = xmemdup(key.p, key.n);
	t->key_n = key.n;
	t->v = *v;
	t->target = sites[1];
	t->cbs = *cbs;
	t->arg = arg;
	t->end_ev = event_new(r->base, -1, 0, on_end, t);
	struct site_get_req req = {
		.key = slice_of(t->key, t->key_n),
		.range = RANGE_ALL,
		.if_match = t->v.etag[0] && t->v.part_size ? t->v.etag : NULL,
		.flags = SITE_RESERVED,
	};
	if (source && source->site)
		t->get = site_get(source->site, &req, &get_cbs, t); /* NULL when it has ended already */
	else
		finish_source(t, GFS_ERR_NO_SUCH_SITE, false, "the source site is gone");
	return t;
}

void transfer_complete(struct transfer *t)
{
	gfs_assert(t->ended && !t->finished);
	t->completing = true;
	site_put_complete(t->put, t->etag, true, t->crc64);
}

bool transfer_cancel(struct transfer **t_io)
{
	struct transfer *t = *t_io;

	if (t->completing)
		return false;
	*t_io = NULL;
	t->cancelled = true;
	if (!t->finished)
		finish(t, SITE_FAILED, GFS_ERR_CANCELLED, "cancelled");
	return true;
}
