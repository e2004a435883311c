/* SPDX-License-Identifier: Apache-2.0 */
/* Decided version against what a site has (architecture 2, derived generations; 5, higher generation wins). Pure. */
#include "config.h"

#include "judge.h"

#include <string.h>

static bool same_content(const struct version *v, const struct object_info *info)
{
	return info->size == v->size && info->etag[0] && strcmp(info->etag, v->etag) == 0;
}

enum judgement judge_site(const struct version *v, const struct object_info *info)
{
	if (!info)
		return v->deleted ? JUDGE_CURRENT : JUDGE_ACT;
	if (info->gen_tagged || gen_cmp(&info->gen, &v->gen) == 0) {
		int order = gen_cmp(&info->gen, &v->gen);

		if (order > 0)
			return JUDGE_NEWER;
		if (order < 0 || v->deleted)
			return JUDGE_ACT;
		/* The copy of a version whose layout is unknown has an ETag of its own. */
		if (info->size == v->size && (v->part_size == 0 || v->etag[0] == '\0' || info->etag[0] == '\0'))
			return JUDGE_CURRENT;
		return same_content(v, info) ? JUDGE_CURRENT : JUDGE_ACT;
	}
	if (!v->deleted && same_content(v, info))
		return JUDGE_CURRENT;
	return info->mtime_ms + JUDGE_CLOSE_MS < gen_ms(&v->gen) ? JUDGE_ACT : JUDGE_CONFLICT;
}
