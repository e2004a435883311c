/* SPDX-License-Identifier: Apache-2.0 */
/* One step of a UTF-8 decoder (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). Header only. */
#ifndef GFS_UTF8_H
#define GFS_UTF8_H

#include <stddef.h>

/* Bytes of the well-formed sequence at p, 0 when there is none. n >= 1. */
static inline size_t utf8_step(const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned char lo = 0x80, hi = 0xbf;
	size_t len, i;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (n < len)
		return 0;
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

#endif
