/* SPDX-License-Identifier: Apache-2.0 */
/* db: migrations once each, newer versions refused, a broken migration changes nothing. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/db.h"

static char dir[64], path[96], why[256];

static void make_dir(void)
{
	strcpy(dir, "/tmp/gfs-test-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/journal", dir);
}

static void remove_dir(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(db, .init = make_dir, .fini = remove_dir);

static const char *const scripts[] = {
	"CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);", "INSERT INTO a VALUES (2);",
	"INSERT INTO a VALUES (3); INSERT INTO nowhere VALUES (1);",
};

static int rows(struct db *db)
{
	sqlite3_stmt *st = db_prepare(db, "SELECT count(*) FROM a");
	int n;

	cr_assert_not_null(st);
	cr_assert_eq(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return n;
}

Test(db, migrations_run_once_each)
{
	struct db db;

	cr_assert_eq(db_open(path, scripts, 1, &db, why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(rows(&db), 1);
	db_close(&db);
	cr_assert_eq(db_open(path, scripts, 2, &db, why, sizeof(why)), 0);
	cr_assert_eq(rows(&db), 2);
	cr_assert_eq(db_quick_check(&db), 0);
	cr_assert_eq(db_exec(&db, "nonsense"), GFS_ERR_IO);
	cr_assert_null(db_prepare(&db, "nonsense"));
	db_close(&db);
	db_close(&db);
	cr_assert_eq(db_open(path, scripts, 1, &db, why, sizeof(why)), GFS_ERR_VERSION);
	cr_assert_not_null(strstr(why, "version 2"));
}

Test(db, failed_migration_changes_nothing)
{
	struct db db;

	cr_assert_eq(db_open(path, scripts, 3, &db, why, sizeof(why)), GFS_ERR_IO);
	cr_assert_not_null(strstr(why, "migration 3: no such table"), "%s", why);
	cr_assert_eq(db_open(path, scripts, 2, &db, why, sizeof(why)), 0);
	cr_assert_eq(rows(&db), 2);
	db_close(&db);
}

Test(db, what_is_no_database_is_refused)
{
	struct db db;
	FILE *f = fopen(path, "w");
	int i;

	for (i = 0; i < 4096; i++)
		fputc('x', f);
	fclose(f);
	cr_assert_eq(db_open(path, scripts, 2, &db, why, sizeof(why)), GFS_ERR_IO);
	cr_assert_eq(db_open("/nonexistent/db", scripts, 2, &db, why, sizeof(why)), GFS_ERR_IO);
	cr_assert_gt(strlen(why), 5);
}
