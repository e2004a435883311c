/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes out on a client connection: blocks of copied bytes, then perhaps a range of a file by sendfile(). Bytes are handed to
 * the socket at once when that is worth a system call, and copied only as far as it does not take them. Before sendfile() the
 * range is looked up in the page cache (preadv2 with RWF_NOWAIT); what is not there is read ahead on the pool first, so that
 * the loop never waits for a disk.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pool.h"
#include "common/xalloc.h"
#include "conn_impl.h"

#define OUT_IOV_MAX 20
#define SEND_AT_ONCE 8192        /* less than this waits for more, or for the end of the response */
#define FILE_STEP (1 << 20)      /* looked up or read ahead at a time */
#define FILE_PROBE_STRIDE 65536  /* the kernel's read-ahead comes and goes in runs at least about as long */
#define FILE_SMALL 32768         /* read and sent together with the head */

bool conn_out_pending(const struct conn *c)
{
	return c->out_first || c->file.fd >= 0;
}

void conn_out_add(struct conn *c, const void *p, size_t n)
{
	const char *from = p;

	while (n > 0) {
		struct block *b = c->out_last;
		size_t take;

		if (!b || block_room(b) == 0) {
			b = block_get(&c->list->blocks);
			if (!b) {
				c->broken = true;
				return;
			}
			if (c->out_last)
				c->out_last->next = b;
			else
				c->out_first = b;
			c->out_last = b;
		}
		take = n < block_room(b) ? n : block_room(b);
		memcpy(b->data + b->end, from, take);
		b->end += take;
		c->out_bytes += take;
		from += take;
		n -= take;
	}
}

static void out_consume(struct conn *c, size_t n)
{
	c->out_bytes -= n;
	while (c->out_first) {
		struct block *b = c->out_first;
		size_t take = n < block_used(b) ? n : block_used(b);

		b->start += take;
		n -= take;
		if (b->start < b->end)
			return;
		c->out_first = b->next;
		if (!c->out_first)
			c->out_last = NULL;
		block_put(&c->list->blocks, &b);
	}
}

static size_t out_iov(const struct conn *c, struct iovec *iov, int cap, int *n_out)
{
	size_t total = 0;
	int n = 0;

	for (struct block *b = c->out_first; b && n < cap; b = b->next) {
		iov[n++] = (struct iovec){.iov_base = b->data + b->start, .iov_len = block_used(b)};
		total += block_used(b);
	}
	*n_out = n;
	return total;
}

/* Bytes taken by the socket; notes when it is full or gone. */
static size_t out_sendmsg(struct conn *c, struct iovec *iov, int n_iov, size_t total, int flags)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n_iov};
	ssize_t n;

	do
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			c->wr_blocked = true;
		else
			c->broken = true;
		return 0;
	}
	c->wr_blocked = (size_t)n < total;
	c->rate_bytes += (size_t)n;
	c->turn_left -= (size_t)n < c->turn_left ? (size_t)n : c->turn_left;
	return (size_t)n;
}

void conn_out_send(struct conn *c, struct iovec *extra, int n_extra)
{
	struct iovec iov[OUT_IOV_MAX];
	size_t queued, total = 0, sent = 0;
	int n;

	for (int i = 0; i < n_extra; i++)
		total += extra[i].iov_len;
	if (c->out_bytes + total >= SEND_AT_ONCE && !c->wr_blocked && !c->broken) {
		if (c->out_bytes > (OUT_IOV_MAX - 4) * (BLOCK_BYTES - 64))
			conn_out_flush(c);
		queued = out_iov(c, iov, OUT_IOV_MAX - n_extra, &n);
		if (queued == c->out_bytes && !c->wr_blocked && !c->broken) {
			memcpy(iov + n, extra, (size_t)n_extra * sizeof(*extra));
			sent = out_sendmsg(c, iov, n + n_extra, queued + total, 0);
			out_consume(c, sent < queued ? sent : queued);
			sent -= sent < queued ? sent : queued;
		}
	}
	for (int i = 0; i < n_extra && !c->broken; i++) {
		size_t skip = sent < extra[i].iov_len ? sent : extra[i].iov_len;

		sent -= skip;
		conn_out_add(c, (char *)extra[i].iov_base + skip, extra[i].iov_len - skip);
	}
}

/* ---- files ---- */

struct readahead {
	struct conn *c; /* NULL: nobody waits any more */
	int fd;         /* the job's own */
	uint64_t off, len;
	bool failed;
};

static void readahead_work(void *arg)
{
	struct readahead *job = arg;
	char buf[32768];

	while (job->len > 0) {
		ssize_t n = pread(job->fd, buf, job->len < sizeof(buf) ? (size_t)job->len : sizeof(buf), (off_t)job->off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			job->failed = true;
			return;
		}
		job->off += (uint64_t)n;
		job->len -= (uint64_t)n;
	}
}

/* The file is over; what is left of it stays in f->left until its owner is told. */
static void file_end(struct conn_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	if (f->job)
		f->job->c = NULL;
	f->job = NULL;
}

