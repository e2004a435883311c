/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One frame in or out of a connected SOCK_SEQPACKET socket, with at most one descriptor beside it. Below channels and the
 * blocking link_ask(): knows nothing of messages. The kernel keeps a frame and its descriptor together.
 */
#ifndef GFS_FRAME_H
#define GFS_FRAME_H

#include <stddef.h>

#include "../error.h"

/* fd -1: none; it stays the caller's. 0, GFS_ERR_BUSY when the socket is full, GFS_ERR_UNAVAILABLE when the peer is gone,
 * GFS_ERR_IO. */
int frame_send(int sock, const void *p, size_t n, int fd) GFS_MUST_USE;
/* 0 with 1 to cap bytes; fd_out -1, or a descriptor that is the caller's. GFS_ERR_BUSY when nothing is there,
 * GFS_ERR_UNAVAILABLE when the peer is gone, GFS_ERR_PROTOCOL for a frame over cap or with several descriptors, GFS_ERR_IO. */
int frame_recv(int sock, void *buf, size_t cap, size_t *n_out, int *fd_out) GFS_MUST_USE;

#endif
