/* SPDX-License-Identifier: Apache-2.0 */
/* What all commands share: errors, the HTTP API, the configuration's place. Contract in ctl.h. */
#include "config.h"

#include "ctl.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"

void ctl_error(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++) /* one line, whatever a server or a key holds */
		if (iscntrl((unsigned char)*p))
			*p = '?';
	fflush(stdout);
	fprintf(stderr, "gfsctl: %s\n", text);
}

int ctl_flush(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (code == EXIT_OK && errno != EPIPE) /* who reads knows that it stopped */
		ctl_error("standard output: %s", strerror(errno));
	return code == EXIT_OK ? EXIT_FAILED : code;
}

/* First line of the file. Returns owned, or NULL after the error was told. */
static char *read_key_file(const char *path)
{
	char line[1024];
	FILE *f = fopen(path, "re");

	if (!f || !fgets(line, sizeof(line), f)) {
		ctl_error("API key file %s: %s", path, f && !ferror(f) ? "is empty" : strerror(errno));
		if (f)
			fclose(f);
		return NULL;
	}
	fclose(f);
	line[strcspn(line, "\r\n")] = '\0';
	return xstrdup(line);
}

struct globalfs *ctl_api(struct ctl *ctl)
{
	const char *base = args_get(ctl->args, "coordinator-addr"), *key = args_get(ctl->args, "api-key");
	const char *file = args_get(ctl->args, "api-key-file"), *ca_file = args_get(ctl->args, "ca-file");
	char *from_file = NULL;

	if (ctl->api)
		return ctl->api;
	if (!base)
		base = getenv("GLOBALFS_COORDINATOR");
	if (!base || !*base)
		base = "http://localhost:8090";
	if (!key && file) {
		key = from_file = read_key_file(file);
		if (!key)
			return NULL;
	}
	if (!key)
		key = getenv("GLOBALFS_API_KEY");
	switch (globalfs_open(base, &ctl->api)) {
	case GLOBALFS_OK:
		break;
	case GLOBALFS_ERR_USAGE:
		ctl_error("the coordinator's address is not http://HOST:PORT or https://HOST:PORT: %.100s", base);
		break;
	default:
		ctl_error("out of memory");
	}
	if (ctl->api && globalfs_set_api_key(ctl->api, key) != 0) {
		ctl_error("the API key has a character that cannot be sent");
		globalfs_close(&ctl->api);
	}
	if (ctl->api && (globalfs_set_user_agent(ctl->api, "gfsctl/" PACKAGE_VERSION) != 0 ||
	                 globalfs_set_ca_file(ctl->api, ca_file) != 0)) {
		ctl_error("%s", globalfs_error(ctl->api)->message);
		globalfs_close(&ctl->api);
	}
	free(from_file);
	return ctl->api;
}

int ctl_failed(struct ctl *ctl, int err, const char *what)
{
	const struct globalfs_error *e = globalfs_error(ctl->api);

	if (err == GLOBALFS_ERR_USAGE) {
		ctl_error("%s: %s", what, e->message);
		return EXIT_USAGE;
	}
	if (err != GLOBALFS_ERR_STATUS) {
		ctl_error("%s: %s: %s", what, globalfs_url(ctl->api), e->message);
		return err == GLOBALFS_ERR_CONNECT || e->status == 0 ? EXIT_UNREACHABLE : EXIT_FAILED;
	}
	/* What it is about is often said already: "site east: no such directory". */
	if (strncmp(e->message, what, strlen(what)) == 0 && e->message[strlen(what)] == ':')
		what = "";
	if (e->status >= 500 && *e->request_id)
		ctl_error("%s%s%s (status %ld, request %.64s)", what, *what ? ": " : "", e->message, e->status, e->request_id);
	else
		ctl_error("%s%s%s (status %ld)", what, *what ? ": " : "", e->message, e->status);
	return EXIT_FAILED;
}

int ctl_document(struct ctl *ctl, int err, const char *what, json_t **json_out)
{
	json_error_t why;
	size_t n;
	const char *text;

	*json_out = NULL;
	if (err)
		return ctl_failed(ctl, err, what);
	text = globalfs_body(ctl->api, &n);
	*json_out = json_loadb(text, n, 0, &why);
	if (*json_out)
		return EXIT_OK;
	ctl_error("%s: %s: %s", what, globalfs_url(ctl->api), why.text);
	return EXIT_FAILED;
}

const char *ctl_require(struct ctl *ctl, const char *option)
{
	const char *value = args_get(ctl->args, option);

	if (!value || !*value)
		ctl_error("%s: --%s is missing", commands[ctl->args->command].words, option);
	return value && *value ? value : NULL;
}

char *ctl_object_name(const char *key)
{
	char *safe = printable(key), *name = xasprintf("object %s", safe);

	free(safe);
	return name;
}

const char *ctl_config_path(const struct ctl *ctl)
{
	const char *path = args_get(ctl->args, "config");

	if (!path)
		path = getenv("GLOBALFS_CONFIG");
	if (path && *path)
		return path;
	return access(GFS_SYSCONFDIR "/globalfs.yaml", F_OK) == 0 ? GFS_SYSCONFDIR "/globalfs.yaml" : NULL;
}
