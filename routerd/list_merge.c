/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds of a merge: pages, the smallest key, groups. See list_merge.h. */
#include "config.h"

#include "list_merge.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/key.h"
#include "common/log.h"
#include "common/xalloc.h"

#define PAGE_MS 15000       /* longest wait for a page of a site */
#define PAGE_OTHERS_MS 5000 /* when others have answered */

/* ---- pages ---- */

static bool waits_for_pages(const struct list_merge *m)
{
	for (size_t i = 0; i < m->n; i++) {
		if (list_source_waits(&m->v[i]))
			return true;
	}
	return false;
}

/* How long a site may be silent: not for long when others of this list have answered. */
void list_merge_arm_timer(struct list_merge *m)
{
	int64_t ms = PAGE_MS;
	struct timeval tv;

	for (size_t i = 0; i < m->n; i++)
		m->hurries = m->hurries || m->v[i].page[0].came_ms || m->v[i].page[1].came_ms;
	if (m->hurries)
		ms = PAGE_OTHERS_MS;
	if (ms > m->w->conf->routing.read_deadline_ms)
		ms = m->w->conf->routing.read_deadline_ms;
	tv = (struct timeval){.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};
	evtimer_add(m->timer, &tv);
}

static void disarm_timer(struct list_merge *m)
{
	evtimer_del(m->timer);
	m->hurries = false;
}

