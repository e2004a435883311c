/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key patterns, see pattern.h. A glob is run as an automaton whose states are the places in the pattern, all at once: no pattern
 * and no key make it go back.
 */
#include "config.h"

#include "pattern.h"

#include <stdint.h>
#include <string.h>

/* One code point of s from *at on; a byte that is not UTF-8 counts as itself. */
static uint32_t take_char(struct slice s, size_t *at)
{
	unsigned char c = (unsigned char)s.p[(*at)++];
	unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
	uint32_t v = more == 3 ? c & 7u : more == 2 ? c & 15u : more == 1 ? c & 31u : c;

	while (more-- > 0 && *at < s.n && ((unsigned char)s.p[*at] & 0xc0) == 0x80)
		v = v << 6 | ((unsigned char)s.p[(*at)++] & 0x3fu);
	return v;
}

enum class_result { CLASS_NO, CLASS_YES, CLASS_BAD };

/* A character of a class, unescaped; false when the class ends here. */
static bool class_char(struct slice pat, size_t *at, uint32_t *c_out)
{
	if (*at < pat.n && pat.p[*at] == '\\')
		(*at)++;
	if (*at >= pat.n)
		return false;
	*c_out = take_char(pat, at);
	return true;
}

/* pat.p[*at] is behind '['; moves *at behind ']'. */
static enum class_result match_class(struct slice pat, size_t *at, uint32_t c)
{
	bool negated = *at < pat.n && (pat.p[*at] == '^' || pat.p[*at] == '!'), hit = false, first = true;
	uint32_t lo, hi;

	if (negated)
		(*at)++;
	for (; *at < pat.n && (first || pat.p[*at] != ']'); first = false) {
		if (!class_char(pat, at, &lo))
			return CLASS_BAD;
		hi = lo;
		if (*at + 1 < pat.n && pat.p[*at] == '-' && pat.p[*at + 1] != ']') {
			(*at)++;
			if (!class_char(pat, at, &hi) || hi < lo)
				return CLASS_BAD;
		}
		hit = hit || (lo <= c && c <= hi);
	}
	if (*at >= pat.n)
		return CLASS_BAD;
	(*at)++;
	return hit != negated ? CLASS_YES : CLASS_NO;
}

/* One pattern element other than a star against the text; moves both on. */
static enum class_result match_one(struct slice pat, size_t *p, struct slice text, size_t *t)
{
	uint32_t c = take_char(text, t);
	char element = pat.p[*p];

	if (element == '?') {
		(*p)++;
		return c != '/' ? CLASS_YES : CLASS_NO;
	}
	if (element == '[') {
		enum class_result r;

		(*p)++;
		r = match_class(pat, p, c);
		return r == CLASS_YES && c == '/' ? CLASS_NO : r;
	}
	if (element == '\\' && ++*p >= pat.n)
		return CLASS_BAD;
	return take_char(pat, p) == c ? CLASS_YES : CLASS_NO;
}

/* The places in the pattern that the text so far may have led to: a bit each, and one for its end. */
#define WORDS (PATTERN_MAX / 64 + 1)

struct places {
	size_t n; /* words in use */
	uint64_t bit[WORDS];
};

static size_t behind_stars(struct slice pat, size_t p)
{
	while (p < pat.n && pat.p[p] == '*')
		p++;
	return p;
}

/* A star may also stand for nothing. */
static void places_add(struct places *set, struct slice pat, size_t p)
{
	size_t behind = behind_stars(pat, p);

	set->bit[p / 64] |= (uint64_t)1 << p % 64;
	set->bit[behind / 64] |= (uint64_t)1 << behind % 64;
}

static void place_step(struct places *to, struct slice pat, size_t p, struct slice c)
{
	size_t t = 0;

	if (p == pat.n)
		return;
	if (pat.p[p] == '*') {
		if (c.p[0] != '/' || behind_stars(pat, p) - p > 1)
			places_add(to, pat, p);
		return;
	}
	if (match_one(pat, &p, c, &t) == CLASS_YES)
		places_add(to, pat, p);
}

