/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of any length in flat memory: each entry is handed on as it arrives. One request brings all, unless the server ends a page
 * earlier or the connection breaks: then the next one begins where this one ended. Contract in globalfs.h.
 */
#include "config.h"

#include "client/impl.h"
#include "client/split.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTIAL_MAX 256

struct list {
	struct globalfs *h;
	const struct globalfs_list_options *o;
	globalfs_entry_cb *entry;
	void *arg;
	struct gfsc_split split;
	struct gfsc_buf after; /* where the next request begins */
	const char *partial[PARTIAL_MAX];
};

/* ---- entries ---- */

static int bad_entry(struct list *l, const json_error_t *why)
{
	if (why && json_error_code(why) == json_error_out_of_memory)
		return GLOBALFS_ERR_NOMEM;
	return gfsc_fail(l->h, GLOBALFS_ERR_PROTOCOL, "does not answer like a GlobalFS: %s",
	                 why ? why->text : "an entry without a key");
}

static int on_item(void *arg, enum gfsc_array array, const char *p, size_t n)
{
	struct list *l = arg;
	struct globalfs_entry e = {.is_prefix = array == GFSC_PREFIXES, .size = -1, .last_modified = "", .etag = "", .json = p,
	                           .json_size = n};
	json_error_t why;
	json_t *v = json_loadb(p, n, JSON_DECODE_ANY, &why);
	int err = 0;

	if (!v)
		return bad_entry(l, &why);
	e.key = e.is_prefix ? json_string_value(v) : json_string_value(json_object_get(v, "key"));
	if (!e.key) {
		json_decref(v);
		return bad_entry(l, NULL);
	}
	if (!e.is_prefix) {
		e.size = gfsc_number(v, "size");
		e.last_modified = gfsc_text(v, "last_modified");
		e.etag = gfsc_text(v, "etag");
		gfsc_buf_reset(&l->after);
		gfsc_buf_adds(&l->after, e.key);
		err = l->after.err;
	}
	l->h->list.count++;
	if (!err && l->entry(l->arg, &e))
		err = GLOBALFS_ERR_CANCELLED;
	json_decref(v);
	return err;
}

static int sink(struct globalfs *h, void *arg, const void *p, size_t n)
{
	struct list *l = arg;
	int err = gfsc_split_feed(&l->split, p, n);

	if (err == GLOBALFS_ERR_PROTOCOL && h->error.code != err)
		return gfsc_fail(h, err, "does not answer like a GlobalFS: the list is not well formed");
	return err;
}

/* ---- pages ---- */

static void add_text(struct gfsc_buf *path, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	gfsc_buf_adds(path, path->n > 0 && strchr(path->p, '?') ? "&" : "?");
	gfsc_buf_adds(path, name);
	gfsc_buf_adds(path, "=");
	gfsc_buf_add_encoded(path, value, "/");
}

static int request(struct list *l)
{
	struct gfsc_call call = {.method = "GET", .source_size = -1, .sink = sink, .arg = l, .is_transfer = true};
	struct gfsc_buf path = {0};
	char limit[24] = "";
	int err;

	if (l->o->limit > 0)
		snprintf(limit, sizeof(limit), "%" PRId64, l->o->limit - l->h->list.count);
	gfsc_buf_adds(&path, "/api/v1/objects");
	add_text(&path, "prefix", l->o->prefix);
	add_text(&path, "delimiter", l->o->delimiter);
	add_text(&path, "start_after", gfsc_buf_str(&l->after));
	add_text(&path, "limit", limit);
	add_text(&path, "strict", l->o->strict ? "1" : NULL);
	call.path = &path;
	err = gfsc_perform(l->h, &call);
	gfsc_buf_free(&path);
	return err;
}

static int take_partial(struct list *l, const json_t *names)
{
	struct globalfs_list_result *r = &l->h->list;
	const json_t *name;
	size_t i, k;

	json_array_foreach(names, i, name) {
		const char *s = json_string_value(name);

		for (k = 0; s && k < r->n_partial && strcmp(l->partial[k], s) != 0; k++)
			;
		if (!s || k < r->n_partial || k == PARTIAL_MAX)
			continue;
		l->partial[k] = gfsc_keep(l->h, strdup(s));
		if (!l->partial[k])
			return gfsc_fail(l->h, GLOBALFS_ERR_NOMEM, "out of memory");
		r->n_partial++;
	}
	return 0;
}

