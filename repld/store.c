/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's tables and statements: see store.h. Used by journal.c and keys.c, on the journal's thread. */
#include "config.h"

#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/strbuf.h"
#include "common/xalloc.h"

static const char *const migrations[] = {
	"CREATE TABLE version(key BLOB NOT NULL, slot INTEGER NOT NULL, state INTEGER NOT NULL, hlc INTEGER NOT NULL,"
	" node TEXT NOT NULL, deleted INTEGER NOT NULL, size INTEGER NOT NULL, part_size INTEGER NOT NULL, etag TEXT NOT NULL,"
	" crc64 INTEGER, write_min INTEGER NOT NULL, n_sync INTEGER NOT NULL, sites TEXT NOT NULL, owner_pid INTEGER NOT NULL,"
	" owner_start INTEGER NOT NULL, stamp_ms INTEGER NOT NULL, PRIMARY KEY(key, slot)) WITHOUT ROWID;"
	"CREATE TABLE pending(key BLOB NOT NULL, site INTEGER NOT NULL, lane INTEGER NOT NULL, parked INTEGER NOT NULL,"
	" unconfirmed INTEGER NOT NULL, watch INTEGER NOT NULL, attempts INTEGER NOT NULL, err INTEGER NOT NULL,"
	" next_ms INTEGER NOT NULL, since_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY(key, site)) WITHOUT ROWID;"
	"CREATE INDEX pending_due ON pending(site, parked, lane, next_ms);"
	"CREATE TABLE note(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;",
	"CREATE INDEX pending_since ON pending(site, since_ms) WHERE unconfirmed=1;",
};

static const char *const statements[ST_COUNT] = {
	[ST_PUT_VERSION] = "INSERT OR REPLACE INTO version VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)",
	[ST_DEL_VERSION] = "DELETE FROM version WHERE key=?1 AND slot=?2",
	[ST_PUT_ROW] = "INSERT OR REPLACE INTO pending VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
	[ST_DEL_ROW] = "DELETE FROM pending WHERE key=?1 AND site=?2",
	[ST_WIPE_VERSIONS] = "DELETE FROM version WHERE key=?1",
	[ST_WIPE_ROWS] = "DELETE FROM pending WHERE key=?1",
	[ST_LOAD_VERSIONS] = "SELECT slot,state,hlc,node,deleted,size,part_size,etag,crc64,write_min,n_sync,sites,owner_pid,"
			     "owner_start,stamp_ms FROM version WHERE key=?1",
	[ST_LOAD_ROWS] = "SELECT site,parked,unconfirmed,watch,attempts,err,next_ms,since_ms,bytes FROM pending WHERE key=?1",
	[ST_DUE] = "SELECT key FROM pending WHERE site=?1 AND parked=0 AND lane=?2 AND next_ms<=?3 ORDER BY next_ms LIMIT ?4",
	[ST_NEXT] = "SELECT min(next_ms) FROM pending WHERE site=?1 AND parked=0 AND lane=?2 AND next_ms>?3",
	[ST_PUT_NOTE] = "INSERT OR REPLACE INTO note VALUES(?1,?2)",
	[ST_GET_NOTE] = "SELECT value FROM note WHERE name=?1",
	[ST_OLDEST] = "SELECT min(since_ms) FROM pending WHERE site=?1 AND unconfirmed=1",
	[ST_RETRY_SITE] = "UPDATE pending SET parked=0, attempts=0, next_ms=?2 WHERE site=?1 AND unconfirmed=1 AND (parked=1 OR "
			  "next_ms>?2)",
};

/* A disk that is full or ill fails every commit until it is better: said once, then counted. */
static bool store_failing(struct store *st, int rc, const char *what)
{
	if (rc != SQLITE_FULL && rc != SQLITE_IOERR && rc != SQLITE_READONLY && rc != SQLITE_CANTOPEN)
		return false;
	if (st->fails++ == 0)
		log_error("event=journal-failing op=%s code=%d why=\"%s\" what=\"writes are refused until it can be written again\"", what,
			  rc, sqlite3_errmsg(st->db.handle));
	st->failing = rc;
	return true;
}

void store_committed(struct store *st)
{
	if (st->failing)
		log_info("event=journal-works-again failed=%" PRIu64, st->fails);
	st->failing = 0;
	st->fails = 0;
}

static int store_fail(struct store *st, int rc, const char *what)
{
	if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB)
		st->damaged = true;
	if (store_failing(st, rc & 0xff, what))
		return GFS_ERR_IO;
	log_error("event=journal-error op=%s code=%d why=\"%s\"", what, rc, sqlite3_errmsg(st->db.handle));
	return GFS_ERR_IO;
}

