/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an S3 store's answer, line by line, and the object that it describes. Pure but for the memory of the strings it
 * keeps, all of which is bounded: what does not fit is as if it had not been said.
 */
#include "config.h"

#include <stdlib.h>

#include "http/fields.h"
#include "site_s3.h"
#include "xalloc.h"

#define TYPE_MAX 1024
#define RETRY_AFTER_MAX_S 86400

void s3_resp_reset(struct s3_resp *r)
{
	free(r->content_type);
	meta_free(&r->meta);
	*r = (struct s3_resp){.content_length = -1};
}

static struct slice trim(struct slice s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = slice_of(s.p + 1, s.n - 1);
	while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Decimal digits from the front of s; false when there is none or they do not fit. */
static bool take_number(struct slice *s, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
		if (i >= 18)
			return false;
		v = v * 10 + (uint64_t)(s->p[i] - '0');
	}
	*s = slice_of(s->p + i, s->n - i);
	*out = v;
	return i > 0;
}

static bool take_char(struct slice *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = slice_of(s->p + 1, s->n - 1);
	return true;
}

/* "bytes 0-9/100" or, with 416, "bytes * / 100" without the spaces. */
static void take_content_range(struct s3_resp *r, struct slice v)
{
	uint64_t first = 1, last = 0, size;

	if (!slice_starts_with(v, SLICE_LIT("bytes ")))
		return;
	v = slice_of(v.p + 6, v.n - 6);
	if (!take_char(&v, '*')) {
		if (!take_number(&v, &first) || !take_char(&v, '-') || !take_number(&v, &last) || first > last)
			return;
	}
	if (!take_char(&v, '/') || !take_number(&v, &size) || v.n > 0 || (first <= last && last >= size))
		return;
	r->has_range = true;
	r->range_first = first;
	r->range_last = last;
	r->range_size = size;
}

static void take_retry_after(struct s3_resp *r, struct slice v)
{
	uint64_t s;
	int64_t at_ms;

	if (take_number(&v, &s) && v.n == 0)
		r->retry_after_s = s < RETRY_AFTER_MAX_S ? (unsigned)s : RETRY_AFTER_MAX_S;
	else if (r->date_ms && http_date_parse(v, &at_ms) == 0 && at_ms > r->date_ms &&
	         at_ms - r->date_ms < RETRY_AFTER_MAX_S * INT64_C(1000))
		r->retry_after_s = (unsigned)((at_ms - r->date_ms) / 1000);
}

static void take_status(struct s3_resp *r, struct slice line)
{
	const char *space = memchr(line.p, ' ', line.n);
	struct slice rest;
	uint64_t status;

	s3_resp_reset(r);
	if (!space)
		return;
	rest = slice_of(space + 1, line.n - (size_t)(space + 1 - line.p));
	if (take_number(&rest, &status) && status >= 100 && status <= 999)
		r->status = (int)status;
}

static void take_text(struct slice v, char *out, size_t cap)
{
	if (v.n >= cap)
		return;
	memcpy(out, v.p, v.n);
	out[v.n] = '\0';
}

/* Metadata that another program wrote may break our rules: it is then not shown. */
static void take_meta(struct s3_resp *r, struct slice name, struct slice v)
{
	if (slice_caseeq_str(name, "gfs-gen"))
		take_text(v, r->gen_tag, sizeof(r->gen_tag));
	else if (name.n < 4 || strncasecmp(name.p, "gfs-", 4) != 0)
		(void)!meta_add(&r->meta, name, v);
}

void s3_resp_line(struct s3_resp *r, struct slice line)
{
	const char *colon;
	struct slice name, v;
	uint64_t n;

	if (slice_starts_with(line, SLICE_LIT("HTTP/"))) {
		take_status(r, line);
		return;
	}
	colon = line.n ? memchr(line.p, ':', line.n) : NULL;
	if (!colon)
		return;
	name = slice_of(line.p, (size_t)(colon - line.p));
	v = trim(slice_of(colon + 1, line.n - name.n - 1));
	if (slice_caseeq_str(name, "content-length") && take_number(&v, &n) && v.n == 0)
		r->content_length = (int64_t)n;
	else if (slice_caseeq_str(name, "etag"))
		s3_etag_unquote(v, r->etag);
	else if (slice_caseeq_str(name, "last-modified"))
		(void)!http_date_parse(v, &r->mtime_ms);
	else if (slice_caseeq_str(name, "date"))
		(void)!http_date_parse(v, &r->date_ms);
	else if (slice_caseeq_str(name, "content-range"))
		take_content_range(r, v);
	else if (slice_caseeq_str(name, "retry-after"))
		take_retry_after(r, v);
	else if (slice_caseeq_str(name, "x-amz-bucket-region"))
		take_text(v, r->region, sizeof(r->region));
	else if (slice_caseeq_str(name, "content-type") && v.n > 0 && v.n <= TYPE_MAX && !r->content_type)
		r->content_type = xstrndup(v.p, v.n);
	else if (name.n > strlen(S3_META_PREFIX) && strncasecmp(name.p, S3_META_PREFIX, strlen(S3_META_PREFIX)) == 0)
		take_meta(r, slice_of(name.p + strlen(S3_META_PREFIX), name.n - strlen(S3_META_PREFIX)), v);
}

void s3_resp_info(const struct s3_resp *r, struct slice key, uint64_t size, const char *site, struct object_info *out)
{
	*out = (struct object_info){.size = size, .mtime_ms = r->mtime_ms};
	memcpy(out->etag, r->etag, sizeof(out->etag));
	if (r->gen_tag[0] && gen_tag_parse(slice_str(r->gen_tag), key, &out->gen, &out->part_size) == 0) {
		out->gen_tagged = true;
	} else {
		out->gen = gen_derive(r->mtime_ms, site);
		out->part_size = 0;
	}
	/* what S3 says of an object that was stored without a type */
	if (r->content_type && strcmp(r->content_type, "binary/octet-stream") != 0)
		out->content_type = xstrdup(r->content_type);
	meta_copy(&out->meta, &r->meta);
}
