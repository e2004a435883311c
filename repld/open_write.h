/* SPDX-License-Identifier: Apache-2.0 */
/* One open write, for writes.c (BEGIN, FINALISE, owners) and commit.c (COMMIT, ANNOUNCE) only. */
#ifndef GFS_REPLD_OPEN_WRITE_H
#define GFS_REPLD_OPEN_WRITE_H

#include "slots.h"
#include "writes.h"

enum write_state { WRITE_OPEN, WRITE_WAITING, WRITE_GRANTING, WRITE_GRANTED };

struct open_write {
	struct repld *r;
	struct key_entry *e; /* referenced */
	struct gen gen;
	enum write_state state;
	uint64_t peer;       /* 0: its channel is lost */
	uint64_t call;       /* FINALISE to be answered */
	int pid;
	uint64_t start;
	int64_t lost_ms;     /* monotonic */
	bool begun_here;     /* since this start: what was decided meanwhile is known */
	bool late;           /* begun before this start, and announced so late that its guards may have ended */
	bool superseded;     /* a newer version was decided */
	bool overtaken;      /* any other version was decided */
	bool dropped;        /* ended while its intent was on its way to the disk */
	bool conditional;
	struct version *v;   /* as finalised; owned */
	struct key_wait wait;
	struct slot_claim claim;
	LIST_ENTRY(open_write) next_of_key;
	TAILQ_ENTRY(open_write) next;
};

struct open_write *write_find(const struct key_entry *e, const struct gen *gen);
/* peer NULL: restored from the journal, its worker has not announced it yet. */
struct open_write *write_add(struct repld *r, struct key_entry *e, const struct gen *gen, const struct peer *p);
/* Of a write that repld does not know: begun before this start, or forgotten because its worker was silent. */
struct open_write *write_add_known(struct repld *r, struct key_entry *e, const struct gen *gen, const struct peer *p);
void write_bind(struct open_write *ow, const struct peer *p);
void write_free(struct open_write *ow); /* ends it; the entry may be gone after it */

#endif
