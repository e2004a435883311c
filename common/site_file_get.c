/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET and HEAD of a file site. What is in memory is answered on the loop at once: the name, the metadata and (asked by
 * RWF_NOWAIT) the bytes; else a pool thread does the same with leave to wait. Up to FILE_INLINE_MAX bytes are handed over as
 * bytes: that is cheaper than a descriptor. A caller that can send from a descriptor gets one for more, with the beginning of the
 * range in memory; others get pieces read by the pool, one at a time.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "site_file.h"
#include "xalloc.h"

struct file_get {
	struct site_get base;
	struct site_get_cbs cbs;
	void *arg;
	struct file_name name;
	struct site_get_req req; /* key unused; if_match owned below */
	char *if_match;
	struct file_found found;
	struct file_err err;
	uint64_t object_size;    /* told with GFS_ERR_RANGE */
	uint64_t off, len;       /* of the range */
	uint64_t at;             /* delivered up to here */
	char *buf;
	size_t buf_n;
	bool busy;               /* a pool job owns the op */
	bool in_callback, paused, cancelled;
};

/* [off, off+len) of an object of size bytes, by RFC 9110 section 14. */
static int range_of(const struct site_get_req *req, uint64_t size, uint64_t *off_out, uint64_t *len_out)
{
	uint64_t off = 0, len = size;

	switch (req->range) {
	case RANGE_ALL:
		break;
	case RANGE_FROM:
	case RANGE_SPAN:
		off = req->off;
		if (off >= size || (req->range == RANGE_SPAN && req->len == 0))
			return GFS_ERR_RANGE;
		len = size - off;
		if (req->range == RANGE_SPAN && req->len < len)
			len = req->len;
		break;
	case RANGE_SUFFIX:
		if (req->len == 0 || size == 0)
			return GFS_ERR_RANGE;
		len = req->len < size ? req->len : size;
		off = size - len;
		break;
	}
	*off_out = off;
	*len_out = len;
	return 0;
}

/* Conditions and range; err says what is wrong. */
static int check_req(const struct site_get_req *req, const struct object_info *info, uint64_t *off, uint64_t *len,
                     struct file_err *err)
{
	if (req->if_match && strcmp(req->if_match, info->etag) != 0)
		return file_fail(err, GFS_ERR_PRECONDITION, "the site holds another version");
	if (range_of(req, info->size, off, len))
		return file_fail(err, GFS_ERR_RANGE, "the range lies outside of the object");
	return 0;
}

static void get_free(struct file_get *g)
{
	struct site *site = g->base.site;

	file_found_free(&g->found);
	file_name_free(&g->name);
	free(g->if_match);
	free(g->buf);
	free(g);
	site_op_ended(site);
}

static void get_end(struct file_get *g)
{
	struct site_result r = file_result(&g->err, SITE_FAILED);

	g->in_callback = true;
	g->cbs.done(g->arg, &r, g->object_size);
	get_free(g);
}

/* ---- on the pool ---- */

/* Reads the next piece into buf. */
static int read_piece(struct file_get *g)
{
	uint64_t left = g->off + g->len - g->at;
	size_t want = left < FILE_PIECE ? (size_t)left : FILE_PIECE;
	ssize_t n;

	g->buf_n = 0;
	if (!g->buf)
		g->buf = malloc(g->len < FILE_PIECE ? (size_t)g->len : FILE_PIECE);
	if (!g->buf)
		return file_fail(&g->err, GFS_ERR_NOMEM, "out of memory");
	while (g->buf_n < want) {
		n = pread(g->found.fd, g->buf + g->buf_n, want - g->buf_n, (off_t)(g->at + g->buf_n));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_fail_errno(&g->err, errno, "read");
		if (n == 0)
			return file_fail(&g->err, GFS_ERR_SITE_CORRUPT, "the file became shorter while it was read");
		g->buf_n += (size_t)n;
	}
	return 0;
}

static bool gives_fd(const struct site_get_req *req, uint64_t len)
{
	return (req->flags & SITE_TAKE_FD) && len > FILE_INLINE_MAX;
}

