/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of keys in work, their loads and saves: see keys.h. */
#include "config.h"

#include "keys.h"

#include <stdlib.h>
#include <string.h>

#include "cells.h"
#include "common/log.h"
#include "common/map.h"
#include "common/xalloc.h"
#include "journal.h"
#include "queue.h"

struct keys {
	struct repld *r;
	struct map *map;
	LIST_HEAD(, key_entry) retries;
};

struct load_job {
	struct repld *r;
	struct key_entry *e; /* referenced */
	struct store_record rec;
};

enum save_kind { SAVE_WIPE, SAVE_PUT_VERSION, SAVE_DEL_VERSION, SAVE_PUT_ROW, SAVE_DEL_ROW };

struct save_op {
	enum save_kind kind;
	int slot;
	enum version_state state;
	struct version *v; /* owned */
	struct site_row row;
	enum lane lane;
};

struct save_job {
	struct repld *r;
	struct key_entry *e; /* referenced */
	struct save_op *ops;
	size_t n, cap;
	void (*cb)(void *arg, int err);
	void *arg;
};

struct keys *keys_create(struct repld *r)
{
	struct keys *k = xcalloc(1, sizeof(*k));

	k->r = r;
	k->map = map_create();
	return k;
}

static void entry_free(struct key_entry *e)
{
	free(e->decided);
	free(e->intent);
	free(e->folded);
	free(e->rows);
	free(e->name);
	free(e);
}

void keys_destroy(struct keys **keys_io)
{
	struct keys *k = *keys_io;
	struct map_iter it = MAP_ITER_INIT;
	struct slice name;
	void *value;

	*keys_io = NULL;
	if (!k)
		return;
	while (map_next(k->map, &it, &name, &value)) {
		map_del(k->map, name);
		entry_free(value);
	}
	map_destroy(&k->map);
	free(k);
}

size_t keys_count(const struct keys *k)
{
	return map_count(k->map);
}

struct key_entry *keys_find(struct repld *r, struct slice key)
{
	return map_get(r->keys->map, key);
}

struct key_entry *keys_hold(struct repld *r, struct slice key)
{
	struct key_entry *e = map_get(r->keys->map, key);

	if (!e) {
		e = xcalloc(1, sizeof(*e));
		e->name = xmemdup(key.p, key.n);
		e->n = key.n;
		TAILQ_INIT(&e->waits);
		map_put(r->keys->map, key, e);
	}
	e->refs++;
	return e;
}

void keys_ref(struct key_entry *e)
{
	e->refs++;
}

void keys_release(struct repld *r, struct key_entry **e_io)
{
	struct key_entry *e = *e_io;

	*e_io = NULL;
	if (!e)
		return;
	gfs_assert(e->refs > 0);
	if (--e->refs > 0)
		return;
	gfs_assert(TAILQ_EMPTY(&e->waits) && LIST_EMPTY(&e->writes) && !e->orphan && !e->retry);
	map_del(r->keys->map, key_name(e));
	entry_free(e);
}

/* ---- load ---- */

static int load_run(struct store *st, void *arg)
{
	struct load_job *job = arg;

	store_record_free(&job->rec);
	return store_load(st, key_name(job->e), &job->rec);
}

static void entry_fill(struct key_entry *e, struct store_record *rec, bool acts_before)
{
	for (int slot = 0; slot < STORE_SLOTS; slot++) {
		e->stored[slot].has = rec->has[slot];
		e->stored[slot].state = rec->state[slot];
		e->stored[slot].gen = rec->v[slot].gen;
	}
	if (rec->has[0] && rec->state[0] == VERSION_INTENT) {
		e->intent = version_copy(&rec->v[0]);
		e->decided = rec->has[1] ? version_copy(&rec->v[1]) : NULL;
	} else if (rec->has[0]) {
		e->decided = version_copy(&rec->v[0]);
	}
	if (e->intent && rec->has[2])
		e->folded = version_copy(&rec->v[2]);
	e->rows = rec->rows;
	e->n_rows = e->cap_rows = rec->n_rows;
	rec->rows = NULL;
	for (size_t i = 0; i < e->n_rows; i++) {
		struct site_row *row = &e->rows[i];

		row->counted = row->unconfirmed && row->site != ROW_KEEPER;
		/* A repld that was killed may have sent what takes effect only now. */
		if (acts_before && row->counted && !row->watch)
			row->watch = 1;
		row->counted_parked = row->parked;
		row->counted_bytes = row->bytes;
	}
	e->counted = rec->has[0];
	e->load = KEY_LOADED;
}

static void load_done(void *arg, int err)
{
	struct load_job *job = arg;
	struct key_entry *e = job->e;
	struct key_wait *w;

	if (err)
		e->load = KEY_UNLOADED;
	else
		entry_fill(e, &job->rec, repld_acts_before(job->r));
	while ((w = TAILQ_FIRST(&e->waits))) {
		keys_wait_cancel(w);
		w->cb(w->arg, err);
	}
	store_record_free(&job->rec);
	keys_release(job->r, &job->e);
	free(job);
}