bool pattern_glob(struct slice pat, struct slice key)
{
	struct places now = {.n = pat.n / 64 + 1}, next;

	if (pat.n > PATTERN_MAX)
		return false;
	places_add(&now, pat, 0);
	for (size_t t = 0; t < key.n;) {
		size_t from = t;
		uint64_t any = 0;

		take_char(key, &t);
		memset(next.bit, 0, now.n * sizeof(next.bit[0]));
		for (size_t w = 0; w < now.n; w++)
			for (uint64_t left = now.bit[w]; left; left &= left - 1)
				place_step(&next, pat, w * 64 + (size_t)__builtin_ctzll(left), slice_of(key.p + from, t - from));
		for (size_t w = 0; w < now.n; w++)
			any |= now.bit[w] = next.bit[w];
		if (!any)
			return false;
	}
	return now.bit[pat.n / 64] >> pat.n % 64 & 1;
}

static bool is_prefix(struct slice pattern)
{
	return pattern.n > 0 && pattern.p[pattern.n - 1] == '/';
}

bool pattern_matches(struct slice pattern, struct slice key)
{
	if (pattern.n == 0)
		return true;
	if (is_prefix(pattern))
		return slice_starts_with(key, pattern);
	return pattern_glob(pattern, key);
}

/* ---- about patterns ---- */

/* The literal text that every match begins with, unescaped, into buf of PATTERN_MAX bytes. rest_out: what is left. */
static struct slice literal_head(struct slice pattern, char *buf, struct slice *rest_out)
{
	bool prefix = is_prefix(pattern);
	size_t n = 0, p = 0;

	for (; p < pattern.n && (prefix || !memchr("*?[", pattern.p[p], 3)); p++) {
		if (!prefix && pattern.p[p] == '\\' && ++p == pattern.n)
			break;
		buf[n++] = pattern.p[p];
	}
	*rest_out = slice_of(pattern.p + p, pattern.n - p);
	return slice_of(buf, n);
}

/* Of a glob. */
static const char *malformed(struct slice pat)
{
	for (size_t p = 0; p < pat.n;) {
		if (pat.p[p] == '[') {
			size_t class = ++p;

			if (match_class(pat, &p, 0) != CLASS_BAD)
				continue;
			return memchr(pat.p + class, ']', pat.n - class) ? "has a [class] that is malformed" : "has a [ without its ]";
		}
		if (pat.p[p++] == '\\' && p++ >= pat.n)
			return "ends in a lone backslash";
	}
	return NULL;
}

/* Why no key begins with this text, or NULL. whole: the text is all of the key. */
static const char *key_fault(struct slice text, bool whole)
{
	const char *why;

	/* A segment that goes on may still become a good one. */
	while (!whole && text.n > 0 && text.p[text.n - 1] != '/')
		text.n--;
	return text.n > 0 && key_check(text, &why) ? why : NULL;
}

const char *pattern_fault(struct slice pattern)
{
	char buf[PATTERN_MAX];
	const char *why;
	struct slice head, rest;

	if (pattern.n == 0)
		return NULL;
	if (pattern.n > PATTERN_MAX)
		return "is longer than 1088 bytes";
	why = is_prefix(pattern) ? NULL : malformed(pattern);
	if (why)
		return why;
	head = literal_head(pattern, buf, &rest);
	return key_fault(head, rest.n == 0 && !is_prefix(pattern));
}

static bool is_everything(struct slice pattern)
{
	return pattern.n == 0 || (pattern.n > 1 && behind_stars(pattern, 0) == pattern.n);
}

bool pattern_covers(struct slice a, struct slice b)
{
	char buf_a[PATTERN_MAX], buf_b[PATTERN_MAX];
	struct slice head_a, rest_a, head_b, rest_b;

	if (is_everything(a) || slice_eq(a, b))
		return true;
	if (is_everything(b) || a.n > PATTERN_MAX || b.n > PATTERN_MAX)
		return false;
	head_a = literal_head(a, buf_a, &rest_a);
	head_b = literal_head(b, buf_b, &rest_b);
	if (rest_b.n == 0 && !is_prefix(b))
		return pattern_matches(a, head_b);
	/* A prefix, or a literal text and "**". */
	return (is_prefix(a) || (rest_a.n > 1 && is_everything(rest_a))) && slice_starts_with(head_b, head_a);
}
