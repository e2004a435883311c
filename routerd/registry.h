/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The site registry: state_dir/sites, owned and written by the supervisor alone. It joins the sites of the configuration file
 * with what was decided at run time (ids, claims, drains, sites added or removed by the API). The file holds the table of the
 * last epoch as sites.h prints it, with three members more: next_id, removed (file sites that the API removed, which therefore
 * stay away), and past (where sites lay that are gone: the same place added again gets its old id back, because that is the id
 * in its marker). Every change is on disk before it is told.
 */
#ifndef GFS_REGISTRY_H
#define GFS_REGISTRY_H

#include "common/sites.h"

struct registry;

/* Loads state_dir/sites or begins a new namespace, joins conf's sites, saves when that changed something. 0; GFS_ERR_IO,
 * GFS_ERR_INVALID (the file is damaged), GFS_ERR_CONFIG (a site now points elsewhere), with a sentence in why. */
int registry_open(const char *state_dir, const struct conf *conf, struct registry **out, char *why, size_t cap) GFS_MUST_USE;
void registry_destroy(struct registry **r);
const struct site_table *registry_table(const struct registry *r); /* borrowed until the next change */

/* The changes: 0 with the site's id, and a new epoch; or an error with a sentence, and nothing has changed.
 * add: GFS_ERR_INVALID, GFS_ERR_SITE_EXISTS, GFS_ERR_CONFLICT
 * (as many as there can be), GFS_ERR_BUSY (no ids left). Others: GFS_ERR_NO_SUCH_SITE. All: GFS_ERR_IO. */
int registry_add(struct registry *r, const struct site_conf *site, uint32_t *id_out, char *why, size_t cap) GFS_MUST_USE;
int registry_remove(struct registry *r, struct slice name, uint32_t *id_out, char *why, size_t cap) GFS_MUST_USE;
/* A site that is as wanted already, and a claim that was known already, are 0 without a new epoch. */
int registry_drain(struct registry *r, struct slice name, bool drained, uint32_t *id_out, char *why, size_t cap) GFS_MUST_USE;
int registry_claim(struct registry *r, uint32_t id, char *why, size_t cap) GFS_MUST_USE;

#endif
