/* SPDX-License-Identifier: Apache-2.0 */
/* The journal: what done() has told is on disk after kill -9; group commit; bad jobs and bad files. */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "repld/journal.h"
#include "repld/store.h"

static char *temp_path(void)
{
	char dir[] = "/tmp/gfs-journal-XXXXXX";

	cr_assert_not_null(mkdtemp(dir));
	return xasprintf("%s/j.db", dir);
}

static void remove_path(char *path)
{
	char *cmd = xasprintf("rm -r $(dirname %s)", path);

	cr_assert_eq(system(cmd), 0);
	free(cmd);
	free(path);
}

struct put_job {
	int n, fd, err, calls;
	size_t *left;
};

static int put_run(struct store *st, void *arg)
{
	const struct put_job *job = arg;
	struct version v = {.gen = {.hlc = (uint64_t)job->n + 1, .node = "n1"}, .n_sync = 2, .n_sites = 3,
			    .sites = {1, 2, 9}, .size = 77};
	struct site_row row = {.site = 9, .unconfirmed = true, .next_ms = job->n};
	char key[32];

	snprintf(key, sizeof(key), "k%d", job->n);
	int err = store_put_version(st, slice_str(key), 0, VERSION_INTENT, &v);

	return err ? err : store_put_row(st, slice_str(key), &row, LANE_SMALL);
}

static void put_done(void *arg, int err)
{
	struct put_job *job = arg;

	job->err = err;
	job->calls++;
	if (job->left)
		--*job->left;
	if (!err && job->fd >= 0 && write(job->fd, &job->n, sizeof(job->n)) != sizeof(job->n))
		_exit(3);
}

static void writer(const char *path, int fd)
{
	struct event_base *base = event_base_new();
	static struct put_job jobs[100000];
	struct journal *j;
	char why[200];

	if (journal_open(base, path, &j, why, sizeof(why)))
		_exit(2);
	journal_start(j, NULL, NULL);
	for (int i = 0; i < 100000; i++) {
		jobs[i].n = i;
		jobs[i].fd = fd;
		journal_submit(j, put_run, put_done, &jobs[i]);
		if (i % 50 == 0)
			event_base_loop(base, EVLOOP_NONBLOCK);
	}
	event_base_dispatch(base);
	_exit(0);
}

Test(journal, what_was_told_survives_kill_9, .timeout = 60)
{
	for (int round = 0; round < 4; round++) {
		char *path = temp_path();
		struct store_record rec;
		struct store st;
		char why[200], key[32];
		int fds[2], n, told = 0, status;

		cr_assert_eq(pipe(fds), 0);
		pid_t pid = fork();

		if (pid == 0)
			writer(path, fds[1]);
		close(fds[1]);
		for (; told < 500 * (round + 1) && read(fds[0], &n, sizeof(n)) == sizeof(n); told++)
			;
		kill(pid, SIGKILL);
		while (read(fds[0], &n, sizeof(n)) == sizeof(n))
			told++;
		waitpid(pid, &status, 0);
		close(fds[0]);
		cr_assert_geq(told, 500);
		cr_assert_eq(store_open(path, &st, why, sizeof(why)), 0, "%s", why);
		for (int i = 0; i < told; i++) {
			snprintf(key, sizeof(key), "k%d", i);
			cr_assert_eq(store_load(&st, slice_str(key), &rec), 0);
			cr_assert(rec.has[0] && rec.state[0] == VERSION_INTENT && rec.v[0].gen.hlc == (uint64_t)i + 1, "%s", key);
			cr_assert_eq(rec.v[0].n_sites, 3u);
			cr_assert_eq(rec.v[0].sites[2], 9u);
			cr_assert(rec.n_rows == 1 && rec.rows[0].site == 9 && rec.rows[0].unconfirmed);
			store_record_free(&rec);
		}
		cr_assert_eq(db_quick_check(&st.db), 0);
		store_close(&st);
		remove_path(path);
	}
}

static int bad_run(struct store *st, void *arg)
{
	(void)arg;
	return store_exec(st, "INSERT INTO nothing VALUES(1)");
}

