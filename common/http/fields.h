/* SPDX-License-Identifier: Apache-2.0 */
/* Values of HTTP fields: dates, ranges, conditionals, URLs. Pure; fuzzed. */
#ifndef GFS_HTTP_FIELDS_H
#define GFS_HTTP_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "../error.h"
#include "../slice.h"
#include "../strbuf.h"

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7); parse takes all three forms. */
#define HTTP_DATE_LEN 29
void http_date_format(int64_t ms, char buf[HTTP_DATE_LEN + 1]);
int http_date_parse(struct slice s, int64_t *ms_out) GFS_MUST_USE;
/* "2026-11-21T10:00:00Z" (RFC 3339), with milliseconds when asked. */
void http_rfc3339_format(int64_t ms, bool millis, char buf[32]);
int http_rfc3339_parse(struct slice s, int64_t *ms_out) GFS_MUST_USE;

/* RFC 9110 section 14. A Range that is not "bytes=" with a single range is ignored (NONE), as the RFC allows. */
enum http_range_kind { HTTP_RANGE_NONE, HTTP_RANGE_FROM, HTTP_RANGE_SPAN, HTTP_RANGE_SUFFIX };
struct http_range {
	enum http_range_kind kind;
	uint64_t first, last; /* FROM: first; SPAN: both, inclusive; SUFFIX: last = number of bytes */
};
void http_range_parse(struct slice value, struct http_range *out);
/* Against an object of size bytes: true with [off, off+len); false = 416. NONE gives the whole. */
bool http_range_resolve(const struct http_range *r, uint64_t size, uint64_t *off_out, uint64_t *len_out);

/* RFC 9110 section 13, in the order of 13.2.2. etag without quotes; exists false for a key that is not there. */
struct http_conditions {
	struct slice if_match, if_none_match, if_modified_since, if_unmodified_since; /* {NULL, 0} when absent */
};
enum http_cond { HTTP_COND_PASS, HTTP_COND_NOT_MODIFIED, HTTP_COND_FAILED };
enum http_cond http_conditions_check(const struct http_conditions *c, bool is_read, bool exists, const char *etag,
                                     int64_t mtime_ms);
bool http_conditions_any(const struct http_conditions *c);
/* If-Range (RFC 9110 section 13.1.5): may the Range be used? */
bool http_if_range_ok(struct slice if_range, const char *etag, int64_t mtime_ms);

/* Percent-decodes (RFC 3986); '+' stays '+'. 0, GFS_ERR_INVALID for a broken escape. */
int url_decode(struct slice in, struct strbuf *out) GFS_MUST_USE;
/* Escapes all but unreserved characters; '/' too unless keep_slash. Upper-case hex, as S3 signing wants. */
void url_encode(struct slice in, bool keep_slash, struct strbuf *out);
/* One parameter of a query string, decoded ('+' = space) into out: true when present (out empty for "k" alone). */
bool url_query_get(struct slice query, const char *name, struct strbuf *out);

struct url {
	struct slice scheme, host /* without brackets */, port /* digits or empty */, path, query;
	bool ipv6;
};
int url_parse(struct slice text, struct url *out) GFS_MUST_USE; /* absolute http(s), s3 and file URLs; no user info, no fragment */

const char *http_reason(int status); /* "Not Found" */

#endif
