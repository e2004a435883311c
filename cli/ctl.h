/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment of one run of gfsctl, passed to every command. A command returns the exit code: 0, 1 refused or failed, 2 usage,
 * 3 unreachable.
 */
#ifndef GFSCTL_CTL_H
#define GFSCTL_CTL_H

#include "args.h"
#include "http_client.h"
#include "output.h"

#define EXIT_OK 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_UNREACHABLE 3

struct ctl {
	const struct args *args;
	const struct output *out;
	struct http *http; /* opened by ctl_http() */
};

#define COMMAND(id, words, operands, min, max, prose) int run_##id(struct ctl *ctl);
#include "commands.def"

/* "gfsctl: ..." on standard error, one line. */
void ctl_error(const char *fmt, ...) GFS_PRINTF(1, 2);
/* The client, opened at first use; NULL after a usage error that was told (exit 2). */
struct http *ctl_http(struct ctl *ctl);
/* Sends a small request and parses the JSON answer. Returns EXIT_OK with *json_out (owned; NULL for an empty body), or the
 * exit code after the error was told, with what ("site a") in it. json_out may be NULL. */
int ctl_call(struct ctl *ctl, const struct http_request *req, const char *what, json_t **json_out);
/* Tells why a call failed (err of http_send, or 0 and the answer's status); returns the exit code. */
int ctl_call_failed(struct ctl *ctl, int err, const struct http_answer *answer, const char *what);
/* A required option, or NULL after it was told. */
const char *ctl_require(struct ctl *ctl, const char *option);
/* "/api/v1/objects/KEY", percent-encoded. Returns owned. */
char *ctl_object_path(const char *key);
/* The configuration's file: -c, GLOBALFS_CONFIG, or the installed one when it is there; NULL when there is none. */
const char *ctl_config_path(const struct ctl *ctl);
/* Flushes standard output: EXIT_OK, or EXIT_FAILED after it was told. */
int ctl_flush(int code);

#endif
