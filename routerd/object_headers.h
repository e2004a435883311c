/* SPDX-License-Identifier: Apache-2.0 */
/* Between objects and the header fields of the REST API: pure but for the strbuf. */
#ifndef GFS_OBJECT_HEADERS_H
#define GFS_OBJECT_HEADERS_H

#include "common/http/fields.h"
#include "common/http/head.h"
#include "common/object.h"

/* "Name: value\r\n" lines of an object: ETag, Last-Modified, Accept-Ranges, X-GlobalFS-Generation, and unless brief (304)
 * Content-Type, X-GlobalFS-Checksum and X-GlobalFS-Meta-*. What a site stores is not trusted: a value that is not a legal field
 * value is left out. */
void object_headers_add(const struct object_info *info, bool brief, struct strbuf *out);
void object_conditions(const struct http_head *head, struct http_conditions *out);
/* Content-Type and X-GlobalFS-Meta-* of a PUT: 0 with type_out owned (or NULL) and meta_out filled; GFS_ERR_META_INVALID or
 * GFS_ERR_INVALID with a static sentence. Free both in any case. */
int object_headers_take(const struct http_head *head, char **type_out, struct meta *meta_out, const char **why_out) GFS_MUST_USE;
/* Content-MD5 (RFC 1864): true when there is one; *ok_out whether it is 16 bytes in base64. */
bool object_content_md5(const struct http_head *head, unsigned char md5_out[16], bool *ok_out);

#endif
