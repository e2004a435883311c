/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge of a list: what the sites tell becomes what the namespace holds, in key order, by rounds of a few hundred entries. A
 * round is filled from the sources (list_merge.c), then checked (list_check.c): a key whose cell is dirty is asked of repld, many
 * at once; copies that differ in size or ETag are asked for their generations where the list did not tell them; a group of which
 * nothing is sure is looked into by a merge of its own. Then its items are taken, while the sources' next pages are on their way.
 *
 * Which copy of a key is told: of a dirty key that of the first site which holds the decided version; of a clean one the first in
 * the order of reads, unless that copy is tagged and another has a later tag.
 *
 * A row may have been read at a site while a tombstone was on its way there. That shows as long as the cell is still dirty when
 * the row is merged: repld keeps a tombstone for replication.in_doubt after the last site has it, and a page that has lain here for
 * half of that (at least 30 s) is asked for again.
 */
#ifndef GFS_LIST_MERGE_H
#define GFS_LIST_MERGE_H

#include "list_source.h"

#define LIST_ROUND 512
#define LIST_CHECKS 8       /* HEADs or looks into groups at once */
#define LIST_PAGE_ROWS 1000
#define LIST_FEW 16         /* rows of the smallest page and round */

enum list_state {
	LIST_SURE,   /* to be told */
	LIST_ASK,    /* of repld */
	LIST_DIFFER, /* copies whose generations have to be asked for */
	LIST_LOOK,   /* into the group */
	LIST_ABSENT,
};

struct list_entry {
	struct slice key;        /* in the round's keys, once the round is filled; of a group the group */
	size_t key_at;
	struct slice candidate;  /* of a group that is asked of repld: a key in it */
	size_t candidate_at;
	enum list_state state;
	bool group;
	uint64_t has, told;      /* by source: has a row of the key; answered for it */
	size_t row_at, n_rows;   /* copies in the round's rows, by source, where they are needed */
	struct list_row row;     /* the one to be told */
};

struct list_check;

struct list_merge {
	struct worker *w;
	struct list_query q;
	struct strbuf prefix, delimiter;
	struct list_source *v; /* in the order in which a copy is preferred */
	size_t n;
	uint64_t wanted;       /* how many items will be taken yet, at most; 0: all */
	void (*ready)(void *arg); /* list_merge_next() has something to say; it may destroy the merge. From the loop only */
	void *arg;
	struct event *timer;
	bool hurries;          /* the timer is set to the shorter time */
	bool unverified;       /* repld did not answer: it is not asked again */
	/* the round */
	struct list_entry *entries;
	size_t n_entries, at;
	struct list_row *rows;
	size_t n_rows, cap_rows;
	struct strbuf keys, last; /* last: the key or group that was merged last */
	bool last_is_group, ended, checking;
	/* the check */
	uint64_t lookup;
	size_t asked[REPLD_LOOKUP_MANY], n_asked; /* entries, of the question that is open */
	struct list_check *checks; /* LIST_CHECKS of them */
	size_t next_check, open_checks;
};

struct list_item {
	struct slice key; /* borrowed until the next call */
	bool group;
	const struct list_row *row; /* of a key */
};

struct list_merge_args {
	struct slice prefix, delimiter, start_after; /* copied */
	uint64_t wanted;
	size_t n_sources;
	void (*ready)(void *arg);
	void *arg;
};

struct list_merge *list_merge_create(struct worker *w, const struct list_merge_args *args);
void list_merge_destroy(struct list_merge **m);
/* Before the first list_merge_next(), n_sources times. */
struct list_source *list_merge_add(struct list_merge *m, uint32_t id, const char *name);

enum list_next { LIST_ITEM, LIST_WAIT /* for ready() */, LIST_END };
enum list_next list_merge_next(struct list_merge *m, struct list_item *out);
size_t list_merge_failed(const struct list_merge *m); /* how many sources */

/* ---- between list_merge.c and list_check.c ---- */
/* True: all entries are sure or absent. Else list_check_done() follows, from the loop. */
bool list_check_round(struct list_merge *m);
void list_check_stop(struct list_merge *m);
void list_check_expire(struct list_merge *m); /* the sites' time is up */
bool list_rows_differ(const struct list_row *a, const struct list_row *b);
void list_check_done(struct list_merge *m);
void list_merge_arm_timer(struct list_merge *m); /* again, when a site has answered */
/* The copy to tell of a clean key, when the generations of all that could matter are known; else NULL. */
const struct list_row *list_best_copy(const struct list_row *v, size_t n);

#endif
