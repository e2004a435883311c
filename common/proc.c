/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The skeleton of every child daemon, see proc.h. In order: options, configuration, log, background, limits, privileges, parent,
 * event loop and signals, site table, the daemon's start, READY, loop, the daemon's stop. Owns the event base, the
 * configuration, the site table and the supervisor's client; each daemon's state is the daemon's.
 */
#include "config.h"

#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "ipc/sock.h"
#include "log.h"
#include "proc_env.h"
#include "xalloc.h"

#define EXIT_CONF 78
#define TABLE_WAIT_MS 10000      /* a supervisor sends the table right after HELLO */
#define TABLE_WAIT_ALONE_MS 1000 /* then the registry file is read */
#define PARENT_CHECK_S 2

struct proc_impl {
	struct proc p; /* first: proc_exit() and proc_listener() come back from it */
	const struct service *svc;
	struct proc_env env;
	struct conf *conf;
	struct site_table *sites;
	bool started, exiting, draining;
	int exit_code;
	int ready_fd; /* of the process that waits until we serve, -1: none */
	struct event *sigterm, *sigint, *sighup, *parent;
};

static struct proc_impl *impl_of(struct proc *p)
{
	return (struct proc_impl *)(void *)p;
}

void proc_exit(struct proc *p, int code)
{
	struct proc_impl *s = impl_of(p);

	if (!s->exiting)
		s->exit_code = code;
	s->exiting = true;
	event_base_loopbreak(p->base);
}

int proc_listener(const struct proc *p, const char *door)
{
	const struct proc_impl *s = (const struct proc_impl *)(const void *)p;

	for (size_t i = 0; i < s->env.n_doors; i++) {
		if (strcmp(s->env.doors[i].name, door) == 0)
			return s->env.doors[i].fd;
	}
	return -1;
}

/* ---- configuration and log ---- */

/* 0, or an exit code + 1. */
static int load_conf(struct proc_impl *s)
{
	struct conf_report report = {0};
	const char *path = s->env.conf_path ? s->env.conf_path : GFS_SYSCONFDIR "/globalfs.yaml";
	int err = conf_load(path, s->env.conf_fd, &s->conf, &report), end = 0;

	/* the supervisor has told the warnings already, once for all its children */
	if (s->env.supervisor)
		strbuf_reset(&report.warnings);
	conf_report_print(&report, s->svc->name);
	if (err) {
		fprintf(stderr, "%s: %s: %s\n", s->svc->name, path, gfs_err_text(err));
		end = EXIT_CONF + 1;
	} else if (s->env.check_only) {
		printf("Configuration is valid.\n");
		end = 1;
	} else if (s->env.poll_ms) {
		s->conf->resilience.health_poll_interval_ms = s->env.poll_ms;
	}
	conf_report_free(&report);
	if (s->env.conf_fd >= 0)
		close(s->env.conf_fd);
	s->p.conf = s->conf;
	return end;
}

static int open_log(struct proc_impl *s)
{
	const char *level = s->env.level ? s->env.level : s->conf->global.log_level;
	const char *dest = s->conf->global.log_file;
	enum log_level parsed = LOG_LVL_INFO;

	if (!log_parse_level(slice_str(level), &parsed)) {
		fprintf(stderr, "%s: -l %s: DEBUG, INFO, WARN or ERROR\n", s->svc->name, level);
		return 2 + 1;
	}
	log_set_level(parsed);
	if (!*dest && s->env.log_dest)
		dest = s->env.log_dest;
	else if (!*dest && !s->env.foreground && !s->env.supervisor)
		dest = "syslog";
	if (log_open(s->svc->name, dest)) {
		fprintf(stderr, "%s: cannot open the log %s: %s\n", s->svc->name, dest, strerror(errno));
		return 1 + 1;
	}
	return 0;
}

/* ---- the process ---- */

