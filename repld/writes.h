/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients' writes from BEGIN to COMMIT (architecture 5). An open write belongs to a worker: its process (pid and
 * start time), and
 * its channel while that is up. It outlives the channel; it does not outlive the process.
 */
#ifndef GFS_REPLD_WRITES_H
#define GFS_REPLD_WRITES_H

#include "common/conf/conf.h"
#include "common/ipc/msg.h"
#include "common/site.h"
#include "keys.h"
#include "peers.h"

struct writes;

/* What FINALISE, COMMIT and ANNOUNCE say alike. */
struct write_req {
	struct slice key;
	struct version v;
	bool conditional;
};

struct writes *writes_create(struct repld *r);
void writes_destroy(struct repld *r, struct writes **w);

/* Answers come through peers.h, now or later. */
void writes_begin(struct repld *r, const struct peer *p, uint64_t call, const struct msg_begin *m);
void writes_abandon(struct repld *r, const struct peer *p, struct slice key, const struct gen *gen);
void writes_finalise(struct repld *r, const struct peer *p, uint64_t call, const struct write_req *req);
void writes_commit(struct repld *r, const struct peer *p, uint64_t call, const struct write_req *req,
		   const enum site_outcome *outcomes);
void writes_announce(struct repld *r, const struct peer *p, uint64_t call, const struct write_req *req, bool granted);

void writes_peer_lost(struct repld *r, const struct peer *p);
void writes_restore(struct repld *r, struct slice key); /* at start: the journal has an intent on it */
void writes_tick(struct repld *r);                      /* owners that are gone, reservations of the clock */
size_t writes_count(const struct writes *w);

/* ---- for decide.c ---- */
/* A version was decided: older open writes are superseded, and every other one knows that it was not alone. */
void writes_decided(struct key_entry *e, const struct gen *gen);
bool writes_older_open(const struct key_entry *e, const struct gen *gen);

#endif
