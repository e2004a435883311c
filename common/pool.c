/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread pool of pool.h. One queue in, one list of finished jobs out, an eventfd that wakes the loop. Jobs belong to the
 * pool from pool_submit() until their done() has been called.
 */
#include "config.h"

#include "pool.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "xalloc.h"

struct pool_job {
	struct pool_job *next;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

struct pool_list {
	struct pool_job *first, **last;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct pool_list queue, finished; /* under lock */
	bool ending;                      /* under lock */
	size_t pending;                   /* loop thread only */
	struct event *wake;
	int wake_fd;
	unsigned n_threads;
	pthread_t *threads;
};

static void list_init(struct pool_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void list_add(struct pool_list *l, struct pool_job *job)
{
	job->next = NULL;
	*l->last = job;
	l->last = &job->next;
}

static struct pool_job *list_take(struct pool_list *l)
{
	struct pool_job *job = l->first;

	if (job) {
		l->first = job->next;
		if (!l->first)
			l->last = &l->first;
	}
	return job;
}

static void *pool_thread(void *arg)
{
	static const uint64_t one = 1;
	struct pool *pool = arg;
	struct pool_job *job;
	bool first;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (!(job = list_take(&pool->queue)) && !pool->ending)
			pthread_cond_wait(&pool->more, &pool->lock);
		if (!job)
			break;
		pthread_mutex_unlock(&pool->lock);
		job->work(job->arg);
		pthread_mutex_lock(&pool->lock);
		first = !pool->finished.first;
		list_add(&pool->finished, job);
		if (first && write(pool->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
			panic("thread pool: write to its eventfd: errno %d", errno);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Calls done() of the jobs that have finished by now; returns how many. */
static size_t pool_reap(struct pool *pool)
{
	struct pool_list finished;
	struct pool_job *job;
	size_t n = 0;

	pthread_mutex_lock(&pool->lock);
	finished = pool->finished;
	if (!finished.first)
		list_init(&finished);
	list_init(&pool->finished);
	pthread_mutex_unlock(&pool->lock);
	while ((job = finished.first)) {
		finished.first = job->next;
		pool->pending--;
		n++;
		job->done(job->arg);
		free(job);
	}
	return n;
}

static void pool_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("event=pool_wake errno=%d", errno);
	pool_reap(arg);
}

struct pool *pool_create(struct event_base *base, unsigned threads)
{
	struct pool *pool = xcalloc(1, sizeof(*pool));
	sigset_t all, old;
	unsigned i;

	gfs_assert(threads > 0);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->more, NULL);
	list_init(&pool->queue);
	list_init(&pool->finished);
	pool->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->wake_fd < 0)
		panic("thread pool: eventfd: errno %d", errno);
	pool->wake = event_new(base, pool->wake_fd, EV_READ | EV_PERSIST, pool_wake, pool);
	gfs_assert(pool->wake && event_add(pool->wake, NULL) == 0);
	pool->threads = xcalloc(threads, sizeof(*pool->threads));
	/* Signals belong to the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (i = 0; i < threads; i++)
		if (pthread_create(&pool->threads[pool->n_threads], NULL, pool_thread, pool) == 0)
			pool->n_threads++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pool->n_threads == 0)
		panic("thread pool: no thread could be started");
	return pool;
}

bool pool_wait(struct pool *pool, int64_t ms)
{
	int64_t until_ms = clock_mono_ms() + ms;

	while (pool->pending > 0 && clock_mono_ms() < until_ms) {
		if (pool_reap(pool) == 0)
			usleep(500);
	}
	return pool->pending == 0;
}

void pool_destroy(struct pool **pool_io)
{
	struct pool *pool = *pool_io;
	unsigned i;

	if (!pool)
		return;
	/* A done() may submit again, so the threads stay until nothing is left. */
	while (pool->pending > 0) {
		if (pool_reap(pool) == 0)
			usleep(500);
	}
	pthread_mutex_lock(&pool->lock);
	pool->ending = true;
	pthread_cond_broadcast(&pool->more);
	pthread_mutex_unlock(&pool->lock);
	for (i = 0; i < pool->n_threads; i++)
		pthread_join(pool->threads[i], NULL);
	event_free(pool->wake);
	close(pool->wake_fd);
	pthread_cond_destroy(&pool->more);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	free(pool);
	*pool_io = NULL;
}

void pool_submit(struct pool *pool, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct pool_job *job = xcalloc(1, sizeof(*job));

	job->work = work;
	job->done = done;
	job->arg = arg;
	pool->pending++;
	pthread_mutex_lock(&pool->lock);
	list_add(&pool->queue, job);
	pthread_cond_signal(&pool->more);
	pthread_mutex_unlock(&pool->lock);
}

size_t pool_pending(const struct pool *pool)
{
	return pool->pending;
}
