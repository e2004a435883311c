/* SPDX-License-Identifier: Apache-2.0 */
/* Until the S3 site is there: says so. */
#include "config.h"

#include <stdio.h>

#include "site_impl.h"

int site_s3_open(const struct site_env *env, const struct site_conf *conf, struct site **out, char *why, size_t cap)
{
	(void)env;
	*out = NULL;
	snprintf(why, cap, "site %s: S3 sites are not built in yet", conf->name);
	return GFS_ERR_UNSUPPORTED;
}
