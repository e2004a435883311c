/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be done at a site for a decided version, given what the site has: pure. */
#ifndef GFS_REPLD_JUDGE_H
#define GFS_REPLD_JUDGE_H

#include "common/object.h"
#include "version.h"

enum judgement {
	JUDGE_CURRENT,  /* the site has what was decided */
	JUDGE_ACT,      /* copy or delete */
	JUDGE_NEWER,    /* it has a version of this namespace that is newer than the decided one */
	JUDGE_CONFLICT, /* something was put there behind our back, close to or after the decided version: hands off */
};

/* An object without a tag counts as older only when it is older by this much: clocks differ, stores keep whole seconds. */
#define JUDGE_CLOSE_MS 5000

/* info NULL: the site has no such object. */
enum judgement judge_site(const struct version *v, const struct object_info *info);

#endif
