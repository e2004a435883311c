/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How workers and repld tell healthd what they see of the sites: an observer for the process's sites, which adds up what happened
 * and sends it every 100 ms, and at once when a site's faults in a row reach the threshold. The only code that builds OUTCOMES.
 *
 * Nobody waits for healthd: what it cannot take now is dropped and counted; old news would only mislead it.
 */
#ifndef GFS_HEALTHD_CLIENT_H
#define GFS_HEALTHD_CLIENT_H

#include "../ipc/msg.h"
#include "../site.h"

struct event_base;
struct healthd_client;
struct stats;

/* self: PEER_WORKER or PEER_REPLD. threshold: of the circuit breaker. Borrows stats, which may be NULL. */
struct healthd_client *healthd_client_create(struct event_base *base, const char *run_dir, enum peer_role self, unsigned threshold,
                                             struct stats *stats);
void healthd_client_destroy(struct healthd_client **c);
/* To be told of every site event as long as the client lives. */
const struct site_observer *healthd_client_observer(const struct healthd_client *c);

#endif
