/* SPDX-License-Identifier: Apache-2.0 */
/* Answers for people: tables and sentences. Contract in output.h. */
#include "config.h"

#include "output.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

char *printable(const char *text)
{
	char *out = xcalloc(strlen(text) + 1, 4), *p = out;

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			p += sprintf(p, "\\x%02x", c);
		else
			*p++ = (char)c;
	}
	return out;
}

/* Columns that a UTF-8 text takes, near enough: one for each character. */
static int width_of(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void print_cell(FILE *f, const char *text, int width, bool last)
{
	fputs(text, f);
	if (!last)
		fprintf(f, "%*s", width - width_of(text) + 2, "");
}

static void print_row(FILE *f, const char *const *cells, const int *widths, size_t columns)
{
	size_t last = columns;

	while (last > 1 && cells[last - 1][0] == '\0')
		last--;
	for (size_t c = 0; c < last; c++)
		print_cell(f, cells[c], widths[c], c + 1 == last);
	fputc('\n', f);
}

void table_print(FILE *f, const char *const *cells, size_t rows, size_t columns)
{
	int *widths = xcalloc(columns, sizeof(*widths));

	for (size_t i = 0; i < rows * columns; i++)
		if (width_of(cells[i]) > widths[i % columns])
			widths[i % columns] = width_of(cells[i]);
	for (size_t r = 0; r < rows; r++)
		print_row(f, cells + r * columns, widths, columns);
	free(widths);
}

static const char *str(const json_t *o, const char *field)
{
	const char *s = json_string_value(json_object_get(o, field));

	return s ? s : "";
}

/* ---- sites ---- */

static char *site_status(const json_t *site)
{
	const char *drained = json_is_true(json_object_get(site, "drained")) ? "drained, " : "";
	char *why = printable(str(site, "error")), *out;

	if (json_is_true(json_object_get(site, "healthy")))
		out = xasprintf("%shealthy", drained);
	else
		out = xasprintf("%sdegraded%s%s", drained, *why ? ": " : "", why);
	free(why);
	return out;
}

static void text_sites(const json_t *array)
{
	size_t n = json_array_size(array), columns = 3, i;
	const char **cells;
	char **status = xcalloc(n + 1, sizeof(*status));
	const json_t *site;

	json_array_foreach(array, i, site)
		if (str(site, "circuit_state")[0])
			columns = 4;
	cells = xcalloc((n + 1) * columns, sizeof(*cells));
	cells[0] = "NAME";
	cells[1] = "ROLE";
	cells[2] = "STATUS";
	if (columns == 4)
		cells[3] = "CIRCUIT";
	json_array_foreach(array, i, site) {
		const char **row = cells + (i + 1) * columns;

		row[0] = str(site, "name");
		row[1] = str(site, "role");
		row[2] = status[i] = site_status(site);
		if (columns == 4)
			row[3] = str(site, "circuit_state");
	}
	table_print(stdout, cells, n + 1, columns);
	for (i = 0; i < n; i++)
		free(status[i]);
	free(status);
	free(cells);
}

static void text_site_added(const json_t *site)
{
	printf("Site \"%s\" (%s) registered successfully.\n", str(site, "name"), str(site, "role"));
}

static void text_site_removed(const char *name)
{
	printf("Site \"%s\" deregistered.\n", name);
}

static void text_site_changed(const json_t *site, const char *name, const char *what)
{
	(void)site;
	printf("Site \"%s\" %s.\n", name, what);
}

/* ---- objects ---- */

static void text_stored(const char *key, int64_t bytes)
{
	char *safe = printable(key);

	printf("stored \"%s\" (%" PRId64 " bytes)\n", safe, bytes);
	free(safe);
}

static void text_saved(const char *key, const char *file, int64_t bytes)
{
	(void)key;
	printf("%s: %" PRId64 " bytes\n", file, bytes);
}

static void text_deleted(const char *key)
{
	char *safe = printable(key);

	printf("deleted \"%s\"\n", safe);
	free(safe);
}

static void text_head(const json_t *o)
{
	char size[24], *key = printable(str(o, "key"));
	const char *cells[10] = {"KEY", "SIZE", "LAST_MODIFIED", "ETAG", "CHECKSUM", key, size, str(o, "last_modified"), str(o, "etag"),
	                         str(o, "checksum")};
	const json_t *value;
	const char *name, *type = str(o, "content_type");

	snprintf(size, sizeof(size), "%" PRId64, (int64_t)json_integer_value(json_object_get(o, "size")));
	table_print(stdout, cells, 2, 5);
	if (*type && strcmp(type, "application/octet-stream") != 0)
		printf("content-type: %s\n", type);
	json_object_foreach((json_t *)(uintptr_t)json_object_get(o, "metadata"), name, value) {
		char *safe = printable(json_string_value(value) ? json_string_value(value) : "");

		printf("meta %s: %s\n", name, safe);
		free(safe);
	}
	free(key);
}

static void text_list_begin(struct list_output *l)
{
	*l = (struct list_output){.widths = {3, 4}};
}

/* Widths grow from batch to batch and never shrink: the memory is one batch's. */
static void list_print(struct list_output *l)
{
	int widths[3] = {l->widths[0], l->widths[1], 13};

	for (size_t i = 0; i < l->n_kept; i++) {
		widths[0] = width_of(l->keys[i]) > widths[0] ? width_of(l->keys[i]) : widths[0];
		widths[1] = width_of(l->sizes[i]) > widths[1] ? width_of(l->sizes[i]) : widths[1];
	}
	if (l->printed++ == 0)
		print_row(stdout, (const char *const[]){"KEY", "SIZE", "LAST_MODIFIED"}, widths, 3);
	for (size_t i = 0; i < l->n_kept; i++) {
		print_row(stdout, (const char *const[]){l->keys[i], l->sizes[i], l->times[i]}, widths, 3);
		free(l->keys[i]);
	}
	l->widths[0] = widths[0];
	l->widths[1] = widths[1];
	l->n_kept = 0;
}

static void text_list_entry(struct list_output *l, const struct globalfs_entry *e)
{
	size_t i = l->n_kept++;

	l->keys[i] = printable(e->key);
	if (e->is_prefix)
		snprintf(l->sizes[i], sizeof(l->sizes[i]), "PRE");
	else
		snprintf(l->sizes[i], sizeof(l->sizes[i]), "%" PRId64, e->size);
	snprintf(l->times[i], sizeof(l->times[i]), "%s", e->last_modified);
	if (l->n_kept == LIST_BATCH)
		list_print(l);
}

static void text_list_end(struct list_output *l, bool whole)
{
	if (l->n_kept || (whole && !l->printed))
		list_print(l);
}

static const char *yes_no(int flag)
{
	return flag < 0 ? "unknown" : flag ? "yes" : "no";
}

/* "up", "down, circuit open, drained" */
static char *copy_state(const struct globalfs_copy *c)
{
	bool circuit = *c->circuit_state && strcmp(c->circuit_state, "closed") != 0;

	return xasprintf("%s%s%s%s", c->state, circuit ? ", circuit " : "", circuit ? c->circuit_state : "",
	                 c->drained ? ", drained" : "");
}

/* Why it has its place, and why nothing is known of its copy. */
static char *copy_why(const struct globalfs_copy *c)
{
	const char *error = strstr(c->why, c->error) ? "" : c->error; /* the site's own trouble is told already */
	char *text = xasprintf("%s%s%s", c->why, *c->why && *error ? "; " : "", error), *safe = printable(text);

	free(text);
	return safe;
}

#define WHERE_COLUMNS 10

static void where_row(const struct globalfs_copy *c, char **row)
{
	bool here = c->present == 1;

	row[0] = xstrdup(c->site);
	row[1] = xstrdup(c->role);
	row[2] = copy_state(c);
	row[3] = xstrdup(yes_no(c->present));
	row[4] = here && c->size >= 0 ? xasprintf("%" PRId64, c->size) : xstrdup("-");
	row[5] = here && *c->etag ? printable(c->etag) : xstrdup("-");
	row[6] = here && *c->generation ? printable(c->generation) : xstrdup("-");
	row[7] = xstrdup(yes_no(c->current));
	row[8] = c->place >= 0 ? xasprintf("%d", c->place) : xstrdup("-");
	row[9] = copy_why(c);
}

static void text_where(const struct globalfs_where *w, const json_t *document)
{
	static const char *const names[WHERE_COLUMNS] = {"SITE", "ROLE", "STATE", "COPY", "SIZE", "ETAG", "GENERATION", "CURRENT",
	                                                 "PLACE", "WHY"};
	size_t n = (w->n_copies + 1) * WHERE_COLUMNS;
	char **cells = xcalloc(n, sizeof(*cells)), *why = printable(w->read_why);

	(void)document;
	for (size_t i = 0; i < WHERE_COLUMNS; i++)
		cells[i] = xstrdup(names[i]);
	for (size_t i = 0; i < w->n_copies; i++)
		where_row(&w->copies[i], cells + (i + 1) * WHERE_COLUMNS);
	table_print(stdout, (const char *const *)cells, w->n_copies + 1, WHERE_COLUMNS);
	if (w->deleted == 1 && !*w->read_site)
		printf("A read would use no site: the object is deleted\n");
	else if (*w->read_site)
		printf("A read would use %s%s%s\n", w->read_site, *why ? ": " : "", why);
	else
		printf("A read would use no site%s%s\n", *why ? ": " : "", why);
	for (size_t i = 0; i < n; i++)
		free(cells[i]);
	free(cells);
	free(why);
}

/* ---- the rest ---- */

static void text_replicated(const json_t *answer, const char *key, const char *from, const char *to)
{
	char *safe = printable(key);

	(void)answer;
	printf("Replication accepted: key=\"%s\" from=%s to=%s\n", safe, from, to);
	free(safe);
}

static void text_status(const char *status, const char *details)
{
	printf("%s\n", status);
	for (const char *end; *details; details = *end ? end + 1 : end) {
		char *line, *safe;

		end = strchrnul(details, '\n');
		line = xstrndup(details, (size_t)(end - details));
		safe = printable(line);
		if (*safe)
			printf("%s\n", safe);
		free(safe);
		free(line);
	}
}

static void text_info(const json_t *info)
{
	static const char *const roles[] = {"primary", "backup", "burst"};
	int64_t up = (int64_t)json_number_value(json_object_get(info, "uptime_seconds"));
	const json_t *by_role = json_object_get(info, "sites_by_role"), *health = json_object_get(info, "health");
	char uptime[48], cells_text[8][32];
	const char *cells[2 * 12];
	size_t n = 0, t = 0;

	if (up >= 3600)
		snprintf(uptime, sizeof(uptime), "%" PRId64 "h%dm%ds", up / 3600, (int)(up / 60 % 60), (int)(up % 60));
	else if (up >= 60)
		snprintf(uptime, sizeof(uptime), "%dm%ds", (int)(up / 60), (int)(up % 60));
	else
		snprintf(uptime, sizeof(uptime), "%ds", (int)up);
#define ROW(name, value) (cells[n++] = (name), cells[n++] = (value))
#define NUMBER(v) (snprintf(cells_text[t], sizeof(cells_text[t]), "%" PRId64, (int64_t)(v)), cells_text[t++])
	ROW("version", str(info, "version"));
	ROW("uptime", uptime);
	ROW("sites", NUMBER(json_integer_value(json_object_get(info, "sites"))));
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = {"  primary", "  backup", "  burst"};
		int64_t count = json_integer_value(json_object_get(by_role, roles[i]));

		if (count > 0)
			ROW(names[i], NUMBER(count));
	}
	ROW("replication_queue", NUMBER(json_integer_value(json_object_get(info, "replication_queue_depth"))));
	ROW("is_leader", json_is_true(json_object_get(info, "is_leader")) ? "true" : "false");
	if (health) {
		ROW("healthy", NUMBER(json_integer_value(json_object_get(health, "healthy"))));
		ROW("unhealthy", NUMBER(json_integer_value(json_object_get(health, "unhealthy"))));
	}
#undef ROW
#undef NUMBER
	table_print(stdout, cells, n / 2, 2);
}

