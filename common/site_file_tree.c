/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps that make an object appear in the directory tree or vanish from it, each one durable when it returns. Called by the
 * pool jobs of site_file_put.c and site_file_delete.c.
 *
 * An object and a directory may want the same path ("a" and "a/b"): then the object is a/.gfs-obj. Whoever comes second
 * converts, by exchanging the file with a directory that already holds a second link to it, so that "a" is there at every
 * moment; the last removal below "a/" converts back. Directories that became empty are removed without a lock: whoever
 * finds its directory gone makes it again.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "site_file.h"

#define TREE_TRIES 64

/* "a/b/c" -> where "c" begins. */
static size_t last_name(const char *path, size_t n)
{
	while (n > 0 && path[n - 1] != '/')
		n--;
	return n;
}

static int open_dir(int at, const char *path)
{
	return file_openat(at, path, O_RDONLY | O_DIRECTORY, 0);
}

/* ---- a file becomes a directory and back ---- */

/* In tmp: a directory that holds a second link to the file at (at, name) as FILE_OBJ. */
static int make_obj_dir(int tmp, const char *tmp_name, int at, const char *name)
{
	int dir, e = 0;

	if (mkdirat(tmp, tmp_name, 0777) < 0)
		return errno;
	dir = open_dir(tmp, tmp_name);
	if (dir < 0)
		return errno;
	if (linkat(at, name, dir, FILE_OBJ, 0) < 0 || fsync(dir) < 0)
		e = errno;
	close(dir);
	return e;
}

static void remove_obj_dir(int tmp, const char *tmp_name)
{
	char inner[FILE_TMP_NAME_MAX + sizeof("/" FILE_OBJ)];

	snprintf(inner, sizeof(inner), "%s/" FILE_OBJ, tmp_name);
	unlinkat(tmp, inner, 0);
	unlinkat(tmp, tmp_name, AT_REMOVEDIR);
}

/* The regular file (at, name) becomes a directory that holds it. 0 also when somebody else did it or it is gone. */
static int file_to_dir_locked(struct site_file *sf, int tmp, int at, const char *name)
{
	char tmp_name[FILE_TMP_NAME_MAX];
	struct stat st;
	int e;

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : errno;
	if (S_ISDIR(st.st_mode))
		return 0;
	if (!S_ISREG(st.st_mode))
		return ENOTDIR;
	file_tmp_name(sf, tmp_name);
	e = make_obj_dir(tmp, tmp_name, at, name);
	if (e == 0 && renameat2(tmp, tmp_name, at, name, RENAME_EXCHANGE) == 0) {
		e = fsync(at) < 0 ? errno : 0;
		unlinkat(tmp, tmp_name, 0);
		return e;
	}
	if (e == 0)
		e = errno == ENOENT ? 0 : errno;
	remove_obj_dir(tmp, tmp_name);
	return e;
}

/* Runs fn under the exclusive lock, with tmp open. */
static int with_lock(struct site_file *sf, int root, int at, const char *name,
                     int (*fn)(struct site_file *sf, int tmp, int at, const char *name))
{
	int lock, tmp, e;

	lock = file_lock(root, LOCK_EX);
	if (lock < 0)
		return errno;
	tmp = file_own_dir(root, "tmp");
	e = tmp < 0 ? errno : fn(sf, tmp, at, name);
	if (tmp >= 0)
		close(tmp);
	close(lock);
	return e;
}

/* Whether FILE_OBJ is all that a directory holds. */
static bool holds_obj_only(int at, const char *name)
{
	int fd = open_dir(at, name), n = 0;
	bool obj = false;
	struct dirent *e;
	DIR *dir;

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (n < 2 && (e = readdir(dir))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		n++;
		obj = obj || strcmp(e->d_name, FILE_OBJ) == 0;
	}
	closedir(dir);
	return n == 1 && obj;
}

/* The directory (at, name), holding nothing but its object, becomes that file again. */
static int dir_to_file_locked(struct site_file *sf, int tmp, int at, const char *name)
{
	char tmp_name[FILE_TMP_NAME_MAX];
	int dir, e = 0;

	dir = holds_obj_only(at, name) ? open_dir(at, name) : -1;
	if (dir < 0)
		return 0;
	file_tmp_name(sf, tmp_name);
	if (linkat(dir, FILE_OBJ, tmp, tmp_name, 0) < 0)
		e = errno;
	else if (renameat2(tmp, tmp_name, at, name, RENAME_EXCHANGE) < 0)
		e = errno;
	close(dir);
	if (e) {
		unlinkat(tmp, tmp_name, 0);
		return e;
	}
	e = fsync(at) < 0 ? errno : 0;
	remove_obj_dir(tmp, tmp_name);
	return e;
}

/* ---- an object appears ---- */

struct place {
	struct site_file *sf;
	int root;
	struct file_tmp *tmp;
	uint64_t old_inode;
	bool done;
	/* A file that has to become a directory first: needs the exclusive lock. -1: none. */
	int file_at;
	char file_name[NAME_MAX + 1];
};

