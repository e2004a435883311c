/* SPDX-License-Identifier: Apache-2.0 */
/* Answers for programs: one JSON document on standard output, indented by two. Contract in output.h. */
#include "config.h"

#include "output.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void dump(const json_t *v)
{
	json_dumpf(v, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	putchar('\n');
}

/* Takes v. */
static void dump_new(json_t *v)
{
	dump(v);
	json_decref(v);
}

/* A name or key from the command line, which may be any bytes: those that are not UTF-8 are shown as U+FFFD. */
static json_t *text(const char *s)
{
	json_t *v = json_string(s);
	char *safe, *p;

	if (v)
		return v;
	safe = calloc(3, strlen(s) + 1);
	for (p = safe; p && *s; s++) {
		if ((unsigned char)*s < 0x80) {
			*p++ = *s;
		} else {
			memcpy(p, "\xef\xbf\xbd", 3);
			p += 3;
		}
	}
	v = json_string(safe ? safe : "");
	free(safe);
	return v;
}

static void json_sites(const json_t *array)
{
	dump(array);
}

static void json_site_removed(const char *name)
{
	(void)name;
}

static void json_stored(const char *key, int64_t bytes)
{
	dump_new(json_pack("{s:o, s:I}", "key", text(key), "bytes", (json_int_t)bytes));
}

static void json_saved(const char *key, const char *file, int64_t bytes)
{
	dump_new(json_pack("{s:o, s:o, s:I}", "key", text(key), "file", text(file), "bytes", (json_int_t)bytes));
}

static void json_deleted(const char *key)
{
	dump_new(json_pack("{s:o, s:b}", "key", text(key), "deleted", 1));
}

static void json_objects_begin(struct object_list_output *l)
{
	(void)l;
	putchar('[');
}

static void json_objects_page(struct object_list_output *l, const json_t *array)
{
	const json_t *object;
	size_t i;

	json_array_foreach(array, i, object) {
		char *dumped = json_dumps(object, 0);

		printf("%s  %s", l->printed++ ? ",\n" : "\n", dumped ? dumped : "null");
		free(dumped);
	}
}

static void json_objects_end(struct object_list_output *l)
{
	fputs(l->printed ? "\n]\n" : "]\n", stdout);
}

static void json_replicated(const json_t *answer, const char *key, const char *from, const char *to)
{
	if (answer)
		dump(answer);
	else
		dump_new(json_pack("{s:s, s:o, s:o, s:o}", "status", "accepted", "key", text(key), "from", text(from), "to", text(to)));
}

static void json_status(bool ok, const char *details)
{
	json_t *v = json_object();

	json_object_set_new(v, "status", json_string(ok ? "OK" : "DEGRADED"));
	if (*details)
		json_object_set_new(v, "details", text(details));
	dump_new(v);
}

static void json_version(const char *version)
{
	dump_new(json_pack("{s:s}", "version", version));
}

const struct output output_json = {
	.sites = json_sites, .site_added = dump, .site_removed = json_site_removed, .object_stored = json_stored,
	.object_saved = json_saved, .object_deleted = json_deleted, .object_head = dump, .objects_begin = json_objects_begin,
	.objects_page = json_objects_page, .objects_end = json_objects_end, .replicated = json_replicated, .status = json_status,
	.info = dump, .document = dump, .version = json_version,
};
