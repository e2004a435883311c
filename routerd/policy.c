/* SPDX-License-Identifier: Apache-2.0 */
/* Which rule of the configuration applies to a key: pure, see route.h. */
#include "config.h"

#include "route.h"

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

static bool well_formed(struct slice pat)
{
	for (size_t p = 0; p < pat.n;) {
		if (pat.p[p] == '[') {
			p++;
			if (match_class(pat, &p, 0) == CLASS_BAD)
				return false;
		} else if (pat.p[p++] == '\\' && p++ >= pat.n) {
			return false;
		}
	}
	return true;
}

/* Where to try again after a mismatch: the last star and how much of the text it swallows. */
struct star {
	bool set;
	size_t pat, text;
};

/* Linear in memory, at most quadratic in time: only the last "*" and the last "**" are ever tried again, which is enough
 * because a later star can do whatever an earlier one of its kind could. */
bool policy_glob(struct slice pat, struct slice key)
{
	struct star one = {0}, all = {0};
	size_t p = 0, t = 0;

	if (!well_formed(pat))
		return false;
	for (;;) {
		if (p < pat.n && pat.p[p] == '*') {
			bool across = p + 1 < pat.n && pat.p[p + 1] == '*';

			while (p < pat.n && pat.p[p] == '*')
				p++;
			*(across ? &all : &one) = (struct star){true, p, t};
			if (across)
				one.set = false;
			continue;
		}
		if (p == pat.n && t == key.n)
			return true;
		if (p < pat.n && t < key.n && match_one(pat, &p, key, &t) == CLASS_YES)
			continue;
		if (one.set && one.text < key.n && key.p[one.text] != '/') {
			take_char(key, &one.text);
			p = one.pat, t = one.text;
		} else if (all.set && all.text < key.n) {
			take_char(key, &all.text);
			one.set = false;
			p = all.pat, t = all.text;
		} else {
			return false;
		}
	}
}

static bool pattern_matches(struct slice pattern, struct slice key)
{
	if (pattern.n == 0)
		return true;
	if (pattern.p[pattern.n - 1] == '/')
		return slice_starts_with(key, pattern);
	return policy_glob(pattern, key);
}

static bool rule_has_op(const struct policy_rule *rule, enum op_kind op)
{
	bool any = true;

	for (int i = 0; i < OP_KIND_COUNT; i++)
		any = any && !rule->ops[i];
	return any || rule->ops[op];
}

const struct policy_rule *policy_match(const struct policy_rule *rules, size_t n, struct slice key, enum op_kind op)
{
	const struct policy_rule *best = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct policy_rule *r = &rules[i];

		if ((best && r->priority >= best->priority) || !rule_has_op(r, op))
			continue;
		if (pattern_matches(slice_str(r->key_pattern), key))
			best = r;
	}
	return best;
}