/* Opens the directory (at, name), made when missing. -1 with errno; ENOTDIR: a file of that name is noted for conversion. */
static int enter_dir(struct place *p, int at, const char *name)
{
	int fd = open_dir(at, name);

	if (fd < 0 && errno == ENOTDIR) {
		p->file_at = dup(at);
		snprintf(p->file_name, sizeof(p->file_name), "%s", name);
		errno = ENOTDIR;
	}
	if (fd >= 0 || errno != ENOENT)
		return fd;
	if ((mkdirat(at, name, 0777) < 0 && errno != EEXIST) || fsync(at) < 0)
		return -1;
	return open_dir(at, name);
}

/* The directory of a path, made when missing. Under the shared lock: else a directory made here might lie in one that is just
 * being turned back into a file. -1 with errno; ENOENT: it vanished again, try again. */
static int enter_parent(struct place *p, const struct file_name *name)
{
	size_t n = last_name(name->path, name->path_n), at;
	char path[FILE_PATH_MAX];
	char *slash;
	int fd, next, saved;

	if (n == 0)
		return open_dir(p->root, ".");
	memcpy(path, name->path, n - 1);
	path[n - 1] = '\0';
	fd = open_dir(p->root, path);
	if (fd >= 0 || (errno != ENOENT && errno != ENOTDIR))
		return fd;
	fd = open_dir(p->root, ".");
	for (at = 0; fd >= 0 && at < n - 1; at = (size_t)(slash - path) + 1) {
		slash = strchr(path + at, '/');
		slash = slash ? slash : path + n - 1;
		*slash = '\0';
		next = enter_dir(p, fd, path + at);
		saved = errno;
		close(fd);
		errno = saved;
		fd = next;
	}
	return fd;
}

