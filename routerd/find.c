/* SPDX-License-Identifier: Apache-2.0 */
/* HEADs along a search, see find.h. */
#include "config.h"

#include "find.h"

#include <stdlib.h>

#include "common/xalloc.h"

struct find {
	struct search search;
	struct find **out;
	find_cb *cb;
	void *arg;
};

static void find_end(struct find *f, const struct search_verdict *v, const struct object_info *info)
{
	*f->out = NULL;
	f->cb(f->arg, &f->search, v, info);
	search_stop(&f->search);
	free(f);
}

static void on_head(void *arg, const struct site_result *r, const struct object_info *info)
{
	static const struct search_verdict found = {.err = GFS_OK, .text = ""};
	struct attempt *a = arg;
	struct find *f = a->s->arg;

	a->h.head = NULL;
	if (!info)
		search_result(a, r);
	else if (search_offer(a, info))
		find_end(f, &found, info);
}

static bool find_ask(struct attempt *a, struct site *site)
{
	a->h.head = site_head(site, a->s->key, 0, on_head, a);
	return true;
}

static void find_drop(struct attempt *a, bool expired)
{
	if (expired)
		site_op_expire(&a->h.head);
	else
		site_op_cancel(&a->h.head);
}

static void find_failed(void *arg, const struct search_verdict *v)
{
	find_end(arg, v, NULL);
}

void find_start(struct find **out, struct worker *w, struct slice key, bool only_current, find_cb *cb, void *arg)
{
	static const struct search_cbs cbs = {.ask = find_ask, .drop = find_drop, .failed = find_failed};
	struct find *f = xcalloc(1, sizeof(*f));

	f->out = out;
	f->cb = cb;
	f->arg = arg;
	*out = f;
	search_start(&f->search, w, key, only_current, &cbs, f);
}

void find_cancel(struct find **f_io)
{
	struct find *f = *f_io;

	*f_io = NULL;
	if (!f)
		return;
	search_stop(&f->search);
	free(f);
}
