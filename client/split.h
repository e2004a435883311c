/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list's answer, taken apart while it arrives: {"objects":[...], "common_prefixes":[...], ...}. Each item of the two arrays is
 * handed on as its own JSON text; everything else remains as a small document with empty arrays. Memory: one item and the
 * remainder, both bounded. It only finds where items begin and end; the JSON parser proper judges each of them and the remainder.
 */
#ifndef GLOBALFS_SPLIT_H
#define GLOBALFS_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#include "client/buf.h"

#define GFSC_ITEM_MAX (64u << 10)
#define GFSC_REST_MAX (256u << 10)

enum gfsc_array { GFSC_NONE, GFSC_OBJECTS, GFSC_PREFIXES };

struct gfsc_split {
	/* Takes one item; 0, or the code to end with. */
	int (*item)(void *arg, enum gfsc_array array, const char *p, size_t n);
	void *arg;
	struct gfsc_buf one, rest;
	enum gfsc_array array; /* that we are in */
	bool in_string, escaped;
	bool after_comma;      /* in an array: another item must follow */
	int depth;
	char name[24];         /* the last string of the outer object */
	size_t name_n;
};

void gfsc_split_init(struct gfsc_split *s, int (*item)(void *, enum gfsc_array, const char *, size_t), void *arg);
void gfsc_split_free(struct gfsc_split *s);
/* 0; GLOBALFS_ERR_PROTOCOL, _TOO_LARGE, _NOMEM; or what item returned. */
int gfsc_split_feed(struct gfsc_split *s, const char *p, size_t n);

#endif
