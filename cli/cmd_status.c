/* SPDX-License-Identifier: Apache-2.0 */
/* gfsctl status, ready, info, version, completion. */
#include "config.h"

#include "ctl.h"

#include <stdlib.h>
#include <string.h>

int run_status(struct ctl *ctl)
{
	struct globalfs *api = ctl_api(ctl);
	const char *details;
	int healthy, err;

	if (!api)
		return EXIT_USAGE;
	err = globalfs_health(api, args_has(ctl->args, "verbose"), &healthy, &details);
	if (err)
		return ctl_failed(ctl, err, "status");
	ctl->out->status(healthy ? "OK" : "DEGRADED", details);
	return healthy ? EXIT_OK : EXIT_FAILED;
}

int run_ready(struct ctl *ctl)
{
	const char *site = args_get(ctl->args, "site"), *max_lag = args_get(ctl->args, "max-lag"), *why;
	struct globalfs *api;
	int ready, err;

	if (max_lag && !site) {
		ctl_error("ready: --max-lag needs --site");
		return EXIT_USAGE;
	}
	api = ctl_api(ctl);
	if (!api)
		return EXIT_USAGE;
	err = globalfs_ready(api, site, max_lag, &ready, &why);
	if (err)
		return ctl_failed(ctl, err, "ready");
	ctl->out->status(ready ? "READY" : "NOT READY", why);
	return ready ? EXIT_OK : EXIT_FAILED;
}

int run_info(struct ctl *ctl)
{
	struct globalfs *api = ctl_api(ctl);
	const struct globalfs_info *unused;
	json_t *info;
	int code;

	if (!api)
		return EXIT_USAGE;
	code = ctl_document(ctl, globalfs_info(api, &unused), "info", &info);
	if (code == EXIT_OK)
		ctl->out->info(info);
	json_decref(info);
	return code;
}

int run_version(struct ctl *ctl)
{
	ctl->out->version(globalfs_version());
	return EXIT_OK;
}

int run_completion(struct ctl *ctl)
{
	struct strbuf script = STRBUF_INIT;
	int code = EXIT_OK;

	if (args_completion(ctl->args->operands[0], &script) != 0) {
		ctl_error("completion: unknown shell '%s': bash, zsh, fish or powershell", ctl->args->operands[0]);
		code = EXIT_USAGE;
	} else {
		fputs(strbuf_str(&script), stdout);
	}
	strbuf_free(&script);
	return code;
}
