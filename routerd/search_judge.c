/* SPDX-License-Identifier: Apache-2.0 */
/* What the answers of a search amount to: is this copy the current one, is the object known to be absent, and what to tell the
 * client when no site has it. Called by search.c. */
#include "config.h"

#include <stdio.h>

#include "common/clock.h"

#include "search.h"

/* Whether a copy is at least as new as what the journal decided, which counts while a newer write is not decided. A lagging site's
 * copy must then be of the newer write itself: that one may be acknowledged, its COMMIT on the way to repld. A copy without a tag
 * that has the decided bytes is the decided version as well: some stores lose metadata. */
bool search_is_current(const struct search *s, const struct search_site *c, const struct object_info *info)
{
	if (!s->known)
		return true;
	if (!s->decided && c->lagging)
		return !gen_is_none(&s->pending) && gen_cmp(&info->gen, &s->pending) >= 0;
	if (gen_is_none(&s->gen))
		return true;
	return gen_cmp(&info->gen, &s->gen) >= 0 || (!s->deleted && info->etag[0] && strcmp(info->etag, s->etag) == 0);
}

/* Without an ETag on both sides only equal tags will do. */
bool search_same_version(const struct search_version *v, const struct object_info *info)
{
	bool both_tagged = info->gen_tagged && !gen_is_none(&v->gen);

	if (info->size != v->size || (both_tagged && gen_cmp(&info->gen, &v->gen) != 0))
		return false;
	if (v->etag[0] && info->etag[0])
		return strcmp(v->etag, info->etag) == 0;
	return both_tagged;
}

bool search_authority_lacks_it(const struct search *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].authoritative && s->v[i].said == SEARCH_MISSING)
			return true;
	return false;
}

bool search_is_missing(const struct search *s)
{
	bool any_said_so = false, all_sync = true, any_sync = false;

	if (s->known && s->deleted)
		return true; /* and a newer write that is not decided is nowhere to be seen */
	for (size_t i = 0; i < s->n; i++) {
		const struct search_site *c = &s->v[i];

		if (c->said == SEARCH_OLDER)
			return false;
		any_said_so = any_said_so || (c->authoritative && c->said == SEARCH_MISSING);
		any_sync = any_sync || c->sync;
		all_sync = all_sync && (!c->sync || c->said == SEARCH_MISSING);
	}
	/* A write that is not decided yet makes every target lag; if all of them say that nothing was there before, so do we. */
	return any_said_so || (s->known && !s->decided && any_sync && all_sync);
}

/* The first moment at which a site that named one wants to be asked again; 1 when none did. */
static unsigned retry_after_s(const struct search *s)
{
	int64_t now_ms = clock_mono_ms(), best_ms = 0;

	for (size_t i = 0; i < s->n; i++) {
		int64_t ms = s->v[i].said == SEARCH_FAULT && s->v[i].not_before_ms ? s->v[i].not_before_ms - now_ms : 0;

		if (ms > 0 && (best_ms == 0 || ms < best_ms))
			best_ms = ms;
	}
	return best_ms > 1000 ? (unsigned)((best_ms + 999) / 1000) : 1;
}

void search_fail(struct search *s, int err, const char *text)
{
	struct search_verdict v = {.err = err, .text = text};

	if (gfs_err_retryable(err))
		v.retry_after_s = retry_after_s(s);
	s->cbs->failed(s->arg, &v);
}

void search_conclude(struct search *s)
{
	struct strbuf text = STRBUF_INIT;
	bool all_timed_out = true;
	unsigned silent = 0, older = 0;

	if (search_is_missing(s)) {
		search_fail(s, GFS_ERR_NO_SUCH_KEY, NULL);
		return;
	}
	strbuf_adds(&text, "no answer from ");
	for (size_t i = 0; i < s->n; i++) {
		const struct search_site *c = &s->v[i];

		older += c->said == SEARCH_OLDER;
		if (c->said != SEARCH_FAULT)
			continue;
		strbuf_addf(&text, "%s%s (%s)", silent++ ? ", " : "", c->name, c->why);
		all_timed_out = all_timed_out && c->err == GFS_ERR_TIMEOUT;
	}
	if (silent == 0) {
		strbuf_reset(&text);
		strbuf_adds(&text, s->n == 0 ? s->w->n_sites ? "no site serves this key" : "there are no sites"
		                             : older ? "only older versions of it can be reached"
		                                     : "the sites that must have it cannot tell, others do not have it");
	}
	search_fail(s, silent && all_timed_out ? GFS_ERR_TIMEOUT : GFS_ERR_SITE_DOWN, strbuf_str(&text));
	strbuf_free(&text);
}
