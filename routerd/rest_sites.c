/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/sites: the list from the board, and changes of the registry, which is the supervisor's. A new site is tried before it is
 * added: one that cannot be reached would only be added broken.
 */
#include "config.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/conf/schema.h"
#include "common/http/fields.h"
#include "common/xalloc.h"

#include "candidates.h"
#include "ops.h"
#include "rest.h"

/* ---- list ---- */

static void add_row(const struct worker *w, const struct site_conf *conf, bool stale, struct strbuf *out)
{
	struct strbuf uri = STRBUF_INIT;
	struct site_status st;
	char date[32];
	bool known = !stale && sites_board_get(&w->sites_board, conf->id, &st);

	if (!known)
		st = (struct site_status){.state = SITE_STATE_UNKNOWN};
	st.reason[sizeof(st.reason) - 1] = '\0';
	site_conf_uri(conf, &uri);
	strbuf_adds(out, "{\"name\":");
	strbuf_add_json(out, slice_str(conf->name));
	strbuf_addf(out, ",\"role\":\"%s\",\"healthy\":%s,\"state\":\"%s\",\"circuit_state\":\"%s\"", site_role_name(conf->role),
	            st.state == SITE_STATE_UP ? "true" : "false", site_state_name((enum site_state)st.state),
	            circuit_state_name((enum circuit_state)st.circuit));
	if (st.state != SITE_STATE_UP) {
		strbuf_adds(out, ",\"error\":");
		strbuf_add_json(out, slice_str(known ? (st.reason[0] ? st.reason : "not checked yet")
		                               : stale ? "not known: healthd is away" : "not checked yet"));
	}
	strbuf_adds(out, ",\"uri\":");
	strbuf_add_json(out, strbuf_slice(&uri));
	strbuf_addf(out, ",\"id\":%" PRIu32 ",\"drained\":%s", conf->id, conf->drained ? "true" : "false");
	if (st.latency_us > 0)
		strbuf_addf(out, ",\"latency_ms\":%.3f", (double)st.latency_us / 1000);
	if (st.checked_ms > 0) {
		http_rfc3339_format(st.checked_ms, true, date);
		strbuf_addf(out, ",\"last_checked_at\":\"%s\"", date);
	}
	strbuf_addc(out, '}');
	strbuf_free(&uri);
}

void rest_sites_list(struct request *req)
{
	const struct worker *w = req->worker;
	bool stale = sites_board_stale(&w->sites_board, clock_real_ms());
	struct strbuf out = STRBUF_INIT;

	req->op_name = "sites";
	strbuf_addc(&out, '[');
	for (size_t i = 0; i < w->n_sites; i++) {
		if (i)
			strbuf_addc(&out, ',');
		add_row(w, w->sites[i].conf, stale, &out);
	}
	strbuf_adds(&out, "]\n");
	response_json(req, 200, SLICE_LIT(""), strbuf_slice(&out));
	strbuf_free(&out);
}

/* ---- add ---- */

struct change {
	struct request *req;
	struct site_conf conf; /* of a site that is to be added */
	struct site *site;     /* a handle for the trial only */
	struct site_op *probe;
	uint64_t call;
};

static struct request *change_end(struct change *c)
{
	struct request *req = c->req;

	op_detach(req);
	site_op_cancel(&c->probe);
	site_close(&c->site);
	if (c->call)
		supervisor_change_cancel(req->worker->proc->supervisor, c->call);
	site_conf_free(&c->conf);
	free(c);
	return req;
}

static void on_abort(struct request *req)
{
	change_end(req->op);
}

static void change_begin(struct change *c, struct request *req)
{
	c->req = req;
	req->op = c;
	req->on_abort = on_abort;
}

static void on_added(void *arg, int err, uint32_t id, uint64_t epoch, const char *text)
{
	struct change *c = arg;
	struct strbuf out = STRBUF_INIT, uri = STRBUF_INIT;

	(void)epoch;
	c->call = 0;
	if (err) {
		op_error(change_end(c), err, text, 0);
		return;
	}
	site_conf_uri(&c->conf, &uri);
	strbuf_adds(&out, "{\"name\":");
	strbuf_add_json(&out, slice_str(c->conf.name));
	strbuf_addf(&out, ",\"role\":\"%s\",\"healthy\":true,\"id\":%" PRIu32 ",\"uri\":", site_role_name(c->conf.role), id);
	strbuf_add_json(&out, strbuf_slice(&uri));
	strbuf_adds(&out, "}\n");
	response_json(change_end(c), 201, SLICE_LIT(""), strbuf_slice(&out));
	strbuf_free(&out);
	strbuf_free(&uri);
}