int store_open(const char *path, struct store *out, char *why, size_t cap)
{
	memset(out, 0, sizeof(*out));
	int err = db_open(path, migrations, sizeof(migrations) / sizeof(migrations[0]), &out->db, why, cap);

	if (err)
		return err;
	for (int i = 0; i < ST_COUNT; i++) {
		out->stmt[i] = db_prepare(&out->db, statements[i]);
		if (!out->stmt[i]) {
			snprintf(why, cap, "%s: %s", path, sqlite3_errmsg(out->db.handle));
			store_close(out);
			return GFS_ERR_IO;
		}
	}
	return GFS_OK;
}

void store_close(struct store *st)
{
	for (int i = 0; i < ST_COUNT; i++) {
		sqlite3_finalize(st->stmt[i]);
		st->stmt[i] = NULL;
	}
	db_close(&st->db);
}

int store_exec(struct store *st, const char *sql)
{
	int rc = sqlite3_exec(st->db.handle, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? GFS_OK : store_fail(st, rc, sql);
}

static int step_done(struct store *st, enum store_stmt which)
{
	int rc = sqlite3_step(st->stmt[which]);

	sqlite3_reset(st->stmt[which]);
	sqlite3_clear_bindings(st->stmt[which]);
	return rc == SQLITE_DONE ? GFS_OK : store_fail(st, rc, statements[which]);
}

static void bind_key(sqlite3_stmt *s, struct slice key)
{
	sqlite3_bind_blob(s, 1, key.p, (int)key.n, SQLITE_STATIC);
}

static void sites_format(const struct version *v, char *buf, size_t cap)
{
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < v->n_sites && at < cap; i++)
		at += (size_t)snprintf(buf + at, cap - at, "%s%" PRIu32, i ? "," : "", v->sites[i]);
}

static void sites_parse(const char *text, struct version *v)
{
	char *end;

	while (text && *text && v->n_sites < VERSION_SITES_MAX) {
		v->sites[v->n_sites++] = (uint32_t)strtoul(text, &end, 10);
		text = *end == ',' ? end + 1 : NULL;
	}
	if (v->n_sync > v->n_sites)
		v->n_sync = v->n_sites;
}

int store_put_version(struct store *st, struct slice key, int slot, enum version_state state, const struct version *v)
{
	sqlite3_stmt *s = st->stmt[ST_PUT_VERSION];
	char sites[VERSION_SITES_MAX * 11 + 1];

	sites_format(v, sites, sizeof(sites));
	bind_key(s, key);
	sqlite3_bind_int(s, 2, slot);
	sqlite3_bind_int(s, 3, (int)state);
	sqlite3_bind_int64(s, 4, (int64_t)v->gen.hlc);
	sqlite3_bind_text(s, 5, v->gen.node, -1, SQLITE_STATIC);
	sqlite3_bind_int(s, 6, v->deleted);
	sqlite3_bind_int64(s, 7, (int64_t)v->size);
	sqlite3_bind_int64(s, 8, (int64_t)v->part_size);
	sqlite3_bind_text(s, 9, v->etag, -1, SQLITE_STATIC);
	if (v->has_crc64)
		sqlite3_bind_int64(s, 10, (int64_t)v->crc64);
	else
		sqlite3_bind_null(s, 10);
	sqlite3_bind_int64(s, 11, v->write_min);
	sqlite3_bind_int64(s, 12, (int64_t)v->n_sync);
	sqlite3_bind_text(s, 13, sites, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 14, v->owner_pid);
	sqlite3_bind_int64(s, 15, (int64_t)v->owner_start);
	sqlite3_bind_int64(s, 16, v->stamp_ms);
	return step_done(st, ST_PUT_VERSION);
}

int store_del_version(struct store *st, struct slice key, int slot)
{
	bind_key(st->stmt[ST_DEL_VERSION], key);
	sqlite3_bind_int(st->stmt[ST_DEL_VERSION], 2, slot);
	return step_done(st, ST_DEL_VERSION);
}

int store_put_row(struct store *st, struct slice key, const struct site_row *row, enum lane lane)
{
	sqlite3_stmt *s = st->stmt[ST_PUT_ROW];

	bind_key(s, key);
	sqlite3_bind_int64(s, 2, row->site);
	sqlite3_bind_int(s, 3, (int)lane);
	sqlite3_bind_int(s, 4, row->parked);
	sqlite3_bind_int(s, 5, row->unconfirmed);
	sqlite3_bind_int64(s, 6, row->watch);
	sqlite3_bind_int64(s, 7, row->attempts);
	sqlite3_bind_int(s, 8, row->err);
	sqlite3_bind_int64(s, 9, row->next_ms);
	sqlite3_bind_int64(s, 10, row->since_ms);
	sqlite3_bind_int64(s, 11, (int64_t)row->bytes);
	return step_done(st, ST_PUT_ROW);
}

