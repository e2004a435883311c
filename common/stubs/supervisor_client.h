/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child's side of its channel to the supervisor (daemon name "routerd"): receives site tables, tells READY and SITES_TAKEN,
 * and carries the requests that change the registry.
 */
#ifndef GFS_SUPERVISOR_CLIENT_H
#define GFS_SUPERVISOR_CLIENT_H

#include "../ipc/msg.h"
#include "../sites.h"

struct event_base;
struct supervisor_client;

/* table: a newer epoch; owned by the callee, who has it in use when it returns (SITES_TAKEN is sent then). */
typedef void supervisor_table_cb(void *arg, struct site_table *table);

struct supervisor_client *supervisor_client_create(struct event_base *base, const char *run_dir, enum peer_role self,
                                                   supervisor_table_cb *cb, void *arg);
void supervisor_client_destroy(struct supervisor_client **c);
bool supervisor_client_is_up(const struct supervisor_client *c);
void supervisor_client_ready(struct supervisor_client *c); /* from now on READY is told after every (re)connect */

/* err 0 with id and epoch; else err and a sentence (text, never NULL). Deadline 10 s. */
typedef void supervisor_change_cb(void *arg, int err, uint32_t id, uint64_t epoch, const char *text);
uint64_t supervisor_site_add(struct supervisor_client *c, const struct site_conf *site, supervisor_change_cb *cb, void *arg);
uint64_t supervisor_site_remove(struct supervisor_client *c, const char *name, supervisor_change_cb *cb, void *arg);
uint64_t supervisor_site_drain(struct supervisor_client *c, const char *name, bool drained, supervisor_change_cb *cb, void *arg);
void supervisor_change_cancel(struct supervisor_client *c, uint64_t id);
void supervisor_site_claimed(struct supervisor_client *c, uint32_t site_id); /* sent again until answered */

#endif
