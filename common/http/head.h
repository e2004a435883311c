/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of HTTP/1.1 messages (RFC 9112): the one parser of the suite, http_parser behind our own strict pre-check. Pure: bytes
 * in, structs out; fuzzed.
 *
 * The pre-check refuses what lets two parsers disagree (request smuggling): two Content-Length fields, Content-Length together with
 * Transfer-Encoding, any Transfer-Encoding but exactly "chunked", a bare CR, a NUL or other control character, obs-fold, space
 * before the colon, an empty or non-token field name, HTTP/1.1 without exactly one Host, a target that is not origin-form
 * (or "*" for OPTIONS), lengths that are not 1*DIGIT or overflow.
 */
#ifndef GFS_HTTP_HEAD_H
#define GFS_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../slice.h"

enum http_method { HTTP_M_GET, HTTP_M_HEAD, HTTP_M_PUT, HTTP_M_POST, HTTP_M_DELETE, HTTP_M_OPTIONS, HTTP_M_OTHER };

#define HTTP_HEADERS_MAX 128

struct http_header {
	struct slice name, value; /* value without surrounding white space */
};

/* Everything borrows from the buffer that was parsed. */
struct http_head {
	enum http_method method;
	struct slice method_text;
	struct slice target;       /* as sent */
	struct slice path, query;  /* of target, still percent-encoded; query without '?' */
	int minor;                 /* HTTP/1.minor */
	bool keep_alive;
	bool chunked;
	int64_t content_length;    /* -1 when absent */
	bool expect_continue;
	size_t n_headers;
	struct http_header headers[HTTP_HEADERS_MAX];
};

/* Looks for the end of a head in p[0..n): returns its length with the final CRLF CRLF, 0 when more bytes are needed. Leading
 * empty lines (at most 2) are part of it (RFC 9112 section 2.2). scanned_io: where the last look ended, 0 at first. */
size_t http_head_length(const char *p, size_t n, size_t *scanned_io);
/* p[0..n) is exactly one head. 0; GFS_ERR_INVALID (400), GFS_ERR_TOO_LARGE (431: more than max_headers, or over 1 MiB),
 * GFS_ERR_UNSUPPORTED (505, then out->minor is -1, or 501); *why_out a static sentence. */
int http_head_parse(const char *p, size_t n, unsigned max_headers, struct http_head *out, const char **why_out) GFS_MUST_USE;
/* The first field of that name (case-insensitive), or {NULL, 0}. */
struct slice http_head_get(const struct http_head *h, const char *name);

/* Chunked bodies (RFC 9112 section 7.1), decoded incrementally. Extensions are skipped, at most 4 KiB of them; trailers are
 * skipped, at most 8 KiB; bare LF is refused. */
struct http_chunked {
	unsigned char state;
	uint64_t left;   /* bytes of payload still in this chunk */
	uint32_t extra;  /* bytes of extensions and trailers so far */
	unsigned digits;
};
void http_chunked_init(struct http_chunked *c);
/* Consumes framing from p[0..n) until payload begins or input ends: *used_out bytes of framing eaten; then up to
 * http_chunked_payload() bytes of payload follow in the input, to be taken by the caller with http_chunked_took(). 0; 1 when the
 * body has ended; GFS_ERR_INVALID. */
int http_chunked_next(struct http_chunked *c, const char *p, size_t n, size_t *used_out) GFS_MUST_USE;
void http_chunked_took(struct http_chunked *c, size_t n);
/* Bytes of payload that come next; 0 while framing is due. */
uint64_t http_chunked_payload(const struct http_chunked *c);

#endif
