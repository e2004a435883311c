/* SPDX-License-Identifier: Apache-2.0 */
/* Request heads: what is taken, and every shape that must be refused because two parsers could read it in two ways. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/http/head.h"

static int parse_n(const char *text, size_t n, unsigned max_headers, struct http_head *h)
{
	const char *why = NULL;
	char *copy = malloc(n ? n : 1); /* exact, so that ASan sees a read past the end */
	static char keep[1 << 21];
	int err;

	memcpy(copy, text, n);
	memcpy(keep, text, n);
	err = http_head_parse(copy, n, max_headers, h, &why);
	cr_assert_not_null(why);
	if (err)
		cr_assert_neq(why[0], '\0', "no reason for %s", text);
	free(copy);
	return err ? err : http_head_parse(keep, n, max_headers, h, &why);
}

static int parse(const char *text, struct http_head *h)
{
	return parse_n(text, strlen(text), HTTP_HEADERS_MAX, h);
}

Test(http_head, splits_a_request)
{
	struct http_head h;

	cr_assert_eq(parse("PUT /a%20b?x=1&y HTTP/1.1\r\nHost: h:8090\r\nContent-Length: 42\r\nX-Empty:\r\nX-Pad: \t v w \t\r\n"
	                   "Expect: 100-Continue\r\n\r\n", &h), 0);
	cr_assert_eq(h.method, HTTP_M_PUT);
	cr_assert(slice_eq_str(h.method_text, "PUT"));
	cr_assert(slice_eq_str(h.target, "/a%20b?x=1&y"));
	cr_assert(slice_eq_str(h.path, "/a%20b"));
	cr_assert(slice_eq_str(h.query, "x=1&y"));
	cr_assert_eq(h.minor, 1);
	cr_assert(h.keep_alive);
	cr_assert_not(h.chunked);
	cr_assert_eq(h.content_length, 42);
	cr_assert(h.expect_continue);
	cr_assert_eq(h.n_headers, 5);
	cr_assert(slice_eq_str(http_head_get(&h, "x-pad"), "v w"));
	cr_assert_not_null(http_head_get(&h, "x-empty").p);
	cr_assert_eq(http_head_get(&h, "x-empty").n, 0);
	cr_assert_null(http_head_get(&h, "x-none").p);
}

Test(http_head, knows_when_the_connection_stays)
{
	static const struct {
		const char *text;
		bool keep;
	} cases[] = {
		{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: te, Close\r\n\r\n", false},
		{"GET / HTTP/1.0\r\n\r\n", false},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", true},
	};
	struct http_head h;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(parse(cases[i].text, &h), 0, "%s", cases[i].text);
		cr_assert_eq(h.keep_alive, cases[i].keep, "%s", cases[i].text);
	}
}

Test(http_head, takes_unusual_but_sound_heads)
{
	static const char *const cases[] = {
		"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost:\r\nTransfer-Encoding: Chunked\r\n\r\n",
		"GET /? HTTP/1.1\r\nhOsT: [::1]:80\r\n\r\n",
		"GET //a//b/ HTTP/1.1\r\nHost: h\r\nX-Utf8: gr\xc3\xbc\xc3\x9f\r\n\r\n",
		"GET /{a}|b^c`d\\e HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775800\r\n\r\n",
	};
	struct http_head h;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(parse(cases[i], &h), 0, "%s", cases[i]);
}

