/* SPDX-License-Identifier: Apache-2.0 */
/* What a process tells healthd, against a fake healthd that listens, or is not there. */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ipc/listen.h"
#include "common/log.h"
#include "common/site_impl.h"
#include "common/stubs/healthd_client.h"

static char dir[64];
static struct event_base *base;

static void init(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LVL_ERROR);
	strcpy(dir, "/tmp/gfs-test-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	base = event_base_new();
}

static void fini(void)
{
	char cmd[128];

	event_base_free(base);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(healthd_client, .init = init, .fini = fini, .timeout = 30);

struct fake {
	struct listen_sock *l;
	int n;
	struct msg_outcomes last;
	char reason[64];
	uint64_t first_us;
	int64_t at_ms;
};

static void serve(void *arg, struct channel *ch, const struct msg *m, int fd)
{
	struct fake *f = arg;

	(void)ch;
	(void)fd;
	cr_assert_eq(m->type, MSG_OUTCOMES);
	f->n++;
	f->last = m->outcomes;
	f->at_ms = clock_mono_ms();
	f->first_us = m->outcomes.first_us.n ? m->outcomes.first_us.v[0] : 0;
	snprintf(f->reason, sizeof(f->reason), "%.*s", (int)m->outcomes.reason.n, m->outcomes.reason.p);
}

static const struct channel_cbs cbs = {.message = serve};

static void fake_start(struct fake *f)
{
	memset(f, 0, sizeof(*f));
	cr_assert_eq(listen_create(base, dir, "healthd", PEER_HEALTHD, &cbs, f, &f->l), GFS_OK);
}

static void loop_until(const int *n, int want)
{
	int64_t until_ms = clock_mono_ms() + 10000;

	while (*n < want) {
		cr_assert(clock_mono_ms() < until_ms);
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(500);
	}
}

static void tell(struct healthd_client *c, uint32_t site_id, int err)
{
	const struct site_observer *o = healthd_client_observer(c);
	struct site_result r = {.outcome = err ? SITE_FAILED : SITE_DONE, .err = err, .reason = err ? "cannot connect" : ""};
	struct site_event e = {.op = SITE_OP_GET, .result = &r, .first_us = err ? -1 : 77, .took_us = 100};
	struct site site = {.conf = {.id = site_id}};

	o->ended(o->arg, &site, &e);
}

static void up(struct healthd_client *c, struct fake *f)
{
	int64_t until_ms = clock_mono_ms() + 10000;

	while (f->n == 0) { /* what comes while the link is down is dropped */
		cr_assert(clock_mono_ms() < until_ms);
		tell(c, 1, GFS_OK);
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(5000);
	}
	until_ms = clock_mono_ms() + 250; /* the batch that is under way */
	while (clock_mono_ms() < until_ms) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(5000);
	}
	f->n = 0;
}

Test(healthd_client, sends_one_batch_per_site)
{
	struct fake f;
	struct healthd_client *c;

	fake_start(&f);
	c = healthd_client_create(base, dir, PEER_WORKER, 5, NULL);
	up(c, &f);
	for (int i = 0; i < 1000; i++)
		tell(c, 7, GFS_OK);
	tell(c, 7, GFS_ERR_CONNECT);
	loop_until(&f.n, 1);
	cr_assert(f.last.site == 7 && f.last.goods == 1000 && f.last.faults == 1 && f.last.run == 1);
	cr_assert_eq(f.last.err, GFS_ERR_CONNECT);
	cr_assert_str_eq(f.reason, "cannot connect");
	cr_assert_eq(f.first_us, 77);
	tell(c, 7, GFS_OK);
	tell(c, 8, GFS_OK);
	loop_until(&f.n, 3);
	cr_assert(f.last.site == 8 && f.last.goods == 1);
	healthd_client_destroy(&c);
	listen_destroy(&f.l);
}

Test(healthd_client, tells_at_once_when_the_threshold_is_reached)
{
	struct fake f;
	struct healthd_client *c;
	int64_t began_ms;

	fake_start(&f);
	c = healthd_client_create(base, dir, PEER_REPLD, 3, NULL);
	up(c, &f);
	tell(c, 2, GFS_ERR_TIMEOUT);
	loop_until(&f.n, 1); /* as always */
	began_ms = clock_mono_ms();
	tell(c, 2, GFS_ERR_TIMEOUT);
	tell(c, 2, GFS_ERR_TIMEOUT);
	loop_until(&f.n, 2);
	cr_assert(f.at_ms - began_ms < 60, "%lld ms", (long long)(f.at_ms - began_ms));
	cr_assert(f.last.run == 2 && f.last.timeouts == 2);
	healthd_client_destroy(&c);
	listen_destroy(&f.l);
}

Test(healthd_client, drops_what_nobody_hears)
{
	struct fake f;
	struct healthd_client *c = healthd_client_create(base, dir, PEER_WORKER, 5, NULL);
	int64_t until_ms = clock_mono_ms() + 300;

	for (int i = 0; i < 10; i++)
		tell(c, 3, GFS_ERR_CONNECT);
	while (clock_mono_ms() < until_ms) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		usleep(5000);
	}
	fake_start(&f);
	up(c, &f);
	tell(c, 3, GFS_ERR_CONNECT);
	loop_until(&f.n, 1);
	cr_assert(f.last.site == 3 && f.last.faults == 1 && f.last.run == 1);
	healthd_client_destroy(&c);
	listen_destroy(&f.l);
}