static void on_changed(void *arg)
{
	struct list_merge *m = arg;

	/* While a round is being checked or taken, a page is only put by. */
	if (m->checking || m->at < m->n_entries)
		return;
	if (!waits_for_pages(m)) {
		disarm_timer(m);
		m->ready(m->arg);
	} else if (!m->hurries && evtimer_pending(m->timer, NULL)) {
		list_merge_arm_timer(m);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct list_merge *m = arg;

	(void)fd, (void)what;
	m->hurries = false;
	if (m->checking) {
		list_merge_arm_timer(m);
		list_check_expire(m);
		return;
	}
	for (size_t i = 0; i < m->n; i++) {
		if (m->v[i].h && list_source_waits(&m->v[i]))
			list_source_expire(&m->v[i], "timed out");
	}
	m->ready(m->arg);
}

/* Pages that have lain here for too long are asked for again: see list_merge.h. */
static void rewind_old_pages(struct list_merge *m)
{
	int64_t age = m->w->conf->replication.in_doubt_ms / 2, oldest;

	/* Not because others were waited for: two slow sites would make each other's pages old for ever. */
	oldest = clock_mono_ms() - (age > 2 * PAGE_MS ? age : 2 * PAGE_MS);

	for (size_t i = 0; i < m->n; i++) {
		struct list_source *s = &m->v[i];

		if (list_source_has_row(s) && list_source_page(s)->came_ms < oldest)
			list_source_rewind(s, strbuf_slice(&m->last));
	}
}

static void ask_for_pages(struct list_merge *m)
{
	/* Not fewer than a few: what comes first may be deleted. */
	uint64_t rows = m->wanted && m->wanted < LIST_PAGE_ROWS ? m->wanted : LIST_PAGE_ROWS;

	for (size_t i = 0; i < m->n; i++) {
		struct list_source *s = &m->v[i];

		/* The next page comes while this one is merged, unless this one will do. */
		if (!m->wanted || m->wanted > list_source_page(s)->n - s->at)
			list_source_ask(s, rows < LIST_FEW ? LIST_FEW : (unsigned)rows);
	}
}

/* ---- the round ---- */

static void copy_row(struct list_merge *m, const struct list_row *row)
{
	if (m->n_rows == m->cap_rows) {
		m->cap_rows = m->cap_rows ? m->cap_rows * 2 : 64;
		m->rows = xreallocarray(m->rows, m->cap_rows, sizeof(*m->rows));
	}
	m->rows[m->n_rows++] = *row;
}

static size_t keep_key(struct list_merge *m, struct slice key)
{
	size_t at = m->keys.n;

	strbuf_add_slice(&m->keys, key);
	return at;
}

static void set_last(struct list_merge *m, struct slice key, bool group)
{
	strbuf_reset(&m->last);
	strbuf_add_slice(&m->last, key);
	m->last_is_group = group;
}

/* The source with the smallest key, the first of equals. NULL: there is none, or a source must be waited for. */
static struct list_source *smallest(struct list_merge *m, bool *wait_out)
{
	struct list_source *best = NULL;
	struct slice best_key = {NULL, 0};

	*wait_out = false;
	for (size_t i = 0; i < m->n; i++) {
		struct list_source *s = &m->v[i];

		if (list_source_has_row(s)) {
			struct slice key = list_source_key(s);

			if (!best || slice_cmp(key, best_key) < 0) {
				best = s;
				best_key = key;
			}
		} else if (list_source_waits(s)) {
			*wait_out = true;
			return NULL;
		}
	}
	return best;
}

static bool is_dirty(const struct list_merge *m, struct slice key)
{
	return !m->unverified && keys_board_dirty(&m->w->keys_board, keys_board_cell(key));
}

bool list_rows_differ(const struct list_row *a, const struct list_row *b)
{
	return a->size != b->size || (a->etag[0] && b->etag[0] && strcmp(a->etag, b->etag) != 0);
}

const struct list_row *list_best_copy(const struct list_row *v, size_t n)
{
	const struct list_row *best = &v[0];
	bool unsure = false;

	/* One that was put there behind our back has no generation to compare: the order of the sites decides. */
	if (v[0].tag == SITE_LIST_UNTAGGED)
		return best;
	for (size_t i = 1; i < n; i++) {
		if (v[i].tag == SITE_LIST_UNTAGGED || !list_rows_differ(&v[0], &v[i]))
			continue;
		unsure = unsure || v[0].tag == SITE_LIST_TAG_UNTOLD || v[i].tag == SITE_LIST_TAG_UNTOLD;
		if (!unsure && gen_cmp(&v[i].gen, &best->gen) > 0)
			best = &v[i];
	}
	return unsure ? NULL : best;
}

static void merge_key(struct list_merge *m, struct list_source *first, struct slice key)
{
	struct list_entry *e = &m->entries[m->n_entries++];
	const struct list_row *best;

	*e = (struct list_entry){.state = LIST_SURE, .row_at = m->n_rows};
	e->key_at = keep_key(m, key);
	e->key.n = key.n;
	set_last(m, key, false);
	for (struct list_source *s = m->v; s < m->v + m->n; s++) {
		bool has = list_source_has_row(s) && (s == first || slice_eq(list_source_key(s), strbuf_slice(&m->last)));

		e->told |= (uint64_t)!s->failed << (s - m->v);
		if (!has)
			continue;
		e->has |= (uint64_t)1 << (s - m->v);
		copy_row(m, list_source_row(s));
		list_source_next(s);
	}
	e->n_rows = m->n_rows - e->row_at;
	e->row = m->rows[e->row_at];
	if (is_dirty(m, strbuf_slice(&m->last))) {
		e->state = LIST_ASK;
		return;
	}
	best = list_best_copy(m->rows + e->row_at, e->n_rows);
	if (best)
		e->row = *best;
	else
		e->state = LIST_DIFFER;
	if (best)
		m->n_rows = e->row_at;
}

/* One row of a group. A key that is there for sure makes the group so; of others the first is worth a question. */
static void merge_group_row(struct list_merge *m, struct list_entry *e, struct list_source *s)
{
	struct slice key = list_source_key(s);
	uint64_t bit = (uint64_t)1 << (s - m->v);

	if (e->state == LIST_SURE)
		return;
	if (list_source_row(s)->group) {
		/* It may hide keys that none of our doors takes: ours, for one. */
		if (!keys_board_any_dirty(&m->w->keys_board) && !slice_starts_with(SLICE_LIT(KEY_RESERVED_DIR "/"), key))
			e->state = LIST_SURE;
		e->told &= ~bit;
	} else if (!is_dirty(m, key)) {
		e->state = LIST_SURE;
	} else if (e->candidate.n == 0) {
		e->candidate_at = keep_key(m, key);
		e->candidate.n = key.n;
		e->state = LIST_ASK;
		e->has |= bit;
	} else if (slice_eq(key, slice_of(m->keys.p + e->candidate_at, e->candidate.n))) {
		e->has |= bit;
	}
}

static void merge_group(struct list_merge *m, struct slice group)
{
	struct list_entry *e = &m->entries[m->n_entries++];

	*e = (struct list_entry){.state = LIST_LOOK, .group = true};
	e->key_at = keep_key(m, group);
	e->key.n = group.n;
	set_last(m, group, true);
	for (struct list_source *s = m->v; s < m->v + m->n; s++)
		e->told |= (uint64_t)!s->failed << (s - m->v);
	for (struct list_source *s = m->v; s < m->v + m->n; s++) {
		while (list_source_has_row(s) && slice_starts_with(list_source_key(s), strbuf_slice(&m->last))) {
			merge_group_row(m, e, s);
			list_source_next(s);
		}
	}
}

static size_t round_size(uint64_t wanted)
{
	return !wanted || wanted > LIST_ROUND ? LIST_ROUND : wanted < LIST_FEW ? LIST_FEW : (size_t)wanted;
}

/* Fills the round. Returns whether a source must be waited for. */
static bool fill(struct list_merge *m)
{
	size_t cap = round_size(m->wanted);
	struct list_source *s;
	bool wait = false;

	m->n_entries = m->at = m->n_rows = 0;
	strbuf_reset(&m->keys);
	while (m->n_entries < cap && (s = smallest(m, &wait))) {
		struct slice key = list_source_key(s);
		struct slice group = site_list_group(key, strbuf_slice(&m->prefix), strbuf_slice(&m->delimiter));

		/* A site that does not keep the order must not hold up the others, and of a group one row is enough. */
		if (slice_cmp(key, strbuf_slice(&m->last)) <= 0 || !slice_starts_with(key, strbuf_slice(&m->prefix)) ||
		    (m->last_is_group && slice_starts_with(key, strbuf_slice(&m->last))) || (list_source_row(s)->group && !group.p))
			list_source_next(s);
		else if (group.p)
			merge_group(m, group);
		else
			merge_key(m, s, key);
	}
	m->ended = !wait && m->n_entries < cap;
	for (size_t i = 0; i < m->n_entries; i++) {
		m->entries[i].key.p = m->keys.p + m->entries[i].key_at;
		m->entries[i].candidate.p = m->keys.p + m->entries[i].candidate_at;
	}
	return wait;
}

/* ---- what its owner sees ---- */

static bool take(struct list_merge *m, struct list_item *out)
{
	while (m->at < m->n_entries) {
		const struct list_entry *e = &m->entries[m->at++];

		if (e->state == LIST_ABSENT)
			continue;
		*out = (struct list_item){.key = e->key, .group = e->group, .row = &e->row};
		m->wanted -= m->wanted > 1;
		return true;
	}
	return false;
}

enum list_next list_merge_next(struct list_merge *m, struct list_item *out)
{
	while (!m->checking) {
		if (take(m, out))
			return LIST_ITEM;
		if (m->ended)
			return LIST_END;
		rewind_old_pages(m);
		ask_for_pages(m);
		if (fill(m) && m->n_entries == 0) {
			list_merge_arm_timer(m);
			return LIST_WAIT;
		}
		ask_for_pages(m);
		m->checking = !list_check_round(m);
		if (m->checking)
			list_merge_arm_timer(m); /* for what sites are asked now */
	}
	return LIST_WAIT;
}

void list_check_done(struct list_merge *m)
{
	m->checking = false;
	disarm_timer(m);
	m->ready(m->arg);
}

size_t list_merge_failed(const struct list_merge *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		n += m->v[i].failed;
	return n;
}

struct list_merge *list_merge_create(struct worker *w, const struct list_merge_args *args)
{
	struct list_merge *m = xcalloc(1, sizeof(*m));
	struct slice group = site_list_group(args->start_after, args->prefix, args->delimiter);

	m->w = w;
	m->wanted = args->wanted;
	m->ready = args->ready;
	m->arg = args->arg;
	strbuf_add_slice(&m->prefix, args->prefix);
	strbuf_add_slice(&m->delimiter, args->delimiter);
	/* A group in which the start lies was told before it. */
	if (group.p && slice_starts_with(args->start_after, args->prefix))
		set_last(m, group, true);
	else
		set_last(m, args->start_after, false);
	m->q = (struct list_query){.w = w, .prefix = strbuf_slice(&m->prefix), .delimiter = strbuf_slice(&m->delimiter)};
	m->v = xcalloc(args->n_sources ? args->n_sources : 1, sizeof(*m->v));
	m->entries = xcalloc(round_size(args->wanted), sizeof(*m->entries));
	m->timer = evtimer_new(w->base, on_timer, m);
	gfs_assert(m->timer);
	return m;
}

struct list_source *list_merge_add(struct list_merge *m, uint32_t id, const char *name)
{
	struct list_source *s = &m->v[m->n++];

	list_source_init(s, &m->q, strbuf_slice(&m->last));
	s->id = id;
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->changed = on_changed;
	s->arg = m;
	return s;
}

void list_merge_destroy(struct list_merge **m_io)
{
	struct list_merge *m = *m_io;

	*m_io = NULL;
	if (!m)
		return;
	list_check_stop(m);
	for (size_t i = 0; i < m->n; i++)
		list_source_free(&m->v[i]);
	event_free(m->timer);
	strbuf_free(&m->prefix);
	strbuf_free(&m->delimiter);
	strbuf_free(&m->keys);
	strbuf_free(&m->last);
	free(m->v);
	free(m->entries);
	free(m->rows);
	free(m);
}
