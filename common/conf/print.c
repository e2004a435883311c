/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The effective configuration as YAML or JSON, the commented template, and the list of settings as mdoc: four walks over the
 * same rows of schema.def. Called by gfsctl config, by the daemons' control, and at build time for the man page.
 */
#include "config.h"

#include "schema.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#define MAX_NESTING 8

static bool is_text(enum setting_type type)
{
	return type == ST_STR || type == ST_SECRET || type == ST_URI;
}

static const void *member(const struct setting *s, const void *base)
{
	return (const char *)base + s->offset;
}

/* A double-quoted YAML text; JSON's escapes are YAML's as well. */
static void add_quoted(struct strbuf *out, const char *text)
{
	strbuf_add_json(out, slice_str(text));
}

static bool plain_text(const char *s)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "null", "~", NULL};

	if (!isalpha((unsigned char)s[0]) && s[0] != '/')
		return false;
	for (size_t i = 0; words[i]; i++)
		if (strcasecmp(s, words[i]) == 0)
			return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("/._-", *s) && !(*s == ':' && s[1] == '/'))
			return false;
	return true;
}

static void add_text(struct strbuf *out, const char *s, bool json)
{
	if (json || !plain_text(s))
		add_quoted(out, s);
	else
		strbuf_adds(out, s);
}

static void add_flags(struct strbuf *out, const bool *flags, const char *const *words, bool json)
{
	const char *sep = "";

	strbuf_addc(out, '[');
	for (size_t i = 0; words[i]; i++)
		if (flags[i]) {
			strbuf_addf(out, json ? "%s\"%s\"" : "%s%s", sep, words[i]);
			sep = ", ";
		}
	strbuf_addc(out, ']');
}

static void add_strs(struct strbuf *out, char *const *v, bool json)
{
	strbuf_addc(out, '[');
	for (size_t i = 0; v && v[i]; i++) {
		strbuf_adds(out, i ? ", " : "");
		add_text(out, v[i], json);
	}
	strbuf_addc(out, ']');
}

static void add_double(struct strbuf *out, double d)
{
	char buf[40];

	snprintf(buf, sizeof(buf), "%.15g", d);
	strbuf_adds(out, buf);
	if (!strpbrk(buf, ".en"))
		strbuf_adds(out, ".0");
}

static void add_word(struct strbuf *out, const struct setting *s, unsigned index, bool json)
{
	strbuf_addf(out, json ? "\"%s\"" : "%s", setting_words(s->type)[index]);
}

static void add_value(struct strbuf *out, const struct setting *s, const void *base, bool json)
{
	const void *at = member(s, base);
	char buf[32];

	switch (s->type) {
	case ST_STR:
		add_text(out, *(char *const *)at ? *(char *const *)at : "", json);
		break;
	case ST_SECRET:
		add_quoted(out, *(char *const *)at && **(char *const *)at ? "***" : "");
		break;
	case ST_BOOL:
		strbuf_adds(out, *(const bool *)at ? "true" : "false");
		break;
	case ST_INT:
		strbuf_addf(out, "%d", *(const int *)at);
		break;
	case ST_U32:
		strbuf_addf(out, "%" PRIu32, *(const uint32_t *)at);
		break;
	case ST_WRITE_MIN:
		if (*(const uint32_t *)at)
			strbuf_addf(out, "%" PRIu32, *(const uint32_t *)at);
		else
			strbuf_adds(out, json ? "\"all\"" : "all");
		break;
	case ST_DURATION:
		conf_format_duration(*(const int64_t *)at, buf);
		if (!json)
			strbuf_adds(out, buf);
		else if (*(const int64_t *)at == 0)
			strbuf_addc(out, '0');
		else /* nanoseconds, as the documents of the API's first edition have it */
			strbuf_addf(out, "%" PRId64 "000000", *(const int64_t *)at);
		break;
	case ST_SIZE:
	case ST_SIZE32: {
		uint64_t size = s->type == ST_SIZE ? *(const uint64_t *)at : *(const uint32_t *)at;

		conf_format_size(size, buf);
		if (json)
			strbuf_addf(out, "%" PRIu64, size);
		else
			strbuf_adds(out, buf);
		break;
	}
	case ST_DOUBLE:
		add_double(out, *(const double *)at);
		break;
	case ST_STRS:
		add_strs(out, *(char *const *const *)at, json);
		break;
	case ST_OPS:
	case ST_ROLES:
		add_flags(out, at, setting_words(s->type), json);
		break;
	case ST_ROLE:
	case ST_ADDRESSING:
	case ST_ORDER:
	case ST_MISSING: {
		unsigned index;

		memcpy(&index, at, sizeof(index));
		add_word(out, s, index, json);
		break;
	}
	default:
		break;
	}
}