static void readahead_done(void *arg)
{
	struct readahead *job = arg;
	struct conn *c = job->c;
	bool failed = job->failed;

	close(job->fd);
	free(job);
	if (!c)
		return;
	c->file.job = NULL;
	if (failed)
		file_end(&c->file);
	conn_run(c);
}

/* Is the next step in memory? Looks at one byte per stride. */
static bool file_resident(const struct conn_file *f, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += FILE_PROBE_STRIDE) {
		char byte;
		struct iovec iov = {.iov_base = &byte, .iov_len = 1};

		if (preadv2(f->fd, &iov, 1, (off_t)(f->off + at), RWF_NOWAIT) < 0)
			return false;
	}
	return true;
}

/* True when the next step can be sent now; else it is being read ahead. */
static bool file_ready(struct conn *c)
{
	struct conn_file *f = &c->file;
	uint64_t len = f->left < FILE_STEP ? f->left : FILE_STEP;
	struct readahead *job;
	int fd;

	if (f->off < f->resident_end)
		return true;
	if (!c->list->w->pool || file_resident(f, len)) {
		f->resident_end = f->off + len;
		return true;
	}
	f->resident_end = f->off + len; /* after the job it is as good as it gets */
	fd = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return true; /* out of descriptors: rather wait for the disk than fail */
	job = xcalloc(1, sizeof(*job));
	*job = (struct readahead){.c = c, .fd = fd, .off = f->off, .len = len};
	f->job = job;
	f->job_since_ms = clock_mono_ms();
	pool_submit(c->list->w->pool, readahead_work, readahead_done, job);
	return false;
}

/* Of sendfile(): is it the socket that failed? Else it was the file. */
static bool is_of_socket(int err)
{
	switch (err) {
	case EPIPE:
	case ECONNRESET:
	case ECONNABORTED:
	case ENOTCONN:
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
	case ENOBUFS:
	case ENOMEM:
		return true;
	default:
		return false;
	}
}

static void file_flush(struct conn *c)
{
	struct conn_file *f = &c->file;

	while (f->left > 0 && !f->job && !c->wr_blocked && c->turn_left > 0 && file_ready(c)) {
		uint64_t end = f->off + f->left < f->resident_end ? f->off + f->left : f->resident_end;
		size_t want = (size_t)(end - f->off) < c->turn_left ? (size_t)(end - f->off) : c->turn_left;
		off_t off = (off_t)f->off;
		ssize_t n = sendfile(c->fd, f->fd, &off, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			c->wr_blocked = true;
			return;
		}
		if (n < 0 && is_of_socket(errno)) {
			c->broken = true;
			return;
		}
		if (n <= 0) {
			file_end(f);
			return;
		}
		f->off += (uint64_t)n;
		f->left -= (uint64_t)n;
		c->turn_left -= (size_t)n;
		c->rate_bytes += (size_t)n;
		c->wr_blocked = (size_t)n < want;
	}
	if (f->left == 0)
		file_end(f);
}

/* A small file that is in memory goes out with the head in one call. True when it did. */
static bool file_send_small(struct conn *c, const struct response_file *file)
{
	struct iovec iov = {.iov_base = c->list->scratch, .iov_len = (size_t)file->len};

	if (file->len > FILE_SMALL || preadv2(file->fd, &iov, 1, (off_t)file->off, RWF_NOWAIT) != (ssize_t)file->len)
		return false;
	conn_out_send(c, &iov, 1);
	return true;
}

void conn_out_file(struct conn *c, const struct response_file *file)
{
	gfs_assert(!c->file.done);
	c->file = (struct conn_file){.fd = file->fd, .off = file->off, .left = file->len};
	c->file.stall_ms = file->stall_ms;
	c->file.done = file->done;
	if (file->len == 0 || file_send_small(c, file)) {
		c->file.left = 0;
		file_end(&c->file);
	}
}

bool conn_out_file_over(struct conn *c)
{
	struct conn_file f = c->file;

	if (!f.done || f.fd >= 0)
		return false;
	c->file = (struct conn_file){.fd = -1};
	c->reply.left += f.left;
	c->req->body_out -= f.left;
	f.done(c->req, f.left);
	return true;
}

void conn_out_file_watch(struct conn *c, int64_t now_ms)
{
	if (!c->file.job || now_ms - c->file.job_since_ms < c->file.stall_ms)
		return;
	file_end(&c->file);
	conn_run(c);
}

/* ---- both ---- */

void conn_out_flush(struct conn *c)
{
	struct iovec iov[OUT_IOV_MAX];

	while (c->out_first && !c->wr_blocked && !c->broken) {
		int n;
		size_t total = out_iov(c, iov, OUT_IOV_MAX, &n);

		out_consume(c, out_sendmsg(c, iov, n, total, c->file.fd >= 0 ? MSG_MORE : 0));
	}
	if (!c->out_first && c->file.fd >= 0 && !c->broken)
		file_flush(c);
}

void conn_out_clear(struct conn *c)
{
	while (c->out_first) {
		struct block *b = c->out_first;

		c->out_first = b->next;
		block_put(&c->list->blocks, &b);
	}
	c->out_last = NULL;
	c->out_bytes = 0;
	file_end(&c->file);
	c->file.done = NULL;
}
