/* SPDX-License-Identifier: Apache-2.0 */
/* sendmsg and recvmsg of one frame, see frame.h. */
#include "config.h"

#include "frame.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX 4 /* room to see, and close, more descriptors than a frame may carry */

static int frame_err(int errnum)
{
	switch (errnum) {
	case EAGAIN:
	case ENOBUFS:
		return GFS_ERR_BUSY;
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN:
		return GFS_ERR_UNAVAILABLE;
	default:
		return GFS_ERR_IO;
	}
}

int frame_send(int sock, const void *p, size_t n, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_len = n};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	memcpy(&iov.iov_base, &p, sizeof(p)); /* sendmsg only reads, its struct does not say so */
	if (fd >= 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		mh.msg_control = control.buf;
		mh.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do {
		sent = sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? frame_err(errno) : GFS_OK;
}

/* Takes the descriptors that came along: the first goes to fd_out. Returns how many there were. */
static size_t take_fds(struct msghdr *mh, int *fd_out)
{
	size_t n_fds = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t off = 0; CMSG_LEN(off + sizeof(int)) <= c->cmsg_len; off += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + off, sizeof(fd));
			if (n_fds++ == 0)
				*fd_out = fd;
			else
				close(fd);
		}
	}
	return n_fds;
}

int frame_recv(int sock, void *buf, size_t cap, size_t *n_out, int *fd_out)
{
	union {
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = cap};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf)};
	bool reset = false;
	ssize_t n;

	*n_out = 0;
	*fd_out = -1;
	for (;;) {
		n = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n >= 0 || (errno != EINTR && (errno != ECONNRESET || reset)))
			break;
		/* a peer that closed with frames unread leaves one ECONNRESET in front of the frames it had sent us */
		reset = reset || errno == ECONNRESET;
	}
	if (n < 0)
		return frame_err(errno);
	if (take_fds(&mh, fd_out) > 1 || (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (n == 0 && *fd_out >= 0)) {
		if (*fd_out >= 0)
			close(*fd_out);
		*fd_out = -1;
		return GFS_ERR_PROTOCOL;
	}
	*n_out = (size_t)n;
	return n == 0 ? GFS_ERR_UNAVAILABLE : GFS_OK;
}
