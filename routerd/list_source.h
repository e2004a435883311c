/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One site's part of a list: its entries in key order, copied, a page in use and the next one asked for meanwhile. list_merge.c
 * merges several. A source that failed counts as empty and stays so.
 */
#ifndef GFS_LIST_SOURCE_H
#define GFS_LIST_SOURCE_H

#include "candidates.h"

struct list_row {
	size_t key_at, key_n; /* in the page's keys */
	bool group;
	enum site_list_tag tag;
	uint64_t size;
	int64_t mtime_ms;
	char etag[ETAG_MAX];
	struct gen gen; /* when tagged */
};

struct list_page {
	struct list_row *rows;
	size_t n, cap;
	struct strbuf keys;
	int64_t came_ms;
};

/* What is asked of every source of a list; borrowed. */
struct list_query {
	const struct worker *w;
	struct slice prefix, delimiter;
};

struct list_source {
	const struct list_query *q;
	uint32_t id;
	char name[SITE_NAME_MAX];
	struct site_op *h; /* a page is being asked for */
	struct list_page page[2];
	unsigned use;      /* the page in use */
	size_t at;         /* in it */
	bool ahead;        /* the other one has come too */
	bool more, failed;
	struct strbuf after; /* where the next question begins */
	int err;
	char why[160];
	void (*changed)(void *arg); /* a page came, or the source failed; from the loop only */
	void *arg;
};

void list_source_init(struct list_source *s, const struct list_query *q, struct slice start_after);
void list_source_free(struct list_source *s);
/* Asks for a page when there is room for one and it is not the last. False: the source has failed at once. */
bool list_source_ask(struct list_source *s, unsigned limit);
void list_source_fail(struct list_source *s, int err, const char *why); /* cancels what it waits for */
void list_source_expire(struct list_source *s, const char *why);        /* the same, as the site's time-out */
void list_source_next(struct list_source *s);                           /* behind the row in use */
/* Forgets what it has and begins again behind a key. */
void list_source_rewind(struct list_source *s, struct slice after);

static inline struct list_page *list_source_page(struct list_source *s)
{
	return &s->page[s->use];
}
static inline bool list_source_has_row(const struct list_source *s)
{
	return s->at < s->page[s->use].n;
}
/* Nothing can be said before its next page has come. */
static inline bool list_source_waits(const struct list_source *s)
{
	return !list_source_has_row(s) && (s->h || s->more);
}
static inline const struct list_row *list_source_row(const struct list_source *s)
{
	return &s->page[s->use].rows[s->at];
}
static inline struct slice list_source_key(const struct list_source *s)
{
	const struct list_row *row = list_source_row(s);

	return slice_of(s->page[s->use].keys.p + row->key_at, row->key_n);
}

#endif
