/* SPDX-License-Identifier: Apache-2.0 */
/* A text that grows, bounded, with a failure that stays: checked once, at the end. */
#ifndef GLOBALFS_BUF_H
#define GLOBALFS_BUF_H

#include <stddef.h>

struct gfsc_buf {
	char *p;         /* NUL-terminated, or NULL */
	size_t n, cap, max; /* max 0: no bound */
	int err;         /* 0, GLOBALFS_ERR_NOMEM or GLOBALFS_ERR_TOO_LARGE */
};

void gfsc_buf_add(struct gfsc_buf *b, const void *p, size_t n);
void gfsc_buf_adds(struct gfsc_buf *b, const char *s);
/* Percent-encodes everything but the unreserved characters of RFC 3986 and those in keep. */
void gfsc_buf_add_encoded(struct gfsc_buf *b, const char *s, const char *keep);
const char *gfsc_buf_str(const struct gfsc_buf *b); /* "" for an empty one */
void gfsc_buf_reset(struct gfsc_buf *b);             /* empty, no failure; keeps memory and bound */
void gfsc_buf_free(struct gfsc_buf *b);              /* as never used; keeps the bound */

#endif
