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
			printf("Configuration template written to %s\n", path);
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
	if (code == EXIT_OK)
		printf("%s\n", args_has(ctl->args, "json") ? "{\n  \"valid\": true\n}" : "Configuration is valid.");
	conf_destroy(&conf);
	return code;
}

int run_config_show(struct ctl *ctl)
{
	struct strbuf text = STRBUF_INIT;
	int code;
	struct conf *conf = load(ctl, &code);

	if (conf) {
		if (args_has(ctl->args, "json"))
			conf_print_json(conf, &text);
		else
			conf_print_yaml(conf, true, &text);
		fputs(strbuf_str(&text), stdout);
	}
	strbuf_free(&text);
	conf_destroy(&conf);
	return code;
}
