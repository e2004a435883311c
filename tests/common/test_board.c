/* SPDX-License-Identifier: Apache-2.0 */
/* Boards: creation, replacement, and rows that no reader ever sees torn. */
#include "config.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/board/keys_board.h"
#include "common/board/sites_board.h"

static char dir[64];

static void make_dir(void)
{
	strcpy(dir, "/tmp/gfs-test-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(board, .init = make_dir, .fini = remove_dir, .timeout = 30);

static int files_in_boards(void)
{
	char path[96];
	struct dirent *e;
	DIR *d;
	int n = 0;

	snprintf(path, sizeof(path), "%s/boards", dir);
	d = opendir(path);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

Test(board, outlives_its_users)
{
	struct board b;
	bool created;

	cr_assert_eq(board_open(dir, "t", 1, 5000, false, &b, &created), GFS_ERR_IO);
	cr_assert_eq(board_open(dir, "t", 1, 5000, true, &b, &created), 0);
	cr_assert(created);
	cr_assert_eq((uintptr_t)b.p % 4096, 0);
	cr_assert_eq(((char *)b.p)[4999], 0);
	memcpy(b.p, "facts", 6);
	board_close(&b);
	board_close(&b);
	cr_assert_eq(board_open(dir, "t", 1, 5000, true, &b, &created), 0);
	cr_assert_not(created);
	cr_assert_str_eq(b.p, "facts");
	board_close(&b);
	cr_assert_eq(files_in_boards(), 1);
}

Test(board, another_layout_or_damage_is_replaced_only_by_a_creator)
{
	static const struct {
		uint32_t version;
		size_t bytes;
	} others[] = {{2, 5000}, {1, 5001}};
	struct board b;
	bool created;
	char path[96];
	size_t i;

	for (i = 0; i < 2; i++) {
		cr_assert_eq(board_open(dir, "t", 1, 5000, true, &b, NULL), 0);
		board_close(&b);
		cr_assert_eq(board_open(dir, "t", others[i].version, others[i].bytes, false, &b, NULL), GFS_ERR_VERSION);
		cr_assert_eq(board_open(dir, "t", others[i].version, others[i].bytes, true, &b, &created), 0);
		cr_assert(created);
		board_close(&b);
	}
	snprintf(path, sizeof(path), "%s/boards/t", dir);
	cr_assert_eq(truncate(path, 10), 0);
	cr_assert_eq(board_open(dir, "t", 1, 5000, false, &b, NULL), GFS_ERR_VERSION);
	cr_assert_eq(board_open(dir, "t", 1, 5000, true, &b, &created), 0);
	cr_assert(created);
	board_close(&b);
	cr_assert_eq(files_in_boards(), 1);
}

Test(board, creators_that_race_share_one_board)
{
	struct board b;
	int i, status;

	for (i = 0; i < 8; i++) {
		if (fork() == 0) {
			if (board_open(dir, "t", 1, 4096, true, &b, NULL))
				_exit(1);
			__atomic_fetch_add((uint32_t *)b.p, 1, __ATOMIC_SEQ_CST);
			_exit(0);
		}
	}
	for (i = 0; i < 8; i++) {
		wait(&status);
		cr_assert_eq(status, 0);
	}
	cr_assert_eq(board_open(dir, "t", 1, 4096, false, &b, NULL), 0);
	cr_assert_eq(*(uint32_t *)b.p, 8);
	board_close(&b);
}

Test(board, sites_rows_come_and_go)
{
	struct site_status st = {.id = 7, .state = SITE_STATE_DOWN, .fails = 3, .err = -5, .reason = "connect timeout"}, got;
	struct sites_board sb;

	cr_assert_eq(sites_board_open(dir, true, &sb), 0);
	cr_assert_not(sites_board_get(&sb, 7, &got));
	sites_board_put(&sb, &st);
	cr_assert(sites_board_get(&sb, 7, &got));
	cr_assert_eq(memcmp(&st, &got, sizeof(st)), 0);
	cr_assert_not(sites_board_get(&sb, 8, &got));
	cr_assert_not(sites_board_get(&sb, 0, &got));
	cr_assert_not(sites_board_get(&sb, SITES_BOARD_MAX, &got));
	sites_board_clear(&sb, 7);
	cr_assert_not(sites_board_get(&sb, 7, &got));
	sites_board_close(&sb);
	cr_assert_str_eq(site_state_name(SITE_STATE_DEGRADED), "degraded");
	cr_assert_str_eq(circuit_state_name(CIRCUIT_HALF_OPEN), "half-open");
}

Test(board, sites_heartbeat_gets_stale)
{
	struct sites_board sb;

	cr_assert_eq(sites_board_open(dir, true, &sb), 0);
	cr_assert(sites_board_stale(&sb, 1000000), "nobody has written yet");
	sites_board_beat(&sb, 1000000, 100);
	cr_assert_not(sites_board_stale(&sb, 1000300));
	cr_assert(sites_board_stale(&sb, 1000301));
	cr_assert(sites_board_stale(&sb, 999000), "the clock was set back");
	sites_board_close(&sb);
}

/* The writer makes every byte of a row tell the same number. */
static void write_rows(void)
{
	struct sites_board sb;
	struct site_status st;
	uint32_t i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sites_board_open(dir, false, &sb))
		_exit(1);
	for (i = 1;; i++) {
		memset(&st, (int)(i & 0xff), sizeof(st));
		st.id = 7;
		sites_board_put(&sb, &st);
	}
}

Test(board, sites_reader_never_sees_a_torn_row)
{
	struct sites_board sb;
	struct site_status st;
	int i, seen = 0;
	pid_t pid;

	cr_assert_eq(sites_board_open(dir, true, &sb), 0);
	pid = fork();
	if (pid == 0)
		write_rows();
	while (!sites_board_get(&sb, 7, &st))
		;
	for (i = 0; i < 200000; i++) {
		uint8_t first;
		size_t j;

		cr_assert(sites_board_get(&sb, 7, &st));
		first = (uint8_t)st.state;
		seen += first != 0;
		for (j = 0; j < sizeof(st.reason) - 1; j++)
			cr_assert_eq((uint8_t)st.reason[j], first, "torn in read %d", i);
		cr_assert_eq((uint8_t)(st.changed_ms >> 56), first);
	}
	cr_assert_gt(seen, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	cr_assert(sites_board_get(&sb, 7, &st), "a writer killed in a write leaves a whole row");
	sites_board_close(&sb);
}

Test(board, keys_are_dirty_until_somebody_has_counted)
{
	struct slice key = SLICE_LIT("a/b");
	uint32_t cell = keys_board_cell(key);
	struct keys_board kb;

	cr_assert_lt(cell, KEYS_BOARD_CELLS);
	cr_assert_eq(keys_board_open(dir, true, &kb), 0);
	cr_assert(keys_board_rebuilding(&kb));
	cr_assert(keys_board_dirty(&kb, cell));
	keys_board_rebuild_begin(&kb);
	keys_board_add_dirty(&kb, cell, 2);
	keys_board_rebuild_end(&kb);
	cr_assert(keys_board_dirty(&kb, cell));
	cr_assert_not(keys_board_dirty(&kb, cell ^ 1));
	keys_board_add_dirty(&kb, cell, -1);
	cr_assert(keys_board_dirty(&kb, cell));
	keys_board_add_dirty(&kb, cell, -1);
	cr_assert_not(keys_board_dirty(&kb, cell));
	cr_assert_eq(keys_board_clock(&kb, cell), 0);
	cr_assert_eq(keys_board_tick(&kb, cell), 1);
	keys_board_add_dirty(&kb, cell, 1);
	keys_board_rebuild_begin(&kb);
	cr_assert_eq(keys_board_clock(&kb, cell), 1, "clocks never go back");
	cr_assert(keys_board_dirty(&kb, cell ^ 1));
	keys_board_rebuild_end(&kb);
	cr_assert_not(keys_board_dirty(&kb, cell));
	keys_board_close(&kb);
}

Test(board, keys_ticks_of_two_processes_add_up)
{
	struct keys_board kb;
	int i, status;
	pid_t pid;

	cr_assert_eq(keys_board_open(dir, true, &kb), 0);
	pid = fork();
	for (i = 0; i < 100000; i++)
		keys_board_tick(&kb, 5);
	if (pid == 0)
		_exit(0);
	waitpid(pid, &status, 0);
	cr_assert_eq(keys_board_clock(&kb, 5), 200000);
	keys_board_close(&kb);
}
