/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment of one run of gfsctl, passed to every command. A command returns the exit code: 0, 1 refused or failed, 2 usage,
 * 3 unreachable.
 */
#ifndef GFSCTL_CTL_H
#define GFSCTL_CTL_H

#include "args.h"
#include "client/globalfs.h"
#include "output.h"

#define EXIT_OK 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_UNREACHABLE 3

struct ctl {
	const struct args *args;
	const struct output *out;
	struct globalfs *api; /* opened by ctl_api() */
};

#define COMMAND(id, words, operands, min, max, prose) int run_##id(struct ctl *ctl);
#include "commands.def"

/* "gfsctl: ..." on standard error, one line. */
void ctl_error(const char *fmt, ...) GFS_PRINTF(1, 2);
/* The HTTP API, opened at first use; NULL after a usage error that was told (exit 2). */
struct globalfs *ctl_api(struct ctl *ctl);
/* Tells why a call of libglobalfs returned err, with what ("site a") it was about; returns the exit code. */
int ctl_failed(struct ctl *ctl, int err, const char *what);
/* What a call left that returned err: EXIT_OK with the answer's document (owned), or the exit code after the error was told. */
int ctl_document(struct ctl *ctl, int err, const char *what, json_t **json_out);
/* A required option, or NULL after it was told. */
const char *ctl_require(struct ctl *ctl, const char *option);
/* "object KEY", fit to be shown. Returns owned. */
char *ctl_object_name(const char *key);
/* The configuration's file: -c, GLOBALFS_CONFIG, or the installed one when it is there; NULL when there is none. */
const char *ctl_config_path(const struct ctl *ctl);
/* Flushes standard output: EXIT_OK, or EXIT_FAILED after it was told. */
int ctl_flush(int code);

#endif