bool keys_load(struct repld *r, struct key_entry *e, struct key_wait *w)
{
	if (e->load == KEY_LOADED)
		return true;
	if (e->load == KEY_UNLOADED && !cells_dirty(&r->keys_board, key_name(e))) {
		e->load = KEY_LOADED; /* a clean cell: the journal has nothing on this key */
		return true;
	}
	w->queued = true;
	w->e = e;
	TAILQ_INSERT_TAIL(&e->waits, w, next); /* first come, first called: writes_restore() relies on it */
	if (e->load == KEY_LOADING)
		return false;
	struct load_job *job = xcalloc(1, sizeof(*job));

	e->load = KEY_LOADING;
	job->r = r;
	job->e = e;
	keys_ref(e);
	journal_submit(r->journal, load_run, load_done, job);
	return false;
}

void keys_wait_cancel(struct key_wait *w)
{
	if (w->queued)
		TAILQ_REMOVE(&w->e->waits, w, next);
	w->queued = false;
}

/* ---- save ---- */

static struct save_op *save_add(struct save_job *job, enum save_kind kind)
{
	if (job->n == job->cap) {
		job->cap = job->cap ? job->cap * 2 : 4;
		job->ops = xreallocarray(job->ops, job->cap, sizeof(*job->ops));
	}
	struct save_op *op = &job->ops[job->n++];

	memset(op, 0, sizeof(*op));
	op->kind = kind;
	return op;
}

static void save_slot(struct save_job *job, int slot, enum version_state state, const struct version *v)
{
	struct key_entry *e = job->e;

	if (!v) {
		if (!e->stored[slot].has)
			return;
		save_add(job, SAVE_DEL_VERSION)->slot = slot;
		e->stored[slot].has = false;
		return;
	}
	if (e->stored[slot].has && e->stored[slot].state == state && gen_cmp(&e->stored[slot].gen, &v->gen) == 0)
		return;
	struct save_op *op = save_add(job, SAVE_PUT_VERSION);

	op->slot = slot;
	op->state = state;
	op->v = version_copy(v);
	e->stored[slot].has = true;
	e->stored[slot].state = state;
	e->stored[slot].gen = v->gen;
}

/* Keeps the counts of the site in step with the row, in one step: a site that lacks something is never shown as one that does
 * not. */
static void row_account(struct repld *r, struct site_row *row)
{
	int rows = 0, parked = 0;
	int64_t bytes = 0;

	if (row->site == ROW_KEEPER)
		return;
	if (row->counted) {
		rows--;
		parked -= row->counted_parked;
		bytes -= (int64_t)row->counted_bytes;
	}
	row->counted = !row->gone && row->unconfirmed; /* one that is only watched lacks nothing */
	row->counted_parked = row->parked;
	row->counted_bytes = row->bytes;
	if (row->counted) {
		rows++;
		parked += row->parked;
		bytes += (int64_t)row->bytes;
	}
	if (rows || parked || bytes)
		queue_account(r, row->site, rows, parked, bytes);
}

static void save_rows(struct save_job *job)
{
	struct key_entry *e = job->e;
	const struct version *v = e->decided;
	enum lane lane = v ? planner_lane(v->deleted, v->size) : LANE_SMALL;
	size_t kept = 0;

	for (size_t i = 0; i < e->n_rows; i++) {
		struct site_row *row = &e->rows[i];

		if (row->dirty)
			row_account(job->r, row);
		if (row->dirty && row->gone && row->stored)
			save_add(job, SAVE_DEL_ROW)->row.site = row->site;
		if (row->gone)
			continue;
		if (row->dirty) {
			struct save_op *op = save_add(job, SAVE_PUT_ROW);

			row->dirty = false;
			row->stored = true;
			op->row = *row;
			op->lane = row->unconfirmed ? lane : LANE_SMALL;
		}
		if (kept != i)
			e->rows[kept] = *row;
		kept++;
	}
	e->n_rows = kept;
}

static int save_op_run(struct store *st, struct slice key, const struct save_op *op)
{
	switch (op->kind) {
	case SAVE_WIPE:
		return store_wipe(st, key);
	case SAVE_PUT_VERSION:
		return store_put_version(st, key, op->slot, op->state, op->v);
	case SAVE_DEL_VERSION:
		return store_del_version(st, key, op->slot);
	case SAVE_PUT_ROW:
		return store_put_row(st, key, &op->row, op->lane);
	case SAVE_DEL_ROW:
		return store_del_row(st, key, op->row.site);
	}
	return GFS_ERR_INTERNAL;
}

static int save_run(struct store *st, void *arg)
{
	const struct save_job *job = arg;
	int err = 0;

	for (size_t i = 0; i < job->n && !err; i++)
		err = save_op_run(st, key_name(job->e), &job->ops[i]);
	return err;
}

static void save_failed(struct repld *r, struct key_entry *e)
{
	e->resync = true;
	if (e->retry)
		return;
	e->retry = true;
	keys_ref(e);
	LIST_INSERT_HEAD(&r->keys->retries, e, next_retry);
}

