/* SPDX-License-Identifier: Apache-2.0 */
/* Header fields of objects, see object_headers.h. */
#include "config.h"

#include "object_headers.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "common/xalloc.h"

#define META_FIELD "X-GlobalFS-Meta-"
#define CONTENT_TYPE_MAX 256

static bool value_is_legal(const char *s)
{
	if (!s || !*s)
		return false;
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	}
	return true;
}

void object_headers_add(const struct object_info *info, bool brief, struct strbuf *out)
{
	char date[HTTP_DATE_LEN + 1], gen[GEN_TEXT_MAX];

	if (value_is_legal(info->etag))
		strbuf_addf(out, "ETag: \"%s\"\r\n", info->etag);
	http_date_format(info->mtime_ms, date);
	strbuf_addf(out, "Last-Modified: %s\r\nAccept-Ranges: bytes\r\n", date);
	if (!gen_is_none(&info->gen))
		strbuf_addf(out, "X-GlobalFS-Generation: %s\r\n", gen_format(&info->gen, gen));
	if (brief)
		return;
	strbuf_addf(out, "Content-Type: %s\r\n",
	            value_is_legal(info->content_type) ? info->content_type : "application/octet-stream");
	if (info->has_crc64)
		strbuf_addf(out, "X-GlobalFS-Checksum: %016" PRIx64 "\r\n", info->crc64);
	for (size_t i = 0; i < info->meta.n; i++) {
		if (value_is_legal(info->meta.v[i].name) && value_is_legal(info->meta.v[i].value))
			strbuf_addf(out, META_FIELD "%s: %s\r\n", info->meta.v[i].name, info->meta.v[i].value);
	}
}

void object_conditions(const struct http_head *head, struct http_conditions *out)
{
	out->if_match = http_head_get(head, "If-Match");
	out->if_none_match = http_head_get(head, "If-None-Match");
	out->if_modified_since = http_head_get(head, "If-Modified-Since");
	out->if_unmodified_since = http_head_get(head, "If-Unmodified-Since");
}

int object_headers_take(const struct http_head *head, char **type_out, struct meta *meta_out, const char **why_out)
{
	struct slice type = http_head_get(head, "Content-Type");
	size_t prefix = sizeof(META_FIELD) - 1;
	int err;

	*type_out = NULL;
	*meta_out = (struct meta){0};
	if (type.n > CONTENT_TYPE_MAX) {
		*why_out = "Content-Type is longer than 256 bytes";
		return GFS_ERR_INVALID;
	}
	for (size_t i = 0; i < type.n; i++) {
		if (type.p[i] < 0x20 || type.p[i] == 0x7f) {
			*why_out = "Content-Type is not printable ASCII";
			return GFS_ERR_INVALID;
		}
	}
	if (type.n)
		*type_out = xstrndup(type.p, type.n);
	for (size_t i = 0; i < head->n_headers; i++) {
		struct slice name = head->headers[i].name;

		if (name.n < prefix || strncasecmp(name.p, META_FIELD, prefix) != 0)
			continue;
		err = meta_add(meta_out, slice_of(name.p + prefix, name.n - prefix), head->headers[i].value);
		if (err) {
			*why_out = "X-GlobalFS-Meta-: names of [a-z0-9._-], values of printable ASCII, at most 2048 bytes in all";
			return err;
		}
	}
	return GFS_OK;
}

bool object_content_md5(const struct http_head *head, unsigned char md5_out[16], bool *ok_out)
{
	struct slice v = http_head_get(head, "Content-MD5");
	unsigned char raw[18];

	if (!v.p)
		return false;
	*ok_out = v.n == 24 && v.p[22] == '=' && v.p[23] == '=' && EVP_DecodeBlock(raw, (const unsigned char *)v.p, 24) == 18;
	if (*ok_out)
		memcpy(md5_out, raw, 16);
	return true;
}
