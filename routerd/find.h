/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The description of an object, from the best site that has the current version: a search whose attempts are HEADs. Used by
 * HEAD itself and by conditional writes.
 */
#ifndef GFS_FIND_H
#define GFS_FIND_H

#include "search.h"

struct find;

/* v->err GFS_OK with info; else info is NULL. Runs once, perhaps before find_start() has returned; the find is gone after it. */
typedef void find_cb(void *arg, const struct search *s, const struct search_verdict *v, const struct object_info *info);

/* Stores the handle in *out before it starts, and nulls it before cb. key is borrowed until then. */
void find_start(struct find **out, struct worker *w, struct slice key, bool only_current, find_cb *cb, void *arg);
void find_cancel(struct find **f);

#endif
