/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunked bodies, decoded byte by byte where there is framing; payload is never touched here (the caller moves it). Strict:
 * CR LF only, 1 to 16 hex digits, no white space around the size. Called by the connections of routerd.
 */
#include "config.h"

#include "head.h"

#include "../log.h"

#define EXTENSION_BYTES_MAX 4096
#define TRAILER_BYTES_MAX 8192

enum chunk_state {
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_LINE_START, /* of a trailer, or the last line */
	CHUNK_TRAILER,
	CHUNK_TRAILER_LF,
	CHUNK_LAST_LF,
	CHUNK_END,
	CHUNK_BAD,
};

void http_chunked_init(struct http_chunked *c)
{
	*c = (struct http_chunked){.state = CHUNK_SIZE};
}

static int hex_value(unsigned char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 0x20;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static bool is_text(unsigned char ch)
{
	return ch == '\t' || (ch >= 0x20 && ch != 0x7f);
}

static enum chunk_state size_byte(struct http_chunked *c, unsigned char ch)
{
	int v = hex_value(ch);

	if (v >= 0) {
		if (c->left > (uint64_t)INT64_MAX >> 4 || ++c->digits > 16)
			return CHUNK_BAD;
		c->left = c->left << 4 | (unsigned)v;
		return CHUNK_SIZE;
	}
	if (c->digits == 0)
		return CHUNK_BAD;
	if (ch == '\r')
		return CHUNK_SIZE_LF;
	return ch == ';' ? CHUNK_EXTENSION : CHUNK_BAD;
}

static enum chunk_state size_end(struct http_chunked *c, unsigned char ch)
{
	if (ch != '\n')
		return CHUNK_BAD;
	c->digits = 0;
	if (c->left)
		return CHUNK_DATA;
	c->extra = 0; /* from here on it counts trailers */
	return CHUNK_LINE_START;
}

/* A byte of an extension or a trailer line. */
static enum chunk_state text_byte(struct http_chunked *c, unsigned char ch, enum chunk_state stay, uint32_t max)
{
	if (ch == '\r')
		return stay == CHUNK_EXTENSION ? CHUNK_SIZE_LF : CHUNK_TRAILER_LF;
	if (!is_text(ch) || ++c->extra > max)
		return CHUNK_BAD;
	return stay;
}

static enum chunk_state step(struct http_chunked *c, unsigned char ch)
{
	switch ((enum chunk_state)c->state) {
	case CHUNK_SIZE:
		return size_byte(c, ch);
	case CHUNK_EXTENSION:
		return text_byte(c, ch, CHUNK_EXTENSION, EXTENSION_BYTES_MAX);
	case CHUNK_SIZE_LF:
		return size_end(c, ch);
	case CHUNK_DATA_CR:
		return ch == '\r' ? CHUNK_DATA_LF : CHUNK_BAD;
	case CHUNK_DATA_LF:
		return ch == '\n' ? CHUNK_SIZE : CHUNK_BAD;
	case CHUNK_LINE_START:
		if (ch == '\r')
			return CHUNK_LAST_LF;
		return ch == ' ' || ch == '\t' ? CHUNK_BAD : text_byte(c, ch, CHUNK_TRAILER, TRAILER_BYTES_MAX);
	case CHUNK_TRAILER:
		return text_byte(c, ch, CHUNK_TRAILER, TRAILER_BYTES_MAX);
	case CHUNK_TRAILER_LF:
		return ch == '\n' ? CHUNK_LINE_START : CHUNK_BAD;
	case CHUNK_LAST_LF:
		return ch == '\n' ? CHUNK_END : CHUNK_BAD;
	default:
		return CHUNK_BAD;
	}
}

int http_chunked_next(struct http_chunked *c, const char *p, size_t n, size_t *used_out)
{
	size_t i = 0;

	while (i < n && c->state != CHUNK_DATA && c->state != CHUNK_END && c->state != CHUNK_BAD)
		c->state = (unsigned char)step(c, (unsigned char)p[i++]);
	*used_out = i;
	if (c->state == CHUNK_BAD)
		return GFS_ERR_INVALID;
	return c->state == CHUNK_END;
}

void http_chunked_took(struct http_chunked *c, size_t n)
{
	gfs_assert(c->state == CHUNK_DATA && n <= c->left);
	c->left -= n;
	if (c->left == 0)
		c->state = CHUNK_DATA_CR;
}

uint64_t http_chunked_payload(const struct http_chunked *c)
{
	return c->state == CHUNK_DATA ? c->left : 0;
}
