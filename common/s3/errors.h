/* SPDX-License-Identifier: Apache-2.0 */
/* What an S3 store's refusal means in our words. Pure; the source is the S3 API Reference, "Error Responses". */
#ifndef GFS_S3_ERRORS_H
#define GFS_S3_ERRORS_H

#include "../error.h"
#include "../slice.h"

/* code: <Code> of the body, empty when there was no readable body. Only a store that itself says NoSuchKey is believed that a
 * key is absent: a 404 of anything else (no such bucket, a proxy's page) is a fault of the site. Never returns GFS_OK. */
int s3_error_map(int http_status, struct slice code);

#endif
