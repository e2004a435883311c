/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT and DELETE of a file site. Every step runs on the pool; the struct belongs to the job while one runs (busy).
 *
 *   write     the first checks root and marker and makes the temporary file; appended; the last byte of a known size is
 *             followed by the sync at once, which spares a small object two trips to the pool; ready
 *   end       size checked, time set, synced: prepared
 *   complete  sidecar written and synced, then the one step that makes the version visible (site_file_tree.c), then the
 *             directory synced. After that step a failure is UNKNOWN, before it FAILED.
 *
 * What "synced" takes before the last one depends on the filesystem: file_sync() in site_file.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "site_file.h"
#include "xalloc.h"

#define WRITEBACK_BYTES (8u << 20) /* after so many bytes the kernel is asked to begin writing them out */
#define RESERVE_MIN     (1u << 20) /* a known size from here on is reserved at once: a full disk is told before the body */
#define TYPE_MAX        1024

enum put_state { PUT_NEW, PUT_READY, PUT_WRITING, PUT_ENDING, PUT_PREPARED, PUT_COMPLETING };

struct file_put {
	struct site_put base;
	struct site_put_cbs cbs;
	void *arg;
	struct file_name name;
	int64_t size;
	struct object_info info;
	struct file_tmp tmp;
	char *buf; /* copy of the write under way: its owner may abort and free it while a thread still writes */
	size_t n, cap;
	uint64_t written, flushed;
	enum put_state state;
	bool synced;
	bool busy, in_callback, aborted;
	struct file_err err;
	enum site_outcome failure;
};

static struct site_file *put_site(const struct file_put *put)
{
	return site_file_of(put->base.site);
}

static void put_free(struct file_put *put)
{
	struct site *site = put->base.site;

	gfs_assert(put->tmp.fd < 0);
	file_name_free(&put->name);
	object_info_free(&put->info);
	free(put->buf);
	free(put);
	site_op_ended(site);
}

/* Closing the last descriptor of a large file without a name frees its blocks: not on the loop. */
static void cleanup_work(void *arg)
{
	struct file_put *put = arg;

	file_tmp_discard(put_site(put), &put->tmp);
}

static void cleanup_done(void *arg)
{
	put_free(arg);
}

static void put_leave(struct file_put *put)
{
	if (put->tmp.fd < 0)
		put_free(put);
	else
		file_submit(put_site(put), cleanup_work, cleanup_done, put);
}

static void put_end(struct file_put *put)
{
	struct site_result r = file_result(&put->err, put->failure);

	put->in_callback = true;
	put->cbs.done(put->arg, &r, put->err.err ? "" : put->info.etag);
	put_leave(put);
}

/* The end of every job. True when the caller is to be told of the next state. */
static bool put_job_ended(struct file_put *put, enum put_state next)
{
	put->busy = false;
	if (put->aborted) {
		put_leave(put);
		return false;
	}
	if (put->err.err) {
		put_end(put);
		return false;
	}
	put->state = next;
	return true;
}

static void put_tell(struct file_put *put, void (*tell)(void *arg))
{
	put->in_callback = true;
	tell(put->arg);
	put->in_callback = false;
	if (put->aborted && !put->busy)
		put_leave(put);
}

static void put_submit(struct file_put *put, void (*work)(void *arg), void (*done)(void *arg))
{
	put->busy = true;
	file_submit(put_site(put), work, done, put);
}

/* ---- begin ---- */

