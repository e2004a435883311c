/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_list() of an S3 site: one page of ListObjectsV2. Takes the site's prefix off, hides what is ours (.globalfs/) and what no
 * door could address (key.h), and says where the next page begins.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "key.h"
#include "site_s3.h"
#include "xalloc.h"

/* Behind every key under .globalfs/ that there can be, before ".globalfs0". */
#define AFTER_RESERVED KEY_RESERVED_DIR "/\xf4\x8f\xbf\xbf"

struct s3_listing {
	struct s3_op op;
	site_list_cb *cb;
	void *arg;
	size_t prefix_n; /* of the site's own prefix */
};

static void listing_free(struct s3_op *op)
{
	struct site *site = op->base.site;

	free(op);
	site_op_ended(site);
}

static bool is_reserved(struct slice key)
{
	return slice_starts_with(key, SLICE_LIT(KEY_RESERVED_DIR "/"));
}

/* A group that no key which a door takes can lie in. */
static bool is_hidden_group(struct slice group)
{
	char key[KEY_MAX + 2];

	if (group.n > KEY_MAX)
		return true;
	memcpy(key, group.p, group.n);
	key[group.n] = 'x';
	return key_check(group, NULL) && key_check(slice_of(key, group.n + 1), NULL);
}

/* Index of the next entry of the sequence (keys or groups) from i on. */
static size_t next_of(const struct s3xml_list *page, size_t i, bool group)
{
	while (i < page->n && page->v[i].group != group)
		i++;
	return i;
}

static bool key_is_first(const struct s3xml_list *page, size_t key, size_t group)
{
	return group == page->n || (key < page->n && slice_cmp(page->v[key].key, page->v[group].key) < 0);
}

/* The page as our callers see it, keys and groups merged; entries borrow from page. Returns 0 or GFS_ERR_SITE_ERROR. */
static int translate(const struct s3_listing *l, const struct s3xml_list *page, struct site_list_entry *v, size_t *n_out,
                     struct slice *next_out)
{
	size_t k = next_of(page, 0, false), g = next_of(page, 0, true);
	struct slice last = {NULL, 0};

	*n_out = 0;
	*next_out = last;
	while (k < page->n || g < page->n) {
		const struct s3xml_entry *e = &page->v[key_is_first(page, k, g) ? k : g];
		struct slice key = e->key;

		if (e->group)
			g = next_of(page, g + 1, true);
		else
			k = next_of(page, k + 1, false);
		if (key.n < l->prefix_n)
			return GFS_ERR_SITE_ERROR;
		key = slice_of(key.p + l->prefix_n, key.n - l->prefix_n);
		if (last.p && slice_cmp(key, last) <= 0)
			return GFS_ERR_SITE_ERROR;
		last = key;
		*next_out = is_reserved(key) ? SLICE_LIT(AFTER_RESERVED) : key;
		if (is_reserved(key) || (e->group ? is_hidden_group(key) : key_check(key, NULL) != 0))
			continue;
		v[*n_out] = (struct site_list_entry){.key = key, .group = e->group, .size = e->size, .mtime_ms = e->mtime_ms};
		memcpy(v[*n_out].etag, e->etag, ETAG_MAX);
		(*n_out)++;
	}
	return 0;
}

static void listing_done(void *arg, struct s3_req *rq)
{
	struct s3_listing *l = arg;
	struct s3xml_list page = {0};
	struct site_list_entry *v = NULL;
	struct slice next = {NULL, 0};
	struct site_result r;
	size_t n = 0;

	l->op.rq = NULL;
	if (!rq->err && s3xml_parse_list(strbuf_slice(&rq->body), &page))
		s3_req_fail(rq, GFS_ERR_SITE_ERROR, "the store's list cannot be read");
	if (!rq->err) {
		v = reallocarray(NULL, page.n + 1, sizeof(*v));
		if (!v)
			s3_req_fail(rq, GFS_ERR_NOMEM, "out of memory for a list");
		else if (translate(l, &page, v, &n, &next))
			s3_req_fail(rq, GFS_ERR_SITE_ERROR, "the store's list is not in order");
		/* a page that says "more" without a way on would be asked for for ever */
		else if (page.truncated && next.n == 0)
			s3_req_fail(rq, GFS_ERR_SITE_ERROR, "the store's list is empty but says that there is more");
	}
	r = s3_req_result(rq, false);
	l->cb(l->arg, &r, rq->err ? NULL : v, rq->err ? 0 : n, !rq->err && page.truncated, rq->err ? slice_of(NULL, 0) : next);
	free(v);
	s3xml_list_free(&page);
	listing_free(&l->op);
}

static const struct s3_req_cbs listing_cbs = {.done = listing_done};

static void add_prefixed(struct s3_req *rq, const char *name, const char *prefix, struct slice rest)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_adds(&sb, prefix);
	strbuf_add_slice(&sb, rest);
	if (sb.n > 0)
		s3_req_param(rq, name, strbuf_slice(&sb));
	strbuf_free(&sb);
}

/* Stores differ in whether a start inside a group hides the group: behind it is clear. */
static void add_start(struct s3_req *rq, const char *prefix, const struct site_list_req *req)
{
	struct slice group = site_list_group(req->start_after, req->prefix, req->delimiter);
	struct strbuf sb = STRBUF_INIT;

	if (!group.p || !slice_starts_with(req->start_after, req->prefix)) {
		add_prefixed(rq, "start-after", prefix, req->start_after);
		return;
	}
	strbuf_add_slice(&sb, group);
	strbuf_adds(&sb, SITE_LIST_BEHIND);
	add_prefixed(rq, "start-after", prefix, strbuf_slice(&sb));
	strbuf_free(&sb);
}

struct site_op *s3_list(struct site *site, const struct site_list_req *req, site_list_cb *cb, void *arg)
{
	struct s3_listing *l = xcalloc(1, sizeof(*l));
	const char *prefix = site->conf.prefix ? site->conf.prefix : "";
	char limit[16];

	l->op.base.site = site;
	l->op.free = listing_free;
	l->cb = cb;
	l->arg = arg;
	l->prefix_n = strlen(prefix);
	site_op_began(site);
	l->op.rq = s3_req_new(s3_site_of(site), "GET", NULL, &listing_cbs, l);
	snprintf(limit, sizeof(limit), "%u", req->limit < 1 ? 1 : req->limit > S3XML_LIST_MAX ? S3XML_LIST_MAX : req->limit);
	s3_req_param(l->op.rq, "list-type", SLICE_LIT("2"));
	s3_req_param(l->op.rq, "encoding-type", SLICE_LIT("url"));
	s3_req_param(l->op.rq, "max-keys", slice_str(limit));
	add_prefixed(l->op.rq, "prefix", prefix, req->prefix);
	if (req->delimiter.n > 0)
		s3_req_param(l->op.rq, "delimiter", req->delimiter);
	if (req->start_after.n > 0)
		add_start(l->op.rq, prefix, req);
	s3_req_start(l->op.rq, false);
	return &l->op.base;
}
