/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client connections of a worker. listener.c opens them, conn.c owns them until they close; each complete head is handed to
 * the listener's front door as a struct request (request.h). One tick for all of them watches over their deadlines.
 */
#ifndef GFS_CONN_H
#define GFS_CONN_H

#include <sys/socket.h>

#include "conn_list.h"

struct request;

typedef void conn_handler(struct request *req);

/* Takes fd, connected and non-blocking. The list's worker lends base, conf->limits, pool and stats (the last two may be NULL: no
 * disk read ahead, no counting). */
void conn_open(struct conn_list *list, int fd, const struct sockaddr *peer, conn_handler *handler);

#endif
