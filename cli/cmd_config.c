/* SPDX-License-Identifier: Apache-2.0 */
/* gfsctl config init, validate, show: the configuration without any daemon. */
#include "config.h"

#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf/conf.h"
#include "common/sites.h"
#include "common/xalloc.h"

static int write_new(const char *path, const struct strbuf *text, bool force)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0644);
	int err = fd < 0 ? errno : 0;
	size_t at = 0;
	ssize_t n;

	if (err == EEXIST) {
		ctl_error("%s: is there already; --force overwrites it", path);
		return EXIT_FAILED;
	}
	while (!err && at < text->n) {
		n = write(fd, text->p + at, text->n - at);
		if (n < 0 && errno != EINTR)
			err = errno;
		at += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0 && (fsync(fd) != 0 && errno != EINVAL && !err))
		err = errno;
	if (fd >= 0 && close(fd) != 0 && !err)
		err = errno;
	if (!err)
		return EXIT_OK;
	ctl_error("%s: %s", path, strerror(err));
	return EXIT_FAILED;
}

int run_config_init(struct ctl *ctl)
{
	const char *path = args_get(ctl->args, "output");
	struct strbuf text = STRBUF_INIT;
	int code = EXIT_OK;

	conf_print_template(&text);
	if (path && strcmp(path, "-") != 0) {
		code = write_new(path, &text, args_has(ctl->args, "force"));
		if (code == EXIT_OK)
			ctl->out->config_written(path);
	} else {
		fputs(strbuf_str(&text), stdout);
	}
	strbuf_free(&text);
	return code;
}

static void tell(const struct strbuf *lines, const char *kind)
{
	const char *p = strbuf_str(lines), *end;

	fflush(stdout);
	for (; *p; p = end + 1) {
		end = strchrnul(p, '\n');
		fprintf(stderr, "gfsctl: %s%.*s\n", kind, (int)(end - p), p);
		if (!*end)
			break;
	}
}

/* Loads FILE or the default one, and tells faults and warnings. NULL: code_out says how to exit. */
static struct conf *load(struct ctl *ctl, int *code_out)
{
	const char *path = ctl->args->n_operands ? ctl->args->operands[0] : ctl_config_path(ctl);
	struct conf_report report = {0};
	struct conf *conf = NULL;
	int err;

	*code_out = EXIT_USAGE;
	if (!path) {
		ctl_error("no configuration: name a FILE, or set GLOBALFS_CONFIG; %s is not there", GFS_SYSCONFDIR "/globalfs.yaml");
		return NULL;
	}
	err = strcmp(path, "-") == 0 ? conf_load("standard input", STDIN_FILENO, &conf, &report) : conf_load(path, -1, &conf, &report);
	tell(&report.warnings, "warning: ");
	tell(&report.errors, "");
	conf_report_free(&report);
	*code_out = err ? EXIT_FAILED : EXIT_OK;
	return conf;
}

int run_config_validate(struct ctl *ctl)
{
	int code;
	struct conf *conf = load(ctl, &code);

	if (conf && conf->n_sites == 0) {
		ctl_error("%s: sites: at least one site is needed", conf->path);
		code = EXIT_FAILED;
	}
	if (code != EXIT_USAGE) /* else there was none to judge */
		ctl->out->config_judged(code == EXIT_OK);
	conf_destroy(&conf);
	return code;
}

/* ---- what was changed while the suite ran: the registry overrides the file ---- */

/* {"file": path, "added": [{name, role, uri}], "removed": [name], "drained": [name]}, or NULL when nothing differs. Returns
 * owned. */
static json_t *registry_changes(const struct conf *conf)
{
	char *path = xasprintf("%s/sites", conf->global.state_dir);
	json_t *changes = NULL, *added = json_array(), *drained = json_array(), *removed, *root = json_load_file(path, 0, NULL);
	struct site_table *table = NULL;
	struct strbuf uri = STRBUF_INIT;

	if (site_table_from_file(path, &table) == 0) {
		for (size_t i = 0; i < table->n; i++) {
			const struct site_conf *site = &table->v[i];

			if (site->drained)
				json_array_append_new(drained, json_string(site->name));
			if (!site->runtime)
				continue;
			strbuf_reset(&uri);
			site_conf_uri(site, &uri);
			json_array_append_new(added, json_pack("{s:s, s:s, s:s}", "name", site->name, "role", site_role_name(site->role), "uri",
			                                       strbuf_str(&uri)));
		}
	}
	removed = json_object_get(root, "removed");
	if (json_array_size(added) > 0 || json_array_size(removed) > 0 || json_array_size(drained) > 0)
		changes = json_pack("{s:s, s:O, s:o, s:O}", "file", path, "added", added, "removed",
		                    json_is_array(removed) ? json_incref(removed) : json_array(), "drained", drained);
	site_table_destroy(&table);
	strbuf_free(&uri);
	json_decref(added);
	json_decref(drained);
	json_decref(root);
	free(path);
	return changes;
}

static void print_changes(const json_t *changes, struct strbuf *out)
{
	const char *file = json_string_value(json_object_get(changes, "file"));
	const json_t *item;
	size_t i;

	if (!changes)
		return;
	json_array_foreach(json_object_get(changes, "added"), i, item)
		strbuf_addf(out, "# %s: site %s (%s, %s) was added at run time\n", file, json_string_value(json_object_get(item, "name")),
		            json_string_value(json_object_get(item, "role")), json_string_value(json_object_get(item, "uri")));
	json_array_foreach(json_object_get(changes, "removed"), i, item)
		if (json_is_string(item))
			strbuf_addf(out, "# %s: site %s of the configuration was removed at run time\n", file, json_string_value(item));
	json_array_foreach(json_object_get(changes, "drained"), i, item)
		strbuf_addf(out, "# %s: site %s is drained\n", file, json_string_value(item));
}

static void show_json(const struct conf *conf, json_t *changes)
{
	struct strbuf text = STRBUF_INIT;
	json_t *root;

	conf_print_json(conf, &text);
	root = changes ? json_loadb(strbuf_str(&text), text.n, 0, NULL) : NULL;
	if (root) {
		json_object_set(root, "registry", changes);
		json_dumpf(root, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(root);
	} else {
		fputs(strbuf_str(&text), stdout);
	}
	strbuf_free(&text);
}

int run_config_show(struct ctl *ctl)
{
	struct strbuf text = STRBUF_INIT;
	json_t *changes;
	int code;
	struct conf *conf = load(ctl, &code);

	if (!conf)
		return code;
	changes = registry_changes(conf);
	if (args_has(ctl->args, "json")) {
		show_json(conf, changes);
	} else {
		conf_print_yaml(conf, true, &text);
		print_changes(changes, &text);
		fputs(strbuf_str(&text), stdout);
	}
	json_decref(changes);
	strbuf_free(&text);
	conf_destroy(&conf);
	return code;
}
