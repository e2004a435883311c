/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of schema.def as tables, for the files of common/conf and their tests only. A row says where its value lives
 * (offset into struct conf, site_conf or policy_rule) and how it is read and written.
 */
#ifndef GFS_CONF_SCHEMA_H
#define GFS_CONF_SCHEMA_H

#include "conf.h"

enum setting_type {
	ST_STR, ST_SECRET, ST_BOOL, ST_U32, ST_INT, ST_DURATION, ST_SIZE, ST_SIZE32, ST_DOUBLE, ST_STRS, ST_ROLE, ST_ADDRESSING,
	ST_ORDER, ST_MISSING, ST_OPS, ST_ROLES, ST_WRITE_MIN, ST_URI, ST_NONE, ST_LIST
};

enum setting_kind { KIND_BOTH, KIND_FILE, KIND_S3 };

struct setting {
	const char *path;   /* "resilience.retry.enabled"; below its scope */
	enum setting_type type;
	size_t offset;
	const char *def;    /* as in a file; "" for none */
	int64_t min, max;   /* both 0: not checked */
	const char *effect; /* "" or why there is none */
	const char *prose;
	enum setting_kind kind;
};

/* One scope: the whole file, one site, one rule, one legacy policy. */
struct schema {
	const struct setting *v;
	size_t n;
};

extern const struct schema schema_conf, schema_site, schema_rule, schema_legacy;

/* The row of exactly that path, or NULL. */
const struct setting *schema_find(const struct schema *s, struct slice path);
/* Whether any row lies below the section "path.". */
bool schema_is_section(const struct schema *s, struct slice path);
/* The known path nearest to an unknown one, relative to section (without it, when it lies in it); NULL when none is near. */
const char *schema_suggest(const struct schema *s, struct slice section, struct slice path);

/* The words of an enumeration, NULL-terminated; NULL for other types. */
const char *const *setting_words(enum setting_type type);
/* "duration", "list of strings", "path or virtual": what a value of this type looks like. */
const char *setting_type_text(enum setting_type type);

/* A number of the row's type as people write it: "1h", "64MiB", "5". */
void setting_format(const struct setting *s, int64_t value, char buf[32]);
/* Parses text and stores it at base + offset. false: why says what was expected. Not for lists. */
bool setting_store(const struct setting *s, void *base, struct slice text, char *why, size_t cap) GFS_MUST_USE;
/* Adds one element to a list setting (STRS, OPS, ROLES). */
bool setting_store_item(const struct setting *s, void *base, struct slice text, char *why, size_t cap) GFS_MUST_USE;
bool setting_is_list(enum setting_type type);
/* Sets every row's default; strings are owned. */
void schema_defaults(const struct schema *s, void *base);
/* Frees what the rows own. */
void schema_free(const struct schema *s, void *base);
/* Copies every member from src, whose strings stay its own. */
void schema_copy(const struct schema *s, void *dst, const void *src);

/* Where values came from and what has no place in struct conf; owned by it. Line 0: default. */
struct legacy_policy {
	char *name, *path_pattern, *primary;
	char **replicate_to;
	unsigned line;
};

struct conf_origins {
	unsigned *conf;        /* per row of schema_conf */
	unsigned **site;       /* per site, per row of schema_site */
	unsigned **rule;       /* per rule, per row of schema_rule */
	struct legacy_policy *legacy;
	size_t n_legacy, n_site, n_rule;
};

void strs_free(char **v);
size_t strs_count(char *const *v);
char **strs_copy(char *const *v);
void strs_add(char ***v, struct slice text);

/* Appends "NAME:LINE: field: sentence\n" (line 0: no line); counted, and bounded to CONF_REPORT_MAX lines. */
#define CONF_REPORT_MAX 50
void report_error(struct conf_report *r, const char *name, unsigned line, const char *field, const char *fmt, ...) GFS_PRINTF(5, 6);
void report_warning(struct conf_report *r, const char *name, unsigned line, const char *field, const char *fmt, ...)
	GFS_PRINTF(5, 6);

/* The defaults of a site that depend on its other settings: addressing (unless it was given) and the slash behind the prefix. */
void site_conf_settle(struct site_conf *site, bool addressing_given);

/* check.c: the rules across settings. */
void conf_check(const struct conf *conf, struct conf_report *report);
/* The address forms of listen_addr: 0 or GFS_ERR_INVALID; port_out may be NULL. */
int conf_check_addr(const char *addr, unsigned *port_out) GFS_MUST_USE;

#endif