/* Rows that would say nothing: unset texts of a site, settings of the other kind, short forms. */
static bool is_shown(const struct setting *s, const void *base, const struct site_conf *site)
{
	const void *at = member(s, base);

	if (s->type == ST_URI || s->type == ST_NONE || s->type == ST_LIST)
		return false;
	if (!site)
		return true;
	if ((s->kind == KIND_FILE && site->kind != SITE_KIND_FILE) || (s->kind == KIND_S3 && site->kind != SITE_KIND_S3))
		return false;
	if (is_text(s->type))
		return *(char *const *)at && **(char *const *)at;
	return s->effect[0] == '\0' || (s->type == ST_BOOL && *(const bool *)at);
}

/* ---- nesting: rows of one section stand together, so that sections open and close as their paths change ---- */

struct walk {
	struct strbuf *out;
	const char *open;  /* path of the row before */
	size_t n_open;     /* bytes of it that are open sections, with the last dot; 0: none */
	unsigned indent;   /* of the scope itself */
	bool json, first;
};

static size_t section_len(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot ? (size_t)(dot - path) + 1 : 0;
}

static unsigned depth_of(const char *path, size_t n)
{
	unsigned depth = 0;

	for (size_t i = 0; i < n; i++)
		depth += path[i] == '.';
	return depth;
}

static void pad(struct strbuf *out, unsigned n)
{
	strbuf_addf(out, "%*s", (int)(2 * n), "");
}

static void json_comma(struct walk *w, unsigned depth)
{
	strbuf_adds(w->out, w->first ? "\n" : ",\n");
	pad(w->out, w->indent + depth);
	w->first = false;
}

/* Closes and opens sections so that the row at path may follow. Returns its depth. */
static unsigned walk_to(struct walk *w, const char *path)
{
	size_t n = section_len(path), common = 0, i;

	for (i = 0; i < n && i < w->n_open && path[i] == w->open[i]; i++)
		if (path[i] == '.')
			common = i + 1;
	for (unsigned d = depth_of(w->open, w->n_open), to = depth_of(path, common); w->json && d > to; d--) {
		strbuf_addc(w->out, '\n');
		pad(w->out, w->indent + d - 1);
		strbuf_addc(w->out, '}');
		w->first = false;
	}
	for (i = common; i < n;) {
		size_t end = i + strcspn(path + i, ".");
		unsigned depth = depth_of(path, i);

		if (w->json) {
			json_comma(w, depth);
			strbuf_addf(w->out, "\"%.*s\": {", (int)(end - i), path + i);
			w->first = true;
		} else {
			pad(w->out, w->indent + depth);
			strbuf_addf(w->out, "%.*s:\n", (int)(end - i), path + i);
		}
		i = end + 1;
	}
	w->open = path;
	w->n_open = n;
	return depth_of(path, n);
}

static void walk_end(struct walk *w)
{
	walk_to(w, "");
}

static const char *last_name(const char *path)
{
	return path + section_len(path);
}

struct origin {
	const char *path;
	const unsigned *lines; /* NULL: none wanted */
};

