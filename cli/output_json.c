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

json_t *json_text(const char *s)
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

static void json_site_changed(const json_t *site, const char *name, const char *what)
{
	(void)name;
	(void)what;
	dump(site);
}

static void json_stored(const char *key, int64_t bytes)
{
	dump_new(json_pack("{s:o, s:I}", "key", json_text(key), "bytes", (json_int_t)bytes));
}

static void json_saved(const char *key, const char *file, int64_t bytes)
{
	dump_new(json_pack("{s:o, s:o, s:I}", "key", json_text(key), "file", json_text(file), "bytes", (json_int_t)bytes));
}

static void json_deleted(const char *key)
{
	dump_new(json_pack("{s:o, s:b}", "key", json_text(key), "deleted", 1));
}

static void json_where(const struct globalfs_where *where, const json_t *document)
{
	(void)where;
	dump(document);
}

static void json_list_begin(struct list_output *l)
{
	(void)l;
}

/* An object as it came; a common prefix as {"prefix": "a/"}. */
static void json_list_entry(struct list_output *l, const struct globalfs_entry *e)
{
	fputs(l->printed++ ? ",\n  " : "[\n  ", stdout);
	fputs(e->is_prefix ? "{\"prefix\":" : "", stdout);
	fwrite(e->json, 1, e->json_size, stdout);
	fputs(e->is_prefix ? "}" : "", stdout);
}

/* What was begun is ended, so that it is valid; of a list that failed before its first entry nothing is shown. */
static void json_list_end(struct list_output *l, bool whole)
{
	if (l->printed)
		fputs("\n]\n", stdout);
	else if (whole)
		fputs("[]\n", stdout);
}

static void json_replicated(const json_t *answer, const char *key, const char *from, const char *to)
{
	if (answer)
		dump(answer);
	else
		dump_new(json_pack("{s:s, s:o, s:o, s:o}", "status", "accepted", "key", json_text(key), "from", json_text(from), "to",
		                   json_text(to)));
}

static void json_status(const char *status, const char *details)
{
	json_t *v = json_object();

	json_object_set_new(v, "status", json_string(status));
	if (*details)
		json_object_set_new(v, "details", json_text(details));
	dump_new(v);
}

static void json_config_written(const char *file)
{
	dump_new(json_pack("{s:o}", "file", json_text(file)));
}

static void json_config_judged(bool valid)
{
	dump_new(json_pack("{s:b}", "valid", valid));
}

static void json_version(const char *version)
{
	dump_new(json_pack("{s:s}", "version", version));
}

const struct output output_json = {
	.sites = json_sites, .site_added = dump, .site_removed = json_site_removed, .site_changed = json_site_changed,
	.object_stored = json_stored, .object_saved = json_saved, .object_deleted = json_deleted, .object_head = dump,
	.object_where = json_where, .list_begin = json_list_begin, .list_entry = json_list_entry, .list_end = json_list_end,
	.replicated = json_replicated, .status = json_status, .info = dump, .config_written = json_config_written,
	.config_judged = json_config_judged, .document = dump, .version = json_version,
};
