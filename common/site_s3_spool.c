/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool of an upload whose size is not known: S3 wants a length before each body, so each part is gathered in an unlinked file
 * first. Disk work runs on the pool through a buffer of the spool's own, so that a caller may take its buffer back at any time. All
 * spools of a process together are bounded (site_env.spool_max_bytes); a full spool ends the upload with GFS_ERR_BUSY.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "pool.h"
#include "site_s3_put.h"
#include "xalloc.h"

#define RESERVE_STEP (1u << 20)

struct s3_spool {
	struct s3_putting *owner; /* NULL: closed, freed when its job has ended */
	const struct site_env *env;
	int fd;
	uint64_t used;     /* bytes in the file */
	uint64_t reserved; /* of the process's bound */
	uint64_t read_off;
	bool busy;
	/* the job on the pool */
	size_t job_n;
	uint64_t job_off;
	int job_errno;
	char buf[SPOOL_BUFFER];
};

static int open_unlinked(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *path;

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	/* a filesystem without O_TMPFILE */
	path = xasprintf("%s/spool-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	free(path);
	return fd;
}

int spool_open(struct s3_putting *p)
{
	const struct site_env *env = p->base.site->env;
	struct s3_spool *s;
	int fd = -1;

	if (!env->spool_dir || !*env->spool_dir || !env->spool_used) {
		put_fail(p, GFS_ERR_UNSUPPORTED, "no spool directory: uploads of unknown length are not possible here");
		return GFS_ERR_UNSUPPORTED;
	}
	if (*env->spool_used < env->spool_max_bytes) {
		fd = open_unlinked(env->spool_dir);
		if (fd < 0) {
			put_fail(p, GFS_ERR_BUSY, "no spool file in %.200s: %s", env->spool_dir, strerror(errno));
			return GFS_ERR_BUSY;
		}
	} else {
		put_fail(p, GFS_ERR_BUSY, "the spool for uploads of unknown length is full");
		return GFS_ERR_BUSY;
	}
	s = xcalloc(1, sizeof(*s));
	s->owner = p;
	s->env = env;
	s->fd = fd;
	p->spool = s;
	return 0;
}

static void close_work(void *arg)
{
	struct s3_spool *s = arg;

	close(s->fd); /* gives the blocks back: not for the loop */
}

static void close_done(void *arg)
{
	free(arg);
}

static void spool_free(struct s3_spool *s)
{
	*s->env->spool_used -= s->reserved;
	pool_submit(s->env->pool, close_work, close_done, s);
}

void spool_close(struct s3_spool **spool_io)
{
	struct s3_spool *s = *spool_io;

	*spool_io = NULL;
	if (!s)
		return;
	s->owner = NULL;
	if (!s->busy)
		spool_free(s);
}

uint64_t spool_held(const struct s3_spool *spool)
{
	return spool->used;
}

bool spool_rewind(struct s3_spool *spool)
{
	if (spool->busy)
		return false;
	spool->read_off = 0;
	return true;
}

void spool_clear(struct s3_spool *spool)
{
	spool->used = spool->read_off = 0;
}

/* ---- writing ---- */

static bool reserve(struct s3_spool *s, uint64_t upto)
{
	uint64_t want;

	if (upto <= s->reserved)
		return true;
	want = (upto - s->reserved + RESERVE_STEP - 1) / RESERVE_STEP * RESERVE_STEP;
	if (want > s->env->spool_max_bytes || *s->env->spool_used > s->env->spool_max_bytes - want)
		return false;
	s->reserved += want;
	*s->env->spool_used += want;
	return true;
}

static void write_work(void *arg)
{
	struct s3_spool *s = arg;
	size_t done = 0;

	s->job_errno = 0;
	while (done < s->job_n) {
		ssize_t n = pwrite(s->fd, s->buf + done, s->job_n - done, (off_t)(s->job_off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			s->job_errno = n < 0 ? errno : EIO;
			return;
		}
		done += (size_t)n;
	}
}

static void write_done(void *arg)
{
	struct s3_spool *s = arg;
	struct s3_putting *p = s->owner;

	s->busy = false;
	if (!p) {
		spool_free(s);
		return;
	}
	if (s->job_errno) {
		put_fail(p, s->job_errno == ENOSPC || s->job_errno == EDQUOT ? GFS_ERR_BUSY : GFS_ERR_IO, "writing to the spool: %s",
		         strerror(s->job_errno));
		return;
	}
	s->used += s->job_n;
	p->rest += s->job_n;
	p->rest_n -= s->job_n;
	spool_take(p);
}

void spool_take(struct s3_putting *p)
{
	struct s3_spool *s = p->spool;
	uint64_t room = p->part_size - s->used;
	size_t n = p->rest_n < SPOOL_BUFFER ? p->rest_n : SPOOL_BUFFER;

	if (p->must_fail || s->busy)
		return;
	if (p->rest_n == 0) {
		put_ready(p);
		return;
	}
	if (room == 0) {
		/* there is more than one part */
		if (p->mode == PUT_SPOOLING)
			parts_begin(p);
		else
			parts_advance(p);
		return;
	}
	if (n > room)
		n = (size_t)room;
	if (!reserve(s, s->used + n)) {
		put_fail(p, GFS_ERR_BUSY, "the spool for uploads of unknown length is full");
		return;
	}
	memcpy(s->buf, p->rest, n);
	s->job_n = n;
	s->job_off = s->used;
	s->busy = true;
	pool_submit(s->env->pool, write_work, write_done, s);
}

/* ---- reading ---- */

static void read_work(void *arg)
{
	struct s3_spool *s = arg;
	size_t done = 0;

	s->job_errno = 0;
	while (done < s->job_n) {
		ssize_t n = pread(s->fd, s->buf + done, s->job_n - done, (off_t)(s->job_off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			s->job_errno = n < 0 ? errno : EIO;
			return;
		}
		done += (size_t)n;
	}
}

static void read_done(void *arg)
{
	struct s3_spool *s = arg;
	struct s3_putting *p = s->owner;

	s->busy = false;
	if (!p) {
		spool_free(s);
		return;
	}
	if (!p->rq || p->must_fail)
		return; /* the exchange has failed meanwhile */
	if (s->job_errno) {
		put_fail(p, GFS_ERR_IO, "reading from the spool: %s", strerror(s->job_errno));
		return;
	}
	s->read_off += s->job_n;
	p->src = s->buf;
	p->src_n = s->job_n;
	s3_req_resume(p->rq);
}

void spool_read(struct s3_putting *p)
{
	struct s3_spool *s = p->spool;
	uint64_t left = s->used - s->read_off;

	if (s->busy || left == 0)
		return;
	s->job_off = s->read_off;
	s->job_n = left < SPOOL_BUFFER ? (size_t)left : SPOOL_BUFFER;
	s->busy = true;
	pool_submit(s->env->pool, read_work, read_done, s);
}

void spool_ended(struct s3_putting *p)
{
	struct s3_spool *s = p->spool;

	if (p->mode == PUT_PARTS) {
		parts_advance(p);
	} else if (s->used == 0) {
		p->mode = PUT_EMPTY;
		put_prepared(p);
	} else {
		(void)!spool_rewind(s);
		put_start_single(p, s->used);
	}
}
