/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Temporary files of a file site. Where the filesystem can, they have no name until they become the object (O_TMPFILE), so a
 * crash leaves nothing. The names of those that need one tell their owner, PID.STARTTIME.NUMBER, so that a later start
 * removes what dead owners left and nothing else. They are always second links or unfinished: removing them loses nothing.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proc.h"
#include "site_file.h"

void file_tmp_name(struct site_file *sf, char buf[FILE_TMP_NAME_MAX])
{
	snprintf(buf, FILE_TMP_NAME_MAX, "%d.%" PRIu64 ".%" PRIuFAST64, (int)getpid(), sf->start_time,
	         atomic_fetch_add(&sf->tmp_seq, 1));
}

int file_tmp_create(struct site_file *sf, int root, struct file_tmp *out)
{
	int dir = file_own_dir(root, "tmp"), e = 0;

	*out = (struct file_tmp){.fd = -1};
	if (dir < 0)
		return errno;
	if (sf->have_proc)
		out->fd = file_openat(dir, ".", O_RDWR | O_TMPFILE, 0);
	if (out->fd < 0 && (!sf->have_proc || errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL)) {
		file_tmp_name(sf, out->name);
		out->fd = file_openat(dir, out->name, O_RDWR | O_CREAT | O_EXCL, 0);
	}
	if (out->fd < 0) {
		e = errno;
		out->name[0] = '\0';
	}
	close(dir);
	return e;
}

void file_tmp_discard(const struct site_file *sf, struct file_tmp *tmp)
{
	char path[FILE_TMP_NAME_MAX + 32];
	struct file_err err = {0};
	int root;

	if (tmp->name[0] && file_root_open(sf, &root, &err) == 0) {
		snprintf(path, sizeof(path), KEY_RESERVED_DIR "/tmp/%s", tmp->name);
		unlinkat(root, path, 0);
		close(root);
	}
	if (tmp->fd >= 0)
		close(tmp->fd);
	*tmp = (struct file_tmp){.fd = -1};
}

static bool owner_lives(const char *name)
{
	unsigned long long start;
	int pid;

	if (sscanf(name, "%d.%llu.", &pid, &start) != 2 || pid <= 0)
		return true; /* not one of ours: not ours to remove */
	return proc_start_time(pid) == start;
}

void file_tmp_sweep(struct site_file *sf, int root)
{
	int fd = file_openat(root, KEY_RESERVED_DIR "/tmp", O_RDONLY | O_DIRECTORY, 0);
	char inner[NAME_MAX + sizeof("/" FILE_OBJ)];
	struct dirent *e;
	DIR *dir;

	(void)sf;
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.' || owner_lives(e->d_name))
			continue;
		if (unlinkat(fd, e->d_name, 0) == 0 || errno != EISDIR)
			continue;
		snprintf(inner, sizeof(inner), "%s/" FILE_OBJ, e->d_name);
		unlinkat(fd, inner, 0);
		unlinkat(fd, e->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
}
