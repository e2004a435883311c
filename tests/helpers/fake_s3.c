/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for the S3 kind in programs that test other kinds only. */
#include "config.h"

#include <stdio.h>

#include "common/site_impl.h"

__attribute__((weak)) int site_s3_open(const struct site_env *env, const struct site_conf *conf, struct site **out, char *why,
                                       size_t cap)
{
	(void)env;
	(void)conf;
	(void)out;
	snprintf(why, cap, "no S3 sites in this test");
	return GFS_ERR_UNSUPPORTED;
}
