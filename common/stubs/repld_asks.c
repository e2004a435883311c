/* SPDX-License-Identifier: Apache-2.0 */
/* LOOKUP and REPLICATE, see repld_asks.h. Owns the questions that are not answered yet. */
#include "config.h"

#include "repld_asks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "../log.h"
#include "../xalloc.h"

#define LOOKUP_MS 1000
#define REPLICATE_MS 5000

struct ask {
	TAILQ_ENTRY(ask) next;
	struct repld_asks *asks;
	uint64_t id;
	repld_lookup_cb *lookup_cb;
	repld_lookup_many_cb *many_cb;
	size_t n_asked;
	repld_replicate_cb *replicate_cb;
	void *arg;
};

struct repld_asks {
	struct link *link;
	TAILQ_HEAD(, ask) open;
};

static struct ask *ask_new(struct repld_asks *asks, void *arg)
{
	struct ask *a = xcalloc(1, sizeof(*a));

	a->asks = asks;
	a->arg = arg;
	TAILQ_INSERT_TAIL(&asks->open, a, next);
	return a;
}

static int unavailable(int err)
{
	return err == GFS_ERR_TIMEOUT ? GFS_ERR_UNAVAILABLE : err;
}

/* Stale sites stay borrowed from the message. */
static int location_of(const struct msg *reply, struct repld_location *out)
{
	const struct msg_located *l = &reply->located;

	memset(out, 0, sizeof(*out));
	if (reply->type != MSG_LOCATED || l->etag.n >= sizeof(out->etag))
		return GFS_ERR_PROTOCOL;
	out->known = l->known;
	if (l->has_gen && l->gen.n && gen_parse(l->gen, &out->gen))
		return GFS_ERR_PROTOCOL;
	if (l->has_pending_gen && l->pending_gen.n && gen_parse(l->pending_gen, &out->pending))
		return GFS_ERR_PROTOCOL;
	out->deleted = l->deleted;
	out->decided = l->decided;
	if (l->etag.n)
		memcpy(out->etag, l->etag.p, l->etag.n);
	out->size = l->size;
	out->stale_sites = l->stale_sites.v;
	out->n_stale = l->stale_sites.n;
	return GFS_OK;
}

static void on_located(void *arg, int err, const struct msg *reply)
{
	struct ask *a = arg;
	struct repld_location loc;

	if (!err)
		err = location_of(reply, &loc);
	TAILQ_REMOVE(&a->asks->open, a, next);
	a->lookup_cb(a->arg, unavailable(err), err ? NULL : &loc);
	free(a);
}

uint64_t repld_asks_lookup(struct repld_asks *asks, struct slice key, repld_lookup_cb *cb, void *arg)
{
	struct ask *a = ask_new(asks, arg);
	struct msg m = {.type = MSG_LOOKUP};

	a->lookup_cb = cb;
	m.lookup.key = key;
	a->id = link_call(asks->link, &m, LOOKUP_MS, on_located, a);
	return a->id;
}

/* One of the answers; *at goes through stale_sites. */
static int location_of_many(const struct msg_located_many *l, size_t i, size_t *at, struct repld_location *out)
{
	if (l->etags.v[i].n >= sizeof(out->etag) || l->stale_counts.v[i] > l->stale_sites.n - *at)
		return GFS_ERR_PROTOCOL;
	if (l->gens.v[i].n && gen_parse(l->gens.v[i], &out->gen))
		return GFS_ERR_PROTOCOL;
	out->known = l->flags.v[i] & MSG_LOCATED_KNOWN;
	out->deleted = l->flags.v[i] & MSG_LOCATED_DELETED;
	out->decided = l->flags.v[i] & MSG_LOCATED_DECIDED;
	if (l->etags.v[i].n)
		memcpy(out->etag, l->etags.v[i].p, l->etags.v[i].n);
	out->size = l->sizes.v[i];
	out->stale_sites = l->stale_sites.v ? l->stale_sites.v + *at : NULL;
	out->n_stale = l->stale_counts.v[i];
	*at += out->n_stale;
	return GFS_OK;
}

