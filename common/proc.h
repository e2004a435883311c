/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The skeleton of every child daemon: a main() is one struct service and one call. proc_main() does options, configuration,
 * logging, privileges, parent death, signals, event loop, the channel to the supervisor and the site table; the daemon fills in
 * what it is for.
 *
 * Options of every daemon: -c FILE (configuration), -f (stay in the foreground, log to stderr unless log_file is set),
 * -l LEVEL, -n (check the configuration and exit), -V (version), -h. Exit codes: 0 ended as asked, 1 failed, 2 usage, 78 bad
 * configuration (the supervisor does not start it again; routerd itself, whom people and scripts ask, says 1).
 *
 * Started by the supervisor, a child inherits (numbers in the environment, everything else is closed on exec):
 *   GFS_CONF_FD      a sealed memfd with the configuration's bytes; GFS_CONF_PATH its name for messages
 *   GFS_LISTEN_FDS   "api=5,s3=6,metrics=7": listeners (workers only)
 *   GFS_SUPERVISOR   pid of the supervisor: PDEATHSIG is set and getppid() compared, so that no child outlives it
 *   GFS_WORKER       number of the worker (workers only)
 *   GFS_LOG_DEST     where lines go when no log_file is set ("syslog" under a supervisor in the background)
 *   GFS_HEALTH_POLL_MS  the supervisor's --health-poll-interval
 * Run alone it parses -c FILE, and takes the site table from a running supervisor or else from state_dir/sites.
 */
#ifndef GFS_PROC_H
#define GFS_PROC_H

#include <stdbool.h>

#include "conf/conf.h"
#include "ipc/msg.h"
#include "sites.h"
#include "stubs/supervisor_client.h"

struct event_base;

struct proc {
	const char *name;
	struct event_base *base;
	const struct conf *conf;
	const struct site_table *sites; /* the current epoch; replaced before sites_changed() */
	struct supervisor_client *supervisor; /* NULL when run alone without one */
	bool supervised;
	int worker; /* number, or -1 */
	void *state; /* of the daemon */
};

struct service {
	const char *name; /* "healthd" */
	enum peer_role role;
	/* Everything up to serving; sets proc->state. 0 or an error (already logged), which ends the process with its exit code. */
	int (*start)(struct proc *p);
	void (*sites_changed)(struct proc *p); /* old table is freed after it returns; may be NULL */
	/* SIGTERM or SIGINT: end open work, then call proc_exit(). Without it the loop ends at once. */
	void (*drain)(struct proc *p);
	/* After the loop: free everything. Also after a failed start(), with whatever state it had set (perhaps NULL). */
	void (*stop)(struct proc *p);
};

int proc_main(int argc, char **argv, const struct service *svc);
void proc_exit(struct proc *p, int code); /* ends the loop */
int proc_listener(const struct proc *p, const char *door); /* inherited listener, or -1 */
/* pid and start time of this process, as HELLO tells them. 0 when there is no such process. */
uint64_t proc_start_time(int pid);
/* The namespace's site_env for daemons that talk to sites: curl loop, pool and spool come with it. */

#endif