/* All that was wanted came, but not the end of the answer, which would have said whether there is more. */
static int end_without_tail(struct list *l)
{
	l->h->list.truncated = 1;
	l->h->list.next_start_after = gfsc_keep(l->h, strdup(gfsc_buf_str(&l->after)));
	return l->h->list.next_start_after ? 0 : gfsc_fail(l->h, GLOBALFS_ERR_NOMEM, "out of memory");
}

/* What stands around the entries. *more_out: another page is wanted, from l->after on. */
static int end_page(struct list *l, bool *more_out)
{
	struct globalfs_list_result *r = &l->h->list;
	struct gfsc_split *s = &l->split;
	json_error_t why;
	const char *next;
	int err;

	*more_out = false;
	json_decref(l->h->doc);
	l->h->doc = json_loadb(gfsc_buf_str(&s->rest), s->rest.n, 0, &why);
	if (!l->h->doc || !json_is_array(json_object_get(l->h->doc, "objects")))
		return gfsc_fail(l->h, GLOBALFS_ERR_PROTOCOL, "does not answer like a GlobalFS: %s", l->h->doc ? "not a list" : why.text);
	err = take_partial(l, json_object_get(l->h->doc, "partial"));
	if (err)
		return err;
	r->unverified |= gfsc_flag(l->h->doc, "unverified") == 1;
	r->truncated = gfsc_flag(l->h->doc, "truncated") == 1;
	r->next_start_after = next = r->truncated ? gfsc_text(l->h->doc, "next_start_after") : "";
	if (!r->truncated)
		return 0;
	if (l->o->limit > 0 && r->count >= l->o->limit)
		return 0;
	if (!*next || strcmp(next, gfsc_buf_str(&l->after)) < 0)
		return gfsc_fail(l->h, GLOBALFS_ERR_PROTOCOL, "the list ends early: the API does not say where its next page begins");
	gfsc_buf_reset(&l->after);
	gfsc_buf_adds(&l->after, next);
	*more_out = true;
	return l->after.err ? gfsc_fail(l->h, l->after.err, "%s", globalfs_code_text(l->after.err)) : 0;
}

static int list(struct list *l)
{
	struct globalfs_list_result *r = &l->h->list;
	bool more = true, by_keys = !l->o->delimiter || !*l->o->delimiter;
	int64_t before;
	int err = 0;

	while (more && !err) {
		gfsc_split_init(&l->split, on_item, l);
		before = r->count;
		err = request(l);
		/* Broken off behind entries: the rest is asked for, while each request brings some. */
		if ((err == GLOBALFS_ERR_IO || err == GLOBALFS_ERR_TIMEOUT) && r->count > before && by_keys) {
			more = !(l->o->limit > 0 && r->count >= l->o->limit);
			err = more ? 0 : end_without_tail(l);
		} else if (!err) {
			err = end_page(l, &more);
			if (!err && more && r->count == before)
				err = gfsc_fail(l->h, GLOBALFS_ERR_PROTOCOL, "the list does not go on: an empty page says that there is more");
		}
		gfsc_split_free(&l->split);
	}
	return err;
}

int globalfs_list(struct globalfs *h, const struct globalfs_list_options *options, globalfs_entry_cb *entry, void *arg,
                  const struct globalfs_list_result **result_out)
{
	static const struct globalfs_list_options none;
	struct list l = {.h = h, .o = options ? options : &none, .entry = entry, .arg = arg};
	const char **partial;
	int err = gfsc_begin(h);

	if (result_out)
		*result_out = NULL;
	if (err)
		return err;
	if (!entry)
		return gfsc_fail(h, GLOBALFS_ERR_USAGE, "no callback");
	h->list = (struct globalfs_list_result){.next_start_after = ""};
	if (l.o->start_after)
		gfsc_buf_adds(&l.after, l.o->start_after);
	err = l.after.err ? gfsc_fail(h, l.after.err, "out of memory") : list(&l);
	gfsc_buf_free(&l.after);
	if (h->list.n_partial) {
		partial = gfsc_keep(h, calloc(h->list.n_partial, sizeof(*partial)));
		if (!partial)
			return gfsc_fail(h, GLOBALFS_ERR_NOMEM, "out of memory");
		memcpy(partial, l.partial, h->list.n_partial * sizeof(*partial));
		h->list.partial = partial;
	}
	if (result_out && !err)
		*result_out = &h->list;
	return err;
}