static void add_origin(struct strbuf *out, const struct origin *o, size_t row)
{
	if (!o->lines)
		return;
	if (o->lines[row])
		strbuf_addf(out, "  # %s:%u", o->path, o->lines[row]);
	else
		strbuf_adds(out, "  # default");
}

/* One list item: a site or a rule. */
static void print_item_yaml(struct strbuf *out, const struct schema *schema, const void *base, const struct site_conf *site,
                            const struct origin *o)
{
	struct walk w = {.out = out, .open = "", .indent = 2};
	size_t start = out->n;

	for (size_t i = 0; i < schema->n; i++) {
		const struct setting *s = &schema->v[i];
		unsigned depth;

		if (!is_shown(s, base, site))
			continue;
		depth = walk_to(&w, s->path);
		pad(out, w.indent + depth);
		strbuf_addf(out, "%s: ", last_name(s->path));
		add_value(out, s, base, false);
		add_origin(out, o, i);
		strbuf_addc(out, '\n');
	}
	if (!strbuf_failed(out) && out->n > start + 4)
		out->p[start + 2] = '-'; /* "    name:" -> "  - name:" */
}

static void print_items_yaml(const struct conf *c, const char *path, const struct origin *o, unsigned indent, struct strbuf *out)
{
	struct conf_origins *orig = c->origins;
	struct strbuf item = STRBUF_INIT;
	bool sites = strcmp(path, "sites") == 0;
	size_t n = sites ? c->n_sites : strcmp(path, "policy.rules") == 0 ? c->n_rules : 0;
	struct slice rest, line;

	pad(out, indent);
	strbuf_addf(out, "%s:%s\n", last_name(path), n ? "" : " []");
	for (size_t i = 0; i < n; i++) {
		struct origin item_origin = {o->path, o->lines ? (sites ? orig->site[i] : orig->rule[i]) : NULL};

		strbuf_reset(&item);
		if (sites)
			print_item_yaml(&item, &schema_site, &c->sites[i], &c->sites[i], &item_origin);
		else
			print_item_yaml(&item, &schema_rule, &c->rules[i], NULL, &item_origin);
		for (rest = strbuf_slice(&item); rest.n > 0; rest = slice_of(line.p + line.n, rest.n - line.n)) {
			line = slice_of(rest.p, (size_t)((const char *)memchr(rest.p, '\n', rest.n) - rest.p) + 1);
			pad(out, indent);
			strbuf_add_slice(out, line);
		}
	}
	strbuf_free(&item);
}

void conf_print_yaml(const struct conf *conf, bool origins, struct strbuf *out)
{
	struct walk w = {.out = out, .open = ""};
	struct origin o = {conf->path, origins ? conf->origins->conf : NULL};

	for (size_t i = 0; i < schema_conf.n; i++) {
		const struct setting *s = &schema_conf.v[i];
		unsigned depth;

		if (strcmp(s->path, "policies") == 0)
			continue;
		depth = walk_to(&w, s->path);
		if (s->type == ST_LIST) {
			print_items_yaml(conf, s->path, &o, depth, out);
			continue;
		}
		pad(out, depth);
		strbuf_addf(out, "%s: ", last_name(s->path));
		add_value(out, s, conf, false);
		add_origin(out, &o, i);
		strbuf_addc(out, '\n');
	}
}

/* ---- JSON ---- */

static void print_rows_json(struct walk *w, const struct schema *schema, const void *base, const struct site_conf *site)
{
	for (size_t i = 0; i < schema->n; i++) {
		const struct setting *s = &schema->v[i];
		unsigned depth;

		if (!is_shown(s, base, site))
			continue;
		depth = walk_to(w, s->path);
		json_comma(w, depth);
		strbuf_addf(w->out, "\"%s\": ", last_name(s->path));
		add_value(w->out, s, base, true);
	}
	walk_end(w);
}

