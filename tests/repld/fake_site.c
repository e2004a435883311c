/* SPDX-License-Identifier: Apache-2.0 */
/* A site in memory, see fake_site.h. */
#include "config.h"

#include "fake_site.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/map.h"
#include "common/xalloc.h"

#define PART (8u << 20)

struct fake_object {
	char *body;
	size_t n;
	struct gen gen;
	bool tagged;
	int64_t mtime_ms;
	char etag[ETAG_MAX];
	uint64_t part_size;
};

struct fake_site {
	uint32_t id;
	struct map *objects;
	struct fake_knobs knobs;
	struct fake_put *held;
};

struct fake_handle { /* the site that repld opened */
	struct site site;
	struct fake_site *fake;
	struct event_base *base;
};

struct fake_op {
	union {
		struct site_op op;
		struct site_get get;
	};
	struct fake_handle *h;
	struct event *ev;
	char *key;
	size_t n;
	site_head_cb *head_cb;
	site_done_cb *done_cb;
	struct site_get_cbs get_cbs;
	size_t sent;
	void *arg;
	char if_match[ETAG_MAX];
	bool has_match, headed;
};

struct fake_put {
	struct site_put put;
	struct fake_handle *h;
	struct event *ev;
	char *key;
	size_t n;
	struct site_put_cbs cbs;
	void *arg;
	struct strbuf body;
	struct gen gen;
	uint64_t part_size;
	char etag[ETAG_MAX];
	enum { P_READY, P_PREPARED, P_DONE } next;
	bool held;
};

void fake_etag(const char *body, char etag_out[ETAG_MAX])
{
	struct etag_calc *c = etag_calc_create(PART);
	uint64_t crc;

	etag_calc_update(c, body, strlen(body));
	etag_calc_finish(c, etag_out, &crc);
	etag_calc_destroy(&c);
}

static void object_free(struct fake_object *o)
{
	if (!o)
		return;
	free(o->body);
	free(o);
}

void fake_world_init(struct fake_world *w, struct event_base *base)
{
	w->base = base;
	for (uint32_t i = 0; i < FAKE_MAX; i++) {
		w->v[i] = xcalloc(1, sizeof(*w->v[i]));
		w->v[i]->id = i;
		w->v[i]->objects = map_create();
	}
}

void fake_world_free(struct fake_world *w)
{
	for (uint32_t i = 0; i < FAKE_MAX; i++) {
		struct map_iter it = MAP_ITER_INIT;
		struct slice key;
		void *value;

		while (map_next(w->v[i]->objects, &it, &key, &value)) {
			map_del(w->v[i]->objects, key);
			object_free(value);
		}
		map_destroy(&w->v[i]->objects);
		free(w->v[i]);
	}
}

struct fake_knobs *fake_knobs(struct fake_world *w, uint32_t id)
{
	return &w->v[id]->knobs;
}

static void store(struct fake_site *f, struct slice key, struct fake_object *o)
{
	object_free(map_put(f->objects, key, o));
}

void fake_set(struct fake_world *w, uint32_t id, const char *key, const char *body, const struct gen *gen)
{
	struct fake_object *o = xcalloc(1, sizeof(*o));

	o->body = xstrdup(body);
	o->n = strlen(body);
	o->mtime_ms = clock_real_ms();
	o->tagged = gen != NULL;
	o->gen = gen ? *gen : gen_derive(o->mtime_ms, "fake");
	o->part_size = gen ? PART : 0;
	fake_etag(body, o->etag);
	store(w->v[id], slice_str(key), o);
}

void fake_unset(struct fake_world *w, uint32_t id, const char *key)
{
	object_free(map_del(w->v[id]->objects, slice_str(key)));
}

const char *fake_get(struct fake_world *w, uint32_t id, const char *key, struct gen *gen_out)
{
	struct fake_object *o = map_get(w->v[id]->objects, slice_str(key));

	if (o && gen_out)
		*gen_out = o->gen;
	return o ? o->body : NULL;
}

static struct site_result failed(enum site_outcome outcome, int err)
{
	return site_result_make(outcome, err, "fake");
}

static void info_fill(const struct fake_object *o, struct object_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = o->n;
	info->mtime_ms = o->mtime_ms;
	memcpy(info->etag, o->etag, sizeof(info->etag));
	info->gen = o->gen;
	info->gen_tagged = o->tagged;
	info->part_size = o->part_size;
}

/* ---- head, delete, get ---- */

static struct fake_op *op_new(struct site *site, struct slice key, event_callback_fn fn, void *arg)
{
	struct fake_op *op = xcalloc(1, sizeof(*op));
	struct fake_handle *h = (struct fake_handle *)(void *)site;

