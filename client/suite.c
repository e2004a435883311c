/* SPDX-License-Identifier: Apache-2.0 */
/* Sites, replication, where the copies of an object are, and how the suite is. Contract in globalfs.h. */
#include "config.h"

#include "client/impl.h"

#include <stdlib.h>
#include <string.h>

#define SITES "/api/v1/sites"

/* One document at a fixed place. */
static int ask_at(struct globalfs *h, const char *method, const char *place, char *json, bool wants_document)
{
	struct gfsc_buf path = {0};
	int err;

	gfsc_buf_adds(&path, place);
	err = gfsc_ask(h, method, &path, json, wants_document);
	gfsc_buf_free(&path);
	return err;
}

static int not_ours(struct globalfs *h)
{
	return gfsc_fail(h, GLOBALFS_ERR_PROTOCOL, "does not answer like a GlobalFS: the document has another shape");
}

static int no_memory(struct globalfs *h)
{
	return gfsc_fail(h, GLOBALFS_ERR_NOMEM, "out of memory");
}

/* ---- sites ---- */

static void site_fill(struct globalfs_site *site, const json_t *o)
{
	*site = (struct globalfs_site){
		.id = gfsc_number(o, "id"), .name = gfsc_text(o, "name"), .role = gfsc_text(o, "role"), .uri = gfsc_text(o, "uri"),
		.state = gfsc_text(o, "state"), .circuit_state = gfsc_text(o, "circuit_state"), .error = gfsc_text(o, "error"),
		.last_checked_at = gfsc_text(o, "last_checked_at"), .healthy = gfsc_flag(o, "healthy") == 1,
		.drained = gfsc_flag(o, "drained") == 1, .latency_ms = gfsc_real(o, "latency_ms"),
	};
}

int globalfs_site_list(struct globalfs *h, const struct globalfs_site **sites_out, size_t *n_out)
{
	struct globalfs_site *sites;
	const json_t *row;
	size_t i;
	int err = gfsc_begin(h);

	*sites_out = NULL;
	*n_out = 0;
	if (!err)
		err = ask_at(h, "GET", SITES, NULL, true);
	if (err)
		return err;
	if (!json_is_array(h->doc))
		return not_ours(h);
	sites = gfsc_keep(h, calloc(json_array_size(h->doc) + 1, sizeof(*sites)));
	if (!sites)
		return no_memory(h);
	json_array_foreach(h->doc, i, row) {
		if (!json_is_object(row))
			return not_ours(h);
		site_fill(&sites[i], row);
	}
	*sites_out = sites;
	*n_out = i;
	return 0;
}

/* The answer is a site's object. */
static int take_site(struct globalfs *h, const struct globalfs_site **site_out)
{
	struct globalfs_site *site;

	if (!json_is_object(h->doc))
		return not_ours(h);
	site = gfsc_keep(h, malloc(sizeof(*site)));
	if (!site)
		return no_memory(h);
	site_fill(site, h->doc);
	if (site_out)
		*site_out = site;
	return 0;
}

