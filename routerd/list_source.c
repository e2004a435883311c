/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of one site for a list, see list_source.h. */
#include "config.h"

#include "list_source.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/key.h"
#include "common/xalloc.h"

void list_source_fail(struct list_source *s, int err, const char *why)
{
	site_op_cancel(&s->h);
	s->failed = true;
	s->more = false;
	s->n = s->at = 0;
	s->err = err;
	snprintf(s->why, sizeof(s->why), "%s", why);
}

static void take_rows(struct list_source *s, const struct site_list_entry *v, size_t n)
{
	if (n > s->cap) {
		s->rows = xreallocarray(s->rows, n, sizeof(*s->rows));
		s->cap = n;
	}
	for (size_t i = 0; i < n; i++) {
		struct list_row *r = &s->rows[i];

		r->key_at = s->keys.n;
		r->key_n = v[i].key.n;
		strbuf_add_slice(&s->keys, v[i].key);
		r->size = v[i].size;
		r->mtime_ms = v[i].mtime_ms;
		memcpy(r->etag, v[i].etag, sizeof(r->etag));
	}
	s->n = n;
}

static void on_page(void *arg, const struct site_result *r, const struct site_list_entry *v, size_t n, bool more,
                    struct slice next_after)
{
	struct list_source *s = arg;

	s->h = NULL;
	s->n = s->at = 0;
	strbuf_reset(&s->keys);
	if (r->err) {
		list_source_fail(s, r->err, r->reason && r->reason[0] ? r->reason : gfs_err_text(r->err));
	} else {
		take_rows(s, v, n < 1000 ? n : 1000);
		s->more = more;
		/* A site whose cursor does not move would keep us here for ever. */
		if (more && slice_cmp(next_after, strbuf_slice(&s->after)) <= 0) {
			list_source_fail(s, GFS_ERR_PROTOCOL, "its list does not go on");
		} else {
			strbuf_reset(&s->after);
			strbuf_add_slice(&s->after, next_after);
		}
		if (strbuf_failed(&s->keys) || strbuf_failed(&s->after))
			list_source_fail(s, GFS_ERR_NOMEM, gfs_err_text(GFS_ERR_NOMEM));
	}
	s->loaded(s->arg);
}

bool list_source_load(struct list_source *s, const struct worker *w, struct slice prefix, unsigned limit)
{
	struct site_list_req req = {.prefix = prefix, .start_after = strbuf_slice(&s->after), .limit = limit};
	struct site *site = worker_site_by_id(w, s->id);

	if (!site) {
		list_source_fail(s, GFS_ERR_NO_SUCH_SITE, "removed");
		return false;
	}
	s->h = site_list(site, &req, on_page, s);
	return true;
}

void list_source_free(struct list_source *s)
{
	site_op_cancel(&s->h);
	free(s->rows);
	strbuf_free(&s->keys);
	strbuf_free(&s->after);
}