	op->op.site = site;
	op->h = h;
	op->key = xmemdup(key.p, key.n);
	op->n = key.n;
	op->arg = arg;
	op->ev = event_new(h->base, -1, 0, fn, op);
	site_op_began(site);
	event_active(op->ev, EV_TIMEOUT, 0);
	return op;
}

static void op_free(struct fake_op *op)
{
	struct site *site = op->op.site;

	event_free(op->ev);
	free(op->key);
	free(op);
	site_op_ended(site);
}

static void run_head(evutil_socket_t fd, short what, void *arg)
{
	struct fake_op *op = arg;
	struct fake_site *f = op->h->fake;
	struct fake_object *o = map_get(f->objects, slice_of(op->key, op->n));
	struct object_info info;
	struct site_result res;

	(void)fd;
	(void)what;
	f->knobs.heads++;
	if (f->knobs.down) {
		res = failed(SITE_FAILED, GFS_ERR_CONNECT);
		op->head_cb(op->arg, &res, NULL);
	} else if (!o) {
		res = failed(SITE_FAILED, GFS_ERR_NO_SUCH_KEY);
		op->head_cb(op->arg, &res, NULL);
	} else {
		info_fill(o, &info);
		res = failed(SITE_DONE, 0);
		op->head_cb(op->arg, &res, &info);
	}
	op_free(op);
}

static struct site_op *fake_head(struct site *site, struct slice key, unsigned flags, site_head_cb *cb, void *arg)
{
	struct fake_op *op = op_new(site, key, run_head, arg);

	(void)flags;
	op->head_cb = cb;
	return &op->op;
}

static void fake_op_cancel(struct site_op *op)
{
	op_free((struct fake_op *)(void *)op);
}

static void run_delete(evutil_socket_t fd, short what, void *arg)
{
	struct fake_op *op = arg;
	struct fake_site *f = op->h->fake;
	struct site_result res = failed(SITE_DONE, 0);

	(void)fd;
	(void)what;
	f->knobs.deletes++;
	if (f->knobs.down)
		res = failed(SITE_FAILED, GFS_ERR_CONNECT);
	else if (f->knobs.fail_deletes && f->knobs.fail_deletes--)
		res = failed(SITE_FAILED, GFS_ERR_SITE_ERROR);
	else
		object_free(map_del(f->objects, slice_of(op->key, op->n)));
	op->done_cb(op->arg, &res);
	op_free(op);
}

static void fake_delete(struct site *site, struct slice key, unsigned flags, site_done_cb *cb, void *arg)
{
	(void)flags;
	op_new(site, key, run_delete, arg)->done_cb = cb;
}

/* One step per round of the loop: head, data in pieces of 1000 bytes, done. */
static void run_get(evutil_socket_t fd, short what, void *arg)
{
	struct fake_op *op = arg;
	struct fake_site *f = op->h->fake;
	struct fake_object *o = map_get(f->objects, slice_of(op->key, op->n));
	struct object_info info;
	struct site_result res = failed(SITE_DONE, 0);

	(void)fd;
	(void)what;
	if (f->knobs.down)
		res = failed(SITE_FAILED, GFS_ERR_CONNECT);
	else if (!o)
		res = failed(SITE_FAILED, GFS_ERR_NO_SUCH_KEY);
	else if (op->has_match && strcmp(op->if_match, o->etag) != 0)
		res = failed(SITE_FAILED, GFS_ERR_PRECONDITION);
	if (res.err || (op->headed && op->sent == o->n)) {
		op->get_cbs.done(op->arg, &res, 0);
		op_free(op);
		return;
	}
	if (!op->headed) {
		op->headed = true;
		f->knobs.gets++;
		info_fill(o, &info);
		event_active(op->ev, EV_TIMEOUT, 0);
		op->get_cbs.head(op->arg, &info, 0, o->n, -1);
		return;
	}
	size_t n = o->n - op->sent < 1000 ? o->n - op->sent : 1000;

	op->sent += n;
	if (op->get_cbs.data(op->arg, o->body + op->sent - n, n))
		event_active(op->ev, EV_TIMEOUT, 0);
}

static struct site_get *fake_get_start(struct site *site, const struct site_get_req *req, const struct site_get_cbs *cbs,
				       void *arg)
{
	struct fake_op *op = op_new(site, req->key, run_get, arg);

	op->get_cbs = *cbs;
	op->has_match = req->if_match != NULL;
	if (req->if_match)
		strncpy(op->if_match, req->if_match, sizeof(op->if_match) - 1);
	return &op->get;
}

static void fake_get_resume(struct site_get *get)
{
	event_active(((struct fake_op *)(void *)get)->ev, EV_TIMEOUT, 0);
}

static void fake_get_cancel(struct site_get *get)
{
	op_free((struct fake_op *)(void *)get);
}

/* ---- put ---- */

