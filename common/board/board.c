/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mapping behind every board: a file of one header page and the payload. A new file is filled under another name and then
 * linked, so that nobody ever maps half a board, and two that create at once end up with the same one. The header also holds
 * the boot id: on a run_dir that survives a reboot, the facts of the last boot are not facts any more.
 */
#include "config.h"

#include "board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../log.h"

#define BOARD_MAGIC 0x3130445242534647 /* "GFSBRD01" */
#define BOARD_HEAD 4096

struct board_head {
	uint64_t magic;
	uint64_t payload_bytes;
	uint32_t version;
	char boot_id[36];
};

static void board_head_fill(struct board_head *head, uint32_t version, size_t payload_bytes)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(head, 0, sizeof(*head));
	head->magic = BOARD_MAGIC;
	head->version = version;
	head->payload_bytes = payload_bytes;
	if (fd < 0)
		return;
	if (read(fd, head->boot_id, sizeof(head->boot_id)) != sizeof(head->boot_id))
		memset(head->boot_id, 0, sizeof(head->boot_id));
	close(fd);
}

static int board_fail(const char *path, const char *what)
{
	log_error("event=board path=%s why=\"%s: %s\"", path, what, strerror(errno));
	return GFS_ERR_IO;
}

/* 0, GFS_ERR_VERSION when the file is of another layout, size or boot, GFS_ERR_NO_SUCH_KEY when absent, GFS_ERR_IO. */
static int board_map(const char *path, const struct board_head *want, struct board *out)
{
	size_t map_n = BOARD_HEAD + want->payload_bytes;
	struct board_head have;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	void *map;

	if (fd < 0)
		return errno == ENOENT ? GFS_ERR_NO_SUCH_KEY : board_fail(path, "open");
	if (fstat(fd, &st) != 0 || pread(fd, &have, sizeof(have), 0) != sizeof(have) || (uint64_t)st.st_size != map_n ||
	    memcmp(&have, want, sizeof(have)) != 0) {
		close(fd);
		return GFS_ERR_VERSION;
	}
	map = mmap(NULL, map_n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return board_fail(path, "mmap");
	out->map = map;
	out->map_n = map_n;
	out->p = (char *)map + BOARD_HEAD;
	out->n = want->payload_bytes;
	return 0;
}

/* A filled file under a name of its own. Space is taken now: a full tmpfs is an error here, later it would be SIGBUS. */
static int board_write_new(const char *path, const struct board_head *head)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660), err;

	if (fd < 0)
		return board_fail(path, "create");
	err = posix_fallocate(fd, 0, (off_t)(BOARD_HEAD + head->payload_bytes));
	if (err == 0 && fchmod(fd, 0660) == 0 && pwrite(fd, head, sizeof(*head), 0) == sizeof(*head)) {
		close(fd);
		return 0;
	}
	if (err)
		errno = err;
	board_fail(path, "fill");
	unlink(path);
	close(fd);
	return GFS_ERR_IO;
}

static int board_create(const char *path, const struct board_head *head, bool replace, bool *created)
{
	char fresh[1100];
	int err;

	snprintf(fresh, sizeof(fresh), "%s.%d", path, (int)getpid());
	unlink(fresh);
	err = board_write_new(fresh, head);
	if (err)
		return err;
	*created = (replace ? rename(fresh, path) : link(fresh, path)) == 0;
	if (!*created && errno != EEXIST)
		err = board_fail(path, replace ? "rename" : "link");
	unlink(fresh);
	return err;
}

int board_open(const char *run_dir, const char *name, uint32_t version, size_t payload_bytes, bool create, struct board *out,
               bool *created_out)
{
	struct board_head head;
	char dir[1000], path[1064];
	bool created = false;
	int err, tries;

	if (snprintf(dir, sizeof(dir), "%s/boards", run_dir) >= (int)sizeof(dir) ||
	    snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return GFS_ERR_IO;
	board_head_fill(&head, version, payload_bytes);
	if (create && mkdir(dir, 0750) != 0 && errno != EEXIST)
		return board_fail(dir, "mkdir");
	for (tries = 0; tries < 5; tries++) {
		err = board_map(path, &head, out);
		if (created_out)
			*created_out = created;
		if (err == 0 || err == GFS_ERR_IO || !create)
			break;
		err = board_create(path, &head, err == GFS_ERR_VERSION, &created);
		if (err)
			break;
	}
	return err == GFS_ERR_NO_SUCH_KEY ? GFS_ERR_IO : err;
}

void board_close(struct board *b)
{
	if (b->map)
		munmap(b->map, b->map_n);
	*b = (struct board){0};
}
