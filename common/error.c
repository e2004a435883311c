/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind error.h, filled from error.def. */
#include "config.h"

#include "error.h"

#include <errno.h>
#include <stddef.h>

struct error_row {
	const char *name, *text, *s3;
	int http, exit;
	bool retryable;
};

static const struct error_row rows[GFS_ORD_COUNT] = {
	[GFS_ORD_OK] = {"OK", "ok", "", 200, 0, false},
#define GFS_ERROR(name, text, http, s3, retry, code) [GFS_ORD_##name] = {#name, text, s3, http, code, retry},
#include "error.def"
#undef GFS_ERROR
};

static const struct error_row *error_row(int err)
{
	if (err > 0 || err <= -GFS_ORD_COUNT)
		return &rows[GFS_ORD_INTERNAL];
	return &rows[-err];
}

const char *gfs_err_name(int err)
{
	return error_row(err)->name;
}

const char *gfs_err_text(int err)
{
	return error_row(err)->text;
}

int gfs_err_http(int err)
{
	return error_row(err)->http;
}

const char *gfs_err_s3(int err)
{
	return error_row(err)->s3;
}

bool gfs_err_retryable(int err)
{
	return error_row(err)->retryable;
}

int gfs_err_exit(int err)
{
	return error_row(err)->exit;
}

int gfs_err_from_errno(int errnum)
{
	switch (errnum) {
	case 0:
		return GFS_OK;
	case ENOENT:
		return GFS_ERR_NO_SUCH_KEY;
	case ENOMEM:
		return GFS_ERR_NOMEM;
	case EACCES:
	case EPERM:
	case EROFS:
		return GFS_ERR_FORBIDDEN;
	case ENOSPC:
	case EDQUOT:
		return GFS_ERR_SITE_FULL;
	case ETIMEDOUT:
		return GFS_ERR_TIMEOUT;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case ENETUNREACH:
	case EHOSTUNREACH:
		return GFS_ERR_CONNECT;
	default:
		return GFS_ERR_IO;
	}
}
