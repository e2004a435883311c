/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The growable string of strbuf.h. Grows by doubling; never past max bytes of content. After the first failure every call is
 * a no-op, so that callers ask once at the end.
 */
#include "config.h"

#include "strbuf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "utf8.h"

void strbuf_init(struct strbuf *sb, size_t max)
{
	*sb = (struct strbuf){.max = max};
}

void strbuf_free(struct strbuf *sb)
{
	size_t max = sb->max;

	free(sb->p);
	strbuf_init(sb, max);
}

void strbuf_reset(struct strbuf *sb)
{
	sb->n = 0;
	sb->failed = false;
	if (sb->p)
		sb->p[0] = '\0';
}

void strbuf_truncate(struct strbuf *sb, size_t n)
{
	if (n >= sb->n)
		return;
	sb->n = n;
	sb->p[n] = '\0';
}

/* Room for n more bytes and the NUL. */
static bool strbuf_grow(struct strbuf *sb, size_t n)
{
	size_t limit = sb->max ? sb->max : SIZE_MAX / 2, cap;
	char *p;

	if (sb->failed || n > limit || sb->n > limit - n) {
		sb->failed = true;
		return false;
	}
	if (sb->cap > sb->n + n)
		return true;
	cap = sb->cap ? sb->cap : 64;
	while (cap <= sb->n + n)
		cap *= 2;
	p = realloc(sb->p, cap);
	if (!p) {
		sb->failed = true;
		return false;
	}
	sb->p = p;
	sb->cap = cap;
	return true;
}

void strbuf_add(struct strbuf *sb, const void *p, size_t n)
{
	if (!strbuf_grow(sb, n))
		return;
	if (n)
		memcpy(sb->p + sb->n, p, n);
	sb->n += n;
	sb->p[sb->n] = '\0';
}

void strbuf_adds(struct strbuf *sb, const char *s)
{
	strbuf_add(sb, s, strlen(s));
}

void strbuf_add_slice(struct strbuf *sb, struct slice s)
{
	strbuf_add(sb, s.p, s.n);
}

void strbuf_addc(struct strbuf *sb, char c)
{
	strbuf_add(sb, &c, 1);
}

void strbuf_addf(struct strbuf *sb, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strbuf_vaddf(sb, fmt, ap);
	va_end(ap);
}

void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap)
{
	char small[256];
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n < 0)
		sb->failed = true;
	else if ((size_t)n < sizeof(small))
		strbuf_add(sb, small, (size_t)n);
	else if (strbuf_grow(sb, (size_t)n)) {
		vsnprintf(sb->p + sb->n, (size_t)n + 1, fmt, again);
		sb->n += (size_t)n;
	}
	va_end(again);
}

void strbuf_add_hex(struct strbuf *sb, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *b = p;
	size_t i;

	if (n > SIZE_MAX / 4 || !strbuf_grow(sb, n * 2))
		return;
	for (i = 0; i < n; i++) {
		sb->p[sb->n++] = digits[b[i] >> 4];
		sb->p[sb->n++] = digits[b[i] & 15];
	}
	sb->p[sb->n] = '\0';
}

static const char *json_escape(unsigned char c)
{
	switch (c) {
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case '\n':
		return "\\n";
	case '\r':
		return "\\r";
	case '\t':
		return "\\t";
	case '\b':
		return "\\b";
	case '\f':
		return "\\f";
	default:
		return NULL;
	}
}

void strbuf_add_json(struct strbuf *sb, struct slice s)
{
	size_t i = 0, plain = 0, len;

	strbuf_addc(sb, '"');
	while (i < s.n) {
		unsigned char c = (unsigned char)s.p[i];
		const char *esc = json_escape(c);

		len = utf8_step(s.p + i, s.n - i);
		if (len && !esc && c >= 0x20 && c != 0x7f) {
			i += len;
			continue;
		}
		strbuf_add(sb, s.p + plain, i - plain);
		if (esc)
			strbuf_adds(sb, esc);
		else if (len)
			strbuf_addf(sb, "\\u%04x", c);
		else
			strbuf_adds(sb, "\xef\xbf\xbd");
		plain = ++i;
	}
	if (i > plain)
		strbuf_add(sb, s.p + plain, i - plain);
	strbuf_addc(sb, '"');
}

bool strbuf_failed(const struct strbuf *sb)
{
	return sb->failed;
}

struct slice strbuf_slice(const struct strbuf *sb)
{
	return slice_of(sb->p ? sb->p : "", sb->n);
}

const char *strbuf_str(const struct strbuf *sb)
{
	return sb->p ? sb->p : "";
}

char *strbuf_steal(struct strbuf *sb)
{
	char *p;

	if (!sb->failed)
		strbuf_grow(sb, 0);
	if (sb->failed) {
		strbuf_free(sb);
		return NULL;
	}
	p = sb->p;
	p[sb->n] = '\0';
	strbuf_init(sb, sb->max);
	return p;
}