static int locations_of(const struct msg *reply, size_t asked, struct repld_location **v_out, size_t *n_out)
{
	const struct msg_located_many *l = &reply->located_many;
	size_t n, at = 0;
	int err = GFS_OK;

	*v_out = NULL;
	if (reply->type != MSG_LOCATED_MANY)
		return GFS_ERR_PROTOCOL;
	n = *n_out = l->flags.n;
	if (n == 0 || n > asked || l->gens.n != n || l->etags.n != n || l->sizes.n != n || l->stale_counts.n != n)
		return GFS_ERR_PROTOCOL;
	*v_out = xcalloc(n, sizeof(**v_out));
	for (size_t i = 0; i < n && !err; i++)
		err = location_of_many(l, i, &at, &(*v_out)[i]);
	return err;
}

static void on_located_many(void *arg, int err, const struct msg *reply)
{
	struct ask *a = arg;
	struct repld_location *v = NULL;
	size_t n = 0;

	if (!err)
		err = locations_of(reply, a->n_asked, &v, &n);
	TAILQ_REMOVE(&a->asks->open, a, next);
	a->many_cb(a->arg, unavailable(err), err ? NULL : v, err ? 0 : n);
	free(v);
	free(a);
}

uint64_t repld_asks_lookup_many(struct repld_asks *asks, const struct slice *keys, size_t n, repld_lookup_many_cb *cb, void *arg)
{
	struct ask *a = ask_new(asks, arg);
	struct msg m = {.type = MSG_LOOKUP_MANY};

	gfs_assert(n > 0 && n <= REPLD_LOOKUP_MANY);
	a->many_cb = cb;
	a->n_asked = n;
	m.lookup_many.keys = (struct msg_strs){keys, n};
	a->id = link_call(asks->link, &m, LOOKUP_MS, on_located_many, a);
	return a->id;
}

static void on_replicated(void *arg, int err, const struct msg *reply)
{
	struct ask *a = arg;
	char text[512];

	if (!err && reply->type != MSG_OK)
		err = GFS_ERR_PROTOCOL;
	err = unavailable(err);
	snprintf(text, sizeof(text), "%s", err ? gfs_err_text(err) : "");
	if (err && reply && reply->type == MSG_ERROR && reply->error.has_text && reply->error.text.n)
		snprintf(text, sizeof(text), "%.*s", (int)(reply->error.text.n < 500 ? reply->error.text.n : 500), reply->error.text.p);
	TAILQ_REMOVE(&a->asks->open, a, next);
	a->replicate_cb(a->arg, err, text);
	free(a);
}

uint64_t repld_asks_replicate(struct repld_asks *asks, struct slice key, uint32_t from, uint32_t to, repld_replicate_cb *cb,
                              void *arg)
{
	struct ask *a = ask_new(asks, arg);
	struct msg m = {.type = MSG_REPLICATE};

	a->replicate_cb = cb;
	m.replicate.key = key;
	m.replicate.from = from;
	m.replicate.to = to;
	a->id = link_call(asks->link, &m, REPLICATE_MS, on_replicated, a);
	return a->id;
}

void repld_asks_cancel(struct repld_asks *asks, uint64_t id)
{
	struct ask *a;

	TAILQ_FOREACH(a, &asks->open, next) {
		if (a->id == id)
			break;
	}
	if (!a)
		return;
	link_call_cancel(asks->link, id);
	TAILQ_REMOVE(&asks->open, a, next);
	free(a);
}

struct repld_asks *repld_asks_create(struct link *link)
{
	struct repld_asks *asks = xcalloc(1, sizeof(*asks));

	asks->link = link;
	TAILQ_INIT(&asks->open);
	return asks;
}

void repld_asks_destroy(struct repld_asks **asks_io)
{
	struct repld_asks *asks = *asks_io;
	struct ask *a;

	*asks_io = NULL;
	if (!asks)
		return;
	while ((a = TAILQ_FIRST(&asks->open))) {
		TAILQ_REMOVE(&asks->open, a, next);
		free(a);
	}
	free(asks);
}

/* ---- versions ---- */

static const uint64_t *ids_copy(const uint64_t *v, size_t n)
{
	return n ? xmemdup(v, n * sizeof(*v)) : NULL;
}

void repld_version_copy(struct repld_version *dst, const struct repld_version *src)
{
	*dst = *src;
	dst->sync_sites = ids_copy(src->sync_sites, src->n_sync);
	dst->async_sites = ids_copy(src->async_sites, src->n_async);
}

void repld_version_free(struct repld_version *v)
{
	void *p;

	/* const for everybody else, ours to free */
	memcpy(&p, &v->sync_sites, sizeof(p));
	free(p);
	memcpy(&p, &v->async_sites, sizeof(p));
	free(p);
	memset(v, 0, sizeof(*v));
}
