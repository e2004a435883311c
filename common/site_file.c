/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storage site that is a directory: its life and its table of operations. site.c calls it; the rest of site_file*.c does the
 * work, site_file.h says how it hangs together.
 */
#include "config.h"

#include "site_file.h"

#include <errno.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "pool.h"
#include "proc.h"
#include "site_file_dir.h"
#include "xalloc.h"

static void site_file_destroy(struct site *site)
{
	struct site_file *sf = site_file_of(site);

	file_root_drop(sf);
	event_free(sf->drop_root);
	event_free(sf->drop_dirs);
	file_infos_destroy(&sf->infos);
	file_dirs_destroy(&sf->dirs);
	pthread_mutex_destroy(&sf->lock);
	free(sf);
}

static const struct site_ops file_ops = {
	.get = site_file_get,
	.get_resume = site_file_get_resume,
	.get_cancel = site_file_get_cancel,
	.head = site_file_head,
	.list = site_file_list,
	.op_cancel = site_file_op_cancel,
	.put = site_file_put,
	.put_write = site_file_put_write,
	.put_end = site_file_put_end,
	.put_complete = site_file_put_complete,
	.put_abort = site_file_put_abort,
	.del = site_file_delete,
	.probe = site_file_probe,
	.claim = site_file_claim,
	.destroy = site_file_destroy,
};

/* ---- what a start of the process does once: remove what dead owners left ---- */

static void sweep_work(void *arg)
{
	struct site_file *sf = arg;
	struct file_err err = {0};
	int root;

	if (file_root_open_checked(sf, &root, &err))
		return;
	file_tmp_sweep(sf, root);
	close(root);
}

static void sweep_done(void *arg)
{
	struct site_file *sf = arg;

	site_op_ended(&sf->base);
}

static void drop_root_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	file_root_drop(arg);
}

static void drop_dirs_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	file_dirs_clear(arg);
}

/* The prefix is the beginning of every key: it must leave a path. */
static int check_prefix(const char *prefix, char *why, size_t cap)
{
	char probe[FILE_PREFIX_MAX + 2], path[FILE_PATH_MAX];
	size_t n = strlen(prefix), path_n;

	if (n > FILE_PREFIX_MAX) {
		snprintf(why, cap, "prefix is longer than %d bytes", FILE_PREFIX_MAX);
		return GFS_ERR_CONFIG;
	}
	snprintf(probe, sizeof(probe), "%sx", prefix);
	if (file_path_encode(slice_str(probe), path, sizeof(path), &path_n) || key_check(slice_str(probe), NULL)) {
		snprintf(why, cap, "prefix cannot begin a key");
		return GFS_ERR_CONFIG;
	}
	return 0;
}

int site_file_open(const struct site_env *env, const struct site_conf *conf, struct site **out, char *why, size_t cap)
{
	struct site_file *sf;

	if (!conf->file_path || conf->file_path[0] != '/') {
		snprintf(why, cap, "file.path is not an absolute path");
		return GFS_ERR_CONFIG;
	}
	if (check_prefix(conf->prefix ? conf->prefix : "", why, cap))
		return GFS_ERR_CONFIG;
	sf = xcalloc(1, sizeof(*sf));
	sf->base.ops = &file_ops;
	sf->base.env = env;
	site_conf_copy(&sf->base.conf, conf);
	sf->start_time = proc_start_time(getpid());
	sf->have_proc = access("/proc/self/fd", X_OK) == 0;
	sf->cached_root = -1;
	pthread_mutex_init(&sf->lock, NULL);
	sf->infos = file_infos_create();
	sf->dirs = file_dirs_create();
	sf->drop_root = event_new(env->base, -1, 0, drop_root_cb, sf);
	sf->drop_dirs = event_new(env->base, -1, 0, drop_dirs_cb, sf);
	gfs_assert(sf->drop_root && sf->drop_dirs);
	site_op_began(&sf->base);
	file_submit(sf, sweep_work, sweep_done, sf);
	*out = &sf->base;
	return 0;
}

/* ---- what the operations share ---- */

void file_submit(struct site_file *sf, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	pool_submit(sf->base.env->pool, work, done, arg);
}

struct deferred {
	void (*fn)(void *arg);
	void *arg;
};

static void deferred_run(evutil_socket_t fd, short what, void *arg)
{
	struct deferred d = *(struct deferred *)arg;

	(void)fd;
	(void)what;
	free(arg);
	d.fn(d.arg);
}

void file_defer(struct site_file *sf, void (*fn)(void *arg), void *arg)
{
	static const struct timeval now = {0, 0};
	struct deferred *d = xcalloc(1, sizeof(*d));

	d->fn = fn;
	d->arg = arg;
	if (event_base_once(sf->base.env->base, -1, EV_TIMEOUT, deferred_run, d, &now) < 0)
		panic("event_base_once failed");
}

void site_file_op_cancel(struct site_op *op)
{
	((struct file_op *)op)->cancelled = true;
}

int file_fail(struct file_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	err->err = code;
	va_start(ap, fmt);
	vsnprintf(err->why, sizeof(err->why), fmt, ap);
	va_end(ap);
	return code;
}

int file_fail_errno(struct file_err *err, int errnum, const char *what)
{
	int code;

	switch (errnum) {
	case EROFS: /* after a disk error, most often: the site is ill */
	case ESTALE:
	case ENOTCONN:
		code = GFS_ERR_SITE_ERROR;
		break;
	case EMFILE:
	case ENFILE:
	case EAGAIN:
		code = GFS_ERR_BUSY;
		break;
	case ENOENT: /* of something of ours, else the caller had said NO_SUCH_KEY */
		code = GFS_ERR_SITE_ERROR;
		break;
	case ENAMETOOLONG:
		code = GFS_ERR_KEY_INVALID;
		break;
	default:
		code = gfs_err_from_errno(errnum);
	}
	return file_fail(err, code, "%s: %s", what, strerror(errnum));
}

struct site_result file_result(const struct file_err *err, enum site_outcome otherwise)
{
	return site_result_make(err->err ? otherwise : SITE_DONE, err->err, err->err ? err->why : "");
}
