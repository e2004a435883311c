/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets by path, for links and listeners. */
#ifndef GFS_SOCK_H
#define GFS_SOCK_H

#include "../error.h"

/* A connected, non-blocking SOCK_SEQPACKET socket. 0; GFS_ERR_CONNECT when nobody is there, GFS_ERR_FORBIDDEN, GFS_ERR_BUSY when
 * the daemon's backlog is full, GFS_ERR_INVALID when the path is too long, GFS_ERR_IO. */
int sock_connect(const char *path, int *fd_out) GFS_MUST_USE;
/* A listening one; mode is that of the file, which must not exist. 0, GFS_ERR_INVALID, GFS_ERR_IO with errno set. */
int sock_listen(const char *path, unsigned mode, int *fd_out) GFS_MUST_USE;

#endif
