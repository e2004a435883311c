/* SPDX-License-Identifier: Apache-2.0 */
/* stats: totals over processes, pages of the dead, the text that Prometheus reads. */
#include "config.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/stats.h"

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

TestSuite(stats, .init = make_dir, .fini = remove_dir, .timeout = 60);

/* A process that counts and dies without a word. */
static void count_and_die(unsigned n)
{
	struct stats *s;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (stats_open(dir, true, &s))
			_exit(1);
		stats_add(s, STAT_OP_GET_OK, n);
		stats_set(s, STAT_CONNECTIONS, 40);
		stats_time(s, STAT_OP_GET_TIME, 7000);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	cr_assert(WIFSIGNALED(status));
}

Test(stats, totals_never_drop_and_gauges_of_the_dead_vanish)
{
	struct stats *s, *t;
	int i;

	cr_assert_eq(stats_open(dir, true, &s), 0);
	stats_add(s, STAT_OP_GET_OK, 5);
	stats_set(s, STAT_CONNECTIONS, 2);
	count_and_die(10);
	cr_assert_eq(stats_total(s, STAT_OP_GET_OK), 15, "a dead page still counts");
	cr_assert_eq(stats_total(s, STAT_CONNECTIONS), 2);
	for (i = 0; i < 300; i++)
		count_and_die(10);
	cr_assert_eq(stats_total(s, STAT_OP_GET_OK), 3015, "more deaths than pages");
	cr_assert_eq(stats_total(s, STAT_OP_GET_TIME), 301);
	cr_assert_eq(stats_total(s, STAT_CONNECTIONS), 2);
	cr_assert_eq(stats_open(dir, false, &t), 0);
	cr_assert_eq(stats_total(t, STAT_OP_GET_OK), 3015);
	stats_close(&s);
	cr_assert_null(s);
	cr_assert_eq(stats_total(t, STAT_OP_GET_OK), 3015);
	cr_assert_eq(stats_total(t, STAT_CONNECTIONS), 0);
	stats_close(&t);
}

Test(stats, reopening_counts_on)
{
	struct stats *s;
	int i;

	for (i = 1; i < 300; i++) {
		cr_assert_eq(stats_open(dir, true, &s), 0);
		stats_add(s, STAT_OP_PUT_OK, 1);
		cr_assert_eq(stats_total(s, STAT_OP_PUT_OK), (uint64_t)i);
		stats_close(&s);
	}
}

Test(stats, too_many_processes_are_refused)
{
	struct stats *v[200];
	int i, n = 0, err = 0;

	for (i = 0; i < 200 && !err; i++) {
		err = stats_open(dir, true, &v[i]);
		n += !err;
	}
	cr_assert_eq(err, GFS_ERR_BUSY);
	cr_assert_eq(n, 128);
	while (n > 0)
		stats_close(&v[--n]);
}

