/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting, watching and ending the children (services.h). Called by the supervisor's signal events, its control socket and its
 * timers, all on one loop. Owns the child structs; a child's descriptors and environment are documented in common/proc.h.
 */
#include "config.h"

#include "services.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"

/* The suite on one page. Workers end first, while the daemons that they need still run. */
static const struct service_row rows[] = {
	/* name      program    role          stop  per worker */
	{"healthd", "healthd", PEER_HEALTHD, 3, false},
	{"repld",   "repld",   PEER_REPLD,   1, false},
	{"cached",  "cached",  PEER_CACHED,  2, false},
	{"worker",  "routerd", PEER_WORKER,  0, true},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))
#define PHASES 4

#define EXIT_REFUSED 78          /* bad configuration: a restart would end the same way */
#define DAEMON_STOP_MS 10000     /* what a daemon without client connections has to end */
#define SERVED_WELL_MS 10000     /* a child that served that long has a clean record */
#define QUICK_RESTARTS 5
#define DELAY_MAX_MS 60000

struct services {
	struct services_env env;
	struct child *v;
	size_t n;
	bool told_ready, stopping, killed;
	unsigned phase; /* while stopping */
	struct event *stop_timer;
};

int64_t restart_delay_ms(bool had_served, unsigned fails)
{
	unsigned n = had_served ? (fails > QUICK_RESTARTS ? fails - QUICK_RESTARTS : 0) : fails;

	if (n == 0)
		return 0;
	return n > 6 ? DELAY_MAX_MS : (int64_t)1000 << (n - 1);
}

const char *child_state_name(enum child_state state)
{
	static const char *const names[] = {"starting", "ready", "waiting", "refused", "stopped"};

	return names[state];
}

/* ---- start ---- */

/* Beside this program when installed, in its own folder of a build tree, else where make install put it. */
static char *find_program(const struct services *s, const char *name)
{
	const char *last = strrchr(s->env.bin_dir, '/');
	char *beside = xasprintf("%s/%s", s->env.bin_dir, name);
	char *tree = xasprintf("%.*s/%s/%s", last ? (int)(last - s->env.bin_dir) : 0, s->env.bin_dir, name, name);
	char *installed = xasprintf("%s/%s", GFS_LIBEXECDIR, name);
	char *found = access(beside, X_OK) == 0 ? beside : access(tree, X_OK) == 0 ? tree : installed;

	if (found != beside)
		free(beside);
	if (found != tree)
		free(tree);
	if (found != installed)
		free(installed);
	return found;
}

#define ENV_MAX 512

struct launch {
	char *path;
	char *argv[8];
	char number[16];
	char *env[ENV_MAX];
	size_t n_env;
	char *own_env[8]; /* freed */
	size_t n_own;
	int conf_fd;
};

static void launch_setenv(struct launch *l, char *owned)
{
	l->own_env[l->n_own++] = owned;
	l->env[l->n_env++] = owned;
}

static void launch_environment(const struct child *c, struct launch *l)
{
	const struct services_env *env = &c->all->env;
	struct strbuf doors = STRBUF_INIT;
	extern char **environ;
	size_t i;

	for (i = 0; environ[i] && l->n_env < ENV_MAX - 9; i++)
		if (strncmp(environ[i], "GFS_", 4) != 0)
			l->env[l->n_env++] = environ[i];
	launch_setenv(l, xasprintf("GFS_CONF_FD=%d", l->conf_fd));
	launch_setenv(l, xasprintf("GFS_CONF_PATH=%s", env->conf_path));
	launch_setenv(l, xasprintf("GFS_SUPERVISOR=%d", (int)getpid()));
	if (env->log_dest)
		launch_setenv(l, xasprintf("GFS_LOG_DEST=%s", env->log_dest));
	if (env->poll_interval_ms)
		launch_setenv(l, xasprintf("GFS_HEALTH_POLL_MS=%lld", (long long)env->poll_interval_ms));
	if (!c->row->per_worker)
		return;
	launch_setenv(l, xasprintf("GFS_WORKER=%u", c->number));
	for (i = 0; i < env->listeners->n; i++)
		strbuf_addf(&doors, "%s%s=%d", i ? "," : "", env->listeners->v[i].door, env->listeners->v[i].fd);
	launch_setenv(l, xasprintf("GFS_LISTEN_FDS=%s", strbuf_str(&doors)));
	strbuf_free(&doors);
}

