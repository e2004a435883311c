/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process is started with, for proc.c: options, and what the supervisor hands down in the environment (proc.h has the
 * list). Taken once at the start, and removed from the environment.
 */
#ifndef GFS_PROC_ENV_H
#define GFS_PROC_ENV_H

#include "proc.h"

#define PROC_DOORS_MAX 8

struct proc_door {
	char name[16];
	int fd;
};

struct proc_env {
	/* options */
	const char *conf_path; /* -c, or GFS_CONF_PATH; NULL: none */
	const char *level;     /* -l */
	bool foreground, check_only;
	/* handed down */
	int conf_fd;       /* -1: none */
	int supervisor;    /* pid, 0: run alone */
	int worker;        /* -1: none */
	const char *log_dest; /* where lines go when no log_file is set; NULL: stderr */
	int poll_ms;       /* instead of resilience.health_poll_interval, 0: as configured */
	struct proc_door doors[PROC_DOORS_MAX];
	size_t n_doors;
};

/* 0, or an exit code + 1 when the process is to end now (-V, -h, wrong usage: printed). */
int proc_env_take(int argc, char **argv, const struct service *svc, struct proc_env *out) GFS_MUST_USE;

#endif