Test(http_head, refuses_what_two_parsers_could_read_in_two_ways)
{
	static const char *const cases[] = {
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1 2\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775808\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551616\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked;a=b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\vchunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding\t: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n Transfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX: a\001b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX: a\177b\r\n\r\n",
		"GET / HTTP/1.1\nHost: h\n\n",
		"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n\n",
		"GET / HTTP/1.1\r\nHost: h\r\n: v\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX(y: v\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nX\xc3\xbc: v\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: h\r\nHost: i\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: u@h\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /\tHTTP/1.1\r\nHost: h\r\n\r\n",
		" GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
		"GET / http/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.11\r\nHost: h\r\n\r\n",
		"GET / HTTP/11\r\nHost: h\r\n\r\n",
		"GET /\r\nHost: h\r\n\r\n",
		"GET\r\nHost: h\r\n\r\n",
		"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET h/ HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET * HTTP/1.1\r\nHost: h\r\n\r\n",
		"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /\xc3\xbc HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /\177 HTTP/1.1\r\nHost: h\r\n\r\n",
		"G\"T / HTTP/1.1\r\nHost: h\r\n\r\n",
		"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n",
		"\r\n",
		"",
	};
	struct http_head h;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(parse(cases[i], &h), GFS_ERR_INVALID, "%s", cases[i]);
	cr_assert_eq(parse_n("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 35, 128, &h), GFS_ERR_INVALID);
	cr_assert_eq(parse_n("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 28, 128, &h), GFS_ERR_INVALID);
}

Test(http_head, tells_unknown_versions_and_methods)
{
	struct http_head h;

	cr_assert_eq(parse("GET / HTTP/2.0\r\nHost: h\r\n\r\n", &h), GFS_ERR_UNSUPPORTED);
	cr_assert_eq(h.minor, -1);
	cr_assert_eq(parse("GET / HTTP/1.2\r\nHost: h\r\n\r\n", &h), GFS_ERR_UNSUPPORTED);
	cr_assert_eq(parse("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", &h), GFS_ERR_UNSUPPORTED);
	cr_assert_eq(h.minor, 1);
	cr_assert_eq(parse("get / HTTP/1.1\r\nHost: h\r\n\r\n", &h), GFS_ERR_UNSUPPORTED);
	cr_assert_eq(parse("PATCH / HTTP/1.1\r\nHost: h\r\n\r\n", &h), 0);
	cr_assert_eq(h.method, HTTP_M_OTHER);
	cr_assert(slice_eq_str(h.method_text, "PATCH"));
}

Test(http_head, bounds_the_number_and_the_size_of_fields)
{
	struct http_head h;
	const size_t over = (1 << 20) + 1;
	char text[8192], *big = malloc(over);
	size_t n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: h\r\n");

	for (int i = 0; i < 127; i++)
		n += (size_t)sprintf(text + n, "X-%d: v\r\n", i);
	memcpy(text + n, "\r\n", 3);
	cr_assert_eq(parse_n(text, n + 2, 128, &h), 0);
	cr_assert_eq(h.n_headers, 128);
	cr_assert_eq(parse_n(text, n + 2, 127, &h), GFS_ERR_TOO_LARGE);
	memcpy(text + n, "Y: v\r\n\r\n", 9);
	cr_assert_eq(parse_n(text, n + 8, 1000, &h), GFS_ERR_TOO_LARGE);
	memset(big, 'a', over);
	memcpy(big, "GET /", 5);
	memcpy(big + over - 23, " HTTP/1.1\r\nHost: h\r\n\r\n", 22); /* ends one byte before the last */
	big[over - 1] = '\n';
	cr_assert_eq(parse_n(big, over - 1, 128, &h), 0);
	cr_assert_eq(parse_n(big, over, 128, &h), GFS_ERR_TOO_LARGE);
	free(big);
}

Test(http_head, finds_the_end_at_whatever_byte_the_input_breaks)
{
	static const char *const cases[] = {
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET /\n\n", "GET /\r\n\n",
		"\r\n\r\n\r\n",
		"\n\n\n", "\nGET /\n\r\n",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i]), scanned = 0, whole = 0;
		char text[128];

		snprintf(text, sizeof(text), "%sBODY\r\n\r\n", cases[i]);
		cr_assert_eq(http_head_length(text, strlen(text), &whole), n, "%s", cases[i]);
		for (size_t k = 0; k < n; k++)
			cr_assert_eq(http_head_length(text, k, &scanned), 0, "%s at %zu", cases[i], k);
		cr_assert_eq(http_head_length(text, n, &scanned), n, "%s", cases[i]);
	}
}
