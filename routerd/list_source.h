/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One site's part of a list: a page of entries in key order, copied, and the request for the next one. op_list.c merges several.
 * A source that failed counts as empty and stays so.
 */
#ifndef GFS_LIST_SOURCE_H
#define GFS_LIST_SOURCE_H

#include "candidates.h"

struct list_row {
	size_t key_at, key_n; /* in the source's keys */
	uint64_t size;
	int64_t mtime_ms;
	char etag[ETAG_MAX];
};

struct list_source {
	uint32_t id;
	char name[SITE_NAME_MAX];
	struct site_op *h; /* a page is being asked for */
	struct list_row *rows;
	size_t n, at, cap;
	struct strbuf keys, after;
	bool more, failed;
	int err;
	char why[160];
	void (*loaded)(void *arg); /* a page came, or the source failed; never from list_source_load() itself */
	void *arg;
};

/* Asks for the next page; false: the source has failed at once. */
bool list_source_load(struct list_source *s, const struct worker *w, struct slice prefix, unsigned limit);
void list_source_fail(struct list_source *s, int err, const char *why); /* cancels what it waits for */
void list_source_free(struct list_source *s);

static inline bool list_source_has_row(const struct list_source *s)
{
	return !s->failed && s->at < s->n;
}
/* The page is used up and another one follows. */
static inline bool list_source_wants_page(const struct list_source *s)
{
	return !s->failed && !s->h && s->at >= s->n && s->more;
}
static inline const struct list_row *list_source_row(const struct list_source *s)
{
	return &s->rows[s->at];
}
static inline struct slice list_source_key(const struct list_source *s)
{
	return slice_of(s->keys.p + s->rows[s->at].key_at, s->rows[s->at].key_n);
}

#endif
