/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of one site for a list, see list_source.h. */
#include "config.h"

#include "list_source.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/key.h"
#include "common/xalloc.h"

void list_source_init(struct list_source *s, const struct list_query *q, struct slice start_after)
{
	s->q = q;
	s->more = true;
	strbuf_add_slice(&s->after, start_after);
}

void list_source_free(struct list_source *s)
{
	site_op_cancel(&s->h);
	for (unsigned i = 0; i < 2; i++) {
		free(s->page[i].rows);
		strbuf_free(&s->page[i].keys);
	}
	strbuf_free(&s->after);
}

void list_source_fail(struct list_source *s, int err, const char *why)
{
	site_op_cancel(&s->h);
	s->failed = true;
	s->more = s->ahead = false;
	s->page[s->use].n = s->at = 0;
	s->err = err;
	snprintf(s->why, sizeof(s->why), "%s", why);
}

void list_source_expire(struct list_source *s, const char *why)
{
	site_op_expire(&s->h);
	list_source_fail(s, GFS_ERR_TIMEOUT, why);
}

void list_source_next(struct list_source *s)
{
	if (++s->at < s->page[s->use].n || !s->ahead)
		return;
	s->ahead = false;
	s->use ^= 1;
	s->at = 0;
}

void list_source_rewind(struct list_source *s, struct slice after)
{
	site_op_cancel(&s->h);
	s->page[s->use].n = s->at = 0;
	s->ahead = false;
	s->more = true;
	strbuf_reset(&s->after);
	strbuf_add_slice(&s->after, after);
}

static void take_rows(struct list_page *page, const struct site_list_entry *v, size_t n)
{
	strbuf_reset(&page->keys);
	page->came_ms = clock_mono_ms();
	if (n > page->cap) {
		page->rows = xreallocarray(page->rows, n, sizeof(*page->rows));
		page->cap = n;
	}
	for (size_t i = 0; i < n; i++) {
		struct list_row *r = &page->rows[i];

		r->key_at = page->keys.n;
		r->key_n = v[i].key.n;
		strbuf_add_slice(&page->keys, v[i].key);
		r->group = v[i].group;
		r->tag = v[i].tag;
		r->size = v[i].size;
		r->mtime_ms = v[i].mtime_ms;
		memcpy(r->etag, v[i].etag, sizeof(r->etag));
		if (r->tag == SITE_LIST_TAGGED)
			r->gen = v[i].gen;
	}
	page->n = n;
}

static void on_page(void *arg, const struct site_result *r, const struct site_list_entry *v, size_t n, bool more,
                    struct slice next_after)
{
	struct list_source *s = arg;
	bool used_up = !list_source_has_row(s);
	struct list_page *page = &s->page[s->use ^ !used_up];

	s->h = NULL;
	if (r->err) {
		list_source_fail(s, r->err, r->reason && r->reason[0] ? r->reason : gfs_err_text(r->err));
	} else if (more && slice_cmp(next_after, strbuf_slice(&s->after)) <= 0) {
		/* A site whose cursor does not move would keep us here for ever. */
		list_source_fail(s, GFS_ERR_PROTOCOL, "its list does not go on");
	} else {
		take_rows(page, v, n < 1000 ? n : 1000);
		s->more = more;
		s->ahead = !used_up && page->n > 0;
		if (used_up)
			s->at = 0;
		strbuf_reset(&s->after);
		strbuf_add_slice(&s->after, next_after);
		if (strbuf_failed(&page->keys) || strbuf_failed(&s->after))
			list_source_fail(s, GFS_ERR_NOMEM, gfs_err_text(GFS_ERR_NOMEM));
	}
	s->changed(s->arg);
}

bool list_source_ask(struct list_source *s, unsigned limit)
{
	struct site_list_req req = {.prefix = s->q->prefix, .start_after = strbuf_slice(&s->after), .limit = limit,
	                            .delimiter = s->q->delimiter};
	struct site *site;

	if (s->failed || s->h || s->ahead || !s->more)
		return true;
	site = worker_site_by_id(s->q->w, s->id);
	if (!site) {
		list_source_fail(s, GFS_ERR_NO_SUCH_SITE, "removed");
		return false;
	}
	s->h = site_list(site, &req, on_page, s);
	return true;
}