/* ---- any document: sections by indent, lists of sections as tables ---- */

static char *scalar(const json_t *v)
{
	char *text, *out;

	if (json_is_string(v))
		return printable(json_string_value(v));
	text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
	out = xstrdup(text ? text : "");
	free(text);
	return out;
}

static bool is_table(const json_t *v)
{
	const json_t *row;
	size_t i;

	if (!json_is_array(v) || json_array_size(v) == 0)
		return false;
	json_array_foreach(v, i, row)
		if (!json_is_object(row))
			return false;
	return true;
}

/* Columns: the fields of all rows but their sections, in the order in which they are first seen. */
static size_t table_columns(const json_t *rows, const char **names, size_t max)
{
	size_t n = 0, i, k;
	const json_t *row, *value;
	const char *name;

	json_array_foreach(rows, i, row)
		json_object_foreach((json_t *)(uintptr_t)row, name, value) {
			for (k = 0; k < n && strcmp(names[k], name) != 0; k++)
				;
			if (k == n && n < max && !json_is_object(value))
				names[n++] = name;
		}
	return n;
}

static void print_sections(const json_t *rows, int indent);

static void print_table(const json_t *rows, int indent)
{
	const char *names[32];
	size_t columns = table_columns(rows, names, 32), n = json_array_size(rows), i, c;
	char **cells = xcalloc((n + 1) * columns, sizeof(*cells));
	const json_t *row;

	for (c = 0; c < columns; c++) {
		cells[c] = c ? xstrdup(names[c]) : xasprintf("%*s%s", indent, "", names[c]);
		for (char *p = cells[c]; *p; p++)
			*p = (char)toupper((unsigned char)*p);
	}
	json_array_foreach(rows, i, row)
		for (c = 0; c < columns; c++) {
			const json_t *v = json_object_get(row, names[c]);
			char *text = v ? scalar(v) : xstrdup("-");

			cells[(i + 1) * columns + c] = c ? text : xasprintf("%*s%s", indent, "", text);
			if (!c)
				free(text);
		}
	if (columns)
		table_print(stdout, (const char *const *)cells, n + 1, columns);
	for (i = 0; i < (n + 1) * columns; i++)
		free(cells[i]);
	free(cells);
	print_sections(rows, indent);
}

