/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor: parent of the whole suite. It reads the configuration once, binds the front doors, owns the site registry,
 * starts the children and keeps them running; it reads nothing from the network.
 */
#ifndef GFS_SUPERVISOR_H
#define GFS_SUPERVISOR_H

#include "common/conf/conf.h"
#include "control.h"
#include "listeners.h"
#include "options.h"
#include "registry.h"
#include "services.h"

struct event;
struct event_base;

/* The environment of the supervisor: passed to every callback. */
struct supervisor {
	const struct options *options;
	struct conf *conf;
	const char *conf_path;     /* for messages and children */
	char *conf_warnings;       /* a line each; NULL: none */
	int conf_fd;               /* sealed memfd of the file's bytes */
	char *bin_dir;
	struct listeners listeners;
	struct event_base *base;
	struct registry *registry;
	struct services *services;
	struct control *control;
	struct event *signals[4];  /* CHLD, TERM, INT, HUP */
	int64_t started_ms;        /* monotonic */
	int status_fd;             /* the waiting side of a start in the background, -1: none */
	bool ready, stopping;
};

/* The whole life. Returns the exit code: 0 ended as asked, 1 failed (a bad configuration included) or had to kill. */
int supervisor_main(const struct options *options);

/* After a change of the registry: new tables for everybody. */
void supervisor_sites_changed(struct supervisor *s);

#endif
