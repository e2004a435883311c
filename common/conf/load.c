/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From YAML to struct conf, by schema.def: every key is looked up there, everything else is an error with file, line, path and,
 * when there is one, the nearest known name. Called by every daemon at start, by gfsctl, and by the fuzzer. check.c follows.
 */
#include "config.h"

#include "schema.h"
#include "tree.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../gen.h"
#include "../log.h"
#include "../xalloc.h"

#define MAX_LIST_ITEMS 4096
#define SECTION_PATH_MAX 256

/* What is being filled: a struct by its schema, with the lines of its values. */
struct scope {
	const struct schema *schema;
	void *base;
	unsigned *lines;
	const char *label; /* "" or "sites[2]." */
};

struct loader {
	struct conf *conf;
	struct conf_report *report;
	const char **warned; /* effect sentences told already */
	size_t n_warned;
};

/* ---- values ---- */

static struct slice node_text(const struct node *n)
{
	return slice_of(n->text, n->text_len);
}

static void field_of(char *buf, size_t cap, const struct scope *sc, const char *path)
{
	snprintf(buf, cap, "%s%s", sc->label, path);
}

static void warn_effect(struct loader *ld, const struct scope *sc, const struct setting *row, unsigned line)
{
	char field[SECTION_PATH_MAX + 64];
	size_t i;

	for (i = 0; i < ld->n_warned; i++)
		if (strcmp(ld->warned[i], row->effect) == 0)
			return;
	ld->warned = xreallocarray(ld->warned, ld->n_warned + 1, sizeof(*ld->warned));
	ld->warned[ld->n_warned++] = row->effect;
	field_of(field, sizeof(field), sc, row->path);
	report_warning(ld->report, ld->conf->path, line, field, "%s", row->effect);
}

static bool is_default(const struct setting *row, const struct node *n)
{
	return n->kind == NODE_SCALAR ? slice_eq_str(node_text(n), row->def) : n->n_items == 0;
}

static void load_list(struct loader *ld, const struct scope *sc, const struct setting *row, const struct node *n, const char *field)
{
	char why[256];

	if (n->kind == NODE_SCALAR) { /* one word stands for a list of one */
		if (!setting_store_item(row, sc->base, node_text(n), why, sizeof(why)))
			report_error(ld->report, ld->conf->path, n->line, field, "%s", why);
		return;
	}
	if (n->kind != NODE_LIST || n->n_items > MAX_LIST_ITEMS) {
		report_error(ld->report, ld->conf->path, n->line, field, "must be %s", setting_type_text(row->type));
		return;
	}
	for (size_t i = 0; i < n->n_items; i++) {
		if (n->items[i]->kind != NODE_SCALAR || n->items[i]->null)
			report_error(ld->report, ld->conf->path, n->items[i]->line, field, "must be %s", setting_type_text(row->type));
		else if (!setting_store_item(row, sc->base, node_text(n->items[i]), why, sizeof(why)))
			report_error(ld->report, ld->conf->path, n->items[i]->line, field, "%s", why);
	}
}

static void load_value(struct loader *ld, const struct scope *sc, const struct setting *row, const struct node *n)
{
	char field[SECTION_PATH_MAX + 64], why[256];

	field_of(field, sizeof(field), sc, row->path);
	if (n->kind == NODE_SCALAR && n->null)
		return; /* "key:" alone: not set */
	if (row->type == ST_URI && sc->lines[row - sc->schema->v])
		return; /* load_site_uri() was here */
	sc->lines[row - sc->schema->v] = n->line;
	if (row->effect[0] && !is_default(row, n))
		warn_effect(ld, sc, row, n->line);
	if (row->type == ST_URI) {
		if (n->kind == NODE_SCALAR && site_conf_from_uri(sc->base, node_text(n), why, sizeof(why)) == 0)
			return;
		report_error(ld->report, ld->conf->path, n->line, field, "%s",
		             n->kind == NODE_SCALAR ? why : "must be file:///DIRECTORY or s3://BUCKET");
	} else if (setting_is_list(row->type)) {
		load_list(ld, sc, row, n, field);
	} else if (n->kind != NODE_SCALAR) {
		report_error(ld->report, ld->conf->path, n->line, field, "must be %s, not a %s", setting_type_text(row->type),
		             n->kind == NODE_LIST ? "list" : "section");
	} else if (!setting_store(row, sc->base, node_text(n), why, sizeof(why))) {
		report_error(ld->report, ld->conf->path, n->line, field, "%s", why);
	}
}

static void load_items(struct loader *ld, const struct setting *row, const struct node *n, const char *field);

