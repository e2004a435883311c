/* SPDX-License-Identifier: Apache-2.0 */
/* Percent encoding, query strings and absolute URLs. */
#include "config.h"

#include <criterion/criterion.h>

#include "common/http/fields.h"

Test(http_url, every_byte_goes_there_and_back)
{
	char all[256];
	struct strbuf enc = STRBUF_INIT, dec = STRBUF_INIT;

	for (int i = 0; i < 256; i++)
		all[i] = (char)i;
	url_encode(slice_of(all, 256), true, &enc);
	cr_assert_null(strchr(strbuf_str(&enc), '?'));
	cr_assert_not_null(strchr(strbuf_str(&enc), '/'));
	cr_assert_eq(url_decode(strbuf_slice(&enc), &dec), 0);
	cr_assert(slice_eq(strbuf_slice(&dec), slice_of(all, 256)));
	strbuf_reset(&enc);
	url_encode(SLICE_LIT("a/b c+\xc3\xbc~"), false, &enc);
	cr_assert_str_eq(strbuf_str(&enc), "a%2Fb%20c%2B%C3%BC~");
	strbuf_free(&enc);
	strbuf_free(&dec);
}

Test(http_url, broken_escapes_are_refused)
{
	static const char *const bad[] = {"%", "a%", "%1", "%zz", "%1g", "%%20", "a%2"};
	struct strbuf sb = STRBUF_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(url_decode(slice_str(bad[i]), &sb), GFS_ERR_INVALID, "%s", bad[i]);
	strbuf_reset(&sb);
	cr_assert_eq(url_decode(SLICE_LIT("a+b%2f%2F%00"), &sb), 0);
	cr_assert(slice_eq(strbuf_slice(&sb), SLICE_LIT("a+b//\0")));
	strbuf_free(&sb);
}

Test(http_url, query_parameters)
{
	static const struct {
		const char *query, *name, *value; /* NULL: absent */
	} cases[] = {
		{"prefix=a%2Fb&limit=5", "prefix", "a/b"},
		{"prefix=a%2Fb&limit=5", "limit", "5"},
		{"prefix=a+b", "prefix", "a b"},
		{"uploads", "uploads", ""},
		{"uploads=", "uploads", ""},
		{"a=1&a=2", "a", "1"},
		{"xprefix=1", "prefix", NULL},
		{"pre%66ix=1", "prefix", "1"},
		{"a&&b=2", "b", "2"},
		{"a==b", "a", "=b"},
		{"a=%zz%", "a", "%zz%"},
		{"", "a", NULL},
		{"&", "a", NULL},
	};
	struct strbuf sb = STRBUF_INIT;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool found = url_query_get(slice_str(cases[i].query), cases[i].name, &sb);

		cr_assert_eq(found, cases[i].value != NULL, "%s", cases[i].query);
		if (found)
			cr_assert_str_eq(strbuf_str(&sb), cases[i].value);
	}
	strbuf_free(&sb);
}

Test(http_url, splits_absolute_urls)
{
	static const struct {
		const char *text, *scheme, *host, *port, *path, *query;
		bool ipv6;
	} cases[] = {
		{"http://a.b:80/p/q?x=y", "http", "a.b", "80", "/p/q", "x=y", false},
		{"https://h", "https", "h", "", "", "", false},
		{"https://h?x", "https", "h", "", "", "x", false},
		{"http://[::1]:9000/", "http", "::1", "9000", "/", "", true},
		{"http://[fe80::1.2.3.4]", "http", "fe80::1.2.3.4", "", "", "", true},
		{"s3://bucket/pre/fix?region=eu&endpoint=http://h:1", "s3", "bucket", "", "/pre/fix",
		 "region=eu&endpoint=http://h:1", false},
		{"file:///srv/\xc3\xa4", "file", "", "", "/srv/\xc3\xa4", "", false},
	};
	static const char *const bad[] = {
		"", "h", "//h", "http:/h", "http://", "http:///p", "ftp://h/", "http://u@h/", "http://h:/", "http://h:65536/",
		"http://h:8x/",
		"http://h/#f", "http://h/a b", "http://[::1", "http://[h]/", "http://h h/", "file://h/p", "file://:80/p", "http://h\n/",
		"http://h]:1/",
	};
	struct url u;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(url_parse(slice_str(cases[i].text), &u), 0, "%s", cases[i].text);
		cr_assert(slice_eq_str(u.scheme, cases[i].scheme), "%s", cases[i].text);
		cr_assert(slice_eq_str(u.host, cases[i].host), "%s", cases[i].text);
		cr_assert(slice_eq_str(u.port, cases[i].port), "%s", cases[i].text);
		cr_assert(slice_eq_str(u.path, cases[i].path), "%s", cases[i].text);
		cr_assert(slice_eq_str(u.query, cases[i].query), "%s", cases[i].text);
		cr_assert_eq(u.ipv6, cases[i].ipv6, "%s", cases[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(url_parse(slice_str(bad[i]), &u), GFS_ERR_INVALID, "%s", bad[i]);
}