Test(journal, a_bad_job_fails_alone, .timeout = 30)
{
	struct event_base *base = event_base_new();
	struct put_job jobs[40] = {0};
	char *path = temp_path(), why[200];
	size_t left = 40;
	struct journal *j;
	struct journal_stats js;

	cr_assert_eq(journal_open(base, path, &j, why, sizeof(why)), 0);
	for (int i = 0; i < 40; i++) {
		jobs[i].n = i;
		jobs[i].fd = -1;
		jobs[i].left = &left;
		journal_submit(j, i == 17 ? bad_run : put_run, put_done, &jobs[i]);
	}
	journal_start(j, NULL, NULL);
	while (left)
		event_base_loop(base, EVLOOP_ONCE);
	for (int i = 0; i < 40; i++) {
		cr_assert_eq(jobs[i].calls, 1);
		cr_assert_eq(jobs[i].err != 0, i == 17);
	}
	journal_get_stats(j, &js);
	cr_assert_eq(js.failed, 1u);
	cr_assert_eq(js.queued, 0u);
	cr_assert_not(journal_damaged(j));
	journal_close(&j);
	event_base_free(base);
	remove_path(path);
}

Test(journal, all_that_is_queued_shares_a_commit, .timeout = 30)
{
	struct event_base *base = event_base_new();
	static struct put_job jobs[1000];
	char *path = temp_path(), why[200];
	struct journal *j;
	struct journal_stats js;
	size_t left = 1000;

	cr_assert_eq(journal_open(base, path, &j, why, sizeof(why)), 0);
	for (int i = 0; i < 1000; i++) {
		jobs[i] = (struct put_job){.n = i, .fd = -1, .left = &left};
		journal_submit(j, put_run, put_done, &jobs[i]);
	}
	journal_start(j, NULL, NULL);
	while (left)
		event_base_loop(base, EVLOOP_ONCE);
	journal_get_stats(j, &js);
	cr_assert_leq(js.commits, 3u);
	journal_close(&j);
	event_base_free(base);
	remove_path(path);
}

Test(journal, a_close_commits_what_is_queued, .timeout = 30)
{
	struct event_base *base = event_base_new();
	char *path = temp_path(), why[200];
	struct put_job job = {.n = 5, .fd = -1};
	struct store_record rec;
	struct journal *j;
	struct store st;

	cr_assert_eq(journal_open(base, path, &j, why, sizeof(why)), 0);
	journal_start(j, NULL, NULL);
	journal_submit(j, put_run, put_done, &job);
	journal_close(&j);
	cr_assert_null(j);
	cr_assert_eq(job.calls, 1);
	cr_assert_eq(store_open(path, &st, why, sizeof(why)), 0);
	cr_assert_eq(store_load(&st, SLICE_LIT("k5"), &rec), 0);
	cr_assert(rec.has[0]);
	store_record_free(&rec);
	store_close(&st);
	event_base_free(base);
	remove_path(path);
}

Test(journal, a_file_that_is_no_journal_is_refused_and_kept)
{
	struct event_base *base = event_base_new();
	char *path = temp_path(), why[200] = "";
	char text[4096], back[4096];
	struct journal *j;
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	memset(text, 'x', sizeof(text));
	cr_assert_eq(write(fd, text, sizeof(text)), (ssize_t)sizeof(text));
	cr_assert_neq(journal_open(base, path, &j, why, sizeof(why)), 0);
	cr_assert_null(j);
	cr_assert_gt(strlen(why), 0u);
	cr_assert_eq(pread(fd, back, sizeof(back), 0), (ssize_t)sizeof(back));
	cr_assert_eq(memcmp(text, back, sizeof(text)), 0);
	close(fd);
	event_base_free(base);
	remove_path(path);
}

Test(store, due_rows_come_earliest_first_by_lane)
{
	char *path = temp_path(), why[200];
	struct store_due due = {.site = 4, .lane = LANE_LARGE, .now_ms = 900, .limit = 3};
	struct store st;

	cr_assert_eq(store_open(path, &st, why, sizeof(why)), 0);
	for (int i = 0; i < 20; i++) {
		struct site_row row = {.site = 4, .unconfirmed = true, .next_ms = 1000 - i * 10, .parked = i == 7};
		char key[8];

		snprintf(key, sizeof(key), "k%d", i);
		cr_assert_eq(store_put_row(&st, slice_str(key), &row, i % 2 ? LANE_LARGE : LANE_SMALL), 0);
	}
	cr_assert_eq(store_due(&st, &due), 0);
	cr_assert_eq(due.n, 3u);
	cr_assert(slice_eq_str(slice_of(due.keys[0], due.lens[0]), "k19"));
	cr_assert_eq(due.next_ms, 910);
	store_due_free(&due);
	cr_assert_eq(store_retry_site(&st, 4, 500), 0);
	due.now_ms = 500;
	due.limit = 100;
	cr_assert_eq(store_due(&st, &due), 0);
	cr_assert_eq(due.n, 10u, "parked ones too");
	store_due_free(&due);
	store_close(&st);
	remove_path(path);
}