static void unknown_key(struct loader *ld, const struct scope *sc, const char *section, const char *path, unsigned line)
{
	const char *near = schema_suggest(sc->schema, slice_str(section), slice_str(path));
	char field[SECTION_PATH_MAX + 64];

	field_of(field, sizeof(field), sc, path);
	if (near && strcmp(near, path) == 0)
		report_error(ld->report, ld->conf->path, line, field, "a name with dots is written as sections, one below the other");
	else if (near)
		report_error(ld->report, ld->conf->path, line, field, "unknown key, did you mean '%s'?", near);
	else
		report_error(ld->report, ld->conf->path, line, field, "unknown key");
}

static bool is_duplicate(const struct node *map, size_t key)
{
	for (size_t i = 0; i < key; i += 2)
		if (slice_eq(node_text(map->items[i]), node_text(map->items[key])))
			return true;
	return false;
}

/* Loads one section; section is its path in the scope, "" for all of it. Recursion is bounded by the schema's own depth. */
static void load_section(struct loader *ld, const struct scope *sc, const char *section, const struct node *map)
{
	char path[SECTION_PATH_MAX], field[SECTION_PATH_MAX + 64];
	const struct setting *row;

	for (size_t i = 0; i + 1 < map->n_items; i += 2) {
		const struct node *key = map->items[i], *value = map->items[i + 1];

		snprintf(path, sizeof(path), "%s%s%.*s", section, *section ? "." : "", 100, key->text);
		field_of(field, sizeof(field), sc, path);
		row = key->text_len <= 100 && !strchr(key->text, '.') ? schema_find(sc->schema, slice_str(path)) : NULL;
		if (i < 2 * (size_t)MAX_LIST_ITEMS && is_duplicate(map, i))
			report_error(ld->report, ld->conf->path, key->line, field, "stands twice");
		else if (row && row->type == ST_LIST)
			load_items(ld, row, value, field);
		else if (row)
			load_value(ld, sc, row, value);
		else if (strchr(key->text, '.') || !schema_is_section(sc->schema, slice_str(path)))
			unknown_key(ld, sc, section, path, key->line);
		else if (value->kind == NODE_MAP)
			load_section(ld, sc, path, value);
		else if (!(value->kind == NODE_SCALAR && value->null))
			report_error(ld->report, ld->conf->path, value->line, field, "must be a section with keys of its own");
	}
}

/* ---- sites, rules, legacy policies ---- */

/* The row of the short form goes first, so that what else is given overrides it wherever it stands. */
static void load_site_uri(struct loader *ld, const struct scope *sc, const struct node *map)
{
	for (size_t i = 0; i + 1 < map->n_items; i += 2)
		if (strcmp(map->items[i]->text, "uri") == 0) {
			load_value(ld, sc, schema_find(sc->schema, SLICE_LIT("uri")), map->items[i + 1]);
			return;
		}
}

static unsigned line_of(const struct schema *s, const unsigned *lines, const char *path)
{
	const struct setting *row = schema_find(s, slice_str(path));

	return row ? lines[row - s->v] : 0;
}

static bool has_uri_addressing(const struct node *map)
{
	for (size_t i = 0; i + 1 < map->n_items; i += 2)
		if (strcmp(map->items[i]->text, "uri") == 0 && map->items[i + 1]->kind == NODE_SCALAR)
			return strstr(map->items[i + 1]->text, "addressing=") != NULL;
	return false;
}

/* What the short form set came from its line. */
static void mark_uri_lines(const struct site_conf *site, unsigned *lines, bool addressing)
{
	static const char *const parts[] = {"prefix", "file.path", "objectfs.s3_bucket", "objectfs.s3_region", "objectfs.s3_endpoint"};
	unsigned line = line_of(&schema_site, lines, "uri");

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		const struct setting *row = schema_find(&schema_site, slice_str(parts[i]));

		if (!lines[row - schema_site.v] && **(char *const *)((const char *)site + row->offset))
			lines[row - schema_site.v] = line;
	}
	if (addressing && !line_of(&schema_site, lines, "addressing"))
		lines[schema_find(&schema_site, SLICE_LIT("addressing")) - schema_site.v] = line;
}

