/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a decision does to a key: the version that counts, the rows of the sites that lack it, the open writes that
 * it overtakes,
 * and when the key may be forgotten. Each function saves the entry and ticks the key's cell.
 */
#ifndef GFS_REPLD_DECIDE_H
#define GFS_REPLD_DECIDE_H

#include "common/site.h"
#include "keys.h"

/* v becomes the decided version; intent and folded intent end. outcomes: one per v->sites[0..n_sync), or NULL when nothing is
 * known of any. Sites that are not DONE, and the others, get rows. cb as in keys_save(). */
void decide_forward(struct repld *r, struct key_entry *e, const struct version *v, const enum site_outcome *outcomes,
		    void (*cb)(void *arg, int err), void *arg);
/* The intent took effect nowhere: what was before it counts again. */
void decide_withdraw(struct repld *r, struct key_entry *e, void (*cb)(void *arg, int err), void *arg);
/* A site holds a newer version of this namespace than the decided one: it becomes the decided one. */
void decide_adopt(struct repld *r, struct key_entry *e, const struct object_info *info, uint32_t site);

/* ---- one row ---- */
void decide_confirm(struct repld *r, struct key_entry *e, struct site_row *row); /* the site holds the decided version */
void decide_fail(struct repld *r, struct key_entry *e, struct site_row *row, enum site_outcome outcome, int err);
void decide_park(struct repld *r, struct key_entry *e, struct site_row *row, int err);
void decide_watch(struct site_row *row, int64_t now_ms); /* an unknown outcome: look again at 1 s, 10 s, 1 min, 15 min */

/* Forgets the key when no site lacks anything and nothing older may come; else keeps it with a keeper row. Saves. */
void decide_settle(struct repld *r, struct key_entry *e);

#endif