/* In the first job. */
static void begin(struct file_put *put)
{
	struct site_file *sf = put_site(put);
	int root, e;

	if (put->tmp.fd >= 0 || put->err.err || file_root_open_checked(sf, &root, &put->err))
		return;
	e = file_tmp_create(sf, root, &put->tmp);
	if (e == 0 && put->size >= (int64_t)RESERVE_MIN && fallocate(put->tmp.fd, FALLOC_FL_KEEP_SIZE, 0, put->size) < 0 &&
	    (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
		e = errno;
	if (e)
		file_fail_errno(&put->err, e, "making a temporary file");
	close(root);
}

static void ready_done(void *arg)
{
	struct file_put *put = arg;

	if (put_job_ended(put, PUT_READY))
		put_tell(put, put->cbs.ready);
}

static int check_put(const struct site_put_req *req, struct file_err *err)
{
	if (req->content_type && strlen(req->content_type) > TYPE_MAX)
		return file_fail(err, GFS_ERR_META_INVALID, "content type is longer than %d bytes", TYPE_MAX);
	if (gen_is_none(&req->gen))
		return file_fail(err, GFS_ERR_INVALID, "a put needs a generation");
	return 0;
}

struct site_put *site_file_put(struct site *site, const struct site_put_req *req, const struct site_put_cbs *cbs, void *arg)
{
	struct file_put *put = xcalloc(1, sizeof(*put));

	site_op_began(site);
	put->base.site = site;
	put->cbs = *cbs;
	put->arg = arg;
	put->size = req->size;
	put->tmp.fd = -1;
	put->failure = SITE_FAILED;
	put->info.gen = req->gen;
	put->info.part_size = req->part_size;
	put->info.content_type = req->content_type ? xstrdup(req->content_type) : NULL;
	if (req->meta)
		meta_copy(&put->info.meta, req->meta);
	if (file_name_make(site_file_of(site), req->key, req->flags, &put->name, &put->err) == 0)
		(void)check_put(req, &put->err);
	put->busy = true;
	file_defer(site_file_of(site), ready_done, put);
	return &put->base;
}

/* ---- write ---- */

/* A time of full resolution: with the inode it names the version, even when an inode number is used again within a tick. */
static int stamp(int fd)
{
	struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}};

	clock_gettime(CLOCK_REALTIME, &t[1]);
	return futimens(fd, t);
}

static void sync_data(struct file_put *put)
{
	if (put->synced || put->err.err)
		return;
	if (stamp(put->tmp.fd) < 0 || file_sync_nameless(put_site(put), put->tmp.fd) < 0)
		file_fail_errno(&put->err, errno, "sync");
	else
		put->synced = true;
}

static void write_work(void *arg)
{
	struct file_put *put = arg;
	const char *p = put->buf;
	ssize_t w;

	begin(put);
	while (put->n > 0 && !put->err.err) {
		w = pwrite(put->tmp.fd, p, put->n, (off_t)put->written);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0) {
			file_fail_errno(&put->err, errno, "write");
			return;
		}
		p += w;
		put->n -= (size_t)w;
		put->written += (uint64_t)w;
	}
	/* Keeps the sync at the end short, and the dirty pages few. */
	if (put->written - put->flushed >= WRITEBACK_BYTES) {
		sync_file_range(put->tmp.fd, (off_t)put->flushed, (off_t)(put->written - put->flushed), SYNC_FILE_RANGE_WRITE);
		put->flushed = put->written;
	}
	if (put->size >= 0 && put->written == (uint64_t)put->size)
		sync_data(put);
}

void site_file_put_write(struct site_put *op, const void *p, size_t n)
{
	struct file_put *put = (struct file_put *)op;

	gfs_assert(put->state == PUT_READY && !put->busy);
	put->state = PUT_WRITING;
	put->synced = false;
	if (n > put->cap) {
		free(put->buf);
		put->buf = malloc(n);
		put->cap = put->buf ? n : 0;
	}
	if (put->buf)
		memcpy(put->buf, p, n);
	else
		file_fail(&put->err, GFS_ERR_NOMEM, "out of memory");
	put->n = n;
	put_submit(put, write_work, ready_done);
}

/* ---- end ---- */

static void end_work(void *arg)
{
	struct file_put *put = arg;

	begin(put);
	if (!put->err.err && put->size >= 0 && put->written != (uint64_t)put->size)
		file_fail(&put->err, GFS_ERR_INVALID, "the body has %llu bytes, not %lld", (unsigned long long)put->written,
		          (long long)put->size);
	sync_data(put);
}

static void end_done(void *arg)
{
	struct file_put *put = arg;

	if (put_job_ended(put, PUT_PREPARED))
		put_tell(put, put->cbs.prepared);
}

