/* SPDX-License-Identifier: Apache-2.0 */
/* The skeleton of the daemons in children of the test: alone, under a fake supervisor, and what ends them. */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ipc/listen.h"
#include "common/log.h"
#include "common/proc.h"
#include "common/xalloc.h"

#define UUID "0f8fad5b-d9cb-469f-a165-70867728950e"

static char dir[64], conf_path[96];

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

static void conf_text(char *buf, size_t cap)
{
	snprintf(buf, cap, "global: {run_dir: %s/run, state_dir: %s, log_file: %s/log}\n", dir, dir, dir);
}

static void init(void)
{
	char text[512];

	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LVL_ERROR);
	strcpy(dir, "/tmp/gfs-test-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(conf_path, sizeof(conf_path), "%s/c.yaml", dir);
	conf_text(text, sizeof(text));
	write_file("c.yaml", text);
}

static void fini(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(proc, .init = init, .fini = fini, .timeout = 30);

/* ---- a daemon whose exit code tells what happened ---- */

static void exit_by_epoch(struct proc *p)
{
	proc_exit(p, (int)p->sites->epoch);
}

static int start_ok(struct proc *p)
{
	p->state = p;
	return 0;
}

static int start_and_exit(struct proc *p)
{
	proc_exit(p, (int)p->sites->n + 40);
	return 0;
}

static int start_fails(struct proc *p)
{
	(void)p;
	return GFS_ERR_IO;
}

static int start_has_door(struct proc *p)
{
	proc_exit(p, proc_listener(p, "api") >= 0 && proc_listener(p, "s3") == -1 && p->worker == 3 && p->supervised &&
	          !getenv("GFS_LISTEN_FDS") && (fcntl(proc_listener(p, "api"), F_GETFD) & FD_CLOEXEC) ? 33 : 34);
	return 0;
}

static void drain(struct proc *p)
{
	proc_exit(p, 7);
}

static void stop(struct proc *p)
{
	p->state = NULL;
}

static int run(const struct service *svc, const char *option)
{
	char *argv[] = {xstrdup("testd"), xstrdup("-c"), xstrdup(conf_path), xstrdup(option ? option : "-f"), NULL};
	int code;

	optind = 1;
	code = proc_main(4, argv, svc);
	for (int i = 0; i < 4; i++)
		free(argv[i]);
	return code;
}

static int code_of(pid_t pid)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static pid_t spawn(const struct service *svc, const char *option)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(run(svc, option));
	return pid;
}

#define REGISTRY(epoch) "{\"epoch\":" #epoch ",\"namespace_id\":\"" UUID "\",\"next_id\":2,\"sites\":[{\"id\":1,\"name\":\"a\"}]}"

Test(proc, alone_it_reads_the_registry)
{
	const struct service svc = {.name = "testd", .role = PEER_HEALTHD, .start = start_and_exit, .stop = stop};

	cr_assert_eq(code_of(spawn(&svc, NULL)), 1); /* there is none */
	write_file("sites", "nonsense");
	cr_assert_eq(code_of(spawn(&svc, NULL)), 1);
	write_file("sites", REGISTRY(5));
	cr_assert_eq(code_of(spawn(&svc, NULL)), 41);
}

Test(proc, exit_codes)
{
	const struct service fails = {.name = "testd", .role = PEER_HEALTHD, .start = start_fails, .stop = stop};
	const struct service ok = {.name = "testd", .role = PEER_HEALTHD, .start = start_ok, .stop = stop};

	write_file("sites", REGISTRY(5));
	cr_assert_eq(code_of(spawn(&fails, NULL)), 1);
	cr_assert_eq(code_of(spawn(&ok, "-n")), 0);
	cr_assert_eq(code_of(spawn(&ok, "-V")), 0);
	cr_assert_eq(code_of(spawn(&ok, "-h")), 0);
	cr_assert_eq(code_of(spawn(&ok, "-x")), 2);
	cr_assert_eq(code_of(spawn(&ok, "surplus")), 2);
	write_file("c.yaml", "zork: 1\n");
	cr_assert_eq(code_of(spawn(&ok, NULL)), 78);
	snprintf(conf_path, sizeof(conf_path), "%s/none.yaml", dir);
	cr_assert_eq(code_of(spawn(&ok, NULL)), 78);
}

Test(proc, in_the_background_the_start_is_awaited)
{
	const struct service fails = {.name = "testd", .role = PEER_HEALTHD, .start = start_fails, .stop = stop};
	const struct service ok = {.name = "testd", .role = PEER_HEALTHD, .start = start_and_exit, .stop = stop};

	write_file("sites", REGISTRY(5));
	cr_assert_eq(code_of(spawn(&fails, "-lERROR")), 1); /* -lERROR in the place of -f */
	cr_assert_eq(code_of(spawn(&ok, "-lERROR")), 0);
}