/* The waiting side of -f's absence: ends as soon as the daemon serves, or with its exit code. */
static void __attribute__((noreturn)) await_ready(pid_t child, int fd)
{
	int status = 0;
	char byte;

	if (read(fd, &byte, 1) == 1)
		_exit(0);
	waitpid(child, &status, 0);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static int go_background(struct proc_impl *s)
{
	int fds[2], null;
	pid_t pid;

	if (s->env.foreground || s->env.supervisor)
		return 0;
	if (pipe2(fds, O_CLOEXEC))
		return 1 + 1;
	pid = fork();
	if (pid < 0)
		return 1 + 1;
	if (pid > 0) {
		close(fds[1]);
		await_ready(pid, fds[0]);
	}
	close(fds[0]);
	s->ready_fd = fds[1];
	setsid();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return 1 + 1;
	close(null);
	return chdir("/") ? 1 + 1 : 0;
}

static void tell_ready(struct proc_impl *s)
{
	int null;

	if (s->p.supervisor)
		supervisor_client_ready(s->p.supervisor);
	if (s->ready_fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDERR_FILENO);
		close(null);
	}
	if (write(s->ready_fd, "r", 1) != 1)
		log_warn("event=start err=\"nobody waits for the start\"");
	close(s->ready_fd);
	s->ready_fd = -1;
}

/* As many descriptors as we may have: each client, site connection and open object is one. */
static void raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static int drop_privileges(struct proc_impl *s)
{
	const char *name = s->conf->global.user;
	const struct passwd *pw;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (geteuid() != 0 || !*name)
		return 0;
	pw = getpwnam(name);
	if (!pw) {
		log_error("event=start err=\"global.user: there is no user %s\"", name);
		return EXIT_CONF + 1;
	}
	if (initgroups(name, pw->pw_gid) || setgid(pw->pw_gid) || setuid(pw->pw_uid)) {
		log_error("event=start err=\"cannot become %s: %s\"", name, strerror(errno));
		return 1 + 1;
	}
	return 0;
}

/* After the privileges: a change of user clears PDEATHSIG. SIGKILL, so that the listeners are free at once for the next start;
 * every daemon is made to bear it. */
static int bind_to_parent(struct proc_impl *s)
{
	if (!s->env.supervisor)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || getppid() != s->env.supervisor) {
		log_error("event=start err=\"the supervisor is gone\"");
		return 1 + 1;
	}
	return 0;
}

static void on_parent_check(evutil_socket_t fd, short what, void *arg)
{
	struct proc_impl *s = arg;

	(void)fd;
	(void)what;
	if (getppid() == s->env.supervisor)
		return;
	log_error("event=exit why=\"the supervisor is gone\"");
	proc_exit(&s->p, 1);
}

/* ---- event loop ---- */

static void on_terminate(evutil_socket_t signum, short what, void *arg)
{
	struct proc_impl *s = arg;

	(void)what;
	log_info("event=stop signal=%d", (int)signum);
	if (!s->started || !s->svc->drain || (s->draining && signum == SIGINT)) {
		proc_exit(&s->p, 0);
		return;
	}
	if (s->draining)
		return;
	s->draining = true;
	s->svc->drain(&s->p);
}

static void on_hangup(evutil_socket_t signum, short what, void *arg)
{
	(void)signum;
	(void)what;
	(void)arg;
	if (log_reopen())
		log_warn("event=log err=\"cannot open the log file again\"");
	else
		log_debug("event=log state=reopened");
}

static void on_event_log(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		log_warn("event=libevent text=\"%s\"", text);
}

static struct event *watch_signal(struct proc_impl *s, int signum, event_callback_fn cb)
{
	struct event *ev = evsignal_new(s->p.base, signum, cb, s);

	gfs_assert(ev);
	event_add(ev, NULL);
	return ev;
}