static void save_done(void *arg, int err)
{
	struct save_job *job = arg;

	if (err)
		save_failed(job->r, job->e);
	if (job->cb)
		job->cb(job->arg, err);
	for (size_t i = 0; i < job->n; i++)
		free(job->ops[i].v);
	free(job->ops);
	keys_release(job->r, &job->e);
	free(job);
}

void keys_touch_intent(struct key_entry *e)
{
	memset(&e->stored[0].gen, 0, sizeof(e->stored[0].gen));
}

static void save_cell(struct repld *r, struct key_entry *e)
{
	bool dirty = e->decided || e->intent;

	if (dirty && !e->counted)
		cells_raise(&r->keys_board, key_name(e));
	if (!dirty && e->counted)
		cells_lower(&r->keys_board, key_name(e));
	e->counted = dirty;
}

bool keys_save(struct repld *r, struct key_entry *e, void (*cb)(void *arg, int err), void *arg)
{
	struct save_job *job = xcalloc(1, sizeof(*job));

	gfs_assert(e->load == KEY_LOADED);
	job->r = r;
	job->e = e;
	job->cb = cb;
	job->arg = arg;
	save_cell(r, e);
	if (e->resync) {
		save_add(job, SAVE_WIPE);
		for (int slot = 0; slot < STORE_SLOTS; slot++)
			e->stored[slot].has = false;
		for (size_t i = 0; i < e->n_rows; i++)
			e->rows[i].dirty = true;
		e->resync = false;
	}
	if (e->intent) {
		save_slot(job, 0, VERSION_INTENT, e->intent);
		save_slot(job, 1, VERSION_DECIDED, e->decided);
	} else {
		save_slot(job, 0, VERSION_DECIDED, e->decided);
		save_slot(job, 1, VERSION_DECIDED, NULL);
	}
	save_slot(job, 2, VERSION_INTENT, e->intent ? e->folded : NULL);
	save_rows(job);
	if (job->n == 0 && !cb) {
		free(job);
		return false;
	}
	keys_ref(e);
	journal_submit(r->journal, save_run, save_done, job);
	return true;
}

void keys_retry_saves(struct repld *r)
{
	LIST_HEAD(, key_entry) todo;
	struct key_entry *e;

	todo.lh_first = NULL;
	while ((e = LIST_FIRST(&r->keys->retries))) {
		LIST_REMOVE(e, next_retry);
		LIST_INSERT_HEAD(&todo, e, next_retry);
	}
	while ((e = LIST_FIRST(&todo))) {
		LIST_REMOVE(e, next_retry);
		e->retry = false;
		if (e->resync)
			keys_save(r, e, NULL, NULL);
		keys_release(r, &e);
	}
}

void keys_unpark_site(struct repld *r, uint32_t site, int64_t now_ms)
{
	struct map_iter it = MAP_ITER_INIT;
	struct slice name;
	void *value;

	while (map_next(r->keys->map, &it, &name, &value)) {
		struct key_entry *e = value;
		struct site_row *row = row_find(e, site);

		if (!row)
			continue;
		row->counted_parked = false;
		if (!row->unconfirmed || (!row->parked && row->next_ms <= now_ms))
			continue;
		row->parked = false;
		row->attempts = 0;
		row->next_ms = now_ms;
		row->dirty = true;
		keys_save(r, e, NULL, NULL);
		queue_offer_all(r, e);
	}
}

/* ---- rows ---- */

struct site_row *row_find(struct key_entry *e, uint32_t site)
{
	for (size_t i = 0; i < e->n_rows; i++)
		if (e->rows[i].site == site && !e->rows[i].gone)
			return &e->rows[i];
	return NULL;
}

struct site_row *row_need(struct key_entry *e, uint32_t site, int64_t now_ms)
{
	struct site_row *row = NULL;

	for (size_t i = 0; i < e->n_rows && !row; i++)
		if (e->rows[i].site == site)
			row = &e->rows[i];
	if (row && !row->gone) {
		row->dirty = true;
		return row;
	}
	if (!row) {
		if (e->n_rows == e->cap_rows) {
			e->cap_rows = e->cap_rows ? e->cap_rows * 2 : 4;
			e->rows = xreallocarray(e->rows, e->cap_rows, sizeof(*e->rows));
		}
		row = &e->rows[e->n_rows++];
		memset(row, 0, sizeof(*row));
	}
	row->site = site;
	row->gone = row->unconfirmed = row->parked = false;
	row->watch = row->attempts = 0;
	row->err = 0;
	row->since_ms = row->next_ms = now_ms;
	row->bytes = 0;
	row->dirty = true;
	return row;
}

void row_drop(struct site_row *row)
{
	row->gone = true;
	row->dirty = true;
}

size_t rows_lacking(const struct key_entry *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n_rows; i++)
		n += !e->rows[i].gone && e->rows[i].site != ROW_KEEPER;
	return n;
}

struct version *version_copy(const struct version *v)
{
	return xmemdup(v, sizeof(*v));
}

bool version_targets(const struct version *v, uint32_t site)
{
	for (size_t i = 0; i < v->n_sites; i++)
		if (v->sites[i] == site)
			return true;
	return false;
}
