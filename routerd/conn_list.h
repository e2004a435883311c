/* SPDX-License-Identifier: Apache-2.0 */
/* All connections of one worker, over all its doors. */
#ifndef GFS_CONN_LIST_H
#define GFS_CONN_LIST_H

#include <stddef.h>

struct conn_list;
struct worker;

struct conn_list *conn_list_create(struct worker *w);
void conn_list_destroy(struct conn_list **list); /* cuts what is still open; on_abort of running requests is called */
size_t conn_list_count(const struct conn_list *list);
/* No new requests: idle connections close now, the others after their request. done runs from the loop, once, when none is left. */
void conn_list_drain(struct conn_list *list, void (*done)(void *arg), void *arg);
/*
 * There is no place for another: closes connections that have been without a request for a second, at most 64. Returns how many
 * there were, 0: all are at work.
 */
unsigned conn_list_shed(struct conn_list *list);

#endif
