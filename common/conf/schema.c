/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.def as tables: finding a row, the nearest known name for an unknown one, and reading, defaulting, copying and freeing
 * the values of a struct by its rows. Called by load.c, print.c and site_conf.c.
 */
#include "config.h"

#include "schema.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../log.h"
#include "../xalloc.h"

/* A member whose C type does not fit its setting's type must not compile. */
#define C_STR char *
#define C_SECRET char *
#define C_BOOL bool
#define C_U32 uint32_t
#define C_INT int
#define C_DURATION int64_t
#define C_SIZE uint64_t
#define C_SIZE32 uint32_t
#define C_DOUBLE double
#define C_STRS char **
#define C_ROLE enum site_role
#define C_ADDRESSING enum s3_addressing
#define C_ORDER enum route_order
#define C_MISSING enum on_missing
#define C_OPS bool[OP_KIND_COUNT]
#define C_ROLES bool[ROLE_COUNT]
#define C_WRITE_MIN uint32_t
#define C_URI char *
#define C_NONE char *
#define C_LIST void *
#define FITS(strct, type, member) \
	_Static_assert(ST_##type == ST_LIST || __builtin_types_compatible_p(C_##type, __typeof__(((strct *)0)->member)), \
	               "schema.def: the type of " #member);
#define CONF(path, type, member, def, min, max, effect, prose) FITS(struct conf, type, member)
#define SITE(kind, path, type, member, def, min, max, effect, prose) FITS(struct site_conf, type, member)
#define RULE(path, type, member, def, min, max, effect, prose) FITS(struct policy_rule, type, member)
#define LEGACY(path, type, member, prose) FITS(struct legacy_policy, type, member)
#include "schema.def"

static const struct setting conf_rows[] = {
#define CONF(path, type, member, def, min, max, effect, prose) \
	{path, ST_##type, offsetof(struct conf, member), def, min, max, effect, prose, KIND_BOTH},
#include "schema.def"
};
static const struct setting site_rows[] = {
#define SITE(kind, path, type, member, def, min, max, effect, prose) \
	{path, ST_##type, offsetof(struct site_conf, member), def, min, max, effect, prose, KIND_##kind},
#include "schema.def"
};
static const struct setting rule_rows[] = {
#define RULE(path, type, member, def, min, max, effect, prose) \
	{path, ST_##type, offsetof(struct policy_rule, member), def, min, max, effect, prose, KIND_BOTH},
#include "schema.def"
};
static const struct setting legacy_rows[] = {
#define LEGACY(path, type, member, prose) \
	{path, ST_##type, offsetof(struct legacy_policy, member), "", 0, 0, "", prose, KIND_BOTH},
#include "schema.def"
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
const struct schema schema_conf = {conf_rows, COUNT(conf_rows)};
const struct schema schema_site = {site_rows, COUNT(site_rows)};
const struct schema schema_rule = {rule_rows, COUNT(rule_rows)};
const struct schema schema_legacy = {legacy_rows, COUNT(legacy_rows)};

const struct setting *schema_find(const struct schema *s, struct slice path)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (slice_eq_str(path, s->v[i].path))
			return &s->v[i];
	return NULL;
}

bool schema_is_section(const struct schema *s, struct slice path)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (strlen(s->v[i].path) > path.n && slice_starts_with(slice_str(s->v[i].path), path) && s->v[i].path[path.n] == '.')
			return true;
	return false;
}

/* Optimal string alignment distance; long names count as far apart. */
static size_t edit_distance(struct slice a, struct slice b)
{
	enum { MAX = 48 };
	size_t rows[3][MAX + 1], *before = rows[0], *prev = rows[1], *cur = rows[2], *swap, i, j, d;

	if (a.n > MAX || b.n > MAX)
		return SIZE_MAX;
	for (j = 0; j <= b.n; j++)
		before[j] = prev[j] = j;
	for (i = 1; i <= a.n; i++) {
		cur[0] = i;
		for (j = 1; j <= b.n; j++) {
			d = prev[j - 1] + (a.p[i - 1] != b.p[j - 1]);
			if (prev[j] + 1 < d)
				d = prev[j] + 1;
			if (cur[j - 1] + 1 < d)
				d = cur[j - 1] + 1;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] && before[j - 2] + 1 < d)
				d = before[j - 2] + 1;
			cur[j] = d;
		}
		swap = before;
		before = prev;
		prev = cur;
		cur = swap;
	}
	return prev[b.n];
}

static struct slice last_component(struct slice path)
{
	size_t i = path.n;

	while (i > 0 && path.p[i - 1] != '.')
		i--;
	return slice_of(path.p + i, path.n - i);
}

/* The name of path's part that follows section, when it lies in it: "retry" of resilience.retry.enabled in resilience. */
static bool component_in(struct slice path, struct slice section, struct slice *out)
{
	size_t skip = section.n ? section.n + 1 : 0, n;

	if (!slice_starts_with(path, section) || path.n <= skip || (skip && path.p[section.n] != '.'))
		return false;
	for (n = 0; skip + n < path.n && path.p[skip + n] != '.'; n++)
		;
	*out = slice_of(path.p + skip, n);
	return true;
}

/* The right name in the wrong section: a setting, or a whole section (then the first setting in it). */
static const char *suggest_elsewhere(const struct schema *s, struct slice word)
{
	char inner[64];
	size_t i;

	for (i = 0; i < s->n; i++)
		if (edit_distance(word, last_component(slice_str(s->v[i].path))) <= (word.n > 5))
			return s->v[i].path;
	if (word.n + 3 > sizeof(inner))
		return NULL;
	snprintf(inner, sizeof(inner), ".%.*s.", (int)word.n, word.p);
	for (i = 0; i < s->n; i++)
		if (strstr(s->v[i].path, inner))
			return s->v[i].path;
	return NULL;
}

const char *schema_suggest(const struct schema *s, struct slice section, struct slice path)
{
	struct slice word = last_component(path), known;
	size_t i, d, best = word.n / 3 + 1;
	const char *answer = NULL;

	for (i = 0; i < s->n; i++) {
		if (!component_in(slice_str(s->v[i].path), section, &known))
			continue;
		d = edit_distance(word, known);
		if (d <= best && d < known.n) {
			best = d - (d > 0);
			answer = s->v[i].path + (section.n ? section.n + 1 : 0);
			if (d == 0)
				break;
		}
	}
	if (answer)
		return answer;
	return suggest_elsewhere(s, word);
}

/* ---- words ---- */

static const char *const role_words[] = {"primary", "backup", "burst", NULL};
static const char *const addressing_words[] = {"path", "virtual", NULL};
static const char *const order_words[] = {"role", "latency", NULL};
static const char *const missing_words[] = {"all", "authoritative", NULL};
static const char *const op_words[] = {"read", "write", "delete", NULL};

const char *const *setting_words(enum setting_type type)
{
	switch (type) {
	case ST_ROLE:
	case ST_ROLES:
		return role_words;
	case ST_ADDRESSING:
		return addressing_words;
	case ST_ORDER:
		return order_words;
	case ST_MISSING:
		return missing_words;
	case ST_OPS:
		return op_words;
	default:
		return NULL;
	}
}

const char *setting_type_text(enum setting_type type)
{
	static const char *const texts[] = {
		[ST_STR] = "text", [ST_SECRET] = "text", [ST_BOOL] = "true or false", [ST_U32] = "a number", [ST_INT] = "a number",
		[ST_DURATION] = "a duration such as 100ms, 30s or 1h30m", [ST_SIZE] = "a size such as 64MiB, 1GB or 65536",
		[ST_SIZE32] = "a size such as 64KiB or 65536", [ST_DOUBLE] = "a number", [ST_STRS] = "a list of texts",
		[ST_ROLE] = "primary, backup or burst", [ST_ADDRESSING] = "path or virtual", [ST_ORDER] = "role or latency",
		[ST_MISSING] = "all or authoritative", [ST_OPS] = "a list of read, write, delete",
		[ST_ROLES] = "a list of primary, backup, burst", [ST_WRITE_MIN] = "all or a number",
		[ST_URI] = "file:///DIRECTORY or s3://BUCKET", [ST_NONE] = "a value", [ST_LIST] = "a list"};

	return texts[type];
}

const char *site_role_name(enum site_role role)
{
	return role < ROLE_COUNT ? role_words[role] : "unknown";
}

static bool word_index(const char *const *words, struct slice text, unsigned *out)
{
	for (unsigned i = 0; words[i]; i++)
		if (slice_eq_str(text, words[i])) {
			*out = i;
			return true;
		}
	return false;
}

bool site_role_parse(struct slice text, enum site_role *out)
{
	unsigned i;

	if (!word_index(role_words, text, &i))
		return false;
	*out = (enum site_role)i;
	return true;
}

/* ---- lists of strings ---- */

size_t strs_count(char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

void strs_free(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

void strs_add(char ***v, struct slice text)
{
	size_t n = strs_count(*v);

	*v = xreallocarray(*v, n + 2, sizeof(**v));
	(*v)[n] = xstrndup(text.n ? text.p : "", text.n);
	(*v)[n + 1] = NULL;
}

char **strs_copy(char *const *v)
{
	char **out = NULL;

	for (size_t i = 0; v && v[i]; i++)
		strs_add(&out, slice_str(v[i]));
	return out;
}

/* ---- values ---- */

static bool parse_bool(struct slice text, bool *out)
{
	*out = slice_caseeq_str(text, "true") || slice_caseeq_str(text, "yes") || slice_caseeq_str(text, "on");
	return *out || slice_caseeq_str(text, "false") || slice_caseeq_str(text, "no") || slice_caseeq_str(text, "off");
}

static bool parse_i64(struct slice text, int64_t *out)
{
	char buf[24], *end;

	if (text.n == 0 || text.n >= sizeof(buf) || !strchr("-0123456789", text.p[0]))
		return false;
	memcpy(buf, text.p, text.n);
	buf[text.n] = '\0';
	errno = 0;
	*out = strtoll(buf, &end, 10);
	return errno == 0 && *end == '\0' && end == buf + text.n;
}

static bool parse_double(struct slice text, double *out)
{
	char buf[40], *end;

	if (text.n == 0 || text.n >= sizeof(buf))
		return false;
	memcpy(buf, text.p, text.n);
	buf[text.n] = '\0';
	if (strspn(buf, "+-.0123456789eE") != text.n)
		return false;
	*out = strtod(buf, &end);
	return end == buf + text.n && isfinite(*out);
}

void setting_format(const struct setting *s, int64_t value, char buf[32])
{
	if (s->type == ST_DURATION)
		conf_format_duration(value, buf);
	else if (s->type == ST_SIZE || s->type == ST_SIZE32)
		conf_format_size((uint64_t)value, buf);
	else
		snprintf(buf, 32, "%" PRId64, value);
}

static bool in_range(const struct setting *s, int64_t value, char *why, size_t cap)
{
	int64_t min = s->min, max = s->max;
	char lo[32], hi[32];

	if (min == 0 && max == 0)
		max = s->type == ST_SIZE || s->type == ST_DURATION ? INT64_MAX : INT32_MAX;
	if (value >= min && value <= max)
		return true;
	setting_format(s, min, lo);
	setting_format(s, max, hi);
	snprintf(why, cap, "is out of range: %s to %s", lo, hi);
	return false;
}

/* The number behind text, for every type that has a range. */
static bool parse_number(enum setting_type type, struct slice text, int64_t *out)
{
	uint64_t size;

	switch (type) {
	case ST_DURATION:
		return conf_parse_duration(text, out) == 0;
	case ST_SIZE:
	case ST_SIZE32:
		if (conf_parse_size(text, &size) != 0)
			return false;
		*out = (int64_t)size;
		return true;
	case ST_WRITE_MIN:
		if (slice_eq_str(text, "all")) {
			*out = 0;
			return true;
		}
		return parse_i64(text, out) && *out != 0;
	default:
		return parse_i64(text, out);
	}
}

static bool store_number(const struct setting *s, void *at, struct slice text, char *why, size_t cap)
{
	int64_t value;

	if (!parse_number(s->type, text, &value))
		goto expected;
	if (!in_range(s, value, why, cap))
		return false;
	if (s->type == ST_DURATION)
		*(int64_t *)at = value;
	else if (s->type == ST_SIZE)
		*(uint64_t *)at = (uint64_t)value;
	else if (s->type == ST_INT)
		*(int *)at = (int)value;
	else
		*(uint32_t *)at = (uint32_t)value;
	return true;
expected:
	snprintf(why, cap, "must be %s", setting_type_text(s->type));
	return false;
}

static bool store_enum(const struct setting *s, void *at, struct slice text, char *why, size_t cap)
{
	unsigned i;

	_Static_assert(sizeof(enum site_role) == sizeof(unsigned) && sizeof(enum on_missing) == sizeof(unsigned), "enum size");
	if (!word_index(setting_words(s->type), text, &i)) {
		snprintf(why, cap, "must be %s", setting_type_text(s->type));
		return false;
	}
	memcpy(at, &i, sizeof(i));
	return true;
}

bool setting_store(const struct setting *s, void *base, struct slice text, char *why, size_t cap)
{
	void *at = (char *)base + s->offset;
	double d;

	switch (s->type) {
	case ST_STR:
	case ST_SECRET:
		free(*(char **)at);
		*(char **)at = xstrndup(text.n ? text.p : "", text.n);
		return true;
	case ST_BOOL:
		if (parse_bool(text, at))
			return true;
		break;
	case ST_DOUBLE:
		if (!parse_double(text, &d))
			break;
		if (s->max != 0 && !(d >= (double)s->min && d <= (double)s->max)) {
			snprintf(why, cap, "is out of range: %" PRId64 " to %" PRId64, s->min, s->max);
			return false;
		}
		*(double *)at = d;
		return true;
	case ST_ROLE:
	case ST_ADDRESSING:
	case ST_ORDER:
	case ST_MISSING:
		return store_enum(s, at, text, why, cap);
	case ST_U32:
	case ST_INT:
	case ST_DURATION:
	case ST_SIZE:
	case ST_SIZE32:
	case ST_WRITE_MIN:
		return store_number(s, at, text, why, cap);
	case ST_NONE:
		return true;
	default:
		break;
	}
	snprintf(why, cap, "must be %s", setting_type_text(s->type));
	return false;
}

bool setting_is_list(enum setting_type type)
{
	return type == ST_STRS || type == ST_OPS || type == ST_ROLES;
}

bool setting_store_item(const struct setting *s, void *base, struct slice text, char *why, size_t cap)
{
	void *at = (char *)base + s->offset;
	unsigned i;

	if (s->type == ST_STRS) {
		strs_add(at, text);
		return true;
	}
	if (word_index(setting_words(s->type), text, &i)) {
		((bool *)at)[i] = true;
		return true;
	}
	snprintf(why, cap, "unknown %s '%.*s': must be %s", s->type == ST_OPS ? "operation" : "role", (int)(text.n < 64 ? text.n : 64),
	         text.p, setting_type_text(s->type));
	return false;
}

static bool owns_memory(const struct setting *s)
{
	return s->type == ST_STR || s->type == ST_SECRET || s->type == ST_STRS;
}

void schema_defaults(const struct schema *s, void *base)
{
	char why[128];

	for (size_t i = 0; i < s->n; i++) {
		const struct setting *row = &s->v[i];

		if (row->def[0] == '\0' && row->type != ST_STR && row->type != ST_SECRET)
			continue; /* zero already: none, empty list, first word */
		if (row->type != ST_NONE && row->type != ST_URI && row->type != ST_LIST)
			gfs_assert(setting_store(row, base, slice_str(row->def), why, sizeof(why)));
	}
}

void schema_free(const struct schema *s, void *base)
{
	for (size_t i = 0; i < s->n; i++) {
		void *at = (char *)base + s->v[i].offset;

		if (s->v[i].type == ST_STRS)
			strs_free(*(char ***)at);
		else if (owns_memory(&s->v[i]))
			free(*(char **)at);
		if (owns_memory(&s->v[i]))
			memset(at, 0, sizeof(char *));
	}
}

void schema_copy(const struct schema *s, void *dst, const void *src)
{
	for (size_t i = 0; i < s->n; i++) {
		char *to = (char *)dst + s->v[i].offset;
		const char *from = (const char *)src + s->v[i].offset;

		if (s->v[i].type == ST_STRS)
			*(char ***)to = strs_copy(*(char *const *const *)from);
		else if (owns_memory(&s->v[i]))
			*(char **)to = *(char *const *)from ? xstrdup(*(char *const *)from) : NULL;
	}
}
