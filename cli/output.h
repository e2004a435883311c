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

#include "client/globalfs.h"

#define LIST_BATCH 500 /* rows that are kept to find the width of their columns */

struct list_output {
	size_t printed, n_kept;
	int widths[2];
	char *keys[LIST_BATCH], sizes[LIST_BATCH][24], times[LIST_BATCH][40];
};

struct output {
	void (*sites)(const json_t *array);
	void (*site_added)(const json_t *site);
	void (*site_removed)(const char *name);
	void (*site_changed)(const json_t *site, const char *name, const char *what);
	void (*object_stored)(const char *key, int64_t bytes);
	void (*object_saved)(const char *key, const char *file, int64_t bytes);
	void (*object_deleted)(const char *key);
	void (*object_head)(const json_t *object);
	void (*object_where)(const struct globalfs_where *where, const json_t *document);
	void (*list_begin)(struct list_output *l);
	void (*list_entry)(struct list_output *l, const struct globalfs_entry *entry);
	void (*list_end)(struct list_output *l, bool whole);
	void (*replicated)(const json_t *answer, const char *key, const char *from, const char *to);
	void (*status)(const char *status, const char *details);
	void (*info)(const json_t *info);
	void (*config_written)(const char *file);
	void (*config_judged)(bool valid); /* the faults were told on standard error */
	void (*document)(const json_t *any); /* a daemon's view of itself */
	void (*version)(const char *version);
};

extern const struct output output_text, output_json;

/* A table of texts, left-aligned, two spaces between columns, trailing blanks off. */
void table_print(FILE *f, const char *const *cells, size_t rows, size_t columns);
/* Copies text with control characters as \xNN, so that a key cannot command the terminal. Returns owned. */
char *printable(const char *text);

/* Any bytes as JSON: those that are not UTF-8 are shown as U+FFFD. Returns owned. */
json_t *json_text(const char *s);

#endif