static void load_site(struct loader *ld, const struct node *map, size_t index)
{
	struct conf *c = ld->conf;
	struct site_conf *site = &c->sites[index];
	unsigned *lines = c->origins->site[index];
	char label[64];
	struct scope sc = {&schema_site, site, lines, label};
	unsigned errors_before = ld->report->n_errors;
	bool has_uri, has_bucket, has_path;

	snprintf(label, sizeof(label), "sites[%zu].", index);
	site->line = map->line;
	load_site_uri(ld, &sc, map);
	load_section(ld, &sc, "", map);

	has_uri = line_of(&schema_site, lines, "uri") != 0;
	has_bucket = line_of(&schema_site, lines, "objectfs.s3_bucket") != 0;
	has_path = line_of(&schema_site, lines, "file.path") != 0;
	label[strlen(label) - 1] = '\0';
	if (has_uri + has_bucket + has_path != 1)
		report_error(ld->report, c->path, map->line, label, "needs exactly one of file.path, objectfs.s3_bucket and uri");
	if (!has_uri)
		site->kind = has_path ? SITE_KIND_FILE : SITE_KIND_S3;
	if (!line_of(&schema_site, lines, "role"))
		report_error(ld->report, c->path, map->line, label, "role is missing: primary, backup or burst");
	site_conf_settle(site, line_of(&schema_site, lines, "addressing") || has_uri_addressing(map));
	if (has_uri)
		mark_uri_lines(site, lines, has_uri_addressing(map));
	if (ld->report->n_errors > errors_before)
		site->line = 0; /* told already: no more about what follows from it */
}

static void load_rule(struct loader *ld, const struct node *map, size_t index)
{
	char label[64];
	struct scope sc = {&schema_rule, &ld->conf->rules[index], ld->conf->origins->rule[index], label};

	snprintf(label, sizeof(label), "policy.rules[%zu].", index);
	ld->conf->rules[index].line = map->line;
	load_section(ld, &sc, "", map);
}

static void load_legacy(struct loader *ld, const struct node *map, size_t index)
{
	unsigned *lines = xcalloc(schema_legacy.n, sizeof(*lines));
	char label[64];
	struct scope sc = {&schema_legacy, &ld->conf->origins->legacy[index], lines, label};

	snprintf(label, sizeof(label), "policies[%zu].", index);
	ld->conf->origins->legacy[index].line = map->line;
	load_section(ld, &sc, "", map);
	free(lines);
}

/* Makes room for n sections at once, with their defaults, so that pointers into the array hold. */
static void make_sites(struct conf *c, size_t n)
{
	c->sites = xcalloc(n, sizeof(*c->sites));
	c->origins->site = xcalloc(n, sizeof(*c->origins->site));
	for (c->n_sites = 0; c->n_sites < n; c->n_sites++) {
		site_conf_init(&c->sites[c->n_sites]);
		c->origins->site[c->origins->n_site++] = xcalloc(schema_site.n, sizeof(unsigned));
	}
}

static void make_rules(struct conf *c, size_t n)
{
	c->rules = xcalloc(n, sizeof(*c->rules));
	c->origins->rule = xcalloc(n, sizeof(*c->origins->rule));
	for (c->n_rules = 0; c->n_rules < n; c->n_rules++) {
		schema_defaults(&schema_rule, &c->rules[c->n_rules]);
		c->origins->rule[c->origins->n_rule++] = xcalloc(schema_rule.n, sizeof(unsigned));
	}
}

static void make_legacy(struct conf *c, size_t n)
{
	struct conf_origins *o = c->origins;

	o->legacy = xcalloc(n, sizeof(*o->legacy));
	for (o->n_legacy = 0; o->n_legacy < n; o->n_legacy++)
		schema_defaults(&schema_legacy, &o->legacy[o->n_legacy]);
}

static void load_items(struct loader *ld, const struct setting *row, const struct node *n, const char *field)
{
	static const struct {
		const char *path;
		void (*make)(struct conf *c, size_t n);
		void (*load)(struct loader *ld, const struct node *map, size_t index);
	} kinds[] = {{"sites", make_sites, load_site}, {"policy.rules", make_rules, load_rule}, {"policies", make_legacy, load_legacy}};
	const struct scope top = {&schema_conf, ld->conf, NULL, ""};
	size_t k = 0;

	if (n->kind == NODE_SCALAR && n->null)
		return;
	if (n->kind != NODE_LIST || n->n_items > MAX_LIST_ITEMS) {
		report_error(ld->report, ld->conf->path, n->line, field, "must be a list of at most %d sections", MAX_LIST_ITEMS);
		return;
	}
	if (n->n_items == 0)
		return;
	if (row->effect[0])
		warn_effect(ld, &top, row, n->line);
	while (strcmp(kinds[k].path, row->path) != 0)
		k++;
	kinds[k].make(ld->conf, n->n_items);
	for (size_t i = 0; i < n->n_items; i++) {
		if (n->items[i]->kind == NODE_MAP)
			kinds[k].load(ld, n->items[i], i);
		else
			report_error(ld->report, ld->conf->path, n->items[i]->line, field, "item %zu must be a section with keys", i);
	}
}

/* ---- the whole ---- */

static struct conf *conf_create(const char *path)
{
	struct conf *c = xcalloc(1, sizeof(*c));

	c->path = xstrdup(path);
	c->origins = xcalloc(1, sizeof(*c->origins));
	c->origins->conf = xcalloc(schema_conf.n, sizeof(*c->origins->conf));
	schema_defaults(&schema_conf, c);
	return c;
}

