/* SPDX-License-Identifier: Apache-2.0 */
/* What all commands share: errors, the HTTP client, the configuration's place. Contract in ctl.h. */
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

struct http *ctl_http(struct ctl *ctl)
{
	const char *base = args_get(ctl->args, "coordinator-addr"), *key = args_get(ctl->args, "api-key");
	const char *file = args_get(ctl->args, "api-key-file");
	char *from_file = NULL, why[256];

	if (ctl->http)
		return ctl->http;
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
	if (http_open(base, key, &ctl->http, why, sizeof(why)) != 0)
		ctl_error("%s", why);
	free(from_file);
	return ctl->http;
}

int ctl_call_failed(struct ctl *ctl, int err, const struct http_answer *answer, const char *what)
{
	struct strbuf text = STRBUF_INIT;
	const char *id = http_header(answer, "x-request-id");

	if (err) {
		ctl_error("%s%s%s: %s", what, *what ? ": " : "", http_base(ctl->http), http_why(ctl->http));
		return err == GFS_ERR_CONNECT || answer->status == 0 ? EXIT_UNREACHABLE : EXIT_FAILED;
	}
	http_error_text(answer, &text);
	if (answer->status >= 500 && id)
		ctl_error("%s%s%s (status %ld, request %.64s)", what, *what ? ": " : "", strbuf_str(&text), answer->status, id);
	else
		ctl_error("%s%s%s (status %ld)", what, *what ? ": " : "", strbuf_str(&text), answer->status);
	strbuf_free(&text);
	return EXIT_FAILED;
}

int ctl_call(struct ctl *ctl, const struct http_request *req, const char *what, json_t **json_out)
{
	struct http *http = ctl_http(ctl);
	struct http_answer answer;
	json_error_t why;
	int err, code = EXIT_OK;

	if (json_out)
		*json_out = NULL;
	if (!http)
		return EXIT_USAGE;
	err = http_send(http, req, &answer);
	if (err || answer.status < 200 || answer.status > 299) {
		code = ctl_call_failed(ctl, err, &answer, what);
	} else if (json_out && answer.body.n > 0) {
		*json_out = json_loadb(answer.body.p, answer.body.n, 0, &why);
		if (!*json_out) {
			ctl_error("%s%s%s does not answer like a GlobalFS: %s", what, *what ? ": " : "", http_base(http), why.text);
			code = EXIT_FAILED;
		}
	}
	http_answer_free(&answer);
	return code;
}

const char *ctl_require(struct ctl *ctl, const char *option)
{
	const char *value = args_get(ctl->args, option);

	if (!value || !*value)
		ctl_error("%s: --%s is missing", commands[ctl->args->command].words, option);
	return value && *value ? value : NULL;
}

char *ctl_object_path(const char *key)
{
	struct strbuf path = STRBUF_INIT;

	strbuf_adds(&path, "/api/v1/objects/");
	url_encode(&path, slice_str(key), "/");
	return strbuf_steal(&path);
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
