/* SPDX-License-Identifier: Apache-2.0 */
/* Options and environment of a daemon, see proc_env.h. */
#include "config.h"

#include "proc_env.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define END(code) ((code) + 1)

static void usage(FILE *to, const struct service *svc)
{
	fprintf(to, "usage: %s [-c FILE] [-f] [-l LEVEL] [-n] [-V] [-h]\n"
	        "  -c FILE   configuration (default %s/globalfs.yaml)\n"
	        "  -f        stay in the foreground, log to stderr\n"
	        "  -l LEVEL  DEBUG, INFO, WARN or ERROR\n"
	        "  -n        check the configuration and exit\n"
	        "  -V        print the version\n", svc->name, GFS_SYSCONFDIR);
}

static bool parse_int(const char *s, int max, int *out)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(s, &end, 10);
	if (errno || end == s || *end || n < 0 || n > max)
		return false;
	*out = (int)n;
	return true;
}

static int take_options(int argc, char **argv, const struct service *svc, struct proc_env *out)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'}, {"log-level", required_argument, NULL, 'l'},
		{"version", no_argument, NULL, 'V'}, {"help", no_argument, NULL, 'h'},
		{"worker", required_argument, NULL, 'w'}, {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:fl:nVh", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			out->conf_path = optarg;
			break;
		case 'f':
			out->foreground = true;
			break;
		case 'l':
			out->level = optarg;
			break;
		case 'n':
			out->check_only = true;
			break;
		case 'V':
			printf("%s %s\n", svc->name, PACKAGE_VERSION);
			return END(0);
		case 'h':
			usage(stdout, svc);
			return END(0);
		case 'w':
			if (svc->role == PEER_WORKER && parse_int(optarg, 65535, &out->worker))
				break;
			/* fallthrough */
		default:
			usage(stderr, svc);
			return END(2);
		}
	}
	if (optind != argc) {
		usage(stderr, svc);
		return END(2);
	}
	return 0;
}

static bool fd_usable(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	return flags >= 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0;
}

/* "api=5,s3=6": every door must be a descriptor that is open here. */
static bool take_doors(const char *text, struct proc_env *out)
{
	char *copy = strdup(text), *save = NULL;
	bool ok = copy != NULL;

	for (char *item = ok ? strtok_r(copy, ",", &save) : NULL; item && ok; item = strtok_r(NULL, ",", &save)) {
		char *eq = strchr(item, '=');
		struct proc_door *d = &out->doors[out->n_doors];

		ok = eq && eq > item && (size_t)(eq - item) < sizeof(d->name) && out->n_doors < PROC_DOORS_MAX &&
		     parse_int(eq + 1, 1 << 20, &d->fd) && fd_usable(d->fd);
		if (!ok)
			break;
		snprintf(d->name, sizeof(d->name), "%.*s", (int)(eq - item), item);
		out->n_doors++;
	}
	free(copy);
	return ok;
}

static bool take_number(const char *name, int max, int *out)
{
	const char *text = getenv(name);
	bool ok = !text || parse_int(text, max, out);

	if (!ok)
		fprintf(stderr, "%s: not a number from 0 to %d\n", name, max);
	return ok;
}

static bool take_environment(struct proc_env *out)
{
	static const char *const names[] = {"GFS_CONF_FD", "GFS_LISTEN_FDS", "GFS_SUPERVISOR", "GFS_WORKER", "GFS_HEALTH_POLL_MS"};
	const char *doors = getenv("GFS_LISTEN_FDS"), *path = getenv("GFS_CONF_PATH");
	bool ok;

	ok = take_number("GFS_CONF_FD", 1 << 20, &out->conf_fd) && take_number("GFS_SUPERVISOR", 1 << 30, &out->supervisor) &&
	     take_number("GFS_WORKER", 65535, &out->worker) && take_number("GFS_HEALTH_POLL_MS", INT_MAX, &out->poll_ms);
	out->log_dest = getenv("GFS_LOG_DEST");
	if (ok && doors && !take_doors(doors, out)) {
		fprintf(stderr, "GFS_LISTEN_FDS: not a list of NAME=FD of open descriptors\n");
		ok = false;
	}
	if (ok && out->conf_fd >= 0 && !fd_usable(out->conf_fd)) {
		fprintf(stderr, "GFS_CONF_FD: %d is not open\n", out->conf_fd);
		ok = false;
	}
	if (out->conf_fd >= 0 && !out->conf_path)
		out->conf_path = path ? path : "configuration";
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]); /* those that are borrowed stay, and harm nobody */
	return ok;
}

int proc_env_take(int argc, char **argv, const struct service *svc, struct proc_env *out)
{
	int end;

	*out = (struct proc_env){.conf_fd = -1, .worker = -1};
	end = take_options(argc, argv, svc, out);
	if (end)
		return end;
	return take_environment(out) ? 0 : END(2);
}
