/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How answers are shown: two tables of functions, text and JSON, chosen once by --json. Commands hand over JSON values
 * (borrowed) and do not know which one it is.
 */
#ifndef GFSCTL_OUTPUT_H
#define GFSCTL_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct object_list_output {
	size_t printed;
	int widths[2];
};

struct output {
	void (*sites)(const json_t *array);
	void (*site_added)(const json_t *site);
	void (*site_removed)(const char *name);
	void (*object_stored)(const char *key, int64_t bytes);
	void (*object_saved)(const char *key, const char *file, int64_t bytes);
	void (*object_deleted)(const char *key);
	void (*object_head)(const json_t *object);
	void (*objects_begin)(struct object_list_output *l);
	void (*objects_page)(struct object_list_output *l, const json_t *array);
	void (*objects_end)(struct object_list_output *l);
	void (*replicated)(const json_t *answer, const char *key, const char *from, const char *to);
	void (*status)(bool ok, const char *details);
	void (*info)(const json_t *info);
	void (*document)(const json_t *any); /* a daemon's view of itself */
	void (*version)(const char *version);
};

extern const struct output output_text, output_json;

/* A table of texts, left-aligned, two spaces between columns, trailing blanks off. */
void table_print(FILE *f, const char *const *cells, size_t rows, size_t columns);
/* Copies text with control characters as \xNN, so that a key cannot command the terminal. Returns owned. */
char *printable(const char *text);

#endif