/* Readers meanwhile must never see a total go down, nor one that nobody counted. */
Test(stats, folding_is_never_seen_half_way)
{
	struct stats *s;
	uint64_t last = 0, now = 0;
	pid_t pid;
	int status = -1;

	cr_assert_eq(stats_open(dir, true, &s), 0);
	pid = fork();
	if (pid == 0) {
		int i;

		for (i = 0; i < 3000; i++) {
			struct stats *t;

			if (stats_open(dir, false, &t))
				_exit(1);
			stats_add(t, STAT_BYTES_IN, 1);
			stats_close(&t);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		now = stats_total(s, STAT_BYTES_IN);
		cr_assert_geq(now, last);
		cr_assert_leq(now, 3000);
		last = now;
	}
	cr_assert_eq(status, 0);
	cr_assert_eq(stats_total(s, STAT_BYTES_IN), 3000);
	stats_close(&s);
}

static int count_of(const char *text, const char *what)
{
	int n = 0;

	for (text = strstr(text, what); text; text = strstr(text + 1, what))
		n++;
	return n;
}

Test(stats, prints_the_exposition_format)
{
	static const char *const lines[] = {
		"# HELP globalfs_object_operations_total Object operations by",
		"\n# TYPE globalfs_object_operations_total counter\n",
		"\nglobalfs_object_operations_total{operation=\"get\",status=\"ok\"} 3\n",
		"\nglobalfs_object_operations_total{operation=\"list\",status=\"error\"} 0\n",
		"\n# TYPE globalfs_object_operation_duration_seconds histogram\n",
		"\nglobalfs_object_operation_duration_seconds_bucket{operation=\"put\",le=\"0.005\"} 1\n",
		"\nglobalfs_object_operation_duration_seconds_bucket{operation=\"put\",le=\"0.01\"} 2\n",
		"\nglobalfs_object_operation_duration_seconds_bucket{operation=\"put\",le=\"10\"} 2\n",
		"\nglobalfs_object_operation_duration_seconds_bucket{operation=\"put\",le=\"+Inf\"} 3\n",
		"\nglobalfs_object_operation_duration_seconds_sum{operation=\"put\"} 11.010001\n",
		"\nglobalfs_object_operation_duration_seconds_count{operation=\"put\"} 3\n",
		"\n# TYPE globalfs_connections gauge\nglobalfs_connections 4\n",
	};
	struct strbuf out = STRBUF_INIT;
	struct stats *s;
	size_t i;

	cr_assert_eq(stats_open(dir, true, &s), 0);
	stats_add(s, STAT_OP_GET_OK, 3);
	stats_set(s, STAT_CONNECTIONS, 9);
	stats_set(s, STAT_CONNECTIONS, 4);
	stats_time(s, STAT_OP_PUT_TIME, 5000);
	stats_time(s, STAT_OP_PUT_TIME, 5001);
	stats_time(s, STAT_OP_PUT_TIME, 11000000);
	stats_print(s, NULL, 0, &out);
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		cr_assert_not_null(strstr(strbuf_str(&out), lines[i]), "no line %s in:\n%s", lines[i], strbuf_str(&out));
	cr_assert_eq(count_of(strbuf_str(&out), "# TYPE globalfs_object_operations_total "), 1);
	cr_assert_eq(count_of(strbuf_str(&out), "# HELP "), count_of(strbuf_str(&out), "# TYPE "));
	strbuf_free(&out);
	stats_close(&s);
}

/* ---- per site ---- */

static void count_at_site_and_die(uint32_t site)
{
	struct stats *s;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (stats_open(dir, true, &s))
			_exit(1);
		stats_site_add(s, site, SITE_STAT_GET_OK, 2);
		stats_site_time(s, site, SITE_STAT_GET_FIRST, 700);
		stats_site_set(s, site, SITE_STAT_REPL_QUEUE, 9);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	cr_assert(WIFSIGNALED(status));
}

static int boards(void)
{
	char cmd[160], text[16] = "";
	FILE *f;

	snprintf(cmd, sizeof(cmd), "ls %s/boards | grep -c site", dir);
	f = popen(cmd, "r");
	cr_assert(f && fgets(text, sizeof(text), f));
	pclose(f);
	return atoi(text);
}

Test(stats, what_is_counted_of_a_site_outlives_every_process)
{
	struct stats *s, *t;
	int i;

	cr_assert_eq(stats_open(dir, true, &s), 0);
	stats_site_add(s, 7, SITE_STAT_GET_OK, 5);
	for (i = 0; i < 40; i++)
		count_at_site_and_die(7);
	cr_assert_eq(stats_site_total(s, 7, SITE_STAT_GET_OK), 85);
	cr_assert_eq(stats_site_total(s, 7, SITE_STAT_GET_FIRST), 40);
	cr_assert_eq(stats_site_total(s, 7, SITE_STAT_REPL_QUEUE), 9, "a gauge is what was set last, not a sum");
	stats_site_set(s, 7, SITE_STAT_REPL_QUEUE, 3);
	cr_assert_eq(stats_open(dir, false, &t), 0);
	stats_close(&s);
	cr_assert_eq(stats_site_total(t, 7, SITE_STAT_GET_OK), 85);
	cr_assert_eq(stats_site_total(t, 7, SITE_STAT_REPL_QUEUE), 3);
	stats_close(&t);
}

Test(stats, sites_that_nobody_counts_take_no_memory)
{
	struct strbuf out = STRBUF_INIT;
	struct stats_site sites[] = {{.id = 1, .name = "one"}, {.id = 900, .name = "two"}};
	struct stats *s;
	uint32_t id;

	cr_assert_eq(stats_open(dir, true, &s), 0);
	for (id = 0; id < 2000; id++)
		cr_assert_eq(stats_site_total(s, id, SITE_STAT_GET_OK), 0);
	stats_print(s, sites, 2, &out);
	cr_assert_not_null(strstr(strbuf_str(&out), "\nglobalfs_site_read_bytes_total{site=\"two\"} 0\n"));
	cr_assert_eq(boards(), 0);
	stats_site_add(s, 1, SITE_STAT_GET_OK, 1);
	cr_assert_eq(boards(), 1);
	stats_site_add(s, 0, SITE_STAT_GET_OK, 1);
	stats_site_add(s, 1024, SITE_STAT_GET_OK, 1);
	stats_site_add(s, UINT32_MAX, SITE_STAT_GET_OK, 1);
	cr_assert_eq(boards(), 1);
	strbuf_free(&out);
	stats_close(&s);
}

Test(stats, a_site_board_that_cannot_be_made_is_not_counted_and_harms_nothing)
{
	struct stats *s;
	char path[100];

	cr_assert_eq(stats_open(dir, true, &s), 0);
	snprintf(path, sizeof(path), "%s/boards/stats.site.3", dir);
	cr_assert_eq(mkdir(path, 0700), 0);
	stats_site_add(s, 3, SITE_STAT_GET_OK, 1);
	stats_site_time(s, 3, SITE_STAT_GET_FIRST, 1);
	stats_site_set(s, 3, SITE_STAT_REPL_QUEUE, 1);
	cr_assert_eq(stats_site_total(s, 3, SITE_STAT_GET_OK), 0);
	stats_close(&s);
}

Test(stats, prints_sites_with_escaped_names)
{
	static const char *const lines[] = {
		"\n# TYPE globalfs_site_requests_total counter\n",
		"\nglobalfs_site_requests_total{site=\"a\\\"b\\\\c\\nd\",operation=\"get\",status=\"ok\"} 4\n",
		"\nglobalfs_site_first_byte_seconds_bucket{site=\"two\",operation=\"get\",le=\"0.0005\"} 0\n",
		"\nglobalfs_site_first_byte_seconds_bucket{site=\"two\",operation=\"get\",le=\"0.001\"} 1\n",
		"\nglobalfs_site_first_byte_seconds_bucket{site=\"two\",operation=\"get\",le=\"+Inf\"} 1\n",
		"\nglobalfs_site_first_byte_seconds_sum{site=\"two\",operation=\"get\"} 0.000700\n",
		"\nglobalfs_site_first_byte_seconds_count{site=\"two\",operation=\"get\"} 1\n",
		"\n# TYPE globalfs_replication_site_lag_seconds gauge\n",
		"\nglobalfs_replication_site_lag_seconds{site=\"two\"} 0.000000\n",
		"\n# TYPE globalfs_site_latency_seconds gauge\nglobalfs_site_latency_seconds{site=\"two\"} 0.012345\n",
	};
	struct stats_site sites[] = {{.id = 1, .name = "a\"b\\c\nd"}, {.id = 2, .name = "two"}};
	struct strbuf out = STRBUF_INIT;
	struct stats *s;
	size_t i;

	cr_assert_eq(stats_open(dir, true, &s), 0);
	sites[0].facts[SITE_FACT_LATENCY] = -1;
	sites[1].facts[SITE_FACT_LATENCY] = 12345;
	stats_site_add(s, 1, SITE_STAT_GET_OK, 4);
	stats_site_time(s, 2, SITE_STAT_GET_FIRST, 700);
	stats_print(s, sites, 2, &out);
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		cr_assert_not_null(strstr(strbuf_str(&out), lines[i]), "no line %s in:\n%s", lines[i], strbuf_str(&out));
	cr_assert_eq(count_of(strbuf_str(&out), "# TYPE globalfs_site_requests_total "), 1);
	cr_assert_eq(count_of(strbuf_str(&out), "# HELP "), count_of(strbuf_str(&out), "# TYPE "));
	strbuf_free(&out);
	stats_close(&s);
}
