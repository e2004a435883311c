/* SPDX-License-Identifier: Apache-2.0 */
/*
 * REPLICATE: somebody wants a key copied from one site to another. A key that the journal knows gets a row for the
 * target, or its
 * parked row is woken; for one that it does not know the source says which version it is. The copy itself is a row
 * like any other.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "decide.h"
#include "keys.h"
#include "lookup.h"
#include "queue.h"

struct replicate {
	struct repld *r;
	uint64_t peer, call;
	uint32_t from, to;
	struct key_entry *e; /* referenced */
	struct key_wait wait;
};

static void replicate_end(struct replicate *rp, int err, const char *text)
{
	if (err)
		peer_error(rp->r, rp->peer, rp->call, err, text);
	else
		peer_ok(rp->r, rp->peer, rp->call);
	keys_release(rp->r, &rp->e);
	free(rp);
}

static void on_saved(void *arg, int err)
{
	replicate_end(arg, err ? GFS_ERR_UNAVAILABLE : 0, "the journal could not be written");
}

static void row_due(struct replicate *rp)
{
	struct key_entry *e = rp->e;
	struct site_row *row = row_need(e, rp->to, clock_real_ms());

	row->unconfirmed = true;
	row->parked = false;
	row->attempts = 0;
	row->next_ms = clock_real_ms();
	row->bytes = e->decided->size;
	queue_offer_all(rp->r, e);
	keys_save(rp->r, e, on_saved, rp);
}

/* The journal has a decided version, or nothing. */
static void known(struct replicate *rp)
{
	const struct key_entry *e = rp->e;
	const struct site_row *source = row_find(rp->e, rp->from);

	if (e->intent)
		replicate_end(rp, GFS_ERR_BUSY, "the key is being written");
	else if (e->decided->deleted)
		replicate_end(rp, GFS_ERR_NO_SUCH_KEY, "the object is deleted");
	else if (source && source->unconfirmed)
		replicate_end(rp, GFS_ERR_CONFLICT, "the source site does not hold the current version yet");
	else
		row_due(rp);
}

static void on_source(void *arg, const struct site_result *res, const struct object_info *info)
{
	struct replicate *rp = arg;
	struct key_entry *e = rp->e;

	rp->r->replicating--;
	if (res->outcome != SITE_DONE) {
		replicate_end(rp, res->err ? res->err : GFS_ERR_SITE_ERROR, res->reason);
		return;
	}
	if (e->decided || e->intent) {
		known(rp); /* written meanwhile */
		return;
	}
	struct version *v = xcalloc(1, sizeof(*v));

	v->gen = info->gen;
	v->size = info->size;
	v->part_size = info->part_size;
	memcpy(v->etag, info->etag, sizeof(v->etag));
	v->has_crc64 = info->has_crc64;
	v->crc64 = info->crc64;
	v->n_sync = v->n_sites = 1;
	v->sites[0] = rp->from;
	v->stamp_ms = clock_real_ms();
	e->decided = v;
	row_due(rp);
}

static void on_loaded(void *arg, int err)
{
	struct replicate *rp = arg;
	struct repl_site *from = queue_site(rp->r, rp->from);

	if (err)
		replicate_end(rp, GFS_ERR_UNAVAILABLE, "the journal could not be read");
	else if (rp->e->decided || rp->e->intent)
		known(rp);
	else if (!from || !from->site)
		replicate_end(rp, GFS_ERR_NO_SUCH_SITE, "the source site is gone");
	else {
		rp->r->replicating++;
		site_head(from->site, key_name(rp->e), SITE_RESERVED, on_source, rp);
	}
}

void replicate_start(struct repld *r, const struct peer *p, uint64_t call, const struct msg_replicate *m)
{
	const struct repl_site *from = m->from <= UINT32_MAX ? queue_site(r, (uint32_t)m->from) : NULL;
	const struct repl_site *to = m->to <= UINT32_MAX ? queue_site(r, (uint32_t)m->to) : NULL;
	struct replicate *rp;

	if (!from || !from->present || !to || !to->present || from->id == ROW_KEEPER || to->id == ROW_KEEPER) {
		peer_error(r, p->id, call, GFS_ERR_NO_SUCH_SITE, "no such site");
		return;
	}
	if (from == to) {
		peer_error(r, p->id, call, GFS_ERR_INVALID, "source and target are the same site");
		return;
	}
	rp = xcalloc(1, sizeof(*rp));
	rp->r = r;
	rp->peer = p->id;
	rp->call = call;
	rp->from = from->id;
	rp->to = to->id;
	rp->e = keys_hold(r, m->key);
	rp->wait.cb = on_loaded;
	rp->wait.arg = rp;
	if (keys_load(r, rp->e, &rp->wait))
		on_loaded(rp, GFS_OK);
}
