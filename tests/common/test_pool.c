/* SPDX-License-Identifier: Apache-2.0 */
/* pool: work on threads, done() on the loop, destroy that loses nothing. */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <pthread.h>
#include <unistd.h>

#include "common/pool.h"

struct job {
	struct pool *pool;
	struct event_base *base;
	pthread_t loop, worker;
	int worked, done, again;
};

static void work(void *arg)
{
	struct job *j = arg;

	j->worker = pthread_self();
	j->worked++;
}

static void done(void *arg)
{
	struct job *j = arg;

	cr_assert(pthread_equal(j->loop, pthread_self()));
	cr_assert(!pthread_equal(j->worker, pthread_self()));
	j->done++;
	if (j->again-- > 0)
		pool_submit(j->pool, work, done, j);
	else if (pool_pending(j->pool) == 0)
		event_base_loopbreak(j->base);
}

Test(pool, every_job_is_worked_and_done_once, .timeout = 20)
{
	struct event_base *base = event_base_new();
	struct pool *pool = pool_create(base, 3);
	static struct job jobs[500];
	int i;

	for (i = 0; i < 500; i++) {
		jobs[i] = (struct job){.pool = pool, .base = base, .loop = pthread_self()};
		pool_submit(pool, work, done, &jobs[i]);
	}
	cr_assert_eq(pool_pending(pool), 500);
	event_base_dispatch(base);
	for (i = 0; i < 500; i++)
		cr_assert(jobs[i].worked == 1 && jobs[i].done == 1);
	pool_destroy(&pool);
	cr_assert_null(pool);
	event_base_free(base);
}

Test(pool, destroy_finishes_what_was_submitted, .timeout = 20)
{
	struct event_base *base = event_base_new();
	struct pool *pool = pool_create(base, 2);
	static struct job jobs[50];
	int i;

	for (i = 0; i < 50; i++) {
		jobs[i] = (struct job){.pool = pool, .base = base, .loop = pthread_self(), .again = 1};
		pool_submit(pool, work, done, &jobs[i]);
	}
	pool_destroy(&pool);
	for (i = 0; i < 50; i++)
		cr_assert(jobs[i].worked == 2 && jobs[i].done == 2);
	event_base_free(base);
}

static void hang(void *arg)
{
	char byte;

	cr_assert_eq(read(*(int *)arg, &byte, 1), 1);
}

static void hung(void *arg)
{
	(void)arg;
}

Test(pool, wait_is_bounded, .timeout = 20)
{
	struct event_base *base = event_base_new();
	struct pool *pool = pool_create(base, 1);
	int fds[2];

	cr_assert(pool_wait(pool, 0));
	cr_assert_eq(pipe(fds), 0);
	pool_submit(pool, hang, hung, &fds[0]);
	cr_assert_not(pool_wait(pool, 50));
	cr_assert_eq(write(fds[1], "x", 1), 1);
	cr_assert(pool_wait(pool, 10000));
	pool_destroy(&pool);
	event_base_free(base);
	close(fds[0]);
	close(fds[1]);
}
