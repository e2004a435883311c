/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's tables and statements (SQLite). Everything here runs on the journal's thread, except store_open() and the walks
 * at start, which run before that thread exists. Errors: GFS_ERR_IO; store_damaged() tells that the file itself is bad.
 *
 *   version (key, slot)   slot 0: the version that counts, an intent or decided; slot 1: the decided version below an intent;
 *                         slot 2: an intent in doubt below another intent
 *   pending (key, site)   what a site still lacks; site 0 keeps a version that no site lacks (ROW_KEEPER)
 *   note    (name)        single numbers
 */
#ifndef GFS_REPLD_STORE_H
#define GFS_REPLD_STORE_H

#include "common/db.h"
#include "common/slice.h"
#include "planner.h"
#include "version.h"

#define STORE_SLOTS 3

enum version_state { VERSION_DECIDED = 0, VERSION_INTENT = 1 };

enum store_stmt {
	ST_PUT_VERSION, ST_DEL_VERSION, ST_PUT_ROW, ST_DEL_ROW, ST_WIPE_VERSIONS, ST_WIPE_ROWS, ST_LOAD_VERSIONS, ST_LOAD_ROWS,
	ST_DUE, ST_NEXT, ST_PUT_NOTE, ST_GET_NOTE, ST_OLDEST, ST_RETRY_SITE, ST_COUNT
};

struct store {
	struct db db;
	sqlite3_stmt *stmt[ST_COUNT];
	bool damaged;
	int failing;    /* SQLite's code since when nothing could be written (full disk, I/O error), 0: all is well */
	uint64_t fails; /* since then */
};

/* All that the journal has on one key. */
struct store_record {
	bool has[STORE_SLOTS];
	enum version_state state[STORE_SLOTS];
	struct version v[STORE_SLOTS];
	struct site_row *rows;
	size_t n_rows;
};

struct store_due {
	/* asked */
	uint32_t site;
	enum lane lane;
	int64_t now_ms;
	unsigned limit;
	/* answered */
	char **keys;     /* n owned, not NUL-terminated */
	size_t *lens;
	size_t n;
	int64_t next_ms; /* the earliest row that is not due yet, INT64_MAX when there is none */
};

int store_open(const char *path, struct store *out, char *why, size_t cap) GFS_MUST_USE;
void store_close(struct store *st);
/* Something was committed: the end of failing, said once as its beginning was. */
void store_committed(struct store *st);
int store_exec(struct store *st, const char *sql) GFS_MUST_USE;

int store_put_version(struct store *st, struct slice key, int slot, enum version_state state,
		      const struct version *v) GFS_MUST_USE;
int store_del_version(struct store *st, struct slice key, int slot) GFS_MUST_USE;
int store_put_row(struct store *st, struct slice key, const struct site_row *row, enum lane lane) GFS_MUST_USE;
int store_del_row(struct store *st, struct slice key, uint32_t site) GFS_MUST_USE;
int store_wipe(struct store *st, struct slice key) GFS_MUST_USE;
int store_load(struct store *st, struct slice key, struct store_record *out) GFS_MUST_USE;
void store_record_free(struct store_record *rec);
/* Fills out->keys with those whose row for (site, lane) is due at now, earliest first, at most limit. */
int store_due(struct store *st, struct store_due *out) GFS_MUST_USE;
void store_due_free(struct store_due *due);
int store_put_note(struct store *st, const char *name, int64_t value) GFS_MUST_USE;
int store_get_note(struct store *st, const char *name, int64_t *value_out) GFS_MUST_USE; /* 0 when there is none */
/* When the oldest row began that the site still lacks; 0 when it lacks none. */
int store_oldest(struct store *st, uint32_t site, int64_t *since_ms_out) GFS_MUST_USE;
/* Every row of the site is due at once and no longer parked. */
int store_retry_site(struct store *st, uint32_t site, int64_t now_ms) GFS_MUST_USE;

/* Walks at start. */
typedef void store_site_cb(void *arg, uint32_t site, uint64_t rows, uint64_t parked, uint64_t bytes);
int store_each_key(struct store *st, void (*cb)(void *arg, struct slice key, bool intent), void *arg) GFS_MUST_USE;
int store_each_site(struct store *st, store_site_cb *cb, void *arg) GFS_MUST_USE;

#endif
