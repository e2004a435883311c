/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The children of the supervisor. services.c opens with the table that says which there are; the rest keeps each of them
 * running: start, READY, death, restart with back-off, orderly end.
 */
#ifndef GFS_SERVICES_H
#define GFS_SERVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/ipc/msg.h"
#include "listeners.h"

struct event;
struct event_base;

struct service_row {
	const char *name, *program;
	enum peer_role role;
	unsigned stop_phase; /* stopped in this order: 0 first */
	bool per_worker;     /* coordinator.workers of them, with the listeners; else one */
};

enum child_state {
	CHILD_STARTING, /* running, not READY yet */
	CHILD_READY,
	CHILD_WAITING,  /* dead, to be started again by its timer */
	CHILD_REFUSED,  /* ended with 78: not started again */
	CHILD_STOPPED,  /* ended because the suite ends */
};

struct child {
	const struct service_row *row;
	struct services *all;
	char name[32];         /* "repld", "worker0" */
	unsigned number;
	pid_t pid;             /* 0: none */
	enum child_state state;
	unsigned restarts;
	unsigned fails;        /* deaths in a row that count against it */
	int64_t started_ms, ready_ms; /* monotonic */
	struct event *timer;
};

struct services_env {
	struct event_base *base;
	const char *bin_dir;        /* where this program lies */
	const char *conf_path;
	int conf_fd;                /* sealed memfd of the configuration */
	const struct listeners *listeners;
	const char *log_level;      /* or NULL */
	const char *log_dest;       /* or NULL: the configuration's */
	int64_t poll_interval_ms;   /* or 0 */
	int64_t shutdown_timeout_ms;
	unsigned workers;
	void (*all_ready)(void *arg); /* once */
	void (*ended)(void *arg);     /* once, after services_stop(), when no child is left */
	void *arg;
};

struct services;

struct services *services_create(const struct services_env *env);
void services_destroy(struct services **s); /* children that still run are killed */
void services_start(struct services *s);    /* all at once */
void services_reap(struct services *s);     /* on SIGCHLD */
void services_signal(struct services *s, int sig);
/* Ends all children by SIGTERM, phase after phase; one that does not end in time is killed. */
void services_stop(struct services *s);
bool services_had_to_kill(const struct services *s);
struct child *services_by_pid(struct services *s, pid_t pid, enum peer_role role); /* or NULL */
void services_child_ready(struct child *c);
/* For SHOW. */
size_t services_count(const struct services *s);
const struct child *services_child(const struct services *s, size_t i);
const char *child_state_name(enum child_state state);

/* Pure: how long a child that died waits. fails counts deaths in a row; one that had served is started again at once a few
 * times in a row before it is slowed down like one that never got so far. */
int64_t restart_delay_ms(bool had_served, unsigned fails);

#endif
