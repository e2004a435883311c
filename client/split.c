/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a list's answer apart. Contract in split.h. */
#include "config.h"

#include "client/split.h"

#include <string.h>

#include "client/globalfs.h"

void gfsc_split_init(struct gfsc_split *s, int (*item)(void *, enum gfsc_array, const char *, size_t), void *arg)
{
	*s = (struct gfsc_split){.item = item, .arg = arg, .one = {.max = GFSC_ITEM_MAX}, .rest = {.max = GFSC_REST_MAX}};
}

void gfsc_split_free(struct gfsc_split *s)
{
	gfsc_buf_free(&s->one);
	gfsc_buf_free(&s->rest);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static int end_item(struct gfsc_split *s, char end)
{
	int err;

	if (s->one.err)
		return s->one.err;
	if (s->one.n == 0) /* "[]" is fine; "[,", ",," and ",]" are not */
		return end == ',' || s->after_comma ? GLOBALFS_ERR_PROTOCOL : 0;
	while (is_blank(s->one.p[s->one.n - 1]))
		s->one.p[--s->one.n] = '\0';
	s->after_comma = end == ',';
	err = s->item(s->arg, s->array, s->one.p, s->one.n);
	gfsc_buf_reset(&s->one);
	return err;
}

/* The rest of a string from *at on; leaves *at behind what it took. */
static void take_string(struct gfsc_split *s, const char *p, size_t n, size_t *at)
{
	size_t from = *at, i = from;

	for (; i < n && s->in_string; i++) {
		if (s->escaped)
			s->escaped = false;
		else if (p[i] == '\\')
			s->escaped = true;
		else if (p[i] == '"')
			s->in_string = false;
		if (!s->array && s->depth == 1 && s->in_string && s->name_n < sizeof(s->name))
			s->name[s->name_n++] = p[i];
	}
	gfsc_buf_add(s->array ? &s->one : &s->rest, p + from, i - from);
	*at = i;
}

static enum gfsc_array array_of(const struct gfsc_split *s)
{
	if (s->depth != 1)
		return GFSC_NONE;
	if (s->name_n == 7 && memcmp(s->name, "objects", 7) == 0)
		return GFSC_OBJECTS;
	return s->name_n == 15 && memcmp(s->name, "common_prefixes", 15) == 0 ? GFSC_PREFIXES : GFSC_NONE;
}

/* One character outside of a string, within one of the arrays. */
static int take_in_array(struct gfsc_split *s, char c)
{
	int err;

	if (s->depth == 2 && (c == ',' || c == ']')) {
		err = end_item(s, c);
		if (c == ']') {
			s->array = GFSC_NONE;
			s->depth = 1;
			s->after_comma = false;
			gfsc_buf_add(&s->rest, &c, 1);
		}
		return err;
	}
	if (is_blank(c) && s->one.n == 0)
		return 0;
	s->depth += (c == '{' || c == '[') - (c == '}' || c == ']');
	gfsc_buf_add(&s->one, &c, 1);
	return s->depth < 2 ? GLOBALFS_ERR_PROTOCOL : s->one.err;
}

static int take_outside(struct gfsc_split *s, char c)
{
	enum gfsc_array array = c == '[' ? array_of(s) : GFSC_NONE;

	gfsc_buf_add(&s->rest, &c, 1);
	if (c == '"' || (c == ',' && s->depth == 1))
		s->name_n = 0;
	s->depth += (c == '{' || c == '[') - (c == '}' || c == ']');
	s->array = array;
	return s->depth < 0 ? GLOBALFS_ERR_PROTOCOL : s->rest.err;
}

int gfsc_split_feed(struct gfsc_split *s, const char *p, size_t n)
{
	size_t i = 0;
	int err = 0;

	while (i < n && !err) {
		if (s->in_string) {
			take_string(s, p, n, &i);
			err = s->array ? s->one.err : s->rest.err;
			continue;
		}
		err = s->array ? take_in_array(s, p[i]) : take_outside(s, p[i]);
		if (p[i] == '"')
			s->in_string = true;
		i++;
	}
	return err;
}
