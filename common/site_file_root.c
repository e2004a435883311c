/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root of a file site: opened anew for every operation, so that a directory that was unmounted or replaced is noticed,
 * and checked for our marker before anything is written or called absent. Also the one way any path below it is opened.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "site_file.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

static int openat2_call(int at, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY),
		.mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? 0666 : 0,
		.resolve = FILE_RESOLVE | resolve,
	};

	return (int)syscall(SYS_openat2, at, path, &how, sizeof(how));
}

/* The system takes paths below PATH_MAX; a longer one is walked in stretches that end at a slash. */
static int openat_long(int at, const char *path, uint64_t flags, uint64_t resolve)
{
	char part[PATH_MAX];
	size_t n;
	int fd = at, next, saved;

	while (strlen(path) >= PATH_MAX) {
		for (n = PATH_MAX - 1; path[n] != '/'; n--)
			;
		memcpy(part, path, n);
		part[n] = '\0';
		next = openat2_call(fd, part, O_PATH | O_DIRECTORY, resolve);
		saved = errno;
		if (fd != at)
			close(fd);
		errno = saved;
		if (next < 0)
			return -1;
		fd = next;
		path += n + 1;
	}
	next = openat2_call(fd, path, flags, resolve);
	saved = errno;
	close(fd);
	errno = saved;
	return next;
}

int file_openat(int at, const char *path, uint64_t flags, uint64_t resolve)
{
	int fd;

	if (strlen(path) >= PATH_MAX)
		return openat_long(at, path, flags, resolve);
	/* A rename somewhere on the way makes the kernel give up with EAGAIN when it cannot prove that we stayed beneath. */
	do {
		fd = openat2_call(at, path, flags, resolve);
	} while (fd < 0 && (errno == EINTR || (errno == EAGAIN && !(resolve & RESOLVE_CACHED))));
	return fd;
}

int file_root_open(const struct site_file *sf, int *fd_out, struct file_err *err)
{
	const char *path = sf->base.conf.file_path;
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	*fd_out = fd;
	if (fd >= 0)
		return 0;
	if (errno == ENOENT || errno == ENOTDIR)
		return file_fail(err, GFS_ERR_SITE_DOWN, "%s: no such directory", path);
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		return file_fail_errno(err, errno, path);
	return file_fail(err, GFS_ERR_SITE_ERROR, "%s: %s", path, strerror(errno));
}

static bool marker_seen(struct site_file *sf, const struct stat *st)
{
	const struct file_marker_id *m = &sf->marker;
	bool same;

	pthread_mutex_lock(&sf->lock);
	same = m->known && m->dev == st->st_dev && m->ino == st->st_ino && m->mtime.tv_sec == st->st_mtim.tv_sec &&
	       m->mtime.tv_nsec == st->st_mtim.tv_nsec && m->ctime.tv_sec == st->st_ctim.tv_sec &&
	       m->ctime.tv_nsec == st->st_ctim.tv_nsec;
	pthread_mutex_unlock(&sf->lock);
	return same;
}

static void marker_remember(struct site_file *sf, const struct stat *st)
{
	pthread_mutex_lock(&sf->lock);
	sf->marker = (struct file_marker_id){st->st_dev, st->st_ino, st->st_mtim, st->st_ctim, true};
	pthread_mutex_unlock(&sf->lock);
}

static int marker_absent(const struct site_file *sf, struct file_err *err)
{
	return file_fail(err, GFS_ERR_SITE_MARKER, "%s: marker missing: not mounted?", sf->base.conf.file_path);
}

static int marker_read(struct site_file *sf, int root, struct file_err *err)
{
	char text[SITE_MARKER_MAX + 1];
	struct stat st;
	ssize_t n;
	int fd;

	fd = file_openat(root, SITE_MARKER_KEY, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? marker_absent(sf, err) : file_fail_errno(err, errno, SITE_MARKER_KEY);
	n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, text, sizeof(text)) : -1;
	close(fd);
	if (n < 0)
		return marker_absent(sf, err);
	if (site_marker_check(slice_of(text, (size_t)n), sf->base.env->namespace_id, sf->base.conf.id))
		return file_fail(err, GFS_ERR_SITE_FOREIGN, "%s: the marker belongs to another namespace or site",
		                 sf->base.conf.file_path);
	marker_remember(sf, &st);
	return 0;
}