void conf_destroy(struct conf **conf)
{
	struct conf *c = *conf;
	struct conf_origins *o;

	*conf = NULL;
	if (!c)
		return;
	o = c->origins;
	for (size_t i = 0; i < c->n_sites; i++)
		site_conf_free(&c->sites[i]);
	for (size_t i = 0; i < c->n_rules; i++)
		schema_free(&schema_rule, &c->rules[i]);
	for (size_t i = 0; i < o->n_site; i++)
		free(o->site[i]);
	for (size_t i = 0; i < o->n_rule; i++)
		free(o->rule[i]);
	for (size_t i = 0; i < o->n_legacy; i++)
		schema_free(&schema_legacy, &o->legacy[i]);
	free(o->site);
	free(o->rule);
	free(o->legacy);
	free(o->conf);
	free(o);
	schema_free(&schema_conf, c);
	free(c->sites);
	free(c->rules);
	free(c->path);
	free(c);
}

/* For settings that would make no sense as 0, which older configurations may hold all the same. */
static void take_default(struct conf *c, const char *path)
{
	const struct setting *row = schema_find(&schema_conf, slice_str(path));
	char why[128];

	gfs_assert(row && setting_store(row, c, slice_str(row->def), why, sizeof(why)));
}

/* Defaults that are not constants. */
static void settle(struct conf *c)
{
	char host[256] = "";
	size_t i;

	if (c->resilience.health_poll_interval_ms == 0)
		c->resilience.health_poll_interval_ms = c->coordinator.health_check_interval_ms;
	if (c->resilience.circuit_breaker.threshold == 0)
		take_default(c, "resilience.circuit_breaker.threshold");
	if (c->resilience.circuit_breaker.cooldown_ms == 0)
		take_default(c, "resilience.circuit_breaker.cooldown");
	if (c->global.node_name[0])
		return;
	if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
		strcpy(host, "localhost");
	host[GEN_NODE_MAX] = '\0';
	for (i = 0; host[i]; i++)
		if (!isalnum((unsigned char)host[i]) && !strchr("._-", host[i]))
			host[i] = '-';
	free(c->global.node_name);
	c->global.node_name = xstrdup(host);
}

int conf_load_text(const char *name, struct slice yaml, struct conf **conf_out, struct conf_report *report)
{
	unsigned errors_before = report->n_errors, line;
	struct conf *c = conf_create(name ? name : "");
	struct loader ld = {.conf = c, .report = report};
	struct scope top = {&schema_conf, c, c->origins->conf, ""};
	struct node *root;
	char why[256];

	*conf_out = NULL;
	if (tree_parse(yaml, &root, &line, why, sizeof(why)) != 0) {
		report_error(report, c->path, line, NULL, "%s", why);
		conf_destroy(&c);
		return GFS_ERR_CONFIG;
	}
	if (root->kind == NODE_MAP)
		load_section(&ld, &top, "", root);
	else
		report_error(report, c->path, root->line, NULL, "must be sections such as global: and sites:");
	tree_free(&root);
	free(ld.warned);
	settle(c);
	conf_check(c, report);
	if (report->n_errors > errors_before) {
		conf_destroy(&c);
		return GFS_ERR_CONFIG;
	}
	*conf_out = c;
	return 0;
}

/* Reads to the end, at most one byte more than the parser takes. */
static int read_all(int fd, struct strbuf *out)
{
	char buf[16384];
	off_t at = 0;
	bool seekable = lseek(fd, 0, SEEK_CUR) >= 0;
	ssize_t n;

	/* pread: a memfd is shared with the processes that inherited it, and so is its offset */
	while (out->n <= TREE_MAX_BYTES) {
		n = seekable ? pread(fd, buf, sizeof(buf), at) : read(fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? GFS_ERR_IO : 0;
		strbuf_add(out, buf, (size_t)n);
		at += n;
	}
	return 0;
}

int conf_load(const char *path, int fd, struct conf **conf_out, struct conf_report *report)
{
	struct strbuf text = STRBUF_INIT;
	int opened = -1, err;

	*conf_out = NULL;
	if (!path && fd < 0) {
		struct conf *c = conf_create("");

		settle(c);
		*conf_out = c;
		return 0;
	}
	if (fd < 0)
		fd = opened = open(path, O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? GFS_ERR_IO : read_all(fd, &text);
	if (err) {
		report_error(report, path, 0, NULL, "cannot be read: %s", strerror(errno));
	} else {
		err = strbuf_failed(&text) ? GFS_ERR_NOMEM : conf_load_text(path, strbuf_slice(&text), conf_out, report);
	}
	if (opened >= 0)
		close(opened);
	strbuf_free(&text);
	return err;
}
