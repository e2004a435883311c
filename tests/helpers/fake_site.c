/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted site in memory, see fake_site.h. */
#include "config.h"

#include "fake_site.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"

struct fake {
	struct site site;
	struct fake_store *store;
};

/* Any operation: a step runs from the loop until the operation has ended. */
struct fake_op {
	union {
		struct site_get get;
		struct site_op op;
		struct site_put put;
	};
	struct fake_store *store;
	struct event *ev;
	char *key;
	size_t n;
	void *arg;
	/* get */
	struct site_get_cbs get_cbs;
	enum range_kind range;
	uint64_t off, len;
	bool take_fd, headed, has_if_match, broken;
	char if_match[ETAG_MAX];
	unsigned slow_ms;
	/* head, list, probe, delete */
	site_head_cb *head_cb;
	site_list_cb *list_cb;
	char *delimiter;
	site_probe_cb *probe_cb;
	site_done_cb *done_cb;
	char *after;
	size_t n_after;
	unsigned limit;
	/* put */
	struct site_put_cbs put_cbs;
	enum { STEP_READY, STEP_PREPARED, STEP_DONE } step;
};

static struct fake_op *op_new(struct site *site, struct slice key, event_callback_fn step, void *arg)
{
	struct fake_op *op = xcalloc(1, sizeof(*op));

	op->op.site = site;
	op->store = ((struct fake *)(void *)site)->store;
	op->key = xmemdup(key.n ? key.p : "", key.n);
	op->n = key.n;
	op->arg = arg;
	op->slow_ms = op->store->slow_ms;
	op->ev = event_new(site->env->base, -1, 0, step, op);
	site_op_began(site);
	event_active(op->ev, EV_TIMEOUT, 0);
	return op;
}

static void op_free(struct fake_op *op)
{
	struct site *site = op->op.site;

	event_free(op->ev);
	free(op->key);
	free(op->after);
	free(op->delimiter);
	free(op);
	site_op_ended(site);
}

static const struct fake_object *op_object(const struct fake_op *op)
{
	for (size_t i = 0; i < op->store->n; i++) {
		if (slice_eq_str(slice_of(op->key, op->n), op->store->objects[i].key))
			return &op->store->objects[i];
	}
	return NULL;
}

static int read_err(struct fake_store *s)
{
	int err = s->read_err;

	if (err && s->read_faults && --s->read_faults == 0)
		s->read_err = 0;
	return err;
}

static struct site_result result(int err)
{
	return site_result_make(err ? SITE_FAILED : SITE_DONE, err, err ? "scripted" : "");
}

static void etag_of(const char *body, char etag[ETAG_MAX], uint64_t *crc)
{
	struct etag_calc *c = etag_calc_create(1 << 20);

	etag_calc_update(c, body, strlen(body));
	etag_calc_finish(c, etag, crc);
	etag_calc_destroy(&c);
}

static void info_of(const struct fake_store *s, const struct fake_object *o, struct object_info *info)
{
	*info = (struct object_info){.size = strlen(o->body), .mtime_ms = o->mtime_ms, .gen = o->gen, .gen_tagged = !s->no_tags};
	etag_of(o->body, info->etag, &info->crc64);
	if (s->etag)
		snprintf(info->etag, sizeof(info->etag), "%s", s->etag);
	if (s->no_tags)
		info->gen = gen_derive(o->mtime_ms, "fake");
	info->has_crc64 = true;
}

/* A step that has to wait is run again. */
static bool is_early(struct fake_op *op)
{
	struct timeval tv = {.tv_usec = op->slow_ms * 1000};

	if (op->slow_ms == 0)
		return false;
	op->slow_ms = 0;
	event_add(op->ev, &tv);
	return true;
}

/* ---- get ---- */

static bool resolve(struct fake_op *op, uint64_t size)
{
	switch (op->range) {
	case RANGE_ALL:
		op->off = 0, op->len = size;
		return true;
	case RANGE_FROM:
		op->len = op->off < size ? size - op->off : 0;
		return op->off < size;
	case RANGE_SPAN:
		if (op->off < size && op->len > size - op->off)
			op->len = size - op->off;
		return op->off < size;
	case RANGE_SUFFIX:
		op->len = op->len < size ? op->len : size;
		op->off = size - op->len;
		return op->len > 0;
	}
	return false;
}

