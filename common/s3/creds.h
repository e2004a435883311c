/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an S3 site's credentials come from, first hit wins: the site's own access_key; the site's own profile or credentials_file;
 * AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN of the environment; the shared credentials file
 * (AWS_SHARED_CREDENTIALS_FILE, ~/.aws/credentials), profile AWS_PROFILE or "default". The file is read again when it
 * changed, so that rotated keys need no restart. Container and instance roles are not asked.
 */
#ifndef GFS_S3_CREDS_H
#define GFS_S3_CREDS_H

#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../slice.h"

struct site_conf;
struct s3_creds;

struct s3_creds_view {
	struct slice access_key, secret_key, session_token; /* borrowed until the next s3_creds_get() */
};

/* conf is borrowed for as long as the result lives. */
struct s3_creds *s3_creds_create(const struct site_conf *conf);
void s3_creds_destroy(struct s3_creds **creds);
/* Looks at the file at most once a second of now_mono_ms. 0, or GFS_ERR_FORBIDDEN with a sentence that says what was tried. */
int s3_creds_get(struct s3_creds *creds, int64_t now_mono_ms, struct s3_creds_view *out, char *why, size_t cap) GFS_MUST_USE;

/* The text of a shared credentials file: finds [profile] or [profile NAME]. Values borrow text. 0; GFS_ERR_NO_SUCH_KEY without
 * that section; GFS_ERR_INVALID when it lacks one of the two keys. Pure. */
int s3_creds_parse(struct slice text, const char *profile, struct s3_creds_view *out) GFS_MUST_USE;

#endif
