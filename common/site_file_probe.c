/* SPDX-License-Identifier: Apache-2.0 */
/* Probe and claim of a file site: reads the marker, and writes it into a directory in its first use. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "site_file.h"
#include "xalloc.h"

struct file_probe {
	struct file_op op;
	site_probe_cb *cb;
	void *arg;
	struct file_err err;
	int64_t latency_us;
};

static void probe_work(void *arg)
{
	struct file_probe *p = arg;
	struct site_file *sf = site_file_of(p->op.base.site);
	int64_t began = clock_mono_us();
	int root;

	if (file_root_open_checked(sf, &root, &p->err) == 0)
		close(root);
	p->latency_us = clock_mono_us() - began;
}

static void probe_done(void *arg)
{
	struct file_probe *p = arg;
	struct site *site = p->op.base.site;
	struct site_result r = file_result(&p->err, SITE_FAILED);

	if (!p->op.cancelled)
		p->cb(p->arg, &r, p->latency_us);
	free(p);
	site_op_ended(site);
}

struct site_op *site_file_probe(struct site *site, site_probe_cb *cb, void *arg)
{
	struct file_probe *p = xcalloc(1, sizeof(*p));

	site_op_began(site);
	p->op.base.site = site;
	p->cb = cb;
	p->arg = arg;
	file_submit(site_file_of(site), probe_work, probe_done, p);
	return &p->op.base;
}

struct file_claim {
	struct site *site;
	site_done_cb *cb;
	void *arg;
	struct file_err err;
};

static int sync_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), e;

	if (fd < 0)
		return errno;
	e = fsync(fd) < 0 ? errno : 0;
	close(fd);
	return e;
}

/* The marker appears whole and never replaces one that another process wrote meanwhile. */
static int write_marker(struct site_file *sf, int root)
{
	char text[SITE_MARKER_MAX], tmp[FILE_TMP_NAME_MAX], path[FILE_TMP_NAME_MAX + 32];
	int dir, fd, e = 0;

	dir = file_own_dir(root, "tmp");
	if (dir < 0)
		return errno;
	file_tmp_name(sf, tmp);
	fd = file_openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL, 0);
	if (fd < 0)
		e = errno;
	close(dir);
	if (e)
		return e;
	site_marker_format(sf->base.env->namespace_id, sf->base.conf.id, text);
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd) < 0)
		e = errno ? errno : EIO;
	close(fd);
	snprintf(path, sizeof(path), KEY_RESERVED_DIR "/tmp/%s", tmp);
	if (e == 0 && linkat(root, path, root, SITE_MARKER_KEY, 0) < 0 && errno != EEXIST)
		e = errno;
	unlinkat(root, path, 0);
	if (e == 0)
		e = sync_dir(root, KEY_RESERVED_DIR);
	return e ? e : sync_dir(root, ".");
}

static void claim_work(void *arg)
{
	struct file_claim *c = arg;
	struct site_file *sf = site_file_of(c->site);
	int root, e;

	if (file_root_open(sf, &root, &c->err))
		return;
	/* Whatever marker is there stays: ours is success, another's a refusal. Only an absent one is written. */
	if (file_root_check(sf, root, &c->err) == GFS_ERR_SITE_MARKER &&
	    faccessat(root, SITE_MARKER_KEY, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		c->err = (struct file_err){0};
		e = write_marker(sf, root);
		if (e)
			file_fail_errno(&c->err, e, "writing the marker");
		else
			(void)!file_root_check(sf, root, &c->err);
	}
	close(root);
}

static void claim_done(void *arg)
{
	struct file_claim *c = arg;
	struct site *site = c->site;
	struct site_result r = file_result(&c->err, SITE_FAILED);

	c->cb(c->arg, &r);
	free(c);
	site_op_ended(site);
}

void site_file_claim(struct site *site, site_done_cb *cb, void *arg)
{
	struct file_claim *c = xcalloc(1, sizeof(*c));

	site_op_began(site);
	c->site = site;
	c->cb = cb;
	c->arg = arg;
	file_submit(site_file_of(site), claim_work, claim_done, c);
}