/* The JSON text of name, role and fields, owned; NULL: out of memory or not UTF-8. */
static char *site_json(const char *name, const char *role, const struct globalfs_pair *fields, size_t n)
{
	json_t *o = json_object();
	char *text = NULL;
	int err = json_object_set_new(o, "name", json_string(name));

	if (role)
		err |= json_object_set_new(o, "role", json_string(role));
	for (size_t i = 0; i < n; i++)
		err |= json_object_set_new(o, fields[i].name, json_string(fields[i].value));
	if (!err)
		text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

int globalfs_site_add(struct globalfs *h, const char *name, const char *role, const struct globalfs_pair *fields, size_t n_fields,
                      const struct globalfs_site **site_out)
{
	char *json;
	int err = gfsc_begin(h);

	if (site_out)
		*site_out = NULL;
	if (err)
		return err;
	if (!name || !*name)
		return gfsc_fail(h, GLOBALFS_ERR_USAGE, "the site's name is empty");
	json = site_json(name, role, fields, n_fields);
	if (!json)
		return gfsc_fail(h, GLOBALFS_ERR_USAGE, "a field of the site is not UTF-8, or memory is short");
	err = ask_at(h, "POST", SITES, json, true);
	return err ? err : take_site(h, site_out);
}

static int site_change(struct globalfs *h, const char *method, const char *name, const char *verb,
                       const struct globalfs_site **site_out)
{
	struct gfsc_buf path = {0};
	int err = gfsc_begin(h);

	if (site_out)
		*site_out = NULL;
	if (!err)
		err = gfsc_path(h, &path, SITES "/", name, "");
	if (!err) {
		gfsc_buf_adds(&path, verb);
		err = gfsc_ask(h, method, &path, NULL, *verb != '\0');
	}
	if (!err && *verb)
		err = take_site(h, site_out);
	gfsc_buf_free(&path);
	return err;
}

int globalfs_site_remove(struct globalfs *h, const char *name)
{
	return site_change(h, "DELETE", name, "", NULL);
}

int globalfs_site_drain(struct globalfs *h, const char *name, const struct globalfs_site **site_out)
{
	return site_change(h, "POST", name, "/drain", site_out);
}

int globalfs_site_undrain(struct globalfs *h, const char *name, const struct globalfs_site **site_out)
{
	return site_change(h, "POST", name, "/undrain", site_out);
}

/* ---- copies ---- */

int globalfs_replicate(struct globalfs *h, const char *key, const char *from, const char *to)
{
	json_t *o;
	char *json;
	int err = gfsc_begin(h);

	if (err)
		return err;
	o = json_pack("{s:s, s:s, s:s}", "key", key ? key : "", "from", from ? from : "", "to", to ? to : "");
	json = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!json)
		return gfsc_fail(h, GLOBALFS_ERR_USAGE, "key or site is not UTF-8, or memory is short");
	return ask_at(h, "POST", "/api/v1/replicate", json, true);
}

static void copy_fill(struct globalfs_copy *copy, const json_t *o)
{
	const json_t *c = json_object_get(o, "copy");

	*copy = (struct globalfs_copy){
		.site = gfsc_text(o, "name"), .role = gfsc_text(o, "role"), .state = gfsc_text(o, "state"),
		.circuit_state = gfsc_text(o, "circuit_state"), .drained = gfsc_flag(o, "drained") == 1,
		.routed = gfsc_flag(o, "routed") == 1, .place = (int)gfsc_number(o, "place"), .why = gfsc_text(o, "why"),
		.current = gfsc_flag(o, "current"), .present = gfsc_flag(c, "present"), .size = gfsc_number(c, "size"),
		.etag = gfsc_text(c, "etag"), .generation = gfsc_text(c, "generation"), .last_modified = gfsc_text(c, "last_modified"),
		.error = gfsc_text(c, "error"),
	};
}

int globalfs_where(struct globalfs *h, const char *key, const struct globalfs_where **out)
{
	struct gfsc_buf path = {0};
	struct globalfs_copy *copies;
	const json_t *rows, *read, *row;
	size_t i;
	int err = gfsc_begin(h);

	*out = NULL;
	if (!err)
		err = gfsc_path(h, &path, "/api/v1/where/", key, "/");
	if (!err)
		err = gfsc_ask(h, "GET", &path, NULL, true);
	gfsc_buf_free(&path);
	if (err)
		return err;
	rows = json_object_get(h->doc, "sites");
	read = json_object_get(h->doc, "read");
	if (!json_is_array(rows))
		return not_ours(h);
	copies = gfsc_keep(h, calloc(json_array_size(rows) + 1, sizeof(*copies)));
	if (!copies)
		return no_memory(h);
	json_array_foreach(rows, i, row)
		copy_fill(&copies[i], row);
	h->where = (struct globalfs_where){
		.key = gfsc_text(h->doc, "key"), .known = gfsc_flag(h->doc, "known"), .deleted = gfsc_flag(h->doc, "deleted"),
		.decided = gfsc_flag(h->doc, "decided"), .generation = gfsc_text(h->doc, "generation"),
		.etag = gfsc_text(h->doc, "etag"), .size = gfsc_number(h->doc, "size"), .rule = gfsc_text(h->doc, "rule"),
		.read_site = gfsc_text(read, "site"), .read_why = gfsc_text(read, "why"), .copies = copies, .n_copies = i,
	};
	*out = &h->where;
	return 0;
}

