/* SPDX-License-Identifier: Apache-2.0 */
/* The system's side of the supervisor's start (start.h), in the order in which supervisor.c calls it. */
#include "config.h"

#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/board/keys_board.h"
#include "common/board/sites_board.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/xalloc.h"
#include "supervisor.h"

#define CONF_BYTES_MAX (16u << 20)
#define ORPHANS_DIE_MS 1500 /* the workers of a supervisor that was killed hold its doors until they are gone */

static int fail(int code, const char *fmt, ...) GFS_PRINTF(2, 3);
static int fail(int code, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "routerd: %s\n", text);
	log_debug("event=start err=\"%s\"", text);
	return code;
}

/* ---- configuration ---- */

/* The file's bytes in a sealed memfd, so that every child reads what we read. */
static int copy_to_memfd(int from, int to)
{
	size_t total = 0;
	char buf[65536];
	ssize_t n;

	while (from >= 0 && (n = read(from, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		total += (size_t)n;
		if (total > CONF_BYTES_MAX) {
			errno = EFBIG;
			return -1;
		}
		if (write(to, buf, (size_t)n) != n)
			return -1;
	}
	if (lseek(to, 0, SEEK_SET) < 0)
		return -1;
	return fcntl(to, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

static int read_conf_file(struct supervisor *s)
{
	const char *path = s->options->conf_path;
	int from = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1, err;

	if (path && from < 0)
		return fail(1, "%s: %s", path, strerror(errno));
	s->conf_fd = memfd_create("globalfs-conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->conf_fd < 0)
		return fail(1, "memfd: %s", strerror(errno));
	err = copy_to_memfd(from, s->conf_fd) ? errno : 0;
	if (from >= 0)
		close(from);
	return err ? fail(1, "%s: %s", path ? path : "configuration", strerror(err)) : -1;
}

int start_conf(struct supervisor *s)
{
	struct conf_report report = {0};
	int code = read_conf_file(s), err;

	if (code >= 0)
		return code;
	s->conf_path = s->options->conf_path ? s->options->conf_path : "built-in defaults";
	err = conf_load(s->conf_path, s->conf_fd, &s->conf, &report);
	conf_report_print(&report, "routerd");
	s->conf_warnings = strbuf_steal(&report.warnings);
	if (err) {
		code = fail(1, "%s: %s", s->conf_path, gfs_err_text(err));
	} else if (s->options->check_only) {
		printf("Configuration is valid.\n");
		code = 0;
	}
	conf_report_free(&report);
	return code;
}

/* ---- log and background ---- */

const char *start_log_dest(const struct supervisor *s)
{
	return !*s->conf->global.log_file && !s->options->foreground ? "syslog" : NULL;
}

/* Whoever started us has read them on the terminal; they are for those who read the log. */
static void log_warnings(const struct supervisor *s)
{
	char *line, *rest = s->conf_warnings, why[LOG_QUOTE_MAX];

	while (rest && (line = strsep(&rest, "\n")))
		if (*line)
			log_warn("event=config why=%s", log_quote(why, sizeof(why), slice_str(line)));
}

int start_log(struct supervisor *s)
{
	const char *level = s->options->log_level ? s->options->log_level : s->conf->global.log_level;
	const char *dest = start_log_dest(s) ? start_log_dest(s) : s->conf->global.log_file;
	enum log_level parsed = LOG_LVL_INFO;

	if (log_parse_level(slice_str(level), &parsed))
		log_set_level(parsed);
	if (log_open("routerd", dest))
		return fail(1, "cannot open the log %s: %s", dest, strerror(errno));
	if (*dest)
		log_warnings(s);
	return -1;
}

static void await_start(pid_t child, int fd) __attribute__((noreturn));
static void await_start(pid_t child, int fd)
{
	int status = 0;
	char byte;

	if (read(fd, &byte, 1) == 1)
		_exit(0);
	if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
	_exit(1);
}

int start_background(struct supervisor *s)
{
	int fds[2];
	pid_t pid;

	if (s->options->foreground)
		return -1;
	if (pipe2(fds, O_CLOEXEC))
		return fail(1, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return fail(1, "fork: %s", strerror(errno));
	if (pid > 0) {
		close(fds[1]);
		await_start(pid, fds[0]);
	}
	close(fds[0]);
	s->status_fd = fds[1];
	setsid();
	return -1;
}

/* From here on the start counts as done: lets the waiting process go, and its terminal. */
void start_done(struct supervisor *s)
{
	int null, fd;

	if (s->status_fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
	if (write(s->status_fd, "r", 1) != 1)
		log_warn("event=start why=\"nobody waits for the start\"");
	close(s->status_fd);
	s->status_fd = -1;
}

/* ---- directories, doors, privileges, boards ---- */

static int make_dirs(const char *path, mode_t mode)
{
	char *copy = xstrdup(path), *p;
	int err = 0;

	for (p = copy + 1; *p && !err; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		err = mkdir(copy, 0755) && errno != EEXIST ? errno : 0;
		*p = '/';
	}
	if (!err && mkdir(copy, mode) == 0)
		err = chmod(copy, mode) ? errno : 0; /* umask or not */
	else if (!err)
		err = errno == EEXIST ? 0 : errno;
	free(copy);
	return err ? fail(1, "%s: cannot be created: %s", path, strerror(err)) : -1;
}

/* Early, before the doors are bound, so that the second start says what is the matter; control_create() takes it for good. */
static int check_alone(const struct supervisor *s)
{
	char *path = xasprintf("%s/routerd.lock", s->conf->global.run_dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640), code = -1;

	if (fd < 0)
		code = fail(1, "%s: %s", path, strerror(errno));
	else if (flock(fd, LOCK_EX | LOCK_NB))
		code = fail(1, "already running on %s (its lock %s is held)", s->conf->global.run_dir, path);
	if (fd >= 0)
		close(fd);
	free(path);
	return code;
}

int start_dirs(struct supervisor *s)
{
	/* What lies above them is for everybody, whoever starts us: the suite may run as another user. */
	mode_t inherited = umask(022);
	int code;

	/* Passable, so that monitoring reaches run_dir/monitor; the sockets in it are closed to others by their own modes. */
	code = make_dirs(s->conf->global.run_dir, 0751);
	if (code < 0)
		code = make_dirs(s->conf->global.state_dir, 0750);
	umask(inherited); /* what directory sites give their files */
	return code < 0 ? check_alone(s) : code;
}

int start_doors(struct supervisor *s)
{
	const char *api = s->options->bind_addr ? s->options->bind_addr : s->conf->coordinator.listen_addr;
	char *left = xasprintf("%s/routerd.sock", s->conf->global.run_dir), addr[300], why[512];
	int64_t retry_ms = access(left, F_OK) == 0 ? ORPHANS_DIE_MS : 0;
	int err = listeners_bind(&s->listeners, "api", api, retry_ms, why, sizeof(why));

	free(left);
	if (!err && s->conf->global.metrics_enabled && s->conf->global.metrics_port) {
		listeners_other_port(api, s->conf->global.metrics_port, addr, sizeof(addr));
		err = listeners_bind(&s->listeners, "metrics", addr, retry_ms, why, sizeof(why));
	}
	if (!err && *s->conf->s3.listen_addr)
		log_warn("event=start why=\"s3.listen_addr has no effect in this version: the S3 door is not there yet\"");
	if (!err)
		listeners_tell(&s->listeners);
	return err ? fail(1, "%s", why) : -1;
}

static void raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &rl))
			log_warn("event=start why=\"cannot raise the limit of open files: %s\"", strerror(errno));
	}
}

static int give_to(const char *path, const struct passwd *pw)
{
	if (chown(path, pw->pw_uid, pw->pw_gid) == 0 || errno == ENOENT)
		return -1;
	return fail(1, "%s: cannot be given to %s: %s", path, pw->pw_name, strerror(errno));
}

static int give_files(const struct supervisor *s, const struct passwd *pw)
{
	char *lock = xasprintf("%s/routerd.lock", s->conf->global.run_dir);
	const char *paths[] = {s->conf->global.run_dir, s->conf->global.state_dir, lock, s->conf->global.log_file};
	int code = -1;
	size_t i;

	for (i = 0; i < sizeof(paths) / sizeof(paths[0]) && code < 0; i++)
		if (*paths[i] && strcmp(paths[i], "syslog") != 0)
			code = give_to(paths[i], pw);
	free(lock);
	return code;
}

/* Root was needed for low ports and the directories; from here on nobody in the suite has it, or can get it. */
int start_privileges(struct supervisor *s)
{
	const char *name = s->conf->global.user;
	const struct passwd *pw;
	int code;

	raise_limits();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		log_warn("event=start why=\"no_new_privs: %s\"", strerror(errno));
	if (geteuid() != 0 || !*name)
		return -1;
	pw = getpwnam(name);
	if (!pw)
		return fail(1, "global.user: there is no user %s", name);
	code = give_files(s, pw);
	if (code >= 0)
		return code;
	if (initgroups(name, pw->pw_gid) || setgid(pw->pw_gid) || setuid(pw->pw_uid))
		return fail(1, "cannot become %s: %s", name, strerror(errno));
	return -1;
}

int start_boards(struct supervisor *s)
{
	const char *run_dir = s->conf->global.run_dir;
	struct sites_board sites;
	struct keys_board keys;
	struct stats *stats;
	int err = sites_board_open(run_dir, true, &sites);

	if (!err) {
		sites_board_close(&sites);
		err = keys_board_open(run_dir, true, &keys);
	}
	if (!err) {
		keys_board_close(&keys);
		err = stats_open(run_dir, true, &stats);
	}
	if (!err)
		stats_close(&stats);
	return err ? fail(1, "%s/boards: the boards cannot be made: %s", run_dir, gfs_err_text(err)) : -1;
}
