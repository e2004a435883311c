/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target of common/http: the first byte chooses the parser, the rest is its input. Besides memory errors it looks for broken
 * promises: slices outside of the input, a head that is taken with framing in doubt, dates and escapes that do not go back.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>

#include "common/http/fields.h"
#include "common/http/head.h"
#include "common/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_inside(struct slice s, const char *p, size_t n)
{
	gfs_assert(s.n == 0 || (s.p >= p && s.p + s.n <= p + n));
}

static void fuzz_head(const char *p, size_t n)
{
	struct http_head h;
	const char *why;
	size_t scanned = 0, fresh = 0, len = 0;

	for (size_t k = 1; k <= n && !len; k += 1 + k / 3)
		len = http_head_length(p, k, &scanned);
	if (!len)
		len = http_head_length(p, n, &scanned);
	gfs_assert(http_head_length(p, n, &fresh) == len);
	if (!len || http_head_parse(p, len, HTTP_HEADERS_MAX, &h, &why))
		return;
	check_inside(h.method_text, p, len);
	check_inside(h.target, p, len);
	check_inside(h.path, p, len);
	check_inside(h.query, p, len);
	for (size_t i = 0; i < h.n_headers; i++) {
		check_inside(h.headers[i].name, p, len);
		check_inside(h.headers[i].value, p, len);
	}
	gfs_assert(!(h.chunked && h.content_length >= 0));
	gfs_assert(h.chunked == (http_head_get(&h, "transfer-encoding").p != NULL));
	gfs_assert((h.content_length >= 0) == (http_head_get(&h, "content-length").p != NULL));
}

static int decode(const char *p, size_t n, size_t step, uint64_t *sum, size_t *used)
{
	struct http_chunked c;
	size_t pos = 0, have = 0;
	int rc = 0;

	http_chunked_init(&c);
	*sum = 0;
	while (rc == 0 && (pos < have || have < n)) {
		size_t eaten, take;

		if (pos == have)
			have = have + step < n ? have + step : n;
		rc = http_chunked_next(&c, p + pos, have - pos, &eaten);
		gfs_assert(eaten <= have - pos);
		pos += eaten;
		if (rc)
			break;
		take = c.left < have - pos ? (size_t)c.left : have - pos;
		for (size_t i = 0; i < take; i++)
			*sum = *sum * 31 + (unsigned char)p[pos + i];
		pos += take;
		if (take)
			http_chunked_took(&c, take);
	}
	*used = pos;
	return rc;
}

/* The same body in one piece and byte by byte must give the same. */
static void fuzz_chunked(const char *p, size_t n)
{
	uint64_t sum1, sum2;
	size_t used1, used2;
	int rc1 = decode(p, n, n ? n : 1, &sum1, &used1), rc2 = decode(p, n, 1, &sum2, &used2);

	gfs_assert(rc1 == rc2 && sum1 == sum2);
	gfs_assert(used1 == used2);
}

static void fuzz_fields(struct slice s)
{
	struct http_conditions c = {.if_match = s, .if_none_match = s, .if_modified_since = s, .if_unmodified_since = s};
	struct http_range r;
	uint64_t off, len;
	int64_t ms, again;
	char buf[32];

	http_range_parse(s, &r);
	if (http_range_resolve(&r, 1000, &off, &len))
		gfs_assert(off <= 1000 && len <= 1000 - off);
	if (http_date_parse(s, &ms) == 0) {
		http_date_format(ms, buf);
		gfs_assert(http_date_parse(slice_str(buf), &again) == 0);
	}
	if (http_rfc3339_parse(s, &ms) == 0) {
		http_rfc3339_format(ms, true, buf);
		gfs_assert(http_rfc3339_parse(slice_str(buf), &again) == 0);
	}
	(void)http_conditions_check(&c, true, true, "e", 0);
	(void)http_conditions_check(&c, false, true, "e", 0);
	(void)http_if_range_ok(s, "e", 0);
}

static void fuzz_url(struct slice s)
{
	struct strbuf plain = STRBUF_INIT, enc = STRBUF_INIT, back = STRBUF_INIT;
	struct url u;

	if (url_parse(s, &u) == 0) {
		check_inside(u.scheme, s.p, s.n);
		check_inside(u.host, s.p, s.n);
		check_inside(u.port, s.p, s.n);
		check_inside(u.path, s.p, s.n);
		check_inside(u.query, s.p, s.n);
	}
	(void)url_query_get(s, "a", &plain);
	strbuf_reset(&plain);
	if (url_decode(s, &plain) == 0) {
		url_encode(strbuf_slice(&plain), false, &enc);
		gfs_assert(url_decode(strbuf_slice(&enc), &back) == 0);
		gfs_assert(slice_eq(strbuf_slice(&plain), strbuf_slice(&back)));
	}
	strbuf_free(&plain);
	strbuf_free(&enc);
	strbuf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice s;
	char *copy;

	if (n < 1)
		return 0;
	copy = malloc(n > 1 ? n - 1 : 1); /* exact, so that a read past the end is seen */
	gfs_assert(copy);
	memcpy(copy, data + 1, n - 1);
	s = slice_of(copy, n - 1);
	switch (data[0] % 4) {
	case 0:
		fuzz_head(s.p, s.n);
		break;
	case 1:
		fuzz_chunked(s.p, s.n);
		break;
	case 2:
		fuzz_fields(s);
		break;
	default:
		fuzz_url(s);
	}
	free(copy);
	return 0;
}
