/* SPDX-License-Identifier: Apache-2.0 */
/* gfsctl status, info, version, completion. */
#include "config.h"

#include "ctl.h"

#include <stdlib.h>
#include <string.h>

int run_status(struct ctl *ctl)
{
	struct http *http = ctl_http(ctl);
	struct http_request req = {.method = "GET", .path = "/healthz"};
	struct http_answer answer;
	const char *text;
	int err, code;

	if (!http)
		return EXIT_USAGE;
	err = http_send(http, &req, &answer);
	text = strbuf_str(&answer.body);
	if (!err && answer.status == 200) {
		ctl->out->status(true, "");
		code = EXIT_OK;
	} else if (!err && answer.status == 503 && strncmp(text, "DEGRADED", 8) == 0) {
		text += strcspn(text, "\n");
		ctl->out->status(false, text + (*text == '\n'));
		code = EXIT_FAILED;
	} else {
		code = ctl_call_failed(ctl, err, &answer, "status");
	}
	http_answer_free(&answer);
	return code;
}

int run_info(struct ctl *ctl)
{
	json_t *info;
	int code = ctl_call(ctl, &(struct http_request){.method = "GET", .path = "/api/v1/info"}, "info", &info);

	if (code == EXIT_OK)
		ctl->out->info(info);
	json_decref(info);
	return code;
}

int run_version(struct ctl *ctl)
{
	ctl->out->version(PACKAGE_VERSION);
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