int store_del_row(struct store *st, struct slice key, uint32_t site)
{
	bind_key(st->stmt[ST_DEL_ROW], key);
	sqlite3_bind_int64(st->stmt[ST_DEL_ROW], 2, site);
	return step_done(st, ST_DEL_ROW);
}

int store_wipe(struct store *st, struct slice key)
{
	bind_key(st->stmt[ST_WIPE_VERSIONS], key);
	int err = step_done(st, ST_WIPE_VERSIONS);

	if (err)
		return err;
	bind_key(st->stmt[ST_WIPE_ROWS], key);
	return step_done(st, ST_WIPE_ROWS);
}

static void column_text(sqlite3_stmt *s, int col, char *buf, size_t cap)
{
	const unsigned char *text = sqlite3_column_text(s, col);

	snprintf(buf, cap, "%s", text ? (const char *)text : "");
}

static void read_version(sqlite3_stmt *s, struct version *v)
{
	memset(v, 0, sizeof(*v));
	v->gen.hlc = (uint64_t)sqlite3_column_int64(s, 2);
	column_text(s, 3, v->gen.node, sizeof(v->gen.node));
	v->deleted = sqlite3_column_int(s, 4);
	v->size = (uint64_t)sqlite3_column_int64(s, 5);
	v->part_size = (uint64_t)sqlite3_column_int64(s, 6);
	column_text(s, 7, v->etag, sizeof(v->etag));
	v->has_crc64 = sqlite3_column_type(s, 8) != SQLITE_NULL;
	v->crc64 = (uint64_t)sqlite3_column_int64(s, 8);
	v->write_min = (unsigned)sqlite3_column_int(s, 9);
	v->n_sync = (size_t)sqlite3_column_int64(s, 10);
	sites_parse((const char *)sqlite3_column_text(s, 11), v);
	v->owner_pid = sqlite3_column_int(s, 12);
	v->owner_start = (uint64_t)sqlite3_column_int64(s, 13);
	v->stamp_ms = sqlite3_column_int64(s, 14);
}

static int load_versions(struct store *st, struct slice key, struct store_record *out)
{
	sqlite3_stmt *s = st->stmt[ST_LOAD_VERSIONS];
	int rc;

	bind_key(s, key);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		int slot = sqlite3_column_int(s, 0);

		if (slot < 0 || slot >= STORE_SLOTS)
			continue;
		out->has[slot] = true;
		out->state[slot] = sqlite3_column_int(s, 1) ? VERSION_INTENT : VERSION_DECIDED;
		read_version(s, &out->v[slot]);
	}
	sqlite3_reset(s);
	return rc == SQLITE_DONE ? GFS_OK : store_fail(st, rc, "load");
}

int store_load(struct store *st, struct slice key, struct store_record *out)
{
	sqlite3_stmt *s = st->stmt[ST_LOAD_ROWS];
	size_t cap = 0;
	int rc;

	memset(out, 0, sizeof(*out));
	int err = load_versions(st, key, out);

	if (err || !out->has[0])
		return err;
	bind_key(s, key);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		if (out->n_rows == cap) {
			cap = cap ? cap * 2 : 4;
			out->rows = xreallocarray(out->rows, cap, sizeof(*out->rows));
		}
		struct site_row *row = &out->rows[out->n_rows++];

		memset(row, 0, sizeof(*row));
		row->site = (uint32_t)sqlite3_column_int64(s, 0);
		row->parked = sqlite3_column_int(s, 1);
		row->unconfirmed = sqlite3_column_int(s, 2);
		row->watch = (unsigned)sqlite3_column_int(s, 3);
		row->attempts = (unsigned)sqlite3_column_int(s, 4);
		row->err = sqlite3_column_int(s, 5);
		row->next_ms = sqlite3_column_int64(s, 6);
		row->since_ms = sqlite3_column_int64(s, 7);
		row->bytes = (uint64_t)sqlite3_column_int64(s, 8);
		row->stored = true;
	}
	sqlite3_reset(s);
	return rc == SQLITE_DONE ? GFS_OK : store_fail(st, rc, "load-rows");
}

