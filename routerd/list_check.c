/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a round, see list_merge.h: first repld is asked for what is dirty, then sites for the generations of copies that
 * differ, and groups are looked into; a few at a time. Whatever cannot be found out is told as it stands: the list is unverified.
 */
#include "config.h"

#include <stdlib.h>

#include "common/log.h"
#include "common/xalloc.h"

#include "list_merge.h"

/* One of LIST_CHECKS at work on an entry. */
struct list_check {
	struct list_merge *m;
	struct list_entry *e; /* NULL: free */
	size_t row;
	struct site_op *h;    /* HEAD of the row's copy */
	struct list_merge *look;
};

static void checks_go_on(struct list_merge *m);

/* ---- repld ---- */

static bool is_stale_at(const struct repld_location *loc, uint32_t id)
{
	for (size_t i = 0; i < loc->n_stale; i++) {
		if (loc->stale_sites[i] == id)
			return true;
	}
	return false;
}

/* Nothing, or only what lagging sites still have of a deleted object. While a write is not decided the sites that it completes
 * tell: if one of them answered and has no such key, it was deleted, or never there. */
static bool is_absent(const struct list_merge *m, const struct list_entry *e, const struct repld_location *loc)
{
	bool told = false;

	if (!loc->known || loc->decided)
		return loc->known && loc->deleted;
	for (size_t i = 0; i < m->n; i++) {
		if (is_stale_at(loc, m->v[i].id))
			continue;
		if (e->has >> i & 1)
			return false;
		told = told || (e->told >> i & 1);
	}
	return told || loc->deleted;
}

/* The source of the n-th copy. */
static size_t source_of(const struct list_entry *e, size_t n)
{
	size_t i = 0;

	for (;; i++) {
		if (e->has >> i & 1 && n-- == 0)
			return i;
	}
}

/* That of a site which holds the decided version; else the first, with what the journal knows. */
static void take_current(const struct list_merge *m, struct list_entry *e, const struct repld_location *loc)
{
	for (size_t k = 0; k < e->n_rows; k++) {
		if (!is_stale_at(loc, m->v[source_of(e, k)].id)) {
			e->row = m->rows[e->row_at + k];
			return;
		}
	}
	if (gen_is_none(&loc->gen))
		return;
	e->row.size = loc->size;
	memcpy(e->row.etag, loc->etag, sizeof(e->row.etag));
}

static void take_best(const struct list_merge *m, struct list_entry *e)
{
	const struct list_row *best = list_best_copy(m->rows + e->row_at, e->n_rows);

	e->state = best ? LIST_SURE : LIST_DIFFER;
	if (best)
		e->row = *best;
}

static void locate(const struct list_merge *m, struct list_entry *e, const struct repld_location *loc)
{
	bool absent = is_absent(m, e, loc);

	if (e->group) {
		e->state = absent ? LIST_LOOK : LIST_SURE;
	} else if (absent) {
		e->state = LIST_ABSENT;
	} else if (!loc->known) {
		take_best(m, e);
	} else {
		take_current(m, e, loc);
		e->state = LIST_SURE;
	}
}

static void give_up_asking(struct list_merge *m)
{
	m->unverified = true;
	for (size_t i = 0; i < m->n_entries; i++) {
		if (m->entries[i].state == LIST_ASK)
			m->entries[i].state = LIST_SURE;
	}
}

static void on_located(void *arg, int err, const struct repld_location *v, size_t n);

/* Asks for the first entries that need it. False: none does. */
static bool ask_repld(struct list_merge *m)
{
	struct slice keys[REPLD_LOOKUP_MANY];
	size_t bytes = 0;

	m->n_asked = 0;
	for (size_t i = 0; i < m->n_entries && m->n_asked < REPLD_LOOKUP_MANY; i++) {
		const struct list_entry *e = &m->entries[i];
		struct slice key = e->group ? e->candidate : e->key;

		if (e->state != LIST_ASK)
			continue;
		bytes += key.n;
		if (bytes > REPLD_LOOKUP_MANY_BYTES)
			break;
		m->asked[m->n_asked] = i;
		keys[m->n_asked++] = key;
	}
	if (m->n_asked > 0)
		m->lookup = repld_lookup_many(m->w->repld, keys, m->n_asked, on_located, m);
	return m->n_asked > 0;
}

static void on_located(void *arg, int err, const struct repld_location *v, size_t n)
{
	struct list_merge *m = arg;

	m->lookup = 0;
	if (err)
		give_up_asking(m);
	for (size_t i = 0; i < n; i++)
		locate(m, &m->entries[m->asked[i]], &v[i]);
	if (!ask_repld(m))
		checks_go_on(m);
}

/* ---- sites ---- */

static void check_end(struct list_check *c, enum list_state state)
{
	c->e->state = state;
	c->e = NULL;
	c->m->open_checks--;
}

static void on_head(void *arg, const struct site_result *r, const struct object_info *info);