static void on_probed(void *arg, const struct site_result *r, int64_t latency_us)
{
	struct change *c = arg;
	struct strbuf text = STRBUF_INIT;

	(void)latency_us;
	c->probe = NULL;
	/* No marker yet: that is how a site looks before its first use. healthd will claim it. */
	if (r->err == GFS_OK || r->err == GFS_ERR_SITE_MARKER) {
		c->call = supervisor_site_add(c->req->worker->proc->supervisor, &c->conf, on_added, c);
		return;
	}
	strbuf_addf(&text, "site %s: %s", c->conf.name, r->reason && r->reason[0] ? r->reason : gfs_err_text(r->err));
	response_status_error(change_end(c), r->err == GFS_ERR_SITE_FOREIGN ? 409 : 502, strbuf_str(&text));
	strbuf_free(&text);
}

struct add_field {
	const char *name;
	char **at;
};

static bool take_string(struct request *req, const char *field, json_t *value, char **at)
{
	char text[128];

	if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value)) {
		free(*at);
		*at = xstrdup(json_string_value(value));
		return true;
	}
	snprintf(text, sizeof(text), "%.64s: not a string", field);
	response_error(req, GFS_ERR_INVALID, text);
	return false;
}

static bool take_named(struct request *req, struct site_conf *conf, const char *field, json_t *value, bool *addressing)
{
	const char *s = json_string_value(value);
	char why[256], text[384];

	if (strcmp(field, "role") == 0 && s && site_role_parse(slice_str(s), &conf->role))
		return true;
	if (strcmp(field, "addressing") == 0 && s && (strcmp(s, "path") == 0 || strcmp(s, "virtual") == 0)) {
		conf->addressing = strcmp(s, "path") == 0 ? S3_PATH : S3_VIRTUAL;
		*addressing = true;
		return true;
	}
	if (strcmp(field, "tls_verify") == 0 && json_is_boolean(value)) {
		conf->tls_verify = json_is_true(value);
		return true;
	}
	if (strcmp(field, "role") == 0)
		snprintf(text, sizeof(text), "role: must be primary, backup or burst");
	else if (strcmp(field, "addressing") == 0)
		snprintf(text, sizeof(text), "addressing: must be path or virtual");
	else if (strcmp(field, "tls_verify") == 0)
		snprintf(text, sizeof(text), "tls_verify: must be true or false");
	else if (strcmp(field, "uri") == 0 && s && site_conf_from_uri(conf, slice_str(s), why, sizeof(why)) == GFS_OK)
		return true;
	else if (strcmp(field, "uri") == 0)
		snprintf(text, sizeof(text), "uri: %s", s ? why : "not a string");
	else
		snprintf(text, sizeof(text), "%.64s: unknown field", field);
	response_error(req, GFS_ERR_INVALID, text);
	return false;
}

/* False: answered. */
static bool take_fields(struct request *req, json_t *object, struct site_conf *conf)
{
	const struct add_field strings[] = {
		{"name", &conf->name}, {"s3_bucket", &conf->s3_bucket}, {"s3_region", &conf->s3_region},
		{"s3_endpoint", &conf->s3_endpoint}, {"prefix", &conf->prefix}, {"access_key", &conf->access_key},
		{"secret_key", &conf->secret_key}, {"session_token", &conf->session_token}, {"profile", &conf->profile},
		{"credentials_file", &conf->credentials_file}, {"ca_file", &conf->ca_file}, {"proxy", &conf->proxy},
		{"path", &conf->file_path},
	};
	const size_t n = sizeof(strings) / sizeof(strings[0]);
	json_t *uri = json_object_get(object, "uri"), *value;
	bool addressing = false;
	const char *field, *bad_field;
	char why[256], text[384];
	size_t i;

	/* The URI first: the other fields say it more precisely. */
	if (uri && !take_named(req, conf, "uri", uri, &addressing))
		return false;
	json_object_foreach(object, field, value) {
		for (i = 0; i < n && strcmp(field, strings[i].name) != 0; i++)
			;
		if (value == uri)
			continue;
		if (i < n ? !take_string(req, field, value, strings[i].at) : !take_named(req, conf, field, value, &addressing))
			return false;
	}
	if (!uri)
		conf->kind = conf->file_path && conf->file_path[0] ? SITE_KIND_FILE : SITE_KIND_S3;
	site_conf_settle(conf, addressing || (uri && !json_object_get(object, "s3_endpoint")));
	conf->runtime = true;
	if (site_conf_check(conf, &bad_field, why, sizeof(why)) == GFS_OK)
		return true;
	snprintf(text, sizeof(text), "%s: %s", strncmp(bad_field, "objectfs.", 9) == 0 ? bad_field + 9 : bad_field, why);
	response_error(req, GFS_ERR_INVALID, text);
	return false;
}

