/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking an object up: its file, and the metadata of the same version. The way of every GET and HEAD, first without
 * blocking on the loop (names and sidecars that the kernel or we have in memory), then on the pool.
 *
 * Two things save system calls on the loop. ROOT stays open for up to a tenth of a second, never longer, so that an unmount is
 * neither hindered nor missed. And parsed metadata is kept in a table of fixed size; an entry is good for exactly one inode,
 * size and modification time, which the open file itself tells.
 */
#include "config.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "log.h"
#include "map.h"
#include "site_file.h"
#include "xalloc.h"

#define LOOK_TRIES 16
#define ROOT_KEEP_MS 100
#define INFO_SLOTS 1024
#define INFO_BYTES_MAX 1024 /* of metadata kept per entry */

struct file_info {
	unsigned pins; /* callers, and the table */
	uint64_t hash;
	ino_t ino;
	off_t size;
	int64_t mtime_ns;
	struct object_info info;
	size_t full_n;
	char full[];
};

struct file_infos {
	struct file_info *slot[INFO_SLOTS];
};

static bool absent_errno(int e)
{
	/* A file, link or device on the way or at its end is not an object, so there is none. */
	return e == ENOENT || e == ENOTDIR || e == ELOOP || e == ENXIO || e == ENODEV || e == EXDEV || e == ENAMETOOLONG;
}

/* Whether path still leads to the inode of st. */
static bool still_there(int root, const char *path, const struct stat *st)
{
	struct stat now;
	int fd = file_openat(root, path, O_PATH, 0);
	bool same;

	if (fd < 0)
		return false;
	same = fstat(fd, &now) == 0 && now.st_ino == st->st_ino && now.st_dev == st->st_dev;
	close(fd);
	return same;
}

/* The object of a path that is a directory. EAGAIN with resolve: ask the pool; ESTALE: it changed under us, look again. */
static int open_in_dir(int root, const char *path, uint64_t resolve, int dir, struct stat *st)
{
	struct stat dir_st = *st;
	int fd = file_openat(dir, FILE_OBJ, O_RDONLY | O_NONBLOCK, resolve), e = errno;

	if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode))
		return fd;
	if (fd >= 0)
		close(fd);
	else if (!absent_errno(e))
		return -e;
	if (resolve)
		return -EAGAIN;
	return still_there(root, path, &dir_st) ? -ENOENT : -ESTALE;
}

int file_object_open(int root, const char *path, uint64_t resolve, int *fd_out, struct stat *st)
{
	int fd, in, tries;

	for (tries = 0; tries < LOOK_TRIES; tries++) {
		fd = file_openat(root, path, O_RDONLY | O_NONBLOCK, resolve);
		if (fd < 0)
			return absent_errno(errno) ? ENOENT : errno;
		if (fstat(fd, st) == 0 && S_ISREG(st->st_mode)) {
			*fd_out = fd;
			return 0;
		}
		in = S_ISDIR(st->st_mode) ? open_in_dir(root, path, resolve, fd, st) : -ENOENT;
		close(fd);
		if (in >= 0) {
			*fd_out = in;
			return 0;
		}
		if (in != -ESTALE)
			return -in;
	}
	return EBUSY;
}

/* Whether the file at path is another than the one that st describes. */
static bool replaced(int root, const char *path, const struct stat *st)
{
	struct stat now;
	int fd;

	if (file_object_open(root, path, 0, &fd, &now))
		return true;
	close(fd);
	return now.st_ino != st->st_ino || now.st_dev != st->st_dev;
}

int file_look(struct site_file *sf, int root, const struct file_name *name, struct file_found *out, struct file_err *err)
{
	int e, tries;

	*out = (struct file_found){.fd = -1};
	for (tries = 0; tries < LOOK_TRIES; tries++) {
		e = file_object_open(root, name->path, 0, &out->fd, &out->st);
		if (e == ENOENT)
			return file_root_check(sf, root, err) ? err->err : file_fail(err, GFS_ERR_NO_SUCH_KEY, "no such object");
		if (e)
			return file_fail_errno(err, e, "open");
		e = file_meta_read(sf, root, name, 0, out);
		/* The sidecar goes away after its file was replaced: then this is an old version, not one without a tag. */
		if (e == 0 && (out->info.gen_tagged || !replaced(root, name->path, &out->st)))
			return 0;
		file_found_free(out);
	}
	return file_fail(err, GFS_ERR_SITE_BUSY, "the object changes faster than it can be read");
}