static void launch_arguments(const struct child *c, struct launch *l)
{
	static char worker[] = "--worker", foreground[] = "-f", level[] = "-l";
	size_t n = 0;

	l->argv[n++] = l->path;
	if (c->row->per_worker) {
		snprintf(l->number, sizeof(l->number), "%u", c->number);
		l->argv[n++] = worker;
		l->argv[n++] = l->number;
	}
	l->argv[n++] = foreground;
	if (c->all->env.log_level) {
		l->argv[n++] = level;
		l->argv[n++] = xstrdup(c->all->env.log_level);
		l->own_env[l->n_own++] = l->argv[n - 1];
	}
}

static void launch_free(struct launch *l)
{
	while (l->n_own > 0)
		free(l->own_env[--l->n_own]);
	free(l->path);
	if (l->conf_fd >= 0)
		close(l->conf_fd);
}

/* After fork(): only calls that are safe there. */
static void exec_child(const struct child *c, struct launch *l) __attribute__((noreturn));
static void exec_child(const struct child *c, struct launch *l)
{
	const struct listeners *doors = c->all->env.listeners;
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;
	size_t i;
	int sig;

	/* A group of its own, so that Ctrl-C reaches the supervisor alone, which ends the suite in order. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fcntl(l->conf_fd, F_SETFD, 0);
	for (i = 0; c->row->per_worker && i < doors->n; i++)
		fcntl(doors->v[i].fd, F_SETFD, 0);
	execve(l->path, l->argv, l->env);
	_exit(127);
}

static void child_wait(struct child *c, int64_t delay_ms)
{
	struct timeval tv = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};

	c->state = CHILD_WAITING;
	event_add(c->timer, &tv);
}

static void child_start(struct child *c)
{
	struct launch l = {.path = find_program(c->all, c->row->program)};
	char fd_path[64];

	/* Opened anew: the child reads from the start, whatever the others have read. */
	snprintf(fd_path, sizeof(fd_path), "/proc/self/fd/%d", c->all->env.conf_fd);
	l.conf_fd = open(fd_path, O_RDONLY | O_CLOEXEC);
	launch_environment(c, &l);
	launch_arguments(c, &l);
	c->started_ms = clock_mono_ms();
	c->ready_ms = 0;
	c->pid = l.conf_fd < 0 ? -1 : fork();
	if (c->pid == 0)
		exec_child(c, &l);
	if (c->pid < 0) {
		log_error("event=start service=%s why=\"%s\"", c->name, strerror(errno));
		c->pid = 0;
		child_wait(c, restart_delay_ms(false, ++c->fails));
	} else {
		c->state = CHILD_STARTING;
		log_debug("event=start service=%s child=%d path=%s", c->name, (int)c->pid, l.path);
	}
	launch_free(&l);
}

static void child_timer(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;

	(void)fd;
	(void)what;
	c->restarts++;
	child_start(c);
}

static void services_add(struct services *s, const struct service_row *row, unsigned number)
{
	struct child *c = &s->v[s->n++];

	c->row = row;
	c->all = s;
	c->number = number;
	if (row->per_worker)
		snprintf(c->name, sizeof(c->name), "%s%u", row->name, number);
	else
		snprintf(c->name, sizeof(c->name), "%s", row->name);
	c->timer = evtimer_new(s->env.base, child_timer, c);
	gfs_assert(c->timer);
}

static void stop_timeout(evutil_socket_t fd, short what, void *arg);

struct services *services_create(const struct services_env *env)
{
	struct services *s = xcalloc(1, sizeof(*s));
	size_t i;
	unsigned w;

	s->env = *env;
	s->v = xcalloc(ROWS + env->workers, sizeof(*s->v));
	s->stop_timer = evtimer_new(env->base, stop_timeout, s);
	gfs_assert(s->stop_timer);
	for (i = 0; i < ROWS; i++)
		for (w = 0; w < (rows[i].per_worker ? env->workers : 1); w++)
			services_add(s, &rows[i], w);
	return s;
}

void services_start(struct services *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		child_start(&s->v[i]);
}

void services_destroy(struct services **s_io)
{
	struct services *s = *s_io;
	size_t i;

	*s_io = NULL;
	if (!s)
		return;
	for (i = 0; i < s->n; i++) {
		if (s->v[i].pid > 0) {
			kill(s->v[i].pid, SIGKILL);
			waitpid(s->v[i].pid, NULL, 0);
		}
		event_free(s->v[i].timer);
	}
	event_free(s->stop_timer);
	free(s->v);
	free(s);
}

/* ---- ready, death, restart ---- */

struct child *services_by_pid(struct services *s, pid_t pid, enum peer_role role)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i].pid > 0 && s->v[i].pid == pid && s->v[i].row->role == role)
			return &s->v[i];
	return NULL;
}