static void print_items_json(const struct conf *c, const char *path, unsigned indent, struct strbuf *out)
{
	bool sites = strcmp(path, "sites") == 0;
	size_t n = sites ? c->n_sites : c->n_rules;

	strbuf_addc(out, '[');
	for (size_t i = 0; i < n; i++) {
		struct walk w = {.out = out, .open = "", .indent = indent + 2, .json = true, .first = true};

		strbuf_adds(out, i ? ",\n" : "\n");
		pad(out, indent + 1);
		strbuf_addc(out, '{');
		if (sites)
			print_rows_json(&w, &schema_site, &c->sites[i], &c->sites[i]);
		else
			print_rows_json(&w, &schema_rule, &c->rules[i], NULL);
		strbuf_addc(out, '\n');
		pad(out, indent + 1);
		strbuf_addc(out, '}');
	}
	if (n) {
		strbuf_addc(out, '\n');
		pad(out, indent);
	}
	strbuf_addc(out, ']');
}

void conf_print_json(const struct conf *conf, struct strbuf *out)
{
	struct walk w = {.out = out, .open = "", .indent = 1, .json = true, .first = true};

	strbuf_addc(out, '{');
	for (size_t i = 0; i < schema_conf.n; i++) {
		const struct setting *s = &schema_conf.v[i];
		unsigned depth;

		if (strcmp(s->path, "policies") == 0)
			continue;
		depth = walk_to(&w, s->path);
		json_comma(&w, depth);
		strbuf_addf(out, "\"%s\": ", last_name(s->path));
		if (s->type == ST_LIST)
			print_items_json(conf, s->path, w.indent + depth, out);
		else
			add_value(out, s, conf, true);
	}
	walk_end(&w);
	strbuf_adds(out, "\n}\n");
}

/* ---- the template ---- */

static void add_wrapped(struct strbuf *out, const char *prefix, const char *text)
{
	size_t width = 0, n;

	while (*text) {
		n = strcspn(text, " ");
		if (width == 0 || width + n + 1 > 96) {
			strbuf_adds(out, width ? "\n" : "");
			strbuf_adds(out, prefix);
			width = strlen(prefix);
		}
		strbuf_addc(out, ' ');
		strbuf_add(out, text, n);
		width += n + 1;
		text += n + (text[n] == ' ');
	}
	strbuf_addc(out, '\n');
}

static const char template_sites[] =
	"# The storage sites. At least one must be primary.\n"
	"sites:\n"
	"  - name: onprem\n"
	"    role: primary\n"
	"    file:\n"
	"      path: /srv/globalfs/onprem\n"
	"  # - name: cloud\n"
	"  #   role: backup\n"
	"  #   objectfs:\n"
	"  #     s3_bucket: my-bucket\n"
	"  #     s3_region: us-west-2\n"
	"  #     s3_endpoint: https://s3.example.org\n";

static const char template_policy[] =
	"# Which sites serve which keys; without a rule all take part.\n"
	"policy:\n"
	"  rules: []\n"
	"  # rules:\n"
	"  #   - name: scratch\n"
	"  #     key_pattern: scratch/\n"
	"  #     operations: [read, write, delete]\n"
	"  #     target_roles: [primary]\n"
	"  #     priority: 10\n";

/* Settings of the template that stand there as they are; all others are commented out. */
static bool is_active(const char *path)
{
	static const char *const active[] = {"global.cluster_name", "global.log_level", "coordinator.listen_addr",
	                                     "coordinator.health_check_interval", NULL};

	for (size_t i = 0; active[i]; i++)
		if (strcmp(active[i], path) == 0)
			return true;
	return false;
}

static void print_default(struct strbuf *out, const struct setting *s)
{
	if (is_text(s->type) || s->type == ST_LIST)
		add_text(out, s->def, false);
	else
		strbuf_adds(out, s->type == ST_STRS ? "[]" : s->def);
}