static bool name_is_free(struct request *req, const char *name)
{
	const struct worker *w = req->worker;
	char text[128];

	for (size_t i = 0; i < w->n_sites; i++) {
		if (strcmp(w->sites[i].conf->name, name) != 0)
			continue;
		snprintf(text, sizeof(text), "a site called %s exists already", name);
		response_error(req, GFS_ERR_SITE_EXISTS, text);
		return false;
	}
	return true;
}

static void on_json(struct request *req, json_t *object)
{
	struct change *c = xcalloc(1, sizeof(*c));
	char why[256];

	site_conf_init(&c->conf);
	c->conf.role = ROLE_PRIMARY;
	if (!take_fields(req, object, &c->conf) || !name_is_free(req, c->conf.name)) {
		site_conf_free(&c->conf);
		free(c);
		return;
	}
	change_begin(c, req);
	if (!req->worker->proc->supervisor) {
		op_error(change_end(c), GFS_ERR_UNAVAILABLE, "the supervisor is not there: sites cannot be changed", 0);
		return;
	}
	if (site_open(&req->worker->site_env, &c->conf, &c->site, why, sizeof(why)) != GFS_OK) {
		response_error(change_end(c), GFS_ERR_INVALID, why);
		return;
	}
	c->probe = site_probe(c->site, on_probed, c);
}

void rest_sites_add(struct request *req)
{
	req->op_name = "site-add";
	rest_json_read(req, on_json);
}

/* ---- remove, drain ---- */

/* Begins a change of a site that is there; NULL: answered. */
static struct change *change_of(struct request *req, struct slice name, char text[SITE_NAME_MAX])
{
	struct change *c;

	if (name.n == 0 || name.n >= SITE_NAME_MAX || memchr(name.p, '\0', name.n)) {
		response_error(req, name.n ? GFS_ERR_NO_SUCH_SITE : GFS_ERR_INVALID, name.n ? NULL : "the site's name is missing");
		return NULL;
	}
	if (!req->worker->proc->supervisor) {
		op_error(req, GFS_ERR_UNAVAILABLE, "the supervisor is not there: sites cannot be changed", 0);
		return NULL;
	}
	snprintf(text, SITE_NAME_MAX, "%.*s", (int)name.n, name.p);
	c = xcalloc(1, sizeof(*c));
	site_conf_init(&c->conf);
	change_begin(c, req);
	return c;
}

static void on_removed(void *arg, int err, uint32_t id, uint64_t epoch, const char *text)
{
	struct change *c = arg;
	struct request *req;

	(void)id, (void)epoch;
	c->call = 0;
	req = change_end(c);
	if (err) {
		op_error(req, err, text, 0);
		return;
	}
	response_start(req, 204, SLICE_LIT(""), 0);
	response_end(req);
}

void rest_sites_remove(struct request *req, struct slice name)
{
	struct change *c;
	char text[SITE_NAME_MAX];

	req->op_name = "site-remove";
	c = change_of(req, name, text);
	if (c)
		c->call = supervisor_site_remove(req->worker->proc->supervisor, text, on_removed, c);
}

/* This worker has taken the new table before the supervisor answered. */
static void on_resting(void *arg, int err, uint32_t id, uint64_t epoch, const char *text)
{
	struct change *c = arg;
	struct request *req;
	const struct worker *w;
	struct strbuf out = STRBUF_INIT;

	(void)epoch;
	c->call = 0;
	req = change_end(c);
	w = req->worker;
	for (size_t i = 0; !err && i < w->n_sites; i++) {
		if (w->sites[i].conf->id == id)
			add_row(w, w->sites[i].conf, sites_board_stale(&w->sites_board, clock_real_ms()), &out);
	}
	strbuf_addc(&out, '\n');
	if (err)
		op_error(req, err, text, 0);
	else if (out.n == 1)
		response_error(req, GFS_ERR_NO_SUCH_SITE, "the site was removed meanwhile");
	else
		response_json(req, 200, SLICE_LIT(""), strbuf_slice(&out));
	strbuf_free(&out);
}

void rest_sites_drain(struct request *req, struct slice name, bool drained)
{
	struct change *c;
	char text[SITE_NAME_MAX];

	req->op_name = drained ? "site-drain" : "site-undrain";
	c = change_of(req, name, text);
	if (c)
		c->call = supervisor_site_drain(req->worker->proc->supervisor, text, drained, on_resting, c);
}