/* Asks for the first generation that matters and is not known. */
static void ask_site(struct list_check *c)
{
	struct list_merge *m = c->m;
	struct list_entry *e = c->e;

	for (;;) {
		const struct list_row *v = m->rows + e->row_at;
		const struct list_source *source;
		struct site *site;

		if (e->n_rows == 0) {
			check_end(c, LIST_ABSENT);
			return;
		}
		take_best(m, e);
		if (e->state == LIST_SURE) {
			check_end(c, LIST_SURE);
			return;
		}
		for (c->row = 0; v[c->row].tag != SITE_LIST_TAG_UNTOLD || (c->row > 0 && !list_rows_differ(&v[0], &v[c->row])); c->row++)
			;
		source = &m->v[source_of(e, c->row)];
		site = source->failed ? NULL : worker_site_by_id(m->w, source->id);
		if (site) {
			c->h = site_head(site, e->key, 0, on_head, c);
			return;
		}
		m->rows[e->row_at + c->row].tag = SITE_LIST_UNTAGGED;
	}
}

/* The copy has gone meanwhile. */
static void drop_copy(struct list_merge *m, struct list_entry *e, size_t row)
{
	struct list_row *v = m->rows + e->row_at;

	e->has &= ~((uint64_t)1 << source_of(e, row));
	memmove(v + row, v + row + 1, (--e->n_rows - row) * sizeof(*v));
}

static void on_head(void *arg, const struct site_result *r, const struct object_info *info)
{
	struct list_check *c = arg;
	struct list_row *row = &c->m->rows[c->e->row_at + c->row];

	c->h = NULL;
	list_merge_arm_timer(c->m);
	row->tag = SITE_LIST_UNTAGGED; /* unless it says otherwise, it is no reason to prefer it */
	if (info) {
		row->tag = info->gen_tagged ? SITE_LIST_TAGGED : SITE_LIST_UNTAGGED;
		row->gen = info->gen;
		row->size = info->size;
		row->mtime_ms = info->mtime_ms;
		memcpy(row->etag, info->etag, sizeof(row->etag));
	} else if (r->err == GFS_ERR_NO_SUCH_KEY) {
		drop_copy(c->m, c->e, c->row);
	}
	ask_site(c);
	checks_go_on(c->m);
}

/* ---- groups ---- */

/* Whether there is anything in the group, as far as that can be told now. */
static bool look_on(struct list_check *c)
{
	struct list_item item;
	enum list_next next = list_merge_next(c->look, &item);
	bool sure = next == LIST_ITEM;

	if (next == LIST_WAIT)
		return false;
	/* Some site told of the group: when not all can be asked, it stays. */
	if (next == LIST_END && list_merge_failed(c->look) > 0)
		c->m->unverified = sure = true;
	list_merge_destroy(&c->look);
	check_end(c, sure ? LIST_SURE : LIST_ABSENT);
	return true;
}

static void on_look(void *arg)
{
	struct list_check *c = arg;
	struct list_merge *m = c->m;

	if (look_on(c))
		checks_go_on(m);
}

static void look(struct list_check *c)
{
	struct list_merge *m = c->m;
	struct list_merge_args args = {.prefix = c->e->key, .wanted = 1, .n_sources = m->n, .ready = on_look, .arg = c};

	c->look = list_merge_create(m->w, &args);
	for (size_t i = 0; i < m->n; i++) {
		if (!m->v[i].failed)
			list_merge_add(c->look, m->v[i].id, m->v[i].name);
	}
	look_on(c);
}

/* ---- both ---- */

static struct list_check *free_check(struct list_merge *m)
{
	for (size_t i = 0; i < LIST_CHECKS; i++) {
		if (!m->checks[i].e)
			return &m->checks[i];
	}
	return NULL;
}

/* Starts what there is room for. False: nothing is open, the round is checked. */
static bool run_checks(struct list_merge *m)
{
	for (; m->next_check < m->n_entries && m->open_checks < LIST_CHECKS; m->next_check++) {
		struct list_entry *e = &m->entries[m->next_check];
		struct list_check *c;

		if (e->state != LIST_DIFFER && e->state != LIST_LOOK)
			continue;
		if (!m->checks)
			m->checks = xcalloc(LIST_CHECKS, sizeof(*m->checks));
		c = free_check(m);
		c->m = m;
		c->e = e;
		m->open_checks++;
		if (e->state == LIST_DIFFER)
			ask_site(c);
		else
			look(c);
	}
	return m->open_checks > 0;
}

static void checks_go_on(struct list_merge *m)
{
	if (!run_checks(m))
		list_check_done(m);
}

bool list_check_round(struct list_merge *m)
{
	m->next_check = 0;
	return !ask_repld(m) && !run_checks(m);
}

void list_check_expire(struct list_merge *m)
{
	for (size_t i = 0; m->checks && i < LIST_CHECKS; i++) {
		struct list_check *c = &m->checks[i];

		if (!c->e || !c->h)
			continue;
		site_op_expire(&c->h);
		/* It would keep the rest waiting as long: the list goes on without it. */
		list_source_fail(&m->v[source_of(c->e, c->row)], GFS_ERR_TIMEOUT, "timed out");
		m->rows[c->e->row_at + c->row].tag = SITE_LIST_UNTAGGED;
		ask_site(c);
	}
	if (!m->lookup)
		checks_go_on(m);
}

void list_check_stop(struct list_merge *m)
{
	if (m->lookup)
		repld_lookup_cancel(m->w->repld, m->lookup);
	for (size_t i = 0; m->checks && i < LIST_CHECKS; i++) {
		site_op_cancel(&m->checks[i].h);
		list_merge_destroy(&m->checks[i].look);
	}
	free(m->checks);
}