static void put_free(struct fake_put *p)
{
	struct site *site = p->put.site;

	if (p->h->fake->held == p)
		p->h->fake->held = NULL;
	event_free(p->ev);
	strbuf_free(&p->body);
	free(p->key);
	free(p);
	site_op_ended(site);
}

static void put_apply(struct fake_put *p)
{
	struct fake_object *o = xcalloc(1, sizeof(*o));

	o->body = xmemdup(strbuf_str(&p->body), p->body.n + 1);
	o->n = p->body.n;
	o->gen = p->gen;
	o->tagged = true;
	o->mtime_ms = clock_real_ms();
	o->part_size = p->part_size;
	memcpy(o->etag, p->etag, sizeof(o->etag));
	store(p->h->fake, slice_of(p->key, p->n), o);
}

static void run_put(evutil_socket_t fd, short what, void *arg)
{
	struct fake_put *p = arg;
	struct fake_knobs *k = &p->h->fake->knobs;
	struct site_result res = failed(SITE_DONE, 0);

	(void)fd;
	(void)what;
	if (p->next == P_READY && !k->down) {
		p->cbs.ready(p->arg);
		return;
	}
	if ((p->next == P_PREPARED && k->hold_prepared) || (p->next == P_DONE && k->hold_complete)) {
		p->h->fake->held = p;
		return;
	}
	if (k->down || (k->fail_puts && k->fail_puts--)) {
		res = failed(SITE_FAILED, GFS_ERR_CONNECT);
	} else if (p->next == P_PREPARED) {
		p->cbs.prepared(p->arg);
		return;
	} else if (k->unknown_puts && k->unknown_puts--) {
		res = failed(SITE_UNKNOWN, GFS_ERR_TIMEOUT);
	} else {
		k->completes++;
		put_apply(p);
	}
	p->cbs.done(p->arg, &res, res.err ? "" : p->etag);
	put_free(p);
}

static void put_step(struct fake_put *p, int next)
{
	p->next = next;
	event_active(p->ev, EV_TIMEOUT, 0);
}

static struct site_put *fake_put_start(struct site *site, const struct site_put_req *req, const struct site_put_cbs *cbs,
				       void *arg)
{
	struct fake_put *p = xcalloc(1, sizeof(*p));

	p->put.site = site;
	p->h = (struct fake_handle *)(void *)site;
	p->key = xmemdup(req->key.p, req->key.n);
	p->n = req->key.n;
	p->cbs = *cbs;
	p->arg = arg;
	p->gen = req->gen;
	p->part_size = req->part_size;
	p->ev = event_new(p->h->base, -1, 0, run_put, p);
	p->h->fake->knobs.puts++;
	site_op_began(site);
	put_step(p, P_READY);
	return &p->put;
}

static void fake_put_write(struct site_put *put, const void *data, size_t n)
{
	struct fake_put *p = (struct fake_put *)(void *)put;

	strbuf_add(&p->body, data, n);
	put_step(p, P_READY);
}

static void fake_put_end(struct site_put *put)
{
	put_step((struct fake_put *)(void *)put, P_PREPARED);
}

static void fake_put_complete(struct site_put *put, const char *etag, bool has_crc64, uint64_t crc64)
{
	struct fake_put *p = (struct fake_put *)(void *)put;

	(void)has_crc64;
	(void)crc64;
	strncpy(p->etag, etag, sizeof(p->etag) - 1);
	put_step(p, P_DONE);
}

static void fake_put_abort(struct site_put *put)
{
	put_free((struct fake_put *)(void *)put);
}

void fake_release(struct fake_world *w, uint32_t id)
{
	struct fake_put *p = w->v[id]->held;

	w->v[id]->knobs.hold_prepared = w->v[id]->knobs.hold_complete = false;
	w->v[id]->held = NULL;
	if (p)
		event_active(p->ev, EV_TIMEOUT, 0);
}

/* ---- open ---- */

static void fake_destroy(struct site *site)
{
	free(site);
}

static const struct site_ops fake_ops = {
	.get = fake_get_start,
	.get_resume = fake_get_resume,
	.get_cancel = fake_get_cancel,
	.head = fake_head,
	.op_cancel = fake_op_cancel,
	.put = fake_put_start,
	.put_write = fake_put_write,
	.put_end = fake_put_end,
	.put_complete = fake_put_complete,
	.put_abort = fake_put_abort,
	.del = fake_delete,
	.destroy = fake_destroy,
};

int fake_open(struct fake_world *w, const struct site_env *env, const struct site_conf *conf, struct site **out)
{
	struct fake_handle *h = xcalloc(1, sizeof(*h));

	gfs_assert(conf->id < FAKE_MAX);
	h->site.ops = &fake_ops;
	h->site.env = env;
	site_conf_copy(&h->site.conf, conf);
	h->fake = w->v[conf->id];
	h->base = w->base;
	*out = &h->site;
	return GFS_OK;
}
