/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets by path, see sock.h. */
#include "config.h"

#include "sock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

static int sock_addr(const char *path, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(out->sun_path)) {
		errno = ENAMETOOLONG;
		return GFS_ERR_INVALID;
	}
	memcpy(out->sun_path, path, strlen(path) + 1);
	return GFS_OK;
}

static int sock_new(void)
{
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int sock_close_with(int fd, int err)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return err;
}

static int connect_err(int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ECONNREFUSED:
	case ENOTDIR:
		return GFS_ERR_CONNECT;
	case EACCES:
	case EPERM:
		return GFS_ERR_FORBIDDEN;
	case EAGAIN:
		return GFS_ERR_BUSY;
	default:
		return GFS_ERR_IO;
	}
}

int sock_connect(const char *path, int *fd_out)
{
	struct sockaddr_un sa;
	int fd, err = sock_addr(path, &sa);

	*fd_out = -1;
	if (err)
		return err;
	fd = sock_new();
	if (fd < 0)
		return GFS_ERR_IO;
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)))
		return sock_close_with(fd, connect_err(errno));
	*fd_out = fd;
	return GFS_OK;
}

int sock_listen(const char *path, unsigned mode, int *fd_out)
{
	struct sockaddr_un sa;
	int fd, err = sock_addr(path, &sa);

	*fd_out = -1;
	if (err)
		return err;
	fd = sock_new();
	/* Nobody can connect between bind and listen, so the mode is in force before the first peer. */
	if (fd < 0 || bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) || chmod(path, (mode_t)mode) || listen(fd, BACKLOG))
		return sock_close_with(fd, GFS_ERR_IO);
	*fd_out = fd;
	return GFS_OK;
}
