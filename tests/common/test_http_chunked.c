/* SPDX-License-Identifier: Apache-2.0 */
/* Chunked bodies: sound ones at every split, and the shapes that must be refused. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/http/head.h"

/* Decodes, handing over step bytes at a time. Returns what http_chunked_next() said last; *used is what was eaten. */
static int decode(const char *in, size_t n, size_t step, char *out, size_t *out_n, size_t *used)
{
	struct http_chunked c;
	size_t have = 0, pos = 0;
	int rc = 0;

	http_chunked_init(&c);
	*out_n = 0;
	while (rc == 0 && (pos < have || have < n)) {
		size_t eaten, take;

		if (pos == have)
			have = have + step < n ? have + step : n;
		rc = http_chunked_next(&c, in + pos, have - pos, &eaten);
		pos += eaten;
		if (rc)
			break;
		take = c.left < have - pos ? (size_t)c.left : have - pos;
		if (take) {
			memcpy(out + *out_n, in + pos, take);
			*out_n += take;
			pos += take;
			http_chunked_took(&c, take);
		}
	}
	*used = pos;
	return rc;
}

Test(http_chunked, decodes_at_every_split)
{
	static const char in[] = "5\r\nhello\r\n00A;x=\"y;z\"\r\n, world wi\r\n2;\r\nde\r\n0;last\r\nTrailer: x\r\nB:\r\n\r\n";
	char out[64];
	size_t n, used;

	for (size_t step = 1; step < sizeof(in); step++) {
		cr_assert_eq(decode(in, sizeof(in) - 1, step, out, &n, &used), 1, "step %zu", step);
		cr_assert_eq(n, 17);
		cr_assert_arr_eq(out, "hello, world wide", 17);
		cr_assert_eq(used, sizeof(in) - 1);
	}
}

Test(http_chunked, leaves_what_follows_the_body)
{
	static const char in[] = "1\r\nx\r\n0\r\n\r\nGET /";
	char out[64];
	size_t n, used;

	cr_assert_eq(decode(in, sizeof(in) - 1, 100, out, &n, &used), 1);
	cr_assert_eq(used, sizeof(in) - 1 - 5);
}

Test(http_chunked, asks_for_more_while_it_is_not_complete)
{
	static const char in[] = "1\r\nx\r\n0\r\nA: b\r\n\r\n";
	char out[64];
	size_t n, used;

	for (size_t k = 0; k < sizeof(in) - 1; k++)
		cr_assert_eq(decode(in, k, 100, out, &n, &used), 0, "%zu", k);
}

Test(http_chunked, refuses_malformed_framing)
{
	static const char *const cases[] = {
		"\r\n", "x\r\n", "-1\r\n", "0x1\r\n", " 1\r\nx", "1 \r\nx", "1\nx", "1\r\nxx\r\n", "1\r\nx\n", "1\r\nx\rx", "1;a\nx",
		"1;a\rx",
		"1;\001\r\nx", "10000000000000000\r\n", "ffffffffffffffff\r\n", "8000000000000000\r\n", "00000000000000001\r\n",
		"0\r\n A: b\r\n", "0\r\nA: b\n", "0\r\nA\rB", "0\r\n\rx", "0\r\n\n", "0\r\nA: \001\r\n", "0\n", ";a\r\n",
	};
	char out[64];
	size_t n, used;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step < 9; step++)
			cr_assert_eq(decode(cases[i], strlen(cases[i]), step, out, &n, &used), GFS_ERR_INVALID, "%s", cases[i]);
}

Test(http_chunked, takes_the_largest_size)
{
	struct http_chunked c;
	size_t used;

	http_chunked_init(&c);
	cr_assert_eq(http_chunked_next(&c, "7fffffffffffffff\r\nab", 20, &used), 0);
	cr_assert_eq(used, 18);
	cr_assert_eq(c.left, (uint64_t)INT64_MAX);
	http_chunked_took(&c, 2);
	cr_assert_eq(http_chunked_next(&c, "cd", 2, &used), 0);
	cr_assert_eq(used, 0);
}

Test(http_chunked, bounds_extensions_and_trailers)
{
	char *in = malloc(20000), *out = malloc(20000);
	size_t n, used;

	memset(in, 'a', 20000);
	memcpy(in, "1;", 2);
	cr_assert_eq(decode(in, 2 + 4096, 1000, out, &n, &used), 0);
	cr_assert_eq(decode(in, 2 + 4097, 1000, out, &n, &used), GFS_ERR_INVALID);
	memcpy(in, "0\r\n", 3);
	cr_assert_eq(decode(in, 3 + 8192, 1000, out, &n, &used), 0);
	cr_assert_eq(decode(in, 3 + 8193, 1000, out, &n, &used), GFS_ERR_INVALID);
	free(in);
	free(out);
}