static void get_open_work(void *arg)
{
	struct file_get *g = arg;
	struct site_file *sf = site_file_of(g->base.site);
	int root;

	if (g->err.err || file_root_open(sf, &root, &g->err))
		return;
	if (file_look(sf, root, &g->name, &g->found, &g->err) == 0 &&
	    check_req(&g->req, &g->found.info, &g->off, &g->len, &g->err) == 0) {
		g->at = g->off;
		if (g->len > 0)
			read_piece(g);
	} else if (g->err.err == GFS_ERR_RANGE) {
		g->object_size = g->found.info.size;
	}
	close(root);
}

static void get_read_work(void *arg)
{
	read_piece(arg);
}

/* ---- on the loop ---- */

static void get_piece_done(void *arg);

static void get_go_on(struct file_get *g)
{
	if (g->at == g->off + g->len) {
		get_end(g);
	} else if (!g->paused) {
		g->busy = true;
		file_submit(site_file_of(g->base.site), get_read_work, get_piece_done, g);
	}
}

/* Hands over buf; false when the caller cancelled meanwhile, and g is gone. */
static void get_deliver(struct file_get *g)
{
	size_t n = g->buf_n;

	g->buf_n = 0;
	if (n > 0) {
		g->at += n;
		g->in_callback = true;
		g->paused = !g->cbs.data(g->arg, g->buf, n) && !g->cancelled;
		g->in_callback = false;
	}
	if (g->cancelled)
		get_free(g);
	else
		get_go_on(g);
}

static void get_piece_done(void *arg)
{
	struct file_get *g = arg;

	g->busy = false;
	if (g->cancelled)
		get_free(g);
	else if (g->err.err)
		get_end(g);
	else
		get_deliver(g);
}

static void get_open_done(void *arg)
{
	struct file_get *g = arg;
	int fd = -1;

	g->busy = false;
	if (g->cancelled) {
		get_free(g);
		return;
	}
	if (g->err.err) {
		get_end(g);
		return;
	}
	file_info_keep(site_file_of(g->base.site), &g->name, &g->found);
	if (gives_fd(&g->req, g->len)) {
		fd = g->found.fd;
		g->found.fd = -1;
		g->at = g->off + g->len;
		g->buf_n = 0;
	}
	g->in_callback = true;
	g->cbs.head(g->arg, &g->found.info, g->off, g->len, fd);
	g->in_callback = false;
	if (g->cancelled)
		get_free(g);
	else
		get_deliver(g);
}

/* ---- at once, from memory ---- */

/* Whether the beginning of the range is in memory, as far as the first send goes. */
static bool resident(int fd, uint64_t off, uint64_t len)
{
	uint64_t last = off + (len < FILE_PIECE ? len : FILE_PIECE) - 1;
	char byte;

	return file_read_now(fd, &byte, 1, off) == 1 && file_read_now(fd, &byte, 1, last) == 1;
}

static bool answer_from_memory(const struct site_get_req *req, const struct site_get_cbs *cbs, void *arg, int fd,
                               const struct object_info *info)
{
	struct site_result ok = site_result_make(SITE_DONE, 0, "");
	char buf[FILE_INLINE_MAX];
	struct file_err err = {0};
	uint64_t off, len;

	if (check_req(req, info, &off, &len, &err))
		return false;
	if (gives_fd(req, len)) {
		if (!resident(fd, off, len))
			return false;
		cbs->head(arg, info, off, len, fd);
		cbs->done(arg, &ok, 0);
		return true;
	}
	if (len > sizeof(buf) || (len > 0 && file_read_now(fd, buf, (size_t)len, off) != (ssize_t)len))
		return false;
	close(fd);
	cbs->head(arg, info, off, len, -1);
	if (len > 0)
		cbs->data(arg, buf, (size_t)len);
	cbs->done(arg, &ok, 0);
	return true;
}

