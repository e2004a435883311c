/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable string to build text and small binary bodies with. Failure (out of memory, over the limit) is sticky: write
 * freely, ask strbuf_failed() once at the end. Always NUL-terminated behind its length. Not for what a client sizes unless
 * a limit was set.
 */
#ifndef GFS_STRBUF_H
#define GFS_STRBUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "error.h"
#include "slice.h"

struct strbuf {
	char *p;
	size_t n, cap;
	size_t max; /* 0: no limit */
	bool failed;
};

#define STRBUF_INIT {0}

void strbuf_init(struct strbuf *sb, size_t max);
void strbuf_free(struct strbuf *sb); /* frees the bytes and makes it empty again */
void strbuf_reset(struct strbuf *sb); /* keeps the memory, clears length and failure */
void strbuf_truncate(struct strbuf *sb, size_t n);
void strbuf_add(struct strbuf *sb, const void *p, size_t n);
void strbuf_adds(struct strbuf *sb, const char *s);
void strbuf_add_slice(struct strbuf *sb, struct slice s);
void strbuf_addc(struct strbuf *sb, char c);
void strbuf_addf(struct strbuf *sb, const char *fmt, ...) GFS_PRINTF(2, 3);
void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap) GFS_PRINTF(2, 0);
void strbuf_add_hex(struct strbuf *sb, const void *p, size_t n); /* lower case */
/* A JSON string with its quotes (RFC 8259 section 7); bytes that are not UTF-8 become U+FFFD. */
void strbuf_add_json(struct strbuf *sb, struct slice s);
bool strbuf_failed(const struct strbuf *sb);
struct slice strbuf_slice(const struct strbuf *sb); /* borrows */
const char *strbuf_str(const struct strbuf *sb);    /* borrows; "" when empty */
char *strbuf_steal(struct strbuf *sb);              /* returns owned, or NULL if failed; empties sb */

#endif
