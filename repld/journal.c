/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's thread: see journal.h. Owned by repld; keys.c submits loads and saves, queue.c asks what is due. A
 * second thread
 * with a connection of its own runs the quick check at start, so that no write waits for it.
 */
#include "config.h"

#include "journal.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "store.h"

#define BATCH_MAX 2048 /* jobs in one transaction: bounds how long a commit takes */

struct journal_job {
	int (*run)(struct store *st, void *arg);
	void (*done)(void *arg, int err);
	void *arg;
	int err;
	STAILQ_ENTRY(journal_job) next;
};
STAILQ_HEAD(job_list, journal_job);

struct journal {
	struct store store; /* of the thread once it runs */
	char *path;
	pthread_t thread, checker;
	bool running, checking;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct job_list queue, finished; /* under lock */
	struct journal_stats stats;      /* under lock */
	bool stop;                       /* under lock */
	sqlite3 *check_handle;           /* under lock */
	int check_err;                   /* under lock */
	bool check_over;                 /* under lock */
	void (*checked)(void *arg, int err);
	void *checked_arg;
	atomic_bool damaged;
	atomic_int failing; /* as in the store */
	bool trying;
	int wake_fd;
	struct event *wake_ev;
};

static void journal_wake(struct journal *j)
{
	uint64_t one = 1;

	if (write(j->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_error("event=journal-wake-failed");
}

/* All of the batch in one transaction; the first error ends it. */
static int batch_run(struct journal *j, struct journal_job *first, struct journal_job *end)
{
	int changes = sqlite3_total_changes(j->store.db.handle);
	int err = store_exec(&j->store, "BEGIN IMMEDIATE");

	for (struct journal_job *job = first; !err && job != end; job = STAILQ_NEXT(job, next))
		err = job->run(&j->store, job->arg);
	if (!err)
		err = store_exec(&j->store, "COMMIT");
	if (!err && sqlite3_total_changes(j->store.db.handle) != changes)
		store_committed(&j->store);
	if (err && !sqlite3_get_autocommit(j->store.db.handle) && store_exec(&j->store, "ROLLBACK") != GFS_OK)
		log_error("event=journal-rollback-failed");
	return err;
}

static void batch_commit(struct journal *j, struct job_list *batch)
{
	int err = batch_run(j, STAILQ_FIRST(batch), NULL);
	struct journal_job *job;

	/* One that is alone would fail again for the same reason. */
	if (err && STAILQ_NEXT(STAILQ_FIRST(batch), next) == NULL)
		STAILQ_FIRST(batch)->err = err;
	else if (err)
		STAILQ_FOREACH(job, batch, next)
			job->err = j->store.damaged ? GFS_ERR_IO : batch_run(j, job, STAILQ_NEXT(job, next));
	atomic_store(&j->failing, j->store.failing);
	if (j->store.damaged)
		atomic_store(&j->damaged, true);
}

static void batch_count(struct journal *j, const struct job_list *batch, size_t n, int64_t us)
{
	const struct journal_job *job;

	STAILQ_FOREACH(job, batch, next)
		j->stats.failed += job->err != 0;
	j->stats.commits++;
	j->stats.jobs += n;
	j->stats.commit_us += us;
	if (us > j->stats.worst_us)
		j->stats.worst_us = us;
	j->stats.queued -= n;
}

static void *journal_main(void *arg)
{
	struct journal *j = arg;

	pthread_mutex_lock(&j->lock);
	for (;;) {
		struct job_list batch = STAILQ_HEAD_INITIALIZER(batch);
		struct journal_job *job;
		size_t n = 0;

		while (STAILQ_EMPTY(&j->queue) && !j->stop)
			pthread_cond_wait(&j->work, &j->lock);
		while (n < BATCH_MAX && (job = STAILQ_FIRST(&j->queue))) {
			STAILQ_REMOVE_HEAD(&j->queue, next);
			STAILQ_INSERT_TAIL(&batch, job, next);
			n++;
		}
		if (n == 0)
			break;
		pthread_mutex_unlock(&j->lock);
		int64_t began = clock_mono_us();

		batch_commit(j, &batch);
		int64_t us = clock_mono_us() - began;

		pthread_mutex_lock(&j->lock);
		batch_count(j, &batch, n, us);
		STAILQ_CONCAT(&j->finished, &batch);
		journal_wake(j);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

static void *checker_main(void *arg)
{
	struct journal *j = arg;
	struct store st;
	char why[256];
	int err = store_open(j->path, &st, why, sizeof(why));
	bool interrupted = false;

	if (!err) {
		pthread_mutex_lock(&j->lock);
		j->check_handle = st.db.handle;
		interrupted = j->stop;
		pthread_mutex_unlock(&j->lock);
		if (!interrupted)
			err = db_quick_check(&st.db);
		pthread_mutex_lock(&j->lock);
		j->check_handle = NULL;
		interrupted = j->stop;
		pthread_mutex_unlock(&j->lock);
		store_close(&st);
	} else {
		log_error("event=journal-check-failed path=%s why=\"%s\"", j->path, why);
	}
	pthread_mutex_lock(&j->lock);
	j->check_err = interrupted ? GFS_OK : err;
	j->check_over = true;
	pthread_mutex_unlock(&j->lock);
	journal_wake(j);
	return NULL;
}

static bool finish_jobs(struct journal *j)
{
	struct job_list finished = STAILQ_HEAD_INITIALIZER(finished);
	struct journal_job *job;

	pthread_mutex_lock(&j->lock);
	STAILQ_CONCAT(&finished, &j->finished);
	pthread_mutex_unlock(&j->lock);
	if (STAILQ_EMPTY(&finished))
		return false;
	while ((job = STAILQ_FIRST(&finished))) {
		STAILQ_REMOVE_HEAD(&finished, next);
		if (job->done)
			job->done(job->arg, job->err);
		free(job);
	}
	return true;
}

static void finish_check(struct journal *j)
{
	pthread_mutex_lock(&j->lock);
	bool over = j->check_over && !j->stop;
	int err = j->check_err;

	j->check_over = false;
	pthread_mutex_unlock(&j->lock);
	if (!over)
		return;
	if (err)
		atomic_store(&j->damaged, true);
	if (j->checked)
		j->checked(j->checked_arg, err);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct journal *j = arg;
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("event=journal-wake-failed");
	finish_jobs(j);
	finish_check(j);
}

int journal_open(struct event_base *base, const char *path, struct journal **out, char *why, size_t cap)
{
	struct journal *j = xcalloc(1, sizeof(*j));
	int err = store_open(path, &j->store, why, cap);

	*out = NULL;
	if (err) {
		free(j);
		return err;
	}
	j->path = xstrdup(path);
	STAILQ_INIT(&j->queue);
	STAILQ_INIT(&j->finished);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->work, NULL);
	j->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	gfs_assert(j->wake_fd >= 0);
	j->wake_ev = event_new(base, j->wake_fd, EV_READ | EV_PERSIST, on_wake, j);
	event_add(j->wake_ev, NULL);
	*out = j;
	return GFS_OK;
}

struct store *journal_store(struct journal *j)
{
	gfs_assert(!j->running);
	return &j->store;
}

void journal_start(struct journal *j, void (*checked)(void *arg, int err), void *arg)
{
	j->checked = checked;
	j->checked_arg = arg;
	j->running = pthread_create(&j->thread, NULL, journal_main, j) == 0;
	gfs_assert(j->running);
	j->checking = checked && pthread_create(&j->checker, NULL, checker_main, j) == 0;
}

void journal_close(struct journal **j_io)
{
	struct journal *j = *j_io;

	if (!j)
		return;
	pthread_mutex_lock(&j->lock);
	j->stop = true;
	if (j->check_handle)
		sqlite3_interrupt(j->check_handle);
	pthread_cond_signal(&j->work);
	pthread_mutex_unlock(&j->lock);
	if (j->running)
		pthread_join(j->thread, NULL);
	if (j->checking)
		pthread_join(j->checker, NULL);
	while (finish_jobs(j))
		;
	event_free(j->wake_ev);
	close(j->wake_fd);
	store_close(&j->store);
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->work);
	free(j->path);
	free(j);
	*j_io = NULL; /* the callbacks above may still have submitted */
}

void journal_submit(struct journal *j, int (*run)(struct store *st, void *arg), void (*done)(void *arg, int err), void *arg)
{
	struct journal_job *job = xcalloc(1, sizeof(*job));

	job->run = run;
	job->done = done;
	job->arg = arg;
	pthread_mutex_lock(&j->lock);
	/* After the stop there is no thread to run it: it fails where it was submitted from, a done callback of the close. */
	if (j->stop)
		job->err = GFS_ERR_UNAVAILABLE;
	STAILQ_INSERT_TAIL(j->stop ? &j->finished : &j->queue, job, next);
	j->stats.queued += !j->stop;
	if (!j->stop)
		pthread_cond_signal(&j->work);
	pthread_mutex_unlock(&j->lock);
}

bool journal_damaged(const struct journal *j)
{
	return atomic_load(&j->damaged);
}

const char *journal_failing(const struct journal *j)
{
	switch (atomic_load(&j->failing)) {
	case 0:
		return NULL;
	case SQLITE_FULL:
		return "the journal could not be written: its disk is full";
	case SQLITE_READONLY:
		return "the journal could not be written: it is read-only";
	default:
		return "the journal could not be written: its disk fails";
	}
}

static int try_run(struct store *st, void *arg)
{
	(void)arg;
	return store_put_note(st, "tried", clock_real_ms());
}

static void try_done(void *arg, int err)
{
	struct journal *j = arg;

	(void)err;
	j->trying = false;
}

void journal_try(struct journal *j)
{
	if (j->trying)
		return;
	j->trying = true;
	journal_submit(j, try_run, try_done, j);
}

void journal_get_stats(struct journal *j, struct journal_stats *out)
{
	pthread_mutex_lock(&j->lock);
	*out = j->stats;
	pthread_mutex_unlock(&j->lock);
}

const char *journal_path(const struct journal *j)
{
	return j->path;
}
