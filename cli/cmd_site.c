/* SPDX-License-Identifier: Apache-2.0 */
/* gfsctl site list, add, remove: the site registry over the HTTP API. */
#include "config.h"

#include "ctl.h"

#include <stdlib.h>
#include <string.h>

#include "common/conf/conf.h"
#include "common/xalloc.h"

#define SITES_PATH "/api/v1/sites"

int run_site_list(struct ctl *ctl)
{
	json_t *sites;
	int code = ctl_call(ctl, &(struct http_request){.method = "GET", .path = SITES_PATH}, "site list", &sites);

	if (code == EXIT_OK)
		ctl->out->sites(sites);
	json_decref(sites);
	return code;
}

static void set_if(json_t *o, const char *name, const char *value)
{
	if (value && *value)
		json_object_set_new(o, name, json_string(value));
}

/* What the API takes: an S3 site by its fields, as ever; a directory by its URI. */
static json_t *site_body(const struct site_conf *site, const char *name, const char *role, const char *uri)
{
	json_t *body = json_object();

	set_if(body, "name", name);
	set_if(body, "role", role);
	if (site->kind == SITE_KIND_S3 && !(site->prefix && *site->prefix) && !strstr(uri, "addressing=")) {
		set_if(body, "s3_bucket", site->s3_bucket);
		set_if(body, "s3_region", site->s3_region);
		set_if(body, "s3_endpoint", site->s3_endpoint);
	} else {
		set_if(body, "uri", uri);
	}
	return body;
}

int run_site_add(struct ctl *ctl)
{
	const char *name = ctl_require(ctl, "name"), *uri = name ? ctl_require(ctl, "uri") : NULL;
	const char *role = args_get(ctl->args, "role");
	struct http_request req = {.method = "POST", .path = SITES_PATH};
	struct site_conf site;
	enum site_role parsed;
	json_t *body, *answer = NULL;
	char why[256], *dumped, *what;
	int code = EXIT_USAGE;

	if (!uri)
		return EXIT_USAGE;
	if (!role)
		role = "primary";
	site_conf_init(&site);
	if (!site_role_parse(slice_str(role), &parsed)) {
		ctl_error("--role must be primary, backup or burst, not '%s'", role);
	} else if (site_conf_from_uri(&site, slice_str(uri), why, sizeof(why)) != 0) {
		ctl_error("--uri %s: %s", uri, why);
	} else {
		body = site_body(&site, name, role, uri);
		dumped = json_dumps(body, JSON_COMPACT);
		what = xasprintf("site %s", name);
		req.body = slice_str(dumped);
		code = ctl_call(ctl, &req, what, &answer);
		if (code == EXIT_OK)
			ctl->out->site_added(answer ? answer : body);
		free(what);
		free(dumped);
		json_decref(body);
		json_decref(answer);
	}
	site_conf_free(&site);
	return code;
}

int run_site_remove(struct ctl *ctl)
{
	const char *name = ctl->args->n_operands ? ctl->args->operands[0] : ctl_require(ctl, "name");
	struct strbuf path = STRBUF_INIT;
	char *what;
	int code;

	if (!name)
		return EXIT_USAGE;
	strbuf_adds(&path, SITES_PATH "/");
	url_encode(&path, slice_str(name), "");
	what = xasprintf("site %s", name);
	code = ctl_call(ctl, &(struct http_request){.method = "DELETE", .path = strbuf_str(&path)}, what, NULL);
	if (code == EXIT_OK)
		ctl->out->site_removed(name);
	free(what);
	strbuf_free(&path);
	return code;
}
