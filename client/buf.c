/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that grow. Contract in buf.h. */
#include "config.h"

#include "client/buf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/globalfs.h"

static int make_room(struct gfsc_buf *b, size_t n)
{
	size_t want = b->n + n + 1, cap = b->cap ? b->cap : 64;
	char *p;

	if (n > SIZE_MAX / 4 || b->n > SIZE_MAX / 4 || (b->max && b->n + n > b->max))
		return GLOBALFS_ERR_TOO_LARGE;
	if (want <= b->cap)
		return 0;
	while (cap < want)
		cap *= 2;
	p = realloc(b->p, cap);
	if (!p)
		return GLOBALFS_ERR_NOMEM;
	b->p = p;
	b->cap = cap;
	return 0;
}

void gfsc_buf_add(struct gfsc_buf *b, const void *p, size_t n)
{
	if (!b->err)
		b->err = make_room(b, n);
	if (b->err)
		return;
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void gfsc_buf_adds(struct gfsc_buf *b, const char *s)
{
	gfsc_buf_add(b, s, strlen(s));
}

void gfsc_buf_add_encoded(struct gfsc_buf *b, const char *s, const char *keep)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	static const char hex[] = "0123456789ABCDEF";

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (strchr(plain, c) || strchr(keep, c))
			gfsc_buf_add(b, s, 1);
		else
			gfsc_buf_add(b, (const char[3]){'%', hex[c >> 4], hex[c & 15]}, 3);
	}
}

const char *gfsc_buf_str(const struct gfsc_buf *b)
{
	return b->p ? b->p : "";
}

void gfsc_buf_reset(struct gfsc_buf *b)
{
	b->n = 0;
	b->err = 0;
	if (b->p)
		b->p[0] = '\0';
}

void gfsc_buf_free(struct gfsc_buf *b)
{
	free(b->p);
	*b = (struct gfsc_buf){.max = b->max};
}