/* A section that the rows of a table have: a table of its own, with the rows' names. */
static void print_section(const json_t *rows, const char *section, int indent)
{
	json_t *table = json_array(), *copy;
	const json_t *row, *inner;
	size_t i;

	json_array_foreach(rows, i, row) {
		const char *by = json_object_get(row, "name") ? "name" : "id";

		inner = json_object_get(row, section);
		if (!json_is_object(inner))
			continue;
		copy = json_object();
		if (json_object_get(row, by))
			json_object_set(copy, by, json_object_get(row, by));
		json_object_update(copy, (json_t *)(uintptr_t)inner);
		json_array_append_new(table, copy);
	}
	printf("%*s%s:\n", indent, "", section);
	print_table(table, indent + 2);
	json_decref(table);
}

/* Each section once, where the rows first show it. */
static void print_sections(const json_t *rows, int indent)
{
	const json_t *row, *value;
	const char *name;
	size_t i, before;

	json_array_foreach(rows, i, row)
		json_object_foreach((json_t *)(uintptr_t)row, name, value) {
			for (before = 0; before < i && !json_is_object(json_object_get(json_array_get(rows, before), name)); before++)
				;
			if (json_is_object(value) && before == i && indent < 40)
				print_section(rows, name, indent);
		}
}

static void print_value(const json_t *v, int indent)
{
	const json_t *item;
	const char *name;
	char *text;
	size_t i;

	if (indent > 40) {
		text = scalar(v);
		printf("%*s%s\n", indent, "", text);
		free(text);
	} else if (is_table(v)) {
		print_table(v, indent);
	} else if (json_is_array(v)) {
		json_array_foreach(v, i, item)
			print_value(item, indent);
	} else if (json_is_object(v)) {
		json_object_foreach((json_t *)(uintptr_t)v, name, item) {
			bool nested = json_object_size(item) > 0 || json_array_size(item) > 0; /* 0 for other kinds */

			text = nested ? NULL : scalar(item);
			printf("%*s%s:%s%s\n", indent, "", name, text ? " " : "", text ? text : "");
			free(text);
			if (nested)
				print_value(item, indent + 2);
		}
	} else {
		text = scalar(v);
		printf("%*s%s\n", indent, "", text);
		free(text);
	}
}

static void text_document(const json_t *any)
{
	print_value(any, 0);
}

static void text_config_written(const char *file)
{
	printf("Configuration template written to %s\n", file);
}

static void text_config_judged(bool valid)
{
	if (valid)
		printf("Configuration is valid.\n");
}

static void text_version(const char *version)
{
	printf("globalfs %s\n", version);
}

const struct output output_text = {
	.sites = text_sites, .site_added = text_site_added, .site_removed = text_site_removed, .site_changed = text_site_changed,
	.object_stored = text_stored, .object_saved = text_saved, .object_deleted = text_deleted, .object_head = text_head,
	.object_where = text_where, .list_begin = text_list_begin, .list_entry = text_list_entry, .list_end = text_list_end,
	.replicated = text_replicated, .status = text_status, .info = text_info, .config_written = text_config_written,
	.config_judged = text_config_judged, .document = text_document, .version = text_version,
};
