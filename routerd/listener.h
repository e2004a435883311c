/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A door: accepts connections on an inherited listening socket and hands each request to the door's front. Several workers
 * accept on the same socket, so each takes a bounded number per wake-up.
 */
#ifndef GFS_LISTENER_H
#define GFS_LISTENER_H

struct listener;
struct request;
struct worker;

typedef void listener_front(struct request *req);

/* Takes fd, which is listening. Connections go to w->conns. */
struct listener *listener_create(struct worker *w, int fd, listener_front *front);
/* Stops accepting; open connections are not touched. */
void listener_destroy(struct listener **l);

#endif