/* ---- the suite ---- */

static int64_t count(const json_t *o, const char *name)
{
	int64_t n = gfsc_number(o, name);

	return n < 0 ? 0 : n;
}

int globalfs_info(struct globalfs *h, const struct globalfs_info **out)
{
	const json_t *roles, *health;
	int err = gfsc_begin(h);

	*out = NULL;
	if (!err)
		err = ask_at(h, "GET", "/api/v1/info", NULL, true);
	if (err)
		return err;
	if (!json_is_object(h->doc))
		return not_ours(h);
	roles = json_object_get(h->doc, "sites_by_role");
	health = json_object_get(h->doc, "health");
	h->info = (struct globalfs_info){
		.version = gfsc_text(h->doc, "version"), .cluster = gfsc_text(h->doc, "cluster"),
		.uptime_s = gfsc_real(h->doc, "uptime_seconds"), .sites = count(h->doc, "sites"),
		.primary_sites = count(roles, "primary"), .backup_sites = count(roles, "backup"), .burst_sites = count(roles, "burst"),
		.replication_queue_depth = count(h->doc, "replication_queue_depth"), .is_leader = gfsc_flag(h->doc, "is_leader") == 1,
		.healthy = count(health, "healthy"), .unhealthy = count(health, "unhealthy"),
		.last_checked_at = gfsc_text(health, "last_checked_at"),
	};
	*out = &h->info;
	return 0;
}

int globalfs_health(struct globalfs *h, int verbose, int *healthy_out, const char **details_out)
{
	const char *text;
	int err = gfsc_begin(h);

	*healthy_out = 0;
	if (details_out)
		*details_out = "";
	if (!err)
		err = ask_at(h, "GET", verbose ? "/healthz?verbose=1" : "/healthz", NULL, false);
	text = gfsc_buf_str(&h->body);
	if (err == GLOBALFS_ERR_STATUS && h->error.status == 503 && strncmp(text, "DEGRADED", 8) == 0) {
		err = h->error.code = 0;
		h->message[0] = '\0';
	} else if (!err && strncmp(text, "OK", 2) == 0) {
		*healthy_out = 1;
	} else {
		return err ? err : gfsc_fail(h, GLOBALFS_ERR_PROTOCOL, "does not answer like a GlobalFS");
	}
	text += strcspn(text, "\n");
	if (details_out)
		*details_out = text + (*text == '\n');
	return err;
}

int globalfs_ready(struct globalfs *h, const char *site, const char *max_lag, int *ready_out, const char **why_out)
{
	struct gfsc_buf path = {0};
	int err = gfsc_begin(h);

	*ready_out = 0;
	if (why_out)
		*why_out = "";
	if (err)
		return err;
	gfsc_buf_adds(&path, "/readyz");
	if (site && *site) {
		gfsc_buf_adds(&path, "?site=");
		gfsc_buf_add_encoded(&path, site, "");
	}
	if (max_lag && *max_lag) {
		gfsc_buf_adds(&path, site && *site ? "&max_lag=" : "?max_lag=");
		gfsc_buf_add_encoded(&path, max_lag, "");
	}
	err = gfsc_ask(h, "GET", &path, NULL, false);
	gfsc_buf_free(&path);
	*ready_out = !err;
	if (err != GLOBALFS_ERR_STATUS || h->error.status != 503)
		return err;
	if (why_out)
		*why_out = gfsc_keep(h, strdup(h->message));
	if (why_out && !*why_out)
		*why_out = "";
	h->message[0] = '\0';
	return h->error.code = 0;
}

int globalfs_metrics(struct globalfs *h, const char **text_out, size_t *size_out)
{
	int err = gfsc_begin(h);

	*text_out = "";
	*size_out = 0;
	if (!err)
		err = ask_at(h, "GET", "/metrics", NULL, false);
	if (!err)
		*text_out = globalfs_body(h, size_out);
	return err;
}