static int body_fd(const struct fake_store *s, const char *body)
{
	int fd = memfd_create("fake", MFD_CLOEXEC);
	size_t n = s->fd_bytes ? s->fd_bytes : strlen(body);

	gfs_assert(fd >= 0 && write(fd, body, n) == (ssize_t)n);
	return fd;
}

static void get_end(struct fake_op *op, int err, uint64_t size)
{
	struct site_result r = result(err);

	r.retry_after_s = err ? op->store->retry_after_s : 0;
	op->get_cbs.done(op->arg, &r, size);
	op_free(op);
}

/* How much of the range is sent before it breaks off. */
static uint64_t get_cut(struct fake_op *op)
{
	struct fake_store *s = op->store;
	uint64_t n = s->cut_bytes ? s->cut_bytes - 1 : op->len / 2;

	if (!s->cut || n > op->len)
		return op->len;
	if (s->cuts && --s->cuts == 0)
		s->cut = false;
	op->broken = true;
	return n;
}

static void get_head(struct fake_op *op)
{
	const struct fake_object *o = op_object(op);
	struct object_info info;
	int err = read_err(op->store);

	if (err || !o) {
		get_end(op, err ? err : GFS_ERR_NO_SUCH_KEY, 0);
		return;
	}
	info_of(op->store, o, &info);
	if (op->has_if_match && !op->store->ignores_if_match && strcmp(op->if_match, info.etag) != 0) {
		get_end(op, GFS_ERR_PRECONDITION, 0);
		return;
	}
	if (!resolve(op, info.size)) {
		get_end(op, GFS_ERR_RANGE, info.size);
		return;
	}
	op->headed = true;
	event_active(op->ev, EV_TIMEOUT, 0); /* first: head() may cancel */
	op->take_fd = op->take_fd && op->store->as_fd;
	op->get_cbs.head(op->arg, &info, op->off, op->len, op->take_fd ? body_fd(op->store, o->body) : -1);
}

static void get_step(evutil_socket_t fd, short what, void *arg)
{
	struct fake_op *op = arg;
	const struct fake_object *o = op_object(op);
	uint64_t n;

	(void)fd, (void)what;
	if (op->store->hangs || is_early(op))
		return;
	if (!op->headed) {
		get_head(op);
		return;
	}
	n = op->broken ? 0 : get_cut(op);
	if (op->take_fd || n == 0) {
		get_end(op, op->broken ? GFS_ERR_IO : 0, 0);
		return;
	}
	op->len = 0;
	event_active(op->ev, EV_TIMEOUT, 0);
	if (!op->get_cbs.data(op->arg, o->body + op->off, n))
		event_del(op->ev);
}

static struct site_get *fake_get(struct site *site, const struct site_get_req *req, const struct site_get_cbs *cbs, void *arg)
{
	struct fake_op *op = op_new(site, req->key, get_step, arg);

	op->store->gets++;
	op->get_cbs = *cbs;
	op->range = req->range;
	op->has_if_match = req->if_match;
	snprintf(op->if_match, sizeof(op->if_match), "%s", req->if_match ? req->if_match : "");
	op->off = req->off, op->len = req->len;
	op->take_fd = req->flags & SITE_TAKE_FD;
	return &op->get;
}

static void fake_get_resume(struct site_get *get)
{
	event_active(((struct fake_op *)(void *)get)->ev, EV_TIMEOUT, 0);
}

static void fake_get_cancel(struct site_get *get)
{
	struct fake_op *op = (struct fake_op *)(void *)get;

	op->store->cancels++;
	op_free(op);
}

/* ---- head, list, probe, delete ---- */

