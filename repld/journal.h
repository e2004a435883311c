/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's own thread and its group commit. Jobs run there in the order they were submitted; all that are queued when the
 * thread becomes free share one transaction and so one fsync. done runs on the event loop after the commit, in the same order:
 * err 0 means that the job's writes are on disk. Jobs whose common transaction failed are run once more, each by itself, so that
 * one bad job does not fail its neighbours; run() must therefore give the same result when it runs again.
 */
#ifndef GFS_REPLD_JOURNAL_H
#define GFS_REPLD_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct event_base;
struct journal;
struct store;

struct journal_stats {
	uint64_t commits, jobs, failed;
	int64_t commit_us, worst_us; /* all together; the longest */
	size_t queued;
};

/* Opens (creates) the file; the thread does not run yet. 0, GFS_ERR_IO, GFS_ERR_VERSION, with a sentence in why. */
int journal_open(struct event_base *base, const char *path, struct journal **out, char *why, size_t cap) GFS_MUST_USE;
/* For the walks at start, before journal_start() only. */
struct store *journal_store(struct journal *j);
/* Starts the thread, and the check of the whole file in the background, which ends with checked(arg, err). */
void journal_start(struct journal *j, void (*checked)(void *arg, int err), void *arg);
/* Runs and commits what is queued, calls every done, closes. */
void journal_close(struct journal **j);

void journal_submit(struct journal *j, int (*run)(struct store *st, void *arg), void (*done)(void *arg, int err), void *arg);
bool journal_damaged(const struct journal *j); /* the file is bad: nothing more can be promised */
/* NULL, or the sentence why nothing can be written: the disk is full or ill. It ends with the first commit that succeeds. */
const char *journal_failing(const struct journal *j);
/* Tries whether it can be written again. */
void journal_try(struct journal *j);
void journal_get_stats(struct journal *j, struct journal_stats *out);
const char *journal_path(const struct journal *j);

#endif
