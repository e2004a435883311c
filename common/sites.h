/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The site table of one epoch: the sites of the configuration file joined with the registry in state_dir/sites (ids, claims,
 * drains, sites added or removed at run time). The supervisor owns and writes the registry; it hands every child the table
 * as JSON in a sealed memfd (message SITES). A daemon that runs alone reads the registry itself: the file state_dir/sites is
 * the table of the last epoch in the same JSON, with secrets and with whatever members the supervisor adds (unknown members
 * are ignored here).
 */
#ifndef GFS_SITES_H
#define GFS_SITES_H

#include "conf/conf.h"

struct site_table {
	uint64_t epoch;
	char namespace_id[37]; /* UUID text */
	struct site_conf *v;   /* in order: file order, then order of addition */
	size_t n;
};

int site_table_parse(struct slice json, struct site_table **out) GFS_MUST_USE; /* 0 or GFS_ERR_INVALID */
/* with_secrets: for workers, healthd and repld; without for everyone else. */
void site_table_print(const struct site_table *t, bool with_secrets, struct strbuf *out);
int site_table_to_memfd(const struct site_table *t, bool with_secrets, int *fd_out) GFS_MUST_USE;
int site_table_from_fd(int fd, struct site_table **out) GFS_MUST_USE; /* does not close fd */
void site_table_destroy(struct site_table **t);
int site_table_from_file(const char *path, struct site_table **out) GFS_MUST_USE; /* 0, GFS_ERR_INVALID, GFS_ERR_IO (errno) */
const struct site_conf *site_table_by_id(const struct site_table *t, uint32_t id);
const struct site_conf *site_table_by_name(const struct site_table *t, const char *name);

/* True when an open site of configuration a can serve for b: everything is the same but what the registry says of it (claimed,
 * drained). */
bool site_conf_same(const struct site_conf *a, const struct site_conf *b);

/* One site as an object of the table, with its id; what SITE_ADD carries. out is an own site_conf, freed with site_conf_free();
 * members that are absent have the schema's defaults, id may be absent. Not checked: see site_conf_check(). */
void site_json_print(const struct site_conf *site, bool with_secrets, struct strbuf *out);
int site_json_parse(struct slice json, struct site_conf *out) GFS_MUST_USE; /* 0 or GFS_ERR_INVALID */

#endif
