/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What repld knows of the keys that are in work, in memory: an entry lives while something holds it (an open write, a task, a
 * save on its way to the disk) and is then forgotten; the journal has the rest. So memory follows the work at hand, not the
 * length of the queue.
 *
 * The event loop owns the entries and decides on them; keys_save() writes what differs from the journal. Loads and saves run on
 * the journal's thread in the order in which they were asked for, so a load sees every earlier save.
 */
#ifndef GFS_REPLD_KEYS_H
#define GFS_REPLD_KEYS_H

#include <sys/queue.h>

#include "common/slice.h"
#include "repld.h"
#include "store.h"

struct key_entry;
struct key_wait {
	void (*cb)(void *arg, int err);
	void *arg;
	bool queued;
	struct key_entry *e;
	TAILQ_ENTRY(key_wait) next;
};

struct open_write;
struct orphan;

struct key_entry {
	char *name;
	size_t n;
	unsigned refs;
	enum { KEY_UNLOADED, KEY_LOADING, KEY_LOADED } load;
	TAILQ_HEAD(, key_wait) waits;
	/* valid once loaded */
	struct version *decided;  /* owned; NULL: the journal has nothing, every site is current */
	struct version *intent;   /* owned; granted and not resolved */
	struct version *folded;   /* owned; an intent in doubt that a newer intent covers: it counts again if that is withdrawn */
	struct site_row *rows;
	size_t n_rows, cap_rows;
	/* what the journal has */
	struct {
		bool has;
		enum version_state state;
		struct gen gen;
	} stored[STORE_SLOTS];
	bool resync;              /* a save failed: the next one writes everything again */
	bool retry;               /* is on the list of saves to try again */
	bool counted;             /* in the keys board */
	/* other modules' */
	LIST_HEAD(, open_write) writes;
	struct orphan *orphan;    /* the intent's owner is gone: resolve.c works on it */
	LIST_ENTRY(key_entry) next_retry;
};

struct keys *keys_create(struct repld *r);
void keys_destroy(struct keys **keys);
size_t keys_count(const struct keys *keys);

struct key_entry *keys_hold(struct repld *r, struct slice key); /* returns a reference */
struct key_entry *keys_find(struct repld *r, struct slice key); /* without one; NULL when it is not in memory */
void keys_ref(struct key_entry *e);
void keys_release(struct repld *r, struct key_entry **e);
static inline struct slice key_name(const struct key_entry *e)
{
	return slice_of(e->name, e->n);
}

/* True: loaded already. Else w->cb runs later, once: err 0, or GFS_ERR_IO. The entry must be held meanwhile. */
bool keys_load(struct repld *r, struct key_entry *e, struct key_wait *w);
void keys_wait_cancel(struct key_wait *w);

/* Keeps the cell's count right, then writes the differences. cb (may be NULL) runs after the commit, or with
 * GFS_ERR_IO; without
 * a cb the save is tried again until it succeeds. False: nothing differed, cb will not run. */
bool keys_save(struct repld *r, struct key_entry *e, void (*cb)(void *arg, int err), void *arg);
/* The intent has changed but not its generation: the next save writes it. */
void keys_touch_intent(struct key_entry *e);
void keys_retry_saves(struct repld *r);

/* The journal has made every row of the site due: so are those in memory. */
void keys_unpark_site(struct repld *r, uint32_t site, int64_t now_ms);

/* ---- rows of an entry ---- */
struct site_row *row_find(struct key_entry *e, uint32_t site);
struct site_row *row_need(struct key_entry *e, uint32_t site, int64_t now_ms); /* found or new; marked dirty */
void row_drop(struct site_row *row);
size_t rows_lacking(const struct key_entry *e); /* rows of real sites */

struct version *version_copy(const struct version *v);
bool version_targets(const struct version *v, uint32_t site);

#endif