void store_record_free(struct store_record *rec)
{
	free(rec->rows);
	memset(rec, 0, sizeof(*rec));
}

int store_due(struct store *st, struct store_due *out)
{
	sqlite3_stmt *s = st->stmt[ST_DUE];
	int rc;

	store_due_free(out);
	out->keys = xcalloc(out->limit, sizeof(*out->keys));
	out->lens = xcalloc(out->limit, sizeof(*out->lens));
	out->next_ms = INT64_MAX;
	sqlite3_bind_int64(s, 1, out->site);
	sqlite3_bind_int(s, 2, (int)out->lane);
	sqlite3_bind_int64(s, 3, out->now_ms);
	sqlite3_bind_int64(s, 4, out->limit);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW && out->n < out->limit) {
		out->lens[out->n] = (size_t)sqlite3_column_bytes(s, 0);
		out->keys[out->n] = xmemdup(sqlite3_column_blob(s, 0), out->lens[out->n]);
		out->n++;
	}
	sqlite3_reset(s);
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		return store_fail(st, rc, "due");
	s = st->stmt[ST_NEXT];
	sqlite3_bind_int64(s, 1, out->site);
	sqlite3_bind_int(s, 2, (int)out->lane);
	sqlite3_bind_int64(s, 3, out->now_ms);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL)
		out->next_ms = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return rc == SQLITE_ROW ? GFS_OK : store_fail(st, rc, "next");
}

void store_due_free(struct store_due *due)
{
	for (size_t i = 0; i < due->n; i++)
		free(due->keys[i]);
	free(due->keys);
	free(due->lens);
	due->keys = NULL;
	due->lens = NULL;
	due->n = 0;
}

int store_put_note(struct store *st, const char *name, int64_t value)
{
	sqlite3_bind_text(st->stmt[ST_PUT_NOTE], 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st->stmt[ST_PUT_NOTE], 2, value);
	return step_done(st, ST_PUT_NOTE);
}

int store_get_note(struct store *st, const char *name, int64_t *value_out)
{
	sqlite3_stmt *s = st->stmt[ST_GET_NOTE];

	*value_out = 0;
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	int rc = sqlite3_step(s);

	if (rc == SQLITE_ROW)
		*value_out = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? GFS_OK : store_fail(st, rc, "note");
}

int store_retry_site(struct store *st, uint32_t site, int64_t now_ms)
{
	sqlite3_bind_int64(st->stmt[ST_RETRY_SITE], 1, site);
	sqlite3_bind_int64(st->stmt[ST_RETRY_SITE], 2, now_ms);
	return step_done(st, ST_RETRY_SITE);
}

int store_oldest(struct store *st, uint32_t site, int64_t *since_ms_out)
{
	sqlite3_stmt *s = st->stmt[ST_OLDEST];

	*since_ms_out = 0;
	sqlite3_bind_int64(s, 1, site);
	int rc = sqlite3_step(s);

	if (rc == SQLITE_ROW)
		*since_ms_out = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return rc == SQLITE_ROW ? GFS_OK : store_fail(st, rc, "oldest");
}

int store_each_key(struct store *st, void (*cb)(void *arg, struct slice key, bool intent), void *arg)
{
	sqlite3_stmt *s = db_prepare(&st->db, "SELECT key,state FROM version WHERE slot=0");
	int rc;

	if (!s)
		return store_fail(st, sqlite3_errcode(st->db.handle), "scan");
	while ((rc = sqlite3_step(s)) == SQLITE_ROW)
		cb(arg, slice_of(sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0)), sqlite3_column_int(s, 1) != 0);
	int err = rc == SQLITE_DONE ? GFS_OK : store_fail(st, rc, "scan");

	sqlite3_finalize(s);
	return err;
}

int store_each_site(struct store *st, store_site_cb *cb, void *arg)
{
	sqlite3_stmt *s = db_prepare(&st->db, "SELECT site,sum(unconfirmed),sum(parked),sum(bytes*unconfirmed) FROM pending "
					      "GROUP BY site");
	int rc;

	if (!s)
		return store_fail(st, sqlite3_errcode(st->db.handle), "count");
	while ((rc = sqlite3_step(s)) == SQLITE_ROW)
		cb(arg, (uint32_t)sqlite3_column_int64(s, 0), (uint64_t)sqlite3_column_int64(s, 1),
		   (uint64_t)sqlite3_column_int64(s, 2), (uint64_t)sqlite3_column_int64(s, 3));
	int err = rc == SQLITE_DONE ? GFS_OK : store_fail(st, rc, "count");

	sqlite3_finalize(s);
	return err;
}
