/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table behind s3_error_map(): first by the store's own code, then by status for stores and proxies that send none. Called
 * by the S3 site for every answer that is not a success.
 */
#include "config.h"

#include "errors.h"

#include <stddef.h>

struct row {
	const char *code;
	int err;
};

static const struct row by_code[] = {
	{"AccessDenied", GFS_ERR_FORBIDDEN},
	{"AccountProblem", GFS_ERR_FORBIDDEN},
	{"AllAccessDisabled", GFS_ERR_FORBIDDEN},
	{"BadDigest", GFS_ERR_SITE_CORRUPT},
	{"ConditionalRequestConflict", GFS_ERR_CONFLICT},
	{"EntityTooLarge", GFS_ERR_TOO_LARGE},
	{"ExpiredToken", GFS_ERR_FORBIDDEN},
	{"InsufficientCapacity", GFS_ERR_SITE_FULL},
	{"InvalidAccessKeyId", GFS_ERR_FORBIDDEN},
	{"InvalidDigest", GFS_ERR_SITE_CORRUPT},
	{"InvalidObjectState", GFS_ERR_FORBIDDEN},
	{"InvalidRange", GFS_ERR_RANGE},
	{"InvalidToken", GFS_ERR_FORBIDDEN},
	{"KeyTooLongError", GFS_ERR_KEY_INVALID},
	{"MetadataTooLarge", GFS_ERR_META_INVALID},
	{"NoSuchKey", GFS_ERR_NO_SUCH_KEY},
	{"NoSuchVersion", GFS_ERR_NO_SUCH_KEY},
	{"NotImplemented", GFS_ERR_UNSUPPORTED},
	{"NotSignedUp", GFS_ERR_FORBIDDEN},
	{"OperationAborted", GFS_ERR_CONFLICT},
	{"PreconditionFailed", GFS_ERR_PRECONDITION},
	{"QuotaExceeded", GFS_ERR_SITE_FULL},
	{"RequestLimitExceeded", GFS_ERR_SITE_BUSY},
	{"RequestTimeTooSkewed", GFS_ERR_FORBIDDEN},
	{"RequestTimeout", GFS_ERR_TIMEOUT},
	{"ServiceUnavailable", GFS_ERR_SITE_BUSY},
	{"SignatureDoesNotMatch", GFS_ERR_FORBIDDEN},
	{"SlowDown", GFS_ERR_SITE_BUSY},
	{"SlowDownRead", GFS_ERR_SITE_BUSY},
	{"SlowDownWrite", GFS_ERR_SITE_BUSY},
	{"StorageFull", GFS_ERR_SITE_FULL},
	{"Throttling", GFS_ERR_SITE_BUSY},
	{"TooManyRequests", GFS_ERR_SITE_BUSY},
	{"XAmzContentSHA256Mismatch", GFS_ERR_SITE_CORRUPT},
};

static int by_status(int http_status)
{
	switch (http_status) {
	case 401:
	case 403:
		return GFS_ERR_FORBIDDEN;
	case 408:
		return GFS_ERR_TIMEOUT;
	case 409:
		return GFS_ERR_CONFLICT;
	case 412:
		return GFS_ERR_PRECONDITION;
	case 413:
		return GFS_ERR_TOO_LARGE;
	case 416:
		return GFS_ERR_RANGE;
	case 429:
	case 503:
		return GFS_ERR_SITE_BUSY;
	case 501:
		return GFS_ERR_UNSUPPORTED;
	case 504:
		return GFS_ERR_TIMEOUT;
	case 507:
		return GFS_ERR_SITE_FULL;
	default:
		return GFS_ERR_SITE_ERROR;
	}
}

int s3_error_map(int http_status, struct slice code)
{
	for (size_t i = 0; i < sizeof(by_code) / sizeof(by_code[0]); i++)
		if (slice_eq_str(code, by_code[i].code))
			return by_code[i].err;
	/* a store's own code that is not in the table: the status may still say more than "failed", but never "absent" */
	return by_status(http_status);
}