static void head_step(evutil_socket_t fd, short what, void *arg)
{
	struct fake_op *op = arg;
	const struct fake_object *o = op_object(op);
	struct site_result r;
	struct object_info info;

	(void)fd, (void)what;
	if (op->store->hangs || op->store->heads_hang || is_early(op))
		return;
	r = result(read_err(op->store));
	r.retry_after_s = r.err ? op->store->retry_after_s : 0;
	if (!r.err && !o)
		r = result(GFS_ERR_NO_SUCH_KEY);
	if (!r.err)
		info_of(op->store, o, &info);
	op->head_cb(op->arg, &r, r.err ? NULL : &info);
	op_free(op);
}

static struct site_op *fake_head(struct site *site, struct slice key, unsigned flags, site_head_cb *cb, void *arg)
{
	struct fake_op *op = op_new(site, key, head_step, arg);

	(void)flags;
	op->store->heads++;
	op->head_cb = cb;
	return &op->op;
}

/* False: the object is not to be told. */
static bool list_row(const struct fake_op *op, const struct fake_object *o, struct slice last, struct site_list_entry *out)
{
	struct slice key = slice_str(o->key), after = slice_of(op->after, op->n_after), prefix = slice_of(op->key, op->n);
	struct slice group = site_list_group(key, prefix, slice_str(op->delimiter));
	uint64_t crc;

	*out = (struct site_list_entry){.key = key};
	if (!slice_starts_with(key, prefix) || slice_cmp(key, after) <= 0)
		return false;
	if (group.p && op->store->bare_groups) {
		out->key = group;
		out->group = true;
		return !slice_eq(group, last) && !slice_starts_with(after, group);
	}
	out->size = strlen(o->body);
	out->mtime_ms = o->mtime_ms;
	etag_of(o->body, out->etag, &crc);
	return true;
}

static void list_step(evutil_socket_t fd, short what, void *arg)
{
	struct fake_op *op = arg;
	struct fake_store *s = op->store;
	unsigned limit = s->page && s->page < op->limit ? s->page : op->limit;
	struct site_list_entry v[FAKE_OBJECTS + 1];
	bool bad = (s->list_err || s->list_hangs) && s->lists > s->good_pages;
	struct site_result r;
	size_t n = 0;
	bool more = false;

	(void)fd, (void)what;
	if (s->hangs || (bad && s->list_hangs))
		return;
	r = result(bad ? s->list_err : read_err(s));
	for (size_t i = 0; i < s->n && !r.err && !more; i++) {
		if (!list_row(op, &s->objects[i], n ? v[n - 1].key : slice_of(NULL, 0), &v[n]))
			continue;
		more = n == limit;
		n += !more;
	}
	op->list_cb(op->arg, &r, v, n, more, n ? v[n - 1].key : slice_of(NULL, 0));
	op_free(op);
}

static struct site_op *fake_list(struct site *site, const struct site_list_req *req, site_list_cb *cb, void *arg)
{
	struct fake_op *op = op_new(site, req->prefix, list_step, arg);

	op->store->lists++;
	op->list_cb = cb;
	op->after = xmemdup(req->start_after.n ? req->start_after.p : "", req->start_after.n);
	op->n_after = req->start_after.n;
	op->delimiter = xstrndup(req->delimiter.n ? req->delimiter.p : "", req->delimiter.n);
	op->limit = req->limit;
	return &op->op;
}

static void probe_step(evutil_socket_t fd, short what, void *arg)
{
	struct fake_op *op = arg;
	struct site_result r = result(op->store->probe_err);

	(void)fd, (void)what;
	op->probe_cb(op->arg, &r, 1);
	op_free(op);
}

static struct site_op *fake_probe(struct site *site, site_probe_cb *cb, void *arg)
{
	struct fake_op *op = op_new(site, SLICE_LIT(""), probe_step, arg);

	op->probe_cb = cb;
	return &op->op;
}

static void fake_op_cancel(struct site_op *h)
{
	struct fake_op *op = (struct fake_op *)(void *)h;

	op->store->cancels++;
	op_free(op);
}

static void delete_step(evutil_socket_t fd, short what, void *arg)
{
	struct fake_op *op = arg;
	struct site_result r = result(op->store->delete_err);

	(void)fd, (void)what;
	op->done_cb(op->arg, &r);
	op_free(op);
}