/* ---- under a supervisor ---- */

struct supervisor {
	struct event_base *base;
	struct listen_sock *l;
	struct channel *child;
	int taken, ready, claims;
	uint64_t epoch;
	bool refuse_claims;
};

static void send_table(struct supervisor *s, uint64_t epoch)
{
	struct msg m = {.type = MSG_SITES};
	struct site_table *t;
	char json[256];
	int fd;

	snprintf(json, sizeof(json), "{\"epoch\":%d,\"namespace_id\":\"" UUID "\",\"sites\":[{\"id\":1,\"name\":\"a\"}]}", (int)epoch);
	cr_assert_eq(site_table_parse(slice_str(json), &t), 0);
	cr_assert_eq(site_table_to_memfd(t, true, &fd), 0);
	m.sites.epoch = epoch;
	cr_assert_eq(channel_send(s->child, &m, fd), 0);
	close(fd);
	site_table_destroy(&t);
}

static void on_up(void *arg, struct channel *ch)
{
	struct supervisor *s = arg;

	s->child = ch;
	if (s->epoch)
		send_table(s, s->epoch);
}

static void on_message(void *arg, struct channel *ch, const struct msg *m, int fd)
{
	struct supervisor *s = arg;

	(void)fd;
	if (m->type == MSG_SITES_TAKEN)
		s->taken = (int)m->sites_taken.epoch;
	else if (m->type == MSG_READY)
		s->ready = (int)m->ready.epoch;
	else if (m->type == MSG_SITE_CLAIMED && ++s->claims && s->refuse_claims)
		channel_reply_error(ch, m->id, GFS_ERR_BUSY, "later");
	else if (m->type == MSG_SITE_CLAIMED)
		channel_reply_ok(ch, m->id);
}

static void on_closed(void *arg, struct channel *ch, const char *why)
{
	struct supervisor *s = arg;

	(void)ch;
	(void)why;
	s->child = NULL;
}

static void turn(struct supervisor *s)
{
	const struct timeval tv = {.tv_usec = 5000};

	event_base_loopexit(s->base, &tv);
	event_base_loop(s->base, EVLOOP_ONCE);
}

#define SPIN(s, cond) \
	do { \
		int64_t end = clock_mono_ms() + 8000; \
		while (!(cond) && clock_mono_ms() < end) \
			turn(s); \
		cr_assert(cond); \
	} while (0)

static void supervise(struct supervisor *s, uint64_t epoch)
{
	static const struct channel_cbs cbs = {on_up, on_message, on_closed};
	char run_dir[96];

	*s = (struct supervisor){.base = event_base_new(), .epoch = epoch};
	snprintf(run_dir, sizeof(run_dir), "%s/run", dir);
	cr_assert_eq(listen_create(s->base, run_dir, "routerd", PEER_SUPERVISOR, &cbs, s, &s->l), 0);
}

static void supervise_end(struct supervisor *s)
{
	listen_destroy(&s->l);
	event_base_free(s->base);
}

/* As the supervisor starts it: the configuration in a memfd, everything else in the environment. */
static pid_t spawn_child(const struct service *svc, bool worker)
{
	int parent = getpid(), memfd = memfd_create("conf", 0), pipefd[2];
	char text[512];
	pid_t pid;

	conf_text(text, sizeof(text));
	cr_assert_eq(write(memfd, text, strlen(text)), (ssize_t)strlen(text));
	cr_assert_eq(pipe(pipefd), 0);
	pid = fork();
	if (pid == 0) {
		char *argv[] = {xstrdup("testd"), NULL};
		char doors[32], number[16], conf_fd[16];

		snprintf(doors, sizeof(doors), "api=%d", pipefd[0]);
		snprintf(number, sizeof(number), "%d", parent);
		snprintf(conf_fd, sizeof(conf_fd), "%d", memfd);
		setenv("GFS_CONF_FD", conf_fd, 1);
		setenv("GFS_CONF_PATH", "c.yaml", 1);
		setenv("GFS_SUPERVISOR", number, 1);
		if (worker) {
			setenv("GFS_LISTEN_FDS", doors, 1);
			setenv("GFS_WORKER", "3", 1);
		}
		optind = 1;
		_exit(proc_main(1, argv, svc));
	}
	close(memfd);
	close(pipefd[0]);
	close(pipefd[1]);
	return pid;
}