void file_found_free(struct file_found *f)
{
	object_info_free(&f->info);
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* ---- metadata in memory ---- */

struct file_infos *file_infos_create(void)
{
	return xcalloc(1, sizeof(struct file_infos));
}

void file_infos_destroy(struct file_infos **infos)
{
	size_t i;

	for (i = 0; *infos && i < INFO_SLOTS; i++)
		file_info_unpin(&(*infos)->slot[i]);
	free(*infos);
	*infos = NULL;
}

const struct object_info *file_info_of(const struct file_info *fi)
{
	return &fi->info;
}

void file_info_unpin(struct file_info **fi_io)
{
	struct file_info *fi = *fi_io;

	*fi_io = NULL;
	if (!fi || --fi->pins > 0)
		return;
	object_info_free(&fi->info);
	free(fi);
}

static struct file_info *info_find(const struct site_file *sf, const struct file_name *name, const struct stat *st)
{
	uint64_t hash = hash64(name->full, name->full_n);
	struct file_info *fi = sf->infos->slot[hash % INFO_SLOTS];

	if (!fi || fi->hash != hash || fi->ino != st->st_ino || fi->size != st->st_size || fi->mtime_ns != file_mtime_ns(st) ||
	    !slice_eq(slice_of(fi->full, fi->full_n), file_name_full(name)))
		return NULL;
	fi->pins++;
	return fi;
}

static struct file_info *info_make(const struct file_name *name, const struct stat *st, const struct object_info *info)
{
	struct file_info *fi = xcalloc(1, sizeof(*fi) + name->full_n);

	fi->pins = 1;
	fi->hash = hash64(name->full, name->full_n);
	fi->ino = st->st_ino;
	fi->size = st->st_size;
	fi->mtime_ns = file_mtime_ns(st);
	fi->info = *info;
	fi->full_n = name->full_n;
	memcpy(fi->full, name->full, name->full_n);
	return fi;
}

static bool info_small(const struct object_info *info)
{
	size_t i, n = info->content_type ? strlen(info->content_type) : 0;

	for (i = 0; i < info->meta.n; i++)
		n += strlen(info->meta.v[i].name) + strlen(info->meta.v[i].value);
	return n <= INFO_BYTES_MAX;
}

static void info_store(struct site_file *sf, struct file_info *fi)
{
	struct file_info **slot = &sf->infos->slot[fi->hash % INFO_SLOTS];

	if (!info_small(&fi->info))
		return;
	file_info_unpin(slot);
	*slot = fi;
	fi->pins++;
}

void file_info_keep(struct site_file *sf, const struct file_name *name, const struct file_found *found)
{
	struct object_info info;
	struct file_info *fi;

	if (!info_small(&found->info))
		return;
	object_info_copy(&info, &found->info);
	fi = info_make(name, &found->st, &info);
	info_store(sf, fi);
	file_info_unpin(&fi);
}

/* ---- on the loop ---- */

void file_root_drop(struct site_file *sf)
{
	if (sf->cached_root >= 0)
		close(sf->cached_root);
	sf->cached_root = -1;
}

static int root_cached(struct site_file *sf)
{
	static const struct timeval keep = {0, ROOT_KEEP_MS * 1000};
	struct file_err err = {0};

	if (sf->cached_root < 0 && file_root_open(sf, &sf->cached_root, &err) == 0)
		event_add(sf->drop_root, &keep);
	return sf->cached_root;
}

int file_look_cached(struct site_file *sf, const struct file_name *name, int *fd_out, struct file_info **info_out)
{
	int root = root_cached(sf);
	struct file_found f = {.fd = -1};

	if (root < 0 || file_object_open(root, name->path, RESOLVE_CACHED, &f.fd, &f.st))
		return EAGAIN;
	*info_out = info_find(sf, name, &f.st);
	if (!*info_out) {
		/* Without a sidecar more has to be looked at: leave it to the pool, which keeps what it finds. */
		if (file_meta_read(sf, root, name, RESOLVE_CACHED, &f) || !f.info.gen_tagged) {
			file_found_free(&f);
			return EAGAIN;
		}
		*info_out = info_make(name, &f.st, &f.info);
		info_store(sf, *info_out);
	}
	*fd_out = f.fd;
	return 0;
}
