/* SPDX-License-Identifier: Apache-2.0 */
/* Takes the times and counts the bytes of every operation of a site, see site_meter.h. */
#include "config.h"

#include "site_meter.h"

#include <stdlib.h>

#include "clock.h"
#include "xalloc.h"

struct site_meter {
	struct site *site;
	enum site_op_kind op;
	int64_t began_us, first_us; /* first_us: since began_us, -1: nothing came yet */
	uint64_t bytes_read, bytes_written;
	void *arg;
	union {
		struct site_get_cbs get;
		struct site_put_cbs put;
		site_head_cb *head;
		site_list_cb *list;
		site_probe_cb *probe;
		site_done_cb *done;
	} cbs;
};

static struct site_meter *meter_new(struct site *site, enum site_op_kind op, void *arg)
{
	struct site_meter *m = xcalloc(1, sizeof(*m));

	m->site = site;
	m->op = op;
	m->began_us = clock_mono_us();
	m->first_us = -1;
	m->arg = arg;
	return m;
}

/* Whether the site itself said this, so that the time it took is the site's. */
static bool is_answer(const struct site_result *r)
{
	return r->outcome == SITE_DONE || r->err == GFS_ERR_NO_SUCH_KEY || r->err == GFS_ERR_PRECONDITION || r->err == GFS_ERR_RANGE ||
	       r->err == GFS_ERR_FORBIDDEN;
}

static void meter_end(struct site_meter *m, const struct site_result *r)
{
	const struct site_observer *o = m->site->env->observer;
	struct site_event e = {
		.op = m->op,
		.result = r,
		.first_us = m->first_us,
		.took_us = clock_mono_us() - m->began_us,
		.bytes_read = m->bytes_read,
		.bytes_written = m->bytes_written,
	};

	if (e.first_us < 0 && r && m->op != SITE_OP_PUT && m->op != SITE_OP_DELETE && is_answer(r))
		e.first_us = e.took_us;
	o->ended(o->arg, m->site, &e);
	free(m);
}

void site_meter_cancelled(struct site_meter *m)
{
	if (m)
		meter_end(m, NULL);
}

void site_meter_expired(struct site_meter *m)
{
	struct site_result r = site_result_make(SITE_FAILED, GFS_ERR_TIMEOUT, "the site took too long");

	if (m)
		meter_end(m, &r);
}

void site_meter_written(struct site_meter *m, size_t n)
{
	if (m)
		m->bytes_written += n;
}

/* ---- get ---- */

static void got_head(void *arg, const struct object_info *info, uint64_t off, uint64_t len, int fd)
{
	struct site_meter *m = arg;

	m->first_us = clock_mono_us() - m->began_us;
	if (fd >= 0)
		m->bytes_read = len; /* no data() will tell */
	m->cbs.get.head(m->arg, info, off, len, fd);
}

static bool got_data(void *arg, const void *p, size_t n)
{
	struct site_meter *m = arg;

	m->bytes_read += n;
	return m->cbs.get.data(m->arg, p, n);
}

static void got_done(void *arg, const struct site_result *r, uint64_t object_size)
{
	struct site_meter *m = arg;
	struct site_get_cbs cbs = m->cbs.get;
	void *caller = m->arg;

	meter_end(m, r);
	cbs.done(caller, r, object_size);
}

struct site_get *site_meter_get(struct site *site, const struct site_get_req *req, const struct site_get_cbs *cbs, void *arg)
{
	static const struct site_get_cbs metered = {.head = got_head, .data = got_data, .done = got_done};
	struct site_meter *m = meter_new(site, SITE_OP_GET, arg);
	struct site_get *op;

	m->cbs.get = *cbs;
	op = site->ops->get(site, req, &metered, m);
	if (op) /* else it has ended, and m with it */
		op->meter = m;
	return op;
}

/* ---- head, list, probe ---- */

static void head_done(void *arg, const struct site_result *r, const struct object_info *info)
{
	struct site_meter *m = arg;
	site_head_cb *cb = m->cbs.head;
	void *caller = m->arg;

	meter_end(m, r);
	cb(caller, r, info);
}

struct site_op *site_meter_head(struct site *site, struct slice key, unsigned flags, site_head_cb *cb, void *arg)
{
	struct site_meter *m = meter_new(site, SITE_OP_HEAD, arg);
	struct site_op *op;

	m->cbs.head = cb;
	op = site->ops->head(site, key, flags, head_done, m);
	op->meter = m;
	return op;
}

static void list_done(void *arg, const struct site_result *r, const struct site_list_entry *v, size_t n, bool more,
                      struct slice next_after)
{
	struct site_meter *m = arg;
	site_list_cb *cb = m->cbs.list;
	void *caller = m->arg;

	meter_end(m, r);
	cb(caller, r, v, n, more, next_after);
}

struct site_op *site_meter_list(struct site *site, const struct site_list_req *req, site_list_cb *cb, void *arg)
{
	struct site_meter *m = meter_new(site, SITE_OP_LIST, arg);
	struct site_op *op;

	m->cbs.list = cb;
	op = site->ops->list(site, req, list_done, m);
	op->meter = m;
	return op;
}

static void probe_done(void *arg, const struct site_result *r, int64_t latency_us)
{
	struct site_meter *m = arg;
	site_probe_cb *cb = m->cbs.probe;
	void *caller = m->arg;

	meter_end(m, r);
	cb(caller, r, latency_us);
}

struct site_op *site_meter_probe(struct site *site, site_probe_cb *cb, void *arg)
{
	struct site_meter *m = meter_new(site, SITE_OP_PROBE, arg);
	struct site_op *op;

	m->cbs.probe = cb;
	op = site->ops->probe(site, probe_done, m);
	op->meter = m;
	return op;
}

/* ---- put, delete ---- */

static void put_ready(void *arg)
{
	struct site_meter *m = arg;

	m->cbs.put.ready(m->arg);
}

static void put_prepared(void *arg)
{
	struct site_meter *m = arg;

	m->cbs.put.prepared(m->arg);
}

static void put_done(void *arg, const struct site_result *r, const char *etag)
{
	struct site_meter *m = arg;
	struct site_put_cbs cbs = m->cbs.put;
	void *caller = m->arg;

	meter_end(m, r);
	cbs.done(caller, r, etag);
}

struct site_put *site_meter_put(struct site *site, const struct site_put_req *req, const struct site_put_cbs *cbs, void *arg)
{
	static const struct site_put_cbs metered = {.ready = put_ready, .prepared = put_prepared, .done = put_done};
	struct site_meter *m = meter_new(site, SITE_OP_PUT, arg);
	struct site_put *op;

	m->cbs.put = *cbs;
	op = site->ops->put(site, req, &metered, m);
	op->meter = m;
	return op;
}

static void delete_done(void *arg, const struct site_result *r)
{
	struct site_meter *m = arg;
	site_done_cb *cb = m->cbs.done;
	void *caller = m->arg;

	meter_end(m, r);
	cb(caller, r);
}

void site_meter_delete(struct site *site, struct slice key, unsigned flags, site_done_cb *cb, void *arg)
{
	struct site_meter *m = meter_new(site, SITE_OP_DELETE, arg);

	m->cbs.done = cb;
	site->ops->del(site, key, flags, delete_done, m);
}