/* A name in tmp for what has none yet. */
static int name_tmp(struct place *p, int tmp_dir)
{
	char proc[40];

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", p->tmp->fd);
	file_tmp_name(p->sf, p->tmp->name);
	if (linkat(AT_FDCWD, proc, tmp_dir, p->tmp->name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	p->tmp->name[0] = '\0';
	return errno;
}

static int rename_over(struct place *p, int dir, const char *name)
{
	int tmp_dir = file_own_dir(p->root, "tmp"), e;

	if (tmp_dir < 0)
		return errno;
	e = p->tmp->name[0] ? 0 : name_tmp(p, tmp_dir);
	/* Bytes, and the count of links that came with the name: see file_sync(). */
	if (e == 0 && file_fs_of(p->sf, p->tmp->fd) < FILE_FS_LINKS && fsync(p->tmp->fd) < 0)
		e = errno;
	if (e == 0 && renameat(tmp_dir, p->tmp->name, dir, name) < 0)
		e = errno;
	close(tmp_dir);
	if (e)
		return e;
	p->tmp->name[0] = '\0';
	p->done = true;
	return 0;
}

static int link_new(struct place *p, int dir, const char *name)
{
	char proc[40];

	if (p->tmp->name[0] || file_fs_of(p->sf, p->tmp->fd) < FILE_FS_LINKS)
		return rename_over(p, dir, name);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", p->tmp->fd);
	if (linkat(AT_FDCWD, proc, dir, name, AT_SYMLINK_FOLLOW) < 0)
		return errno;
	p->done = true;
	return 0;
}

/* Places tmp at (dir, name), where only a regular file may be. */
static int place_at(struct place *p, int dir, const char *name)
{
	struct stat st;

	p->old_inode = 0;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? link_new(p, dir, name) : errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? EISDIR : EEXIST;
	p->old_inode = st.st_ino;
	return rename_over(p, dir, name);
}

/* Under the shared lock. The directory that changed goes to synced_out, -1 when none. */
static int place_locked(struct place *p, int dir, const char *name, int *changed_out)
{
	int in, e = place_at(p, dir, name);

	*changed_out = e ? -1 : dir;
	if (e != EISDIR)
		return e;
	in = open_dir(dir, name);
	if (in < 0)
		return errno;
	e = place_at(p, in, FILE_OBJ);
	if (e)
		close(in);
	else
		*changed_out = in;
	return e;
}

/* Under the shared lock, with the directory of the path. */
static int place_in(struct place *p, int dir, const struct file_name *name, int *changed_out, struct file_err *err)
{
	/* The last look at the marker, just before the step. */
	if (file_root_check(p->sf, p->root, err))
		return ECANCELED;
	return place_locked(p, dir, name->path + last_name(name->path, name->path_n), changed_out);
}

static int place_once(struct place *p, const struct file_name *name, struct file_err *err)
{
	int lock = file_lock(p->root, LOCK_SH), dir, changed = -1, e;

	if (lock < 0)
		return errno;
	p->file_at = -1;
	dir = enter_parent(p, name);
	e = dir < 0 ? errno : place_in(p, dir, name, &changed, err);
	close(lock);
	if (p->file_at >= 0) {
		e = with_lock(p->sf, p->root, p->file_at, p->file_name, file_to_dir_locked);
		close(p->file_at);
		e = e ? e : ENOENT;
	}
	if (e == 0 && fsync(changed) < 0)
		e = errno;
	if (changed >= 0 && changed != dir)
		close(changed);
	if (dir >= 0)
		close(dir);
	return e;
}

int file_tree_place(struct file_change *change, struct file_tmp *tmp)
{
	struct place p = {.sf = change->sf, .root = change->root, .tmp = tmp};
	struct file_err *err = change->err;
	int tries, e = ENOENT;

	/* ENOENT: a directory was removed under us. ENOTDIR, EISDIR, EEXIST: it was converted, or another process was first. */
	for (tries = 0; tries < TREE_TRIES && !p.done && (e == ENOENT || e == ENOTDIR || e == EISDIR || e == EEXIST); tries++)
		e = place_once(&p, change->name, err);
	change->inode = p.old_inode;
	change->done = p.done;
	if (e == 0 || err->err)
		return err->err;
	if (e == ENOTDIR || e == ELOOP || e == EXDEV || e == EISDIR || e == EEXIST)
		return file_fail(err, GFS_ERR_SITE_ERROR, "something that is neither file nor directory is in the way");
	return file_fail_errno(err, e, "storing");
}

/* ---- an object vanishes ---- */

/* Turns a directory that holds only its own object back into a file. */
static void collapse(struct site_file *sf, int root, int at, const char *name)
{
	if (holds_obj_only(at, name))
		(void)with_lock(sf, root, at, name, dir_to_file_locked);
}

/* From the directory of n bytes of path upward: removes what is empty. Nothing lost if it does not succeed. */
static void remove_empty_dirs(struct site_file *sf, int root, char *path, size_t n)
{
	size_t start;
	int at;

	while (n > 0) {
		path[n] = '\0';
		start = last_name(path, n);
		if (start > 0)
			path[start - 1] = '\0';
		at = open_dir(root, start > 0 ? path : ".");
		if (at < 0)
			return;
		if (unlinkat(at, path + start, AT_REMOVEDIR) < 0) {
			if (errno == ENOTEMPTY || errno == EEXIST)
				collapse(sf, root, at, path + start);
			close(at);
			return;
		}
		close(at);
		n = start > 0 ? start - 1 : 0;
	}
}

/* Unlinks the regular file (dir, name), if there is one. EISDIR: a directory. */
static int remove_at(struct file_change *change, int dir, const char *name)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? EISDIR : 0;
	if (unlinkat(dir, name, 0) < 0)
		return errno == ENOENT ? 0 : errno;
	change->done = true;
	change->inode = st.st_ino;
	return 0;
}

/* Under the shared lock. changed_out: the directory to sync, to be closed when it is not dir; -1: nothing was there. */
static int remove_locked(struct file_change *change, int dir, const char *name, int *changed_out)
{
	int in, e = remove_at(change, dir, name);

	*changed_out = change->done ? dir : -1;
	if (e != EISDIR)
		return e;
	in = open_dir(dir, name);
	if (in < 0)
		return errno == ENOENT ? 0 : errno;
	e = remove_at(change, in, FILE_OBJ);
	if (change->done)
		*changed_out = in;
	else
		close(in);
	return e == EISDIR ? 0 : e;
}

/* The directory of the path: -1 with errno. path is scratch. */
static int open_parent(int root, const struct file_name *name, char *path)
{
	size_t n = last_name(name->path, name->path_n);

	if (n == 0)
		return open_dir(root, ".");
	memcpy(path, name->path, n - 1);
	path[n - 1] = '\0';
	return open_dir(root, path);
}

/* Opens the directory and removes what is wanted, under the shared lock. 0, or an errno unless change->err tells. */
static int remove_once(struct file_change *change, char *scratch, int *dir_out, int *changed_out)
{
	const struct file_name *name = change->name;
	int lock = file_lock(change->root, LOCK_SH), e;

	*dir_out = *changed_out = -1;
	if (lock < 0)
		return errno;
	*dir_out = open_parent(change->root, name, scratch);
	e = *dir_out < 0 ? errno : 0;
	/* The last look at the marker, just before the step; without a directory it is what makes the object absent. */
	if (file_root_check(change->sf, change->root, change->err))
		e = ECANCELED;
	else if (e == ENOENT || e == ENOTDIR || e == ELOOP || e == EXDEV || e == ENAMETOOLONG)
		e = 0;
	else if (e == 0)
		e = remove_locked(change, *dir_out, name->path + last_name(name->path, name->path_n), changed_out);
	close(lock);
	return e;
}

int file_tree_remove(struct file_change *change)
{
	const struct file_name *name = change->name;
	size_t base = last_name(name->path, name->path_n), n;
	char path[FILE_PATH_MAX];
	int dir, changed, e;

	e = remove_once(change, path, &dir, &changed);
	if (e == 0 && changed >= 0 && fsync(changed) < 0)
		e = errno;
	n = changed != dir ? name->path_n : base ? base - 1 : 0;
	if (changed >= 0 && changed != dir)
		close(changed);
	if (dir >= 0)
		close(dir);
	if (e)
		return change->err->err ? change->err->err : file_fail_errno(change->err, e, "removing");
	memcpy(path, name->path, name->path_n + 1);
	if (change->done)
		remove_empty_dirs(change->sf, change->root, path, n);
	return 0;
}
