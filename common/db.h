/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite as we use it: WAL, synchronous=FULL, foreign keys off, one connection per thread; a list of migrations applied in one
 * transaction each, their count in user_version. A database of a newer version is refused (GFS_ERR_VERSION).
 */
#ifndef GFS_DB_H
#define GFS_DB_H

#include <sqlite3.h>
#include <stddef.h>

#include "error.h"

struct db {
	sqlite3 *handle;
	char *path;
};

/* migrations: n SQL scripts, for ever append-only. 0, GFS_ERR_IO (why says what), GFS_ERR_VERSION. */
int db_open(const char *path, const char *const *migrations, size_t n, struct db *out, char *why, size_t cap) GFS_MUST_USE;
void db_close(struct db *db);
int db_exec(struct db *db, const char *sql) GFS_MUST_USE;
/* Prepares; logs and returns NULL on an error. */
sqlite3_stmt *db_prepare(struct db *db, const char *sql);
int db_quick_check(struct db *db) GFS_MUST_USE; /* 0 or GFS_ERR_IO */

#endif