void conf_print_template(struct strbuf *out)
{
	struct walk w = {.out = out, .open = ""};
	char prefix[2 * MAX_NESTING + 2];

	strbuf_adds(out, "# Configuration of GlobalFS: see globalfs.yaml(5). A setting that is commented out shows its default.\n");
	for (size_t i = 0; i < schema_conf.n; i++) {
		const struct setting *s = &schema_conf.v[i];
		unsigned depth;

		if (s->type == ST_LIST) {
			const char *text = strcmp(s->path, "sites") == 0 ? template_sites : "";

			if (strcmp(s->path, "policy.rules") == 0)
				text = template_policy;
			strbuf_addf(out, "%s%s", *text ? "\n" : "", text);
			continue;
		}
		if (s->effect[0])
			continue;
		if (section_len(s->path) != w.n_open || strncmp(s->path, w.open, w.n_open) != 0)
			if (depth_of(s->path, section_len(s->path)) == 1 && strncmp(s->path, w.open, strcspn(s->path, ".") + 1) != 0)
				strbuf_addc(out, '\n');
		depth = walk_to(&w, s->path);
		snprintf(prefix, sizeof(prefix), "%*s#", (int)(2 * depth), "");
		add_wrapped(out, prefix, s->prose);
		strbuf_addf(out, "%*s%s%s: ", (int)(2 * depth), "", is_active(s->path) ? "" : "# ", last_name(s->path));
		print_default(out, s);
		strbuf_addc(out, '\n');
	}
}

/* ---- mdoc ---- */

static void add_mdoc(struct strbuf *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		strbuf_adds(out, "\\&");
	for (; *text; text++) {
		if (*text == '\\')
			strbuf_adds(out, "\\e");
		else if (*text == '~')
			strbuf_adds(out, "\\(ti");
		else if (*text == '^')
			strbuf_adds(out, "\\(ha");
		else
			strbuf_addc(out, *text);
		if (*text == '.' && text[1] == ' ') { /* new sentence, new line */
			strbuf_addc(out, '\n');
			text++;
			if (text[1] == '.' || text[1] == '\'')
				strbuf_adds(out, "\\&");
		}
	}
	strbuf_addc(out, '\n');
}

static const char *short_type(enum setting_type type)
{
	switch (type) {
	case ST_DURATION: return "duration";
	case ST_SIZE:
	case ST_SIZE32: return "size";
	case ST_LIST: return "list of sections";
	case ST_NONE: return "any value";
	default: return setting_type_text(type) + (strncmp(setting_type_text(type), "a ", 2) == 0 ? 2 : 0);
	}
}

static void print_row_mdoc(struct strbuf *out, const struct setting *s, const char *scope)
{
	char lo[32], hi[32];

	strbuf_addf(out, ".It Ic %s%s\n.Pq %s", scope, s->path, short_type(s->type));
	if (s->def[0] && s->type != ST_LIST)
		strbuf_addf(out, ", default %s", s->def);
	if (s->max != 0 && s->type != ST_DOUBLE) {
		setting_format(s, s->min, lo);
		setting_format(s, s->max, hi);
		strbuf_addf(out, ", %s to %s", lo, hi);
	}
	strbuf_addc(out, '\n');
	add_mdoc(out, s->prose);
	if (s->effect[0]) {
		strbuf_adds(out, "Without effect: ");
		strbuf_adds(out, s->effect);
		strbuf_adds(out, ".\n");
	}
}

static void print_schema_mdoc(struct strbuf *out, const char *title, const struct schema *schema, const char *scope)
{
	strbuf_addf(out, ".Ss %s\n.Bl -tag -width Ds\n", title);
	for (size_t i = 0; i < schema->n; i++)
		print_row_mdoc(out, &schema->v[i], scope);
	strbuf_adds(out, ".El\n");
}

void conf_print_mdoc(struct strbuf *out)
{
	print_schema_mdoc(out, "Settings", &schema_conf, "");
	print_schema_mdoc(out, "Sites", &schema_site, "sites[].");
	print_schema_mdoc(out, "Policy rules", &schema_rule, "policy.rules[].");
	print_schema_mdoc(out, "Older policies", &schema_legacy, "policies[].");
}
