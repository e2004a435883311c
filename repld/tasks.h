/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work on one row: load the key, ask the site what it has, then copy, delete, or find that nothing is to be
 * done. Each takes
 * the (key, site) slot for the act that changes the site, and looks again whether the version is still the decided one.
 */
#ifndef GFS_REPLD_TASKS_H
#define GFS_REPLD_TASKS_H

#include "keys.h"
#include "queue.h"
#include "slots.h"

struct tasks;
struct transfer;

struct task {
	struct repld *r;
	struct key_entry *e;    /* referenced */
	uint32_t site;
	enum lane lane;
	struct key_wait wait;
	bool working;           /* has marked its row busy */
	bool stale;             /* the key has a newer version: end as soon as possible, the row is looked at again */
	struct version v;       /* that it works on */
	struct site_op *head;
	struct transfer *transfer;
	bool acting;            /* the act that changes the site has begun */
	struct slot_claim claim;
	void (*act)(struct task *t);
	uint32_t tried[VERSION_SITES_MAX]; /* sources that did not serve */
	size_t n_tried;
	LIST_ENTRY(task) next;
};

struct tasks *tasks_create(void);
void tasks_destroy(struct tasks **tasks); /* none may be left */
void tasks_stop_all(struct repld *r);     /* all but those whose act is running, which end by themselves */
void tasks_stop_site(struct repld *r, uint32_t site); /* those that change this site, likewise; their rows wait */
size_t tasks_count(const struct tasks *tasks);
bool tasks_acting(const struct tasks *tasks); /* an act is running that must end by itself */
void task_start(struct repld *r, struct repl_site *rs, enum lane lane, struct slice key);
/* The key's decided version has changed. */
void tasks_stale(struct repld *r, struct key_entry *e);

/* For apply.c: claims the (key, site) slot; act runs when it is held and the version still counts. */
void task_claim(struct task *t, void (*act)(struct task *t));
void task_end(struct task *t);
void task_acted(struct task *t, bool repeated); /* done; repeated: an earlier attempt may surface */
void task_failed(struct task *t, enum site_outcome outcome, int err, const char *reason);

#endif
