/* SPDX-License-Identifier: Apache-2.0 */
/*
 * healthd: probes the sites, hears what traffic learns of them, and tells everybody. What it is stands in healthd.h, the
 * skeleton in common/proc.c.
 */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/curl_loop.h"
#include "common/ipc/listen.h"
#include "common/log.h"
#include "common/pool.h"
#include "common/xalloc.h"
#include "control.h"
#include "healthd.h"
#include "schedule.h"

/* Threads for directory sites: a hung mount blocks one each, so that a few of them do not stop the others' probes. */
#define HEALTHD_POOL_THREADS 8
/* At the end: for probes that must end by themselves. */
#define HEALTHD_LINGER_MS 1000

static void healthd_stop(struct proc *p)
{
	struct healthd *h = p->state;

	if (!h)
		return;
	schedule_stop(h);
	listen_destroy(&h->listen);
	if (h->pool && !pool_wait(h->pool, HEALTHD_LINGER_MS)) {
		/* Nothing can be freed under a thread that is stuck on a hung mount. */
		log_warn("event=exit code=0 why=\"a directory site hangs, its probe is left behind\"");
		_exit(0);
	}
	pool_destroy(&h->pool);
	curl_loop_destroy(&h->curl);
	stats_close(&h->stats);
	sites_board_close(&h->board);
	free(h);
	p->state = NULL;
}

static int healthd_start(struct proc *p)
{
	struct healthd *h = xcalloc(1, sizeof(*h));
	const struct conf *c = p->conf;
	int err;

	p->state = h;
	h->proc = p;
	h->interval_ms = c->resilience.health_poll_interval_ms ? c->resilience.health_poll_interval_ms
							       : c->coordinator.health_check_interval_ms;
	h->timeout_ms = c->resilience.probe_timeout_ms;
	h->breaker = (struct breaker_conf){
		.enabled = c->resilience.circuit_breaker.enabled,
		.threshold = c->resilience.circuit_breaker.threshold,
		.cooldown_ms = c->resilience.circuit_breaker.cooldown_ms,
	};
	err = listen_create(p->base, c->global.run_dir, "healthd", PEER_HEALTHD, &healthd_control_cbs, h, &h->listen);
	if (err)
		return err;
	err = sites_board_open(c->global.run_dir, true, &h->board);
	if (!err)
		err = stats_open(c->global.run_dir, true, &h->stats);
	if (err) {
		log_error("event=start why=\"cannot open the boards in %s\"", c->global.run_dir);
		return err;
	}
	h->pool = pool_create(p->base, HEALTHD_POOL_THREADS);
	h->curl = curl_loop_create(p->base);
	site_watchers_init(&h->watchers, h->stats);
	h->env = (struct site_env){
		.base = p->base,
		.curl = h->curl,
		.pool = h->pool,
		.spool_dir = c->global.state_dir,
		.spool_used = &h->spool_used,
		.observer = &h->watchers.observer,
	};
	schedule_start(h);
	return GFS_OK;
}

static void healthd_sites_changed(struct proc *p)
{
	schedule_sites(p->state);
}

int main(int argc, char **argv)
{
	static const struct service svc = {
		.name = "healthd",
		.role = PEER_HEALTHD,
		.start = healthd_start,
		.sites_changed = healthd_sites_changed,
		.stop = healthd_stop,
	};

	return proc_main(argc, argv, &svc);
}
