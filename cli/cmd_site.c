/* SPDX-License-Identifier: Apache-2.0 */
/* gfsctl site list, add, remove, drain, undrain: the site registry over the HTTP API. */
#include "config.h"

#include "ctl.h"

#include <stdlib.h>
#include <string.h>

#include "common/conf/conf.h"
#include "common/xalloc.h"

int run_site_list(struct ctl *ctl)
{
	struct globalfs *api = ctl_api(ctl);
	const struct globalfs_site *unused;
	json_t *sites;
	size_t n;
	int code;

	if (!api)
		return EXIT_USAGE;
	code = ctl_document(ctl, globalfs_site_list(api, &unused, &n), "site list", &sites);
	if (code == EXIT_OK)
		ctl->out->sites(sites);
	json_decref(sites);
	return code;
}

/* What the API takes: an S3 site by its fields, as ever; a directory by its URI. Returns how many. */
static size_t site_fields(const struct site_conf *site, const char *uri, struct globalfs_pair fields[3])
{
	const struct globalfs_pair s3[3] = {{"s3_bucket", site->s3_bucket}, {"s3_region", site->s3_region},
	                                    {"s3_endpoint", site->s3_endpoint}};
	size_t n = 0;

	if (site->kind != SITE_KIND_S3 || (site->prefix && *site->prefix) || strstr(uri, "addressing=")) {
		fields[0] = (struct globalfs_pair){"uri", uri};
		return 1;
	}
	for (size_t i = 0; i < 3; i++)
		if (s3[i].value && *s3[i].value)
			fields[n++] = s3[i];
	return n;
}

int run_site_add(struct ctl *ctl)
{
	const char *name = ctl_require(ctl, "name"), *uri = name ? ctl_require(ctl, "uri") : NULL;
	const char *role = args_get(ctl->args, "role");
	struct globalfs *api = uri ? ctl_api(ctl) : NULL;
	struct globalfs_pair fields[3];
	struct site_conf site;
	enum site_role parsed;
	json_t *answer = NULL;
	char why[256], *what;
	int code = EXIT_USAGE;

	if (!api)
		return EXIT_USAGE;
	if (!role)
		role = "primary";
	site_conf_init(&site);
	if (!site_role_parse(slice_str(role), &parsed)) {
		ctl_error("--role must be primary, backup or burst, not '%s'", role);
	} else if (site_conf_from_uri(&site, slice_str(uri), why, sizeof(why)) != 0) {
		ctl_error("--uri %s: %s", uri, why);
	} else {
		what = xasprintf("site %s", name);
		code = ctl_document(ctl, globalfs_site_add(api, name, role, fields, site_fields(&site, uri, fields), NULL), what, &answer);
		if (code == EXIT_OK)
			ctl->out->site_added(answer);
		free(what);
		json_decref(answer);
	}
	site_conf_free(&site);
	return code;
}

/* The operand, or --name. */
static const char *site_name(struct ctl *ctl)
{
	return ctl->args->n_operands ? ctl->args->operands[0] : ctl_require(ctl, "name");
}

int run_site_remove(struct ctl *ctl)
{
	const char *name = site_name(ctl);
	struct globalfs *api = name ? ctl_api(ctl) : NULL;
	int err, code = EXIT_OK;
	char *what;

	if (!api)
		return EXIT_USAGE;
	what = xasprintf("site %s", name);
	err = globalfs_site_remove(api, name);
	if (err)
		code = ctl_failed(ctl, err, what);
	else
		ctl->out->site_removed(name);
	free(what);
	return code;
}

static int change(struct ctl *ctl, int (*call)(struct globalfs *, const char *, const struct globalfs_site **), const char *verb)
{
	const char *name = site_name(ctl);
	struct globalfs *api = name ? ctl_api(ctl) : NULL;
	json_t *answer;
	char *what;
	int code;

	if (!api)
		return EXIT_USAGE;
	what = xasprintf("site %s", name);
	code = ctl_document(ctl, call(api, name, NULL), what, &answer);
	if (code == EXIT_OK)
		ctl->out->site_changed(answer, name, verb);
	json_decref(answer);
	free(what);
	return code;
}

int run_site_drain(struct ctl *ctl)
{
	return change(ctl, globalfs_site_drain, "drained");
}

int run_site_undrain(struct ctl *ctl)
{
	return change(ctl, globalfs_site_undrain, "undrained");
}