static void fake_delete(struct site *site, struct slice key, unsigned flags, site_done_cb *cb, void *arg)
{
	struct fake_op *op = op_new(site, key, delete_step, arg);

	(void)flags;
	op->store->deletes++;
	op->done_cb = cb;
}

/* ---- put ---- */

static void put_done(struct fake_op *op, enum site_outcome outcome, int err)
{
	struct site_result r = site_result_make(outcome, err, err ? "scripted" : "");

	op->put_cbs.done(op->arg, &r, err ? "" : op->store->put_etag);
	op_free(op);
}

static void put_step(evutil_socket_t fd, short what, void *arg)
{
	struct fake_op *op = arg;
	enum fake_put_fault fault = op->store->put_fault;

	(void)fd, (void)what;
	if (op->step == STEP_READY && fault != FAKE_PUT_FAILS_AT_ONCE) {
		op->put_cbs.ready(op->arg);
	} else if (op->step == STEP_READY || (op->step == STEP_PREPARED && fault == FAKE_PUT_FAILS_AT_END)) {
		put_done(op, SITE_FAILED, GFS_ERR_SITE_FULL);
	} else if (op->step == STEP_PREPARED) {
		op->put_cbs.prepared(op->arg);
	} else if (fault == FAKE_PUT_FAILS_COMPLETING || fault == FAKE_PUT_UNKNOWN) {
		put_done(op, fault == FAKE_PUT_UNKNOWN ? SITE_UNKNOWN : SITE_FAILED, GFS_ERR_TIMEOUT);
	} else {
		op->store->completes++;
		put_done(op, SITE_DONE, 0);
	}
}

static struct fake_op *put_of(struct site_put *put)
{
	return (struct fake_op *)(void *)put;
}

static void put_go(struct fake_op *op, int step)
{
	op->step = step;
	event_active(op->ev, EV_TIMEOUT, 0);
}

static struct site_put *fake_put(struct site *site, const struct site_put_req *req, const struct site_put_cbs *cbs, void *arg)
{
	struct fake_op *op = op_new(site, req->key, put_step, arg);

	op->store->puts++;
	op->store->put_bytes = 0;
	op->put_cbs = *cbs;
	snprintf(op->store->put_type, sizeof(op->store->put_type), "%s", req->content_type ? req->content_type : "");
	return &op->put;
}

static void fake_put_write(struct site_put *put, const void *p, size_t n)
{
	struct fake_op *op = put_of(put);
	struct fake_store *s = op->store;

	if (s->put_bytes + n < sizeof(s->put_body)) {
		memcpy(s->put_body + s->put_bytes, p, n);
		s->put_body[s->put_bytes + n] = '\0';
	}
	s->put_bytes += n;
	put_go(op, STEP_READY);
}

static void fake_put_end(struct site_put *put)
{
	put_go(put_of(put), STEP_PREPARED);
}

static void fake_put_complete(struct site_put *put, const char *etag, bool has_crc64, uint64_t crc64)
{
	struct fake_op *op = put_of(put);

	(void)has_crc64, (void)crc64;
	snprintf(op->store->put_etag, sizeof(op->store->put_etag), "%s", etag);
	put_go(op, STEP_DONE);
}

static void fake_put_abort(struct site_put *put)
{
	put_of(put)->store->aborts++;
	op_free(put_of(put));
}

static void fake_destroy(struct site *site)
{
	free(site);
}

struct site *fake_site_open(const struct site_env *env, const struct site_conf *conf, struct fake_store *store)
{
	static const struct site_ops ops = {
		.get = fake_get, .get_resume = fake_get_resume, .get_cancel = fake_get_cancel, .head = fake_head, .list = fake_list,
		.op_cancel = fake_op_cancel, .put = fake_put, .put_write = fake_put_write, .put_end = fake_put_end,
		.put_complete = fake_put_complete, .put_abort = fake_put_abort, .del = fake_delete, .probe = fake_probe,
		.destroy = fake_destroy,
	};
	struct fake *f = xcalloc(1, sizeof(*f));

	f->site.ops = &ops;
	f->site.env = env;
	site_conf_copy(&f->site.conf, conf);
	f->store = store;
	return &f->site;
}
