/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ETags and checksums of bodies that stream by. Used by workers while they upload, by repld while it copies, and by file sites.
 * MD5 comes from libcrypto; the CRC is done eight bytes at a time from tables made at first use.
 */
#include "config.h"

#include "etag.h"

#include <endian.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "xalloc.h"

#define MD5_BYTES 16

struct etag_calc {
	EVP_MD_CTX *part, *whole; /* of the current part; of the MD5s of the parts before it */
	uint64_t part_size, in_part;
	uint32_t parts; /* already in whole */
	uint64_t crc;
};

/* MD5 names versions here, it protects nothing, so a FIPS policy does not apply. */
static void md5_begin(EVP_MD_CTX *ctx)
{
	EVP_MD_CTX_set_flags(ctx, EVP_MD_CTX_FLAG_NON_FIPS_ALLOW);
	gfs_assert(EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1);
}

struct etag_calc *etag_calc_create(uint64_t part_size)
{
	struct etag_calc *calc = xcalloc(1, sizeof(*calc));

	gfs_assert(part_size >= 1);
	calc->part_size = part_size;
	calc->part = EVP_MD_CTX_new();
	calc->whole = EVP_MD_CTX_new();
	gfs_assert(calc->part && calc->whole);
	md5_begin(calc->part);
	md5_begin(calc->whole);
	return calc;
}

void etag_calc_destroy(struct etag_calc **calc_io)
{
	struct etag_calc *calc = *calc_io;

	*calc_io = NULL;
	if (!calc)
		return;
	EVP_MD_CTX_free(calc->part);
	EVP_MD_CTX_free(calc->whole);
	free(calc);
}

static void etag_end_part(struct etag_calc *calc)
{
	unsigned char md[MD5_BYTES];

	gfs_assert(EVP_DigestFinal_ex(calc->part, md, NULL) == 1);
	gfs_assert(EVP_DigestUpdate(calc->whole, md, sizeof(md)) == 1);
	calc->parts++;
	calc->in_part = 0;
}

void etag_calc_update(struct etag_calc *calc, const void *p, size_t n)
{
	const unsigned char *b = p;

	calc->crc = crc64nvme(calc->crc, p, n);
	while (n > 0) {
		size_t piece = n;

		/* Only when more follows: a body of exactly part_size bytes has one part. */
		if (calc->in_part == calc->part_size) {
			etag_end_part(calc);
			md5_begin(calc->part);
		}
		if (piece > calc->part_size - calc->in_part)
			piece = (size_t)(calc->part_size - calc->in_part);
		gfs_assert(EVP_DigestUpdate(calc->part, b, piece) == 1);
		calc->in_part += piece;
		b += piece;
		n -= piece;
	}
}

void etag_calc_finish(struct etag_calc *calc, char etag_out[ETAG_MAX], uint64_t *crc64_out)
{
	EVP_MD_CTX *ctx = calc->part;
	unsigned char md[MD5_BYTES];
	size_t i;

	if (calc->parts > 0) {
		etag_end_part(calc);
		ctx = calc->whole;
	}
	gfs_assert(EVP_DigestFinal_ex(ctx, md, NULL) == 1);
	for (i = 0; i < sizeof(md); i++)
		snprintf(etag_out + 2 * i, 3, "%02x", md[i]);
	if (calc->parts > 0)
		snprintf(etag_out + 2 * sizeof(md), ETAG_MAX - 2 * sizeof(md), "-%" PRIu32, calc->parts);
	*crc64_out = calc->crc;
}

uint64_t layout_part_size(int64_t size, uint64_t chunk)
{
	const uint64_t mib = 1 << 20;
	uint64_t need;

	if (size < 0)
		return chunk;
	need = ((uint64_t)size + 9999) / 10000;
	return need <= chunk ? chunk : (need + mib - 1) / mib * mib;
}

uint64_t layout_part_count(uint64_t size, uint64_t part_size)
{
	return size == 0 ? 1 : (size - 1) / part_size + 1;
}

static uint64_t crc_tables[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_make_tables(void)
{
	const uint64_t poly = 0x9a6c9329ac4bc9b5; /* 0xad93d23594c93659 with its bits reversed */
	unsigned i, j;

	for (i = 0; i < 256; i++) {
		uint64_t c = i;

		for (j = 0; j < 8; j++)
			c = (c >> 1) ^ (c & 1 ? poly : 0);
		crc_tables[0][i] = c;
	}
	for (i = 0; i < 256; i++)
		for (j = 1; j < 8; j++)
			crc_tables[j][i] = (crc_tables[j - 1][i] >> 8) ^ crc_tables[0][crc_tables[j - 1][i] & 0xff];
}

uint64_t crc64nvme(uint64_t crc, const void *p, size_t n)
{
	const unsigned char *b = p;

	pthread_once(&crc_once, crc_make_tables);
	crc = ~crc;
	for (; n >= 8; n -= 8, b += 8) {
		uint64_t w;

		memcpy(&w, b, 8);
		w = le64toh(w) ^ crc;
		crc = crc_tables[7][w & 0xff] ^ crc_tables[6][w >> 8 & 0xff] ^ crc_tables[5][w >> 16 & 0xff] ^
		      crc_tables[4][w >> 24 & 0xff] ^ crc_tables[3][w >> 32 & 0xff] ^ crc_tables[2][w >> 40 & 0xff] ^
		      crc_tables[1][w >> 48 & 0xff] ^ crc_tables[0][w >> 56];
	}
	for (; n > 0; n--, b++)
		crc = (crc >> 8) ^ crc_tables[0][(crc ^ *b) & 0xff];
	return ~crc;
}
