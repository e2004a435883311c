/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the key patterns of policy rules: two patterns and a key, a line each. The automaton must agree with a table that is
 * filled by the book; what one pattern covers it must match; a pattern that no key can match must match none.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf/pattern.h"
#include "common/xalloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
uint8_t *fuzz_seed(size_t i, size_t *n_out);

#define BOOK_MAX 64 /* bytes of a pattern or key that the book is asked about */

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* Only of ASCII without classes, which need no more than this. */
static bool book(const char *p, size_t m, const char *k, size_t n)
{
	static bool yes[BOOK_MAX + 1][BOOK_MAX + 1];

	for (size_t i = m + 1; i-- > 0;) {
		for (size_t j = n + 1; j-- > 0;) {
			bool end = j == n;

			if (i == m)
				yes[i][j] = end;
			else if (p[i] == '*' && ((i + 1 < m && p[i + 1] == '*') || (i > 0 && p[i - 1] == '*')))
				yes[i][j] = yes[i + 1][j] || (!end && yes[i][j + 1]);
			else if (p[i] == '*')
				yes[i][j] = yes[i + 1][j] || (!end && k[j] != '/' && yes[i][j + 1]);
			else if (p[i] == '?')
				yes[i][j] = !end && k[j] != '/' && yes[i + 1][j + 1];
			else
				yes[i][j] = !end && k[j] == p[i] && yes[i + 1][j + 1];
		}
	}
	return yes[0][0];
}

static bool is_plain(struct slice s, const char *without)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] & 0x80 || strchr(without, s.p[i]))
			return false;
	return s.n <= BOOK_MAX;
}

static struct slice take_line(struct slice *in)
{
	const char *end = in->n ? memchr(in->p, '\n', in->n) : NULL;
	struct slice line = slice_of(in->p, end ? (size_t)(end - in->p) : in->n);

	*in = end ? slice_of(end + 1, in->n - line.n - 1) : slice_of(in->p + in->n, 0);
	return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size), a, b;

	if (size > 4 * KEY_MAX)
		return 0;
	a = take_line(&in);
	b = take_line(&in);
	if (is_plain(a, "[\\") && is_plain(in, ""))
		must(pattern_glob(a, in) == book(a.p, a.n, in.p, in.n));
	if (pattern_fault(a) && key_check(in, NULL) == 0)
		must(!pattern_matches(a, in));
	if (pattern_covers(a, b) && !pattern_fault(b) && pattern_matches(b, in))
		must(pattern_matches(a, in));
	return 0;
}

uint8_t *fuzz_seed(size_t i, size_t *n_out)
{
	static const char *const seeds[] = {
		"a/*\na/**\na/b", "**/x\n\na/b/x", "a*a*a*b\n*\naaaaaaaab", "[a-c]?\\*\n[^x]\nbx*", "runs/\nruns/7/\nruns/7/s.bam",
		"**a**b*c\n**\nxaxbxc", "..\n.gfs-\n..", "\n\n", "*?*/**?\n*\na/b",
	};
	uint8_t *p;

	if (i >= sizeof(seeds) / sizeof(seeds[0]))
		return NULL;
	*n_out = strlen(seeds[i]);
	p = xcalloc(1, *n_out + 1);
	memcpy(p, seeds[i], *n_out);
	return p;
}
