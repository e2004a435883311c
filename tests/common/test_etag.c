/* SPDX-License-Identifier: Apache-2.0 */
/* etag: ETags against values computed independently, layouts, CRC-64/NVME. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/etag.h"

static char *pattern(size_t n)
{
	char *p = malloc(n + 1);
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (char)(i * 7 + (i >> 8));
	return p;
}

Test(etag, matches_known_values_however_the_body_is_cut)
{
	static const struct {
		size_t size;
		uint64_t part_size;
		const char *etag;
	} cases[] = {
		{0, 5, "d41d8cd98f00b204e9800998ecf8427e"},
		{1, 5, "93b885adfe0da089cdf634904fd59f71"},
		{5, 5, "07ee8b6cb69b6c1a718efb0cd39a0c24"},
		{6, 5, "7391dd430f8b55ef214fa6e9fc0f73be-2"},
		{10, 5, "0c8f687827b7a6269e2f23f0956d1fa5-2"},
		{11, 5, "daa693da7752673cdbdd5373fe2749a6-3"},
		{1000, 1, "59b009909368fc9dba069cf2e7d43731-1000"},
		{1000, 1000, "bd8c10439abeb42fb5c19745991e360e"},
		{1000, 999, "f96c435dc25b951edabe686abbcd3e53-2"},
		{1048576, 65536, "96530fd81344487e1f85f8bde1103af8-16"},
		{1048577, 65536, "9320a8cf4a8473c7fbe7ef39d201eb54-17"},
	};
	static const size_t steps[] = {1, 3, 4096, SIZE_MAX};
	size_t i, j, at;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *body = pattern(cases[i].size), etag[ETAG_MAX];

		for (j = 0; j < 4; j++) {
			struct etag_calc *calc = etag_calc_create(cases[i].part_size);
			uint64_t crc;

			for (at = 0; at < cases[i].size;) {
				size_t n = cases[i].size - at < steps[j] ? cases[i].size - at : steps[j];

				etag_calc_update(calc, body + at, n);
				at += n;
			}
			etag_calc_finish(calc, etag, &crc);
			etag_calc_destroy(&calc);
			cr_assert_str_eq(etag, cases[i].etag, "case %zu step %zu", i, j);
			cr_assert_eq(crc, crc64nvme(0, body, cases[i].size));
		}
		free(body);
	}
}

Test(etag, crc64nvme_check_value)
{
	char *body = pattern(1000);
	uint64_t crc;

	cr_assert_eq(crc64nvme(0, "123456789", 9), UINT64_C(0xae8b14860a799888));
	cr_assert_eq(crc64nvme(0, "", 0), 0);
	crc = crc64nvme(0, body, 333);
	cr_assert_eq(crc64nvme(crc, body + 333, 667), crc64nvme(0, body, 1000));
	free(body);
}

Test(etag, layouts)
{
	const uint64_t mib = 1 << 20, chunk = 8 * mib;

	cr_assert_eq(layout_part_size(-1, chunk), chunk);
	cr_assert_eq(layout_part_size(0, chunk), chunk);
	cr_assert_eq(layout_part_size((int64_t)(chunk * 10000), chunk), chunk);
	cr_assert_eq(layout_part_size((int64_t)(chunk * 10000 + 1), chunk), chunk + mib);
	cr_assert_eq(layout_part_size(INT64_C(5) << 40, chunk), 525 * mib);
	cr_assert_eq(layout_part_count(0, chunk), 1);
	cr_assert_eq(layout_part_count(chunk, chunk), 1);
	cr_assert_eq(layout_part_count(chunk + 1, chunk), 2);
	cr_assert_leq(layout_part_count(UINT64_C(5) << 40, 525 * mib), 10000);
}