Test(proc, a_child_takes_tables_and_tells)
{
	const struct service svc = {.name = "testd", .role = PEER_HEALTHD, .start = start_ok, .stop = stop,
	                            .sites_changed = exit_by_epoch};
	struct supervisor s;
	pid_t pid;

	supervise(&s, 11);
	pid = spawn_child(&svc, false);
	SPIN(&s, s.taken == 11 && s.ready == 11);
	cr_assert_eq(channel_peer_pid(s.child), pid);
	send_table(&s, 10); /* older: ignored */
	send_table(&s, 12);
	SPIN(&s, !s.child);
	cr_assert_eq(code_of(pid), 12);
	supervise_end(&s);
}

Test(proc, sigterm_drains_and_without_a_drain_ends)
{
	const struct service drains = {.name = "testd", .role = PEER_HEALTHD, .start = start_ok, .stop = stop, .drain = drain};
	const struct service ends = {.name = "testd", .role = PEER_HEALTHD, .start = start_ok, .stop = stop};
	struct supervisor s;
	pid_t pid;

	supervise(&s, 1);
	pid = spawn_child(&drains, false);
	SPIN(&s, s.ready);
	kill(pid, SIGHUP);
	kill(pid, SIGTERM);
	cr_assert_eq(code_of(pid), 7);
	SPIN(&s, !s.child);
	s.ready = 0;
	pid = spawn_child(&ends, false);
	SPIN(&s, s.ready);
	kill(pid, SIGTERM);
	cr_assert_eq(code_of(pid), 0);
	SPIN(&s, !s.child);
	s.epoch = 0; /* even while it waits for a table */
	pid = spawn_child(&ends, false);
	SPIN(&s, s.child);
	kill(pid, SIGTERM);
	cr_assert_eq(code_of(pid), 0);
	supervise_end(&s);
}

Test(proc, a_worker_inherits_its_doors)
{
	const struct service svc = {.name = "testd", .role = PEER_WORKER, .start = start_has_door, .stop = stop};
	struct supervisor s;
	pid_t pid;

	supervise(&s, 1);
	pid = spawn_child(&svc, true);
	SPIN(&s, s.taken);
	cr_assert_eq(code_of(pid), 33);
	supervise_end(&s);
}

Test(proc, a_child_does_not_outlive_its_supervisor)
{
	const struct service svc = {.name = "testd", .role = PEER_HEALTHD, .start = start_ok, .stop = stop};
	int64_t end = clock_mono_ms() + 5000;
	pid_t pid, grandchild = 0;
	int told[2];

	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	cr_assert_eq(pipe(told), 0);
	pid = fork();
	if (pid == 0) {
		struct supervisor s;

		supervise(&s, 1);
		grandchild = spawn_child(&svc, false);
		while (!s.ready)
			turn(&s);
		if (write(told[1], &grandchild, sizeof(grandchild)) != sizeof(grandchild))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	cr_assert_eq(read(told[0], &grandchild, sizeof(grandchild)), (ssize_t)sizeof(grandchild));
	cr_assert_eq(code_of(pid), 1000 + SIGKILL);
	while (waitpid(grandchild, NULL, WNOHANG) != grandchild) {
		cr_assert(clock_mono_ms() < end);
		usleep(2000);
	}
}

/* ---- the client by itself ---- */

static void no_table(void *arg, struct site_table *t)
{
	(void)arg;
	site_table_destroy(&t);
}

static void on_change(void *arg, int err, uint32_t id, uint64_t epoch, const char *text)
{
	(void)id;
	(void)epoch;
	cr_assert_not_null(text);
	*(int *)arg = err;
}

Test(proc, claims_are_told_until_they_are_answered)
{
	struct supervisor s;
	struct supervisor_client *c;
	char run_dir[96];
	int err = 99, never = 99;

	supervise(&s, 0);
	s.refuse_claims = true;
	snprintf(run_dir, sizeof(run_dir), "%s/run", dir);
	c = supervisor_client_create(s.base, run_dir, PEER_HEALTHD, no_table, NULL);
	supervisor_site_claimed(c, 5);
	supervisor_site_claimed(c, 5); /* once is enough */
	SPIN(&s, s.claims == 1);
	s.refuse_claims = false;
	SPIN(&s, s.claims == 2);
	for (int i = 0; i < 5; i++)
		turn(&s);
	supervisor_change_cancel(c, supervisor_site_remove(c, "x", on_change, &never));
	supervisor_site_remove(c, "x", on_change, &err); /* a healthd may not: the supervisor closes the channel */
	SPIN(&s, err != 99);
	cr_assert_eq(err, GFS_ERR_UNAVAILABLE);
	cr_assert_eq(never, 99);
	supervisor_client_destroy(&c);
	supervise_end(&s);
}