static bool get_at_once(struct site_file *sf, const struct site_get_req *req, const struct site_get_cbs *cbs, void *arg)
{
	char full[FILE_PREFIX_MAX + KEY_MAX + sizeof(KEY_RESERVED_DIR) + 2], path[FILE_PATH_MAX];
	struct file_name name = {.full = full, .path = path};
	struct file_info *info;
	struct file_err err;
	bool answered;
	int fd;

	if (file_name_path(sf, req->key, req->flags, &name, &err) || file_look_cached(sf, &name, &fd, &info))
		return false;
	answered = answer_from_memory(req, cbs, arg, fd, file_info_of(info));
	if (!answered)
		close(fd);
	file_info_unpin(&info);
	return answered;
}

struct site_get *site_file_get(struct site *site, const struct site_get_req *req, const struct site_get_cbs *cbs, void *arg)
{
	struct site_file *sf = site_file_of(site);
	struct file_get *g;
	bool answered;

	site_op_began(site);
	answered = get_at_once(sf, req, cbs, arg);
	if (answered) {
		site_op_ended(site);
		return NULL;
	}
	g = xcalloc(1, sizeof(*g));
	g->base.site = site;
	g->cbs = *cbs;
	g->arg = arg;
	g->found.fd = -1;
	g->req = *req;
	g->if_match = req->if_match ? xstrdup(req->if_match) : NULL;
	g->req.if_match = g->if_match;
	g->busy = true;
	if (file_name_make(sf, req->key, req->flags, &g->name, &g->err))
		file_defer(sf, get_open_done, g);
	else
		file_submit(sf, get_open_work, get_open_done, g);
	return &g->base;
}

void site_file_get_resume(struct site_get *op)
{
	struct file_get *g = (struct file_get *)op;

	if (!g->paused)
		return;
	g->paused = false;
	if (!g->busy && !g->in_callback)
		get_go_on(g);
}

void site_file_get_cancel(struct site_get *op)
{
	struct file_get *g = (struct file_get *)op;

	g->cancelled = true;
	if (!g->busy && !g->in_callback)
		get_free(g);
}

/* ---- head ---- */

struct file_head {
	struct file_op op;
	site_head_cb *cb;
	void *arg;
	struct file_name name;
	struct file_found found;
	struct file_info *from_memory;
	struct file_err err;
};

static void head_work(void *arg)
{
	struct file_head *h = arg;
	struct site_file *sf = site_file_of(h->op.base.site);
	int root;

	if (file_root_open(sf, &root, &h->err))
		return;
	(void)!file_look(sf, root, &h->name, &h->found, &h->err);
	close(root);
}

static void head_done(void *arg)
{
	struct file_head *h = arg;
	struct site *site = h->op.base.site;
	struct site_result r = file_result(&h->err, SITE_FAILED);
	const struct object_info *info = h->from_memory ? file_info_of(h->from_memory) : &h->found.info;

	if (!h->err.err && !h->from_memory)
		file_info_keep(site_file_of(site), &h->name, &h->found);
	if (!h->op.cancelled)
		h->cb(h->arg, &r, h->err.err ? NULL : info);
	file_found_free(&h->found);
	file_info_unpin(&h->from_memory);
	file_name_free(&h->name);
	free(h);
	site_op_ended(site);
}

struct site_op *site_file_head(struct site *site, struct slice key, unsigned flags, site_head_cb *cb, void *arg)
{
	struct site_file *sf = site_file_of(site);
	struct file_head *h = xcalloc(1, sizeof(*h));
	int fd;

	site_op_began(site);
	h->op.base.site = site;
	h->cb = cb;
	h->arg = arg;
	h->found.fd = -1;
	if (file_name_make(sf, key, flags, &h->name, &h->err)) {
		file_defer(sf, head_done, h);
	} else if (file_look_cached(sf, &h->name, &fd, &h->from_memory) == 0) {
		close(fd);
		file_defer(sf, head_done, h);
	} else {
		file_submit(sf, head_work, head_done, h);
	}
	return &h->op.base;
}