int file_root_check(struct site_file *sf, int root, struct file_err *err)
{
	struct stat st;

	if (sf->base.env->skip_marker)
		return 0;
	if (fstatat(root, SITE_MARKER_KEY, &st, AT_SYMLINK_NOFOLLOW) == 0 && marker_seen(sf, &st))
		return 0;
	return marker_read(sf, root, err);
}

int file_root_open_checked(struct site_file *sf, int *fd_out, struct file_err *err)
{
	if (file_root_open(sf, fd_out, err))
		return err->err;
	if (file_root_check(sf, *fd_out, err)) {
		close(*fd_out);
		*fd_out = -1;
	}
	return err->err;
}

/* A directory inside one that exists; made durably when missing. */
static int own_child(int at, const char *name)
{
	int fd = file_openat(at, name, O_RDONLY | O_DIRECTORY, 0), dir;
	bool synced;

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mkdirat(at, name, 0750) < 0 && errno != EEXIST)
		return -1;
	dir = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	synced = fsync(dir) == 0;
	close(dir);
	return synced ? file_openat(at, name, O_RDONLY | O_DIRECTORY, 0) : -1;
}

int file_own_dir(int root, const char *name)
{
	char path[64], *p, *slash;
	int fd, next;

	snprintf(path, sizeof(path), KEY_RESERVED_DIR "/%s", name);
	fd = file_openat(root, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	fd = dup(root);
	for (p = path; p && fd >= 0; p = slash ? slash + 1 : NULL) {
		slash = strchr(p, '/');
		if (slash)
			*slash = '\0';
		next = own_child(fd, p);
		close(fd);
		fd = next;
	}
	return fd;
}

int file_lock(int root, int op)
{
	int fd = file_own_dir(root, "."), r;

	if (fd < 0)
		return -1;
	do {
		r = flock(fd, op);
	} while (r < 0 && errno == EINTR);
	if (r == 0)
		return fd;
	close(fd);
	return -1;
}

ssize_t file_read_now(int fd, void *p, size_t n, uint64_t off)
{
	struct iovec v = {p, n};
	ssize_t r = preadv2(fd, &v, 1, (off_t)off, RWF_NOWAIT);
	struct statfs fs;

	if (r >= 0 || errno != EOPNOTSUPP)
		return r;
	/* A filesystem that cannot tell; this one is memory. */
	if (fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC)
		return pread(fd, p, n, (off_t)off);
	errno = EAGAIN;
	return -1;
}

int file_write_all(int fd, const char *p, size_t n)
{
	ssize_t w;

	for (; n > 0; p += w, n -= (size_t)w) {
		w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			w = 0;
		else if (w < 0)
			return errno;
	}
	return 0;
}

/* Whether ext4 has a journal, and on the same device, so that a commit flushes what was written before it. */
static bool journals_itself(dev_t dev)
{
	char link[64], target[256], path[320];
	const char *name;
	ssize_t n;

	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	n = readlink(link, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	name = strrchr(target, '/');
	snprintf(path, sizeof(path), "/proc/fs/jbd2/%s-8", name ? name + 1 : target); /* 8: the inode of an internal journal */
	return access(path, F_OK) == 0;
}

static enum file_fs fs_find_out(int fd, dev_t dev)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return FILE_FS_PLAIN;
	switch (fs.f_type) {
	case TMPFS_MAGIC:
		return FILE_FS_WHOLE;
	case XFS_SUPER_MAGIC:
		return FILE_FS_LINKS;
	case EXT4_SUPER_MAGIC:
		return journals_itself(dev) ? FILE_FS_WHOLE : FILE_FS_NAMES;
	default:
		return FILE_FS_PLAIN;
	}
}

enum file_fs file_fs_of(struct site_file *sf, int fd)
{
	enum file_fs fs;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return FILE_FS_PLAIN;
	pthread_mutex_lock(&sf->lock);
	if (!sf->fs_known || sf->fs_dev != st.st_dev) {
		sf->fs = fs_find_out(fd, st.st_dev);
		sf->fs_dev = st.st_dev;
		sf->fs_known = true;
	}
	fs = sf->fs;
	pthread_mutex_unlock(&sf->lock);
	return fs;
}

static int write_out(int fd)
{
	return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}

int file_sync(struct site_file *sf, int fd)
{
	return file_fs_of(sf, fd) < FILE_FS_WHOLE ? fsync(fd) : write_out(fd);
}

int file_sync_nameless(struct site_file *sf, int fd)
{
	return file_fs_of(sf, fd) == FILE_FS_LINKS ? fsync(fd) : write_out(fd);
}