void services_child_ready(struct child *c)
{
	struct services *s = c->all;
	size_t i;

	if (c->state != CHILD_STARTING)
		return;
	c->state = CHILD_READY;
	c->ready_ms = clock_mono_ms();
	log_info("event=service_ready service=%s child=%d ms=%lld restarts=%u", c->name, (int)c->pid,
	         (long long)(c->ready_ms - c->started_ms), c->restarts);
	for (i = 0; i < s->n; i++)
		if (s->v[i].state != CHILD_READY)
			return;
	if (!s->told_ready) {
		s->told_ready = true;
		s->env.all_ready(s->env.arg);
	}
}

static void log_death(const struct child *c, int status, bool expected)
{
	char how[64];

	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "signal=%d", WTERMSIG(status));
	else
		snprintf(how, sizeof(how), "exit=%d", WEXITSTATUS(status));
	if (expected)
		log_info("event=service_ended service=%s child=%d %s", c->name, (int)c->pid, how);
	else
		log_error("event=service_died service=%s child=%d %s was=%s", c->name, (int)c->pid, how, child_state_name(c->state));
}

static void services_stop_phase(struct services *s);

/* While the suite ends, a daemon of a later phase is still needed by those before it. */
static bool child_is_wanted(const struct child *c)
{
	return !c->all->stopping || c->row->stop_phase > c->all->phase;
}

static void child_died(struct child *c, int status)
{
	bool had_served = c->state == CHILD_READY, wanted = child_is_wanted(c);
	int64_t delay;

	log_death(c, status, !wanted);
	c->pid = 0;
	if (!wanted) {
		c->state = CHILD_STOPPED;
		return;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_REFUSED) {
		c->state = CHILD_REFUSED;
		log_error("event=service_refused service=%s why=\"it finds the configuration bad; it is not started again\"", c->name);
		return;
	}
	if (had_served && clock_mono_ms() - c->ready_ms >= SERVED_WELL_MS)
		c->fails = 0;
	delay = restart_delay_ms(had_served, ++c->fails);
	if (delay > 0)
		log_warn("event=service_throttled service=%s fails=%u next_s=%lld", c->name, c->fails, (long long)(delay / 1000));
	child_wait(c, delay);
}

void services_reap(struct services *s)
{
	size_t i;
	int status;

	for (i = 0; i < s->n; i++)
		if (s->v[i].pid > 0 && waitpid(s->v[i].pid, &status, WNOHANG) == s->v[i].pid)
			child_died(&s->v[i], status);
	if (s->stopping)
		services_stop_phase(s);
}

void services_signal(struct services *s, int sig)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i].pid > 0)
			kill(s->v[i].pid, sig);
}

/* ---- the end ---- */

static bool phase_is_over(const struct services *s)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i].row->stop_phase == s->phase && s->v[i].pid > 0)
			return false;
	return true;
}

static void phase_begin(struct services *s)
{
	int64_t ms = s->phase == 0 ? s->env.shutdown_timeout_ms : DAEMON_STOP_MS;
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	size_t i;

	for (i = 0; i < s->n; i++) {
		if (s->v[i].row->stop_phase != s->phase)
			continue;
		event_del(s->v[i].timer);
		if (s->v[i].pid > 0)
			kill(s->v[i].pid, SIGTERM);
		else if (s->v[i].state != CHILD_REFUSED)
			s->v[i].state = CHILD_STOPPED;
	}
	event_add(s->stop_timer, &tv);
}

static void services_stop_phase(struct services *s)
{
	while (s->phase < PHASES && phase_is_over(s)) {
		event_del(s->stop_timer);
		if (++s->phase == PHASES)
			s->env.ended(s->env.arg);
		else
			phase_begin(s);
	}
}

static void stop_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct services *s = arg;
	size_t i;

	(void)fd;
	(void)what;
	for (i = 0; i < s->n; i++) {
		if (s->v[i].row->stop_phase != s->phase || s->v[i].pid <= 0)
			continue;
		log_error("event=service_killed service=%s child=%d why=\"it did not end in time\"", s->v[i].name, (int)s->v[i].pid);
		s->killed = true;
		kill(s->v[i].pid, SIGKILL);
	}
}

void services_stop(struct services *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	s->phase = 0;
	phase_begin(s);
	services_stop_phase(s);
}

bool services_had_to_kill(const struct services *s)
{
	return s->killed;
}

size_t services_count(const struct services *s)
{
	return s->n;
}

const struct child *services_child(const struct services *s, size_t i)
{
	return &s->v[i];
}
