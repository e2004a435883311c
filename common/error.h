/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of the suite. A function that can fail returns 0 or a negative enum gfs_err; the row in error.def decides the
 * HTTP status, the S3 code, whether it is worth a retry, and the exit code, so that they can never disagree.
 */
#ifndef GFS_ERROR_H
#define GFS_ERROR_H

#include <stdbool.h>

#define GFS_MUST_USE __attribute__((warn_unused_result))
#define GFS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Positive ordinals, used only to number the errors below. */
enum gfs_err_ordinal {
	GFS_ORD_OK = 0,
#define GFS_ERROR(name, text, http, s3, retry, code) GFS_ORD_##name,
#include "error.def"
#undef GFS_ERROR
	GFS_ORD_COUNT
};

enum gfs_err {
	GFS_OK = 0,
#define GFS_ERROR(name, text, http, s3, retry, code) GFS_ERR_##name = -GFS_ORD_##name,
#include "error.def"
#undef GFS_ERROR
};

/* All accept 0 ("ok", 200, "", false, 0) and any int; one that is not ours reads as GFS_ERR_INTERNAL. */
const char *gfs_err_name(int err); /* "NO_SUCH_KEY" */
const char *gfs_err_text(int err); /* "no such object" */
int gfs_err_http(int err);
const char *gfs_err_s3(int err);
bool gfs_err_retryable(int err);
int gfs_err_exit(int err);

/* The gfs_err that fits a system error: ENOENT -> NO_SUCH_KEY, ENOSPC and EDQUOT -> SITE_FULL, ENOMEM -> NOMEM,
 * EACCES and EPERM -> FORBIDDEN, ETIMEDOUT -> TIMEOUT, ECONNREFUSED ... -> CONNECT, anything else -> IO. */
int gfs_err_from_errno(int errnum);

#endif