static int make_loop(struct proc_impl *s)
{
	const struct timeval tv = {.tv_sec = PARENT_CHECK_S};

	event_set_log_callback(on_event_log);
	s->p.base = event_base_new();
	if (!s->p.base) {
		log_error("event=start err=\"no event loop\"");
		return 1 + 1;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	s->sigterm = watch_signal(s, SIGTERM, on_terminate);
	s->sigint = watch_signal(s, SIGINT, on_terminate);
	s->sighup = watch_signal(s, SIGHUP, on_hangup);
	s->parent = event_new(s->p.base, -1, EV_PERSIST, on_parent_check, s);
	gfs_assert(s->parent);
	if (s->env.supervisor)
		event_add(s->parent, &tv);
	return 0;
}

/* ---- site table ---- */

static void on_table(void *arg, struct site_table *table)
{
	struct proc_impl *s = arg;
	struct site_table *old = s->sites;

	s->sites = table;
	s->p.sites = table;
	if (s->started && s->svc->sites_changed)
		s->svc->sites_changed(&s->p);
	site_table_destroy(&old);
	if (!s->started)
		event_base_loopbreak(s->p.base);
}

static void on_table_wait(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static void await_table(struct proc_impl *s, int64_t wait_ms)
{
	const struct timeval tv = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
	struct event *timer = evtimer_new(s->p.base, on_table_wait, s->p.base);

	gfs_assert(timer);
	event_add(timer, &tv);
	event_base_dispatch(s->p.base);
	event_free(timer);
}

/* Alone, without a supervisor: what the last one left. */
static int read_registry(struct proc_impl *s)
{
	char *path = xasprintf("%s/sites", s->conf->global.state_dir);
	int err = site_table_from_file(path, &s->sites);

	if (err)
		log_error("event=start err=\"no site table: no routerd runs on %s, and %s: %s\"", s->conf->global.run_dir, path,
		          err == GFS_ERR_IO ? strerror(errno) : "is not a registry of sites");
	free(path);
	s->p.sites = s->sites;
	return err ? 1 + 1 : 0;
}

static bool supervisor_runs(const struct proc_impl *s)
{
	char *path = xasprintf("%s/routerd.sock", s->conf->global.run_dir);
	int fd, err = sock_connect(path, &fd);

	if (fd >= 0)
		close(fd);
	free(path);
	return !err || err == GFS_ERR_BUSY;
}

static int get_table(struct proc_impl *s)
{
	s->p.supervised = s->env.supervisor != 0;
	if (!s->p.supervised && !supervisor_runs(s))
		return read_registry(s);
	s->p.supervisor = supervisor_client_create(s->p.base, s->conf->global.run_dir, s->svc->role, on_table, s);
	await_table(s, s->p.supervised ? TABLE_WAIT_MS : TABLE_WAIT_ALONE_MS);
	if (s->sites)
		return 0;
	if (s->exiting)
		return s->exit_code + 1;
	if (!s->p.supervised) {
		supervisor_client_destroy(&s->p.supervisor);
		return read_registry(s);
	}
	log_error("event=start err=\"no site table from the supervisor\"");
	return 1 + 1;
}

/* ---- all of it ---- */

static int proc_run(struct proc_impl *s)
{
	int err = s->svc->start(&s->p);

	if (err) {
		s->svc->stop(&s->p); /* start() has said why */
		return err == GFS_ERR_CONFIG ? EXIT_CONF : 1;
	}
	s->started = true;
	tell_ready(s);
	log_info("event=ready epoch=%llu sites=%zu", (unsigned long long)s->sites->epoch, s->sites->n);
	while (!s->exiting) {
		if (event_base_dispatch(s->p.base) < 0) {
			log_error("event=exit why=\"the event loop failed\"");
			s->exit_code = 1;
			break;
		}
	}
	s->svc->stop(&s->p);
	log_info("event=exit code=%d", s->exit_code);
	return s->exit_code;
}

static void proc_free(struct proc_impl *s)
{
	struct event *const events[] = {s->sigterm, s->sigint, s->sighup, s->parent};

	supervisor_client_destroy(&s->p.supervisor);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (events[i])
			event_free(events[i]);
	}
	if (s->p.base)
		event_base_free(s->p.base);
	if (s->ready_fd >= 0)
		close(s->ready_fd);
	site_table_destroy(&s->sites);
	conf_destroy(&s->conf);
	libevent_global_shutdown();
}

int proc_main(int argc, char **argv, const struct service *svc)
{
	/* Each returns 0 to go on, or an exit code + 1. */
	static int (*const steps[])(struct proc_impl *) = {
		load_conf, open_log, go_background, drop_privileges, bind_to_parent, make_loop, get_table,
	};
	struct proc_impl s = {.svc = svc, .ready_fd = -1};
	int end = proc_env_take(argc, argv, svc, &s.env);

	if (end)
		return end - 1;
	s.p.name = svc->name;
	s.p.worker = s.env.worker;
	raise_limits();
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !end; i++)
		end = steps[i](&s);
	end = end ? end - 1 : proc_run(&s);
	proc_free(&s);
	return end;
}