void site_file_put_end(struct site_put *op)
{
	struct file_put *put = (struct file_put *)op;

	gfs_assert(put->state == PUT_READY && !put->busy);
	put->state = PUT_ENDING;
	put->busy = true;
	if (put->synced)
		file_defer(put_site(put), end_done, put);
	else
		file_submit(put_site(put), end_work, end_done, put);
}

/* ---- complete ---- */

static void place(struct file_put *put, int root, uint64_t inode)
{
	struct file_change c = {.sf = put_site(put), .root = root, .name = &put->name, .err = &put->err};

	(void)file_tree_place(&c, &put->tmp);
	if (!c.done)
		file_meta_unlink(root, file_name_full(&put->name), inode);
	else if (c.inode && c.inode != inode)
		file_meta_unlink(root, file_name_full(&put->name), c.inode);
	if (c.done)
		put->failure = SITE_UNKNOWN;
}

static void complete_work(void *arg)
{
	struct file_put *put = arg;
	struct site_file *sf = put_site(put);
	struct file_meta m = {.full_key = file_name_full(&put->name), .key = file_name_key(&put->name), .info = &put->info};
	struct stat st = {0};
	int root, e;

	if (file_root_open_checked(sf, &root, &put->err) == 0) {
		e = fstat(put->tmp.fd, &st) < 0 ? errno : 0;
		m.inode = st.st_ino;
		m.size = (uint64_t)st.st_size;
		m.mtime_ns = file_mtime_ns(&st);
		e = e ? e : file_meta_write(sf, root, &m);
		if (e)
			file_fail_errno(&put->err, e, "writing the sidecar");
		else
			place(put, root, m.inode);
		close(root);
	}
	file_tmp_discard(sf, &put->tmp);
}

static void complete_done(void *arg)
{
	struct file_put *put = arg;

	put->busy = false;
	put_end(put);
}

void site_file_put_complete(struct site_put *op, const char *etag, bool has_crc64, uint64_t crc64)
{
	struct file_put *put = (struct file_put *)op;

	gfs_assert(put->state == PUT_PREPARED && !put->busy);
	gfs_assert(strlen(etag) < ETAG_MAX);
	put->state = PUT_COMPLETING;
	memcpy(put->info.etag, etag, strlen(etag) + 1);
	put->info.has_crc64 = has_crc64;
	put->info.crc64 = crc64;
	put_submit(put, complete_work, complete_done);
}

void site_file_put_abort(struct site_put *op)
{
	struct file_put *put = (struct file_put *)op;

	gfs_assert(put->state != PUT_COMPLETING);
	put->aborted = true;
	if (!put->busy && !put->in_callback)
		put_leave(put);
}

/* ---- delete ---- */

struct file_delete {
	struct site *site;
	site_done_cb *cb;
	void *arg;
	struct file_name name;
	struct file_err err;
	enum site_outcome failure;
};

static void delete_work(void *arg)
{
	struct file_delete *d = arg;
	struct file_change c = {.sf = site_file_of(d->site), .name = &d->name, .err = &d->err};

	if (d->err.err || file_root_open_checked(c.sf, &c.root, &d->err))
		return;
	(void)file_tree_remove(&c);
	if (c.done)
		d->failure = SITE_UNKNOWN;
	if (c.inode && !d->err.err)
		file_meta_unlink(c.root, file_name_full(&d->name), c.inode);
	close(c.root);
}

static void delete_done(void *arg)
{
	struct file_delete *d = arg;
	struct site *site = d->site;
	struct site_result r = file_result(&d->err, d->failure);

	d->cb(d->arg, &r);
	file_name_free(&d->name);
	free(d);
	site_op_ended(site);
}

void site_file_delete(struct site *site, struct slice key, unsigned flags, site_done_cb *cb, void *arg)
{
	struct file_delete *d = xcalloc(1, sizeof(*d));

	site_op_began(site);
	d->site = site;
	d->cb = cb;
	d->arg = arg;
	d->failure = SITE_FAILED;
	(void)!file_name_make(site_file_of(site), key, flags, &d->name, &d->err);
	file_submit(site_file_of(site), delete_work, delete_done, d);
}
