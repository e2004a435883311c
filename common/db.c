/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite with the settings that the durability promises rest on (db.h). Used by repld's journal thread. */
#include "config.h"

#include "db.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "xalloc.h"

#define DB_BUSY_MS 5000

int db_exec(struct db *db, const char *sql)
{
	char *msg = NULL, q[LOG_QUOTE_MAX];

	if (sqlite3_exec(db->handle, sql, NULL, NULL, &msg) == SQLITE_OK)
		return 0;
	log_error("event=db path=%s why=%s", db->path, log_quote(q, sizeof(q), slice_str(msg ? msg : sqlite3_errmsg(db->handle))));
	sqlite3_free(msg);
	return GFS_ERR_IO;
}

sqlite3_stmt *db_prepare(struct db *db, const char *sql)
{
	sqlite3_stmt *st = NULL;
	char q[LOG_QUOTE_MAX];

	if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) == SQLITE_OK)
		return st;
	log_error("event=db path=%s why=%s", db->path, log_quote(q, sizeof(q), slice_str(sqlite3_errmsg(db->handle))));
	return NULL;
}

/* The first column of the first row, as text into buf or as a number. */
static int db_ask(struct db *db, const char *sql, char *buf, size_t cap, int *number_out)
{
	sqlite3_stmt *st = db_prepare(db, sql);
	const unsigned char *text;
	int err = GFS_ERR_IO;

	if (!st)
		return GFS_ERR_IO;
	if (sqlite3_step(st) == SQLITE_ROW) {
		text = sqlite3_column_text(st, 0);
		if (buf)
			snprintf(buf, cap, "%s", text ? (const char *)text : "");
		if (number_out)
			*number_out = sqlite3_column_int(st, 0);
		err = 0;
	}
	sqlite3_finalize(st);
	return err;
}

static int db_migrate_step(struct db *db, const char *script, size_t number, char *why, size_t cap)
{
	char pragma[64];

	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %zu", number);
	if (db_exec(db, "BEGIN IMMEDIATE") == 0 && db_exec(db, script) == 0 && db_exec(db, pragma) == 0 && db_exec(db, "COMMIT") == 0)
		return 0;
	snprintf(why, cap, "%s: migration %zu: %s", db->path, number, sqlite3_errmsg(db->handle));
	if (!sqlite3_get_autocommit(db->handle) && db_exec(db, "ROLLBACK"))
		log_error("event=db path=%s why=\"rollback failed\"", db->path);
	return GFS_ERR_IO;
}

static int db_migrate(struct db *db, const char *const *migrations, size_t n, char *why, size_t cap)
{
	int version;
	size_t i;

	if (db_ask(db, "PRAGMA user_version", NULL, 0, &version)) {
		snprintf(why, cap, "%s: %s", db->path, sqlite3_errmsg(db->handle));
		return GFS_ERR_IO;
	}
	if (version < 0 || (size_t)version > n) {
		snprintf(why, cap, "%s is of version %d, this program knows up to %zu", db->path, version, n);
		return GFS_ERR_VERSION;
	}
	for (i = (size_t)version; i < n; i++)
		if (db_migrate_step(db, migrations[i], i + 1, why, cap))
			return GFS_ERR_IO;
	return 0;
}

static int db_setup(struct db *db, char *why, size_t cap)
{
	char mode[16] = "";

	sqlite3_busy_timeout(db->handle, DB_BUSY_MS);
	if (db_ask(db, "PRAGMA journal_mode = WAL", mode, sizeof(mode), NULL) == 0 && strcmp(mode, "wal") == 0 &&
	    db_exec(db, "PRAGMA synchronous = FULL") == 0 && db_exec(db, "PRAGMA foreign_keys = OFF") == 0)
		return 0;
	snprintf(why, cap, "%s: %s", db->path, mode[0] && strcmp(mode, "wal") != 0 ? "no write-ahead log on this file system" :
	         sqlite3_errmsg(db->handle));
	return GFS_ERR_IO;
}

int db_open(const char *path, const char *const *migrations, size_t n, struct db *out, char *why, size_t cap)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, err;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640); /* SQLite itself would ask for 0644 */

	if (fd >= 0)
		close(fd);
	*out = (struct db){.path = xstrdup(path)};
	if (sqlite3_open_v2(path, &out->handle, flags, NULL) != SQLITE_OK) {
		snprintf(why, cap, "%s: %s", path, out->handle ? sqlite3_errmsg(out->handle) : "out of memory");
		db_close(out);
		return GFS_ERR_IO;
	}
	err = db_setup(out, why, cap);
	if (!err)
		err = db_migrate(out, migrations, n, why, cap);
	if (err)
		db_close(out);
	return err;
}

void db_close(struct db *db)
{
	if (db->handle && sqlite3_close(db->handle) != SQLITE_OK)
		panic("%s closed with statements open", db->path);
	free(db->path);
	*db = (struct db){0};
}

int db_quick_check(struct db *db)
{
	char answer[256] = "", q[LOG_QUOTE_MAX];

	if (db_ask(db, "PRAGMA quick_check(1)", answer, sizeof(answer), NULL) == 0 && strcmp(answer, "ok") == 0)
		return 0;
	log_error("event=db_check path=%s why=%s", db->path, log_quote(q, sizeof(q), slice_str(answer)));
	return GFS_ERR_IO;
}
