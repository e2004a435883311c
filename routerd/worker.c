/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker process: opens what struct worker holds, keeps the open sites in line with the table, and drains on SIGTERM. The
 * skeleton around it is common/proc.c.
 */
#include "config.h"

#include "worker.h"

#include <event2/event.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/curl_loop.h"
#include "common/log.h"
#include "common/pool.h"
#include "common/xalloc.h"
#include "conn_list.h"
#include "listener.h"

/* Each durable write of a directory site keeps a thread in fsync, and fsyncs of several threads share a disk flush. */
#define WORKER_POOL_THREADS 16
/* After the last request: how long repld may take to answer the COMMITs that are under way. */
#define WORKER_COMMIT_WAIT_MS 2000
#define WORKER_COMMIT_POLL_MS 5

struct worker_proc {
	struct worker w;
	struct listener *api, *metrics;
	struct event *commit_wait;
	int64_t commit_deadline_ms;
};

struct site *worker_site_by_id(const struct worker *w, uint32_t id)
{
	for (size_t i = 0; i < w->n_sites; i++)
		if (w->sites[i].conf->id == id)
			return w->sites[i].site;
	return NULL;
}

bool worker_may_log(struct worker *w, uint32_t site_id, enum worker_log what, char more[WORKER_LOG_MORE])
{
	unsigned held_back;

	more[0] = '\0';
	for (size_t i = 0; i < w->n_sites; i++) {
		struct worker_site *s = &w->sites[i];

		if (s->conf->id != site_id)
			continue;
		if (!log_limit_take(what == WORKER_LOG_PUT_FAULT ? &s->put_faults : &s->read_faults, clock_mono_ms(), &held_back))
			return false;
		if (held_back)
			snprintf(more, WORKER_LOG_MORE, " held_back=%u", held_back);
		return true;
	}
	return true;
}

/* The open handle of an unchanged site, taken out of the old list; NULL when there is none. */
static struct site *sites_reuse(struct worker_site *old, size_t n, const struct site_conf *conf)
{
	for (size_t i = 0; i < n; i++) {
		struct site *site = old[i].site;

		if (site && site_id(site) == conf->id && site_conf_same(site_conf_of(site), conf)) {
			old[i].site = NULL;
			return site;
		}
	}
	return NULL;
}

static void worker_open_sites(struct worker *w)
{
	const struct site_table *t = w->proc->sites;
	struct worker_site *old = w->sites;
	size_t n_old = w->n_sites, n = 0;
	char why[256];

	w->site_env.namespace_id = t->namespace_id;
	w->sites = xcalloc(t->n ? t->n : 1, sizeof(*w->sites));
	for (size_t i = 0; i < t->n; i++) {
		struct site *site = sites_reuse(old, n_old, &t->v[i]);

		if (!site && site_open(&w->site_env, &t->v[i], &site, why, sizeof(why)) != GFS_OK) {
			log_error("event=site_open site=%s why=\"%s\"", t->v[i].name, why);
			continue;
		}
		w->sites[n++] = (struct worker_site){.site = site, .conf = &t->v[i]};
	}
	w->n_sites = n;
	for (size_t i = 0; i < n_old; i++)
		if (old[i].site)
			site_close(&old[i].site);
	free(old);
	/* Gauges are summed over processes: one worker speaks for all. */
	if (w->proc->worker <= 0)
		stats_set(w->stats, STAT_SITES_CURRENT, t->n);
}

static int worker_open_boards(struct worker *w)
{
	const char *run_dir = w->conf->global.run_dir;
	int err = sites_board_open(run_dir, !w->proc->supervised, &w->sites_board);

	if (!err)
		err = keys_board_open(run_dir, !w->proc->supervised, &w->keys_board);
	if (!err)
		err = stats_open(run_dir, !w->proc->supervised, &w->stats);
	if (err)
		log_error("event=start why=\"cannot open the boards in %s: %s\"", run_dir, gfs_err_text(err));
	return err;
}

static int worker_open_doors(struct worker_proc *wp)
{
	int api = proc_listener(wp->w.proc, "api"), metrics = proc_listener(wp->w.proc, "metrics");

	if (api < 0) {
		log_error("event=start why=\"no listener: workers are started by routerd\"");
		return GFS_ERR_USAGE;
	}
	wp->w.conns = conn_list_create(&wp->w);
	wp->api = listener_create(&wp->w, api, rest_api_handle);
	if (metrics >= 0)
		wp->metrics = listener_create(&wp->w, metrics, metrics_door);
	return GFS_OK;
}

/* The suite began with the supervisor: a worker that was started again has not made it younger. */
static int64_t suite_started_ms(const struct proc *p)
{
	uint64_t ticks = p->supervised ? proc_start_time(getppid()) : 0; /* since the machine started */
	int64_t age_ms, hz = sysconf(_SC_CLK_TCK);
	struct timespec up;

	if (ticks == 0 || hz <= 0 || clock_gettime(CLOCK_BOOTTIME, &up) != 0)
		return clock_real_ms();
	age_ms = up.tv_sec * 1000 + up.tv_nsec / 1000000 - (int64_t)ticks * 1000 / hz;
	return clock_real_ms() - (age_ms > 0 ? age_ms : 0);
}

static int worker_start(struct proc *p)
{
	struct worker_proc *wp = xcalloc(1, sizeof(*wp));
	struct worker *w = &wp->w;
	const char *key = getenv("GLOBALFS_API_KEY");
	int err;

	p->state = wp;
	w->proc = p;
	w->conf = p->conf;
	w->base = p->base;
	w->started_ms = suite_started_ms(p);
	w->api_key = key && *key ? key : p->conf->coordinator.api_key;
	if (w->api_key && !*w->api_key)
		w->api_key = NULL;
	err = worker_open_boards(w);
	if (err)
		return err;
	w->pool = pool_create(p->base, WORKER_POOL_THREADS);
	w->curl = curl_loop_create(p->base);
	site_watchers_init(&w->watchers, w->stats);
	w->site_env = (struct site_env){
		.base = p->base,
		.curl = w->curl,
		.pool = w->pool,
		.spool_dir = p->conf->global.state_dir,
		.spool_max_bytes = p->conf->limits.spool_bytes,
		.spool_used = &w->spool_used,
		.observer = &w->watchers.observer,
	};
	worker_open_sites(w);
	w->repld = repld_client_create(p->base, p->conf->global.run_dir);
	w->healthd = healthd_client_create(p->base, p->conf->global.run_dir, PEER_WORKER,
	                                   p->conf->resilience.circuit_breaker.threshold, w->stats);
	w->watchers.outcomes = healthd_client_observer(w->healthd);
	return worker_open_doors(wp);
}

static void worker_sites_changed(struct proc *p)
{
	struct worker_proc *wp = p->state;

	worker_open_sites(&wp->w);
}

static bool sites_busy(const struct worker *w)
{
	for (size_t i = 0; i < w->n_sites; i++)
		if (site_busy(w->sites[i].site))
			return true;
	return false;
}

static void worker_commits_waited(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval poll = {.tv_usec = WORKER_COMMIT_POLL_MS * 1000};
	struct worker_proc *wp = arg;

	(void)fd;
	(void)what;
	if ((repld_client_open_writes(wp->w.repld) == 0 && !sites_busy(&wp->w)) || clock_mono_ms() >= wp->commit_deadline_ms)
		proc_exit(wp->w.proc, 0);
	else
		event_add(wp->commit_wait, &poll);
}

/* The last connection is gone. What was acknowledged is in the journal already; the COMMITs only save repld the asking.
 * The sites are waited for as well: uploads of clients that were cut are aborted after their connections. */
static void worker_drained(void *arg)
{
	struct worker_proc *wp = arg;

	wp->commit_deadline_ms = clock_mono_ms() + WORKER_COMMIT_WAIT_MS;
	wp->commit_wait = evtimer_new(wp->w.base, worker_commits_waited, wp);
	gfs_assert(wp->commit_wait);
	worker_commits_waited(-1, 0, wp);
}

static void worker_drain(struct proc *p)
{
	struct worker_proc *wp = p->state;

	if (wp->w.draining)
		return;
	wp->w.draining = true;
	log_info("event=drain connections=%zu", conn_list_count(wp->w.conns));
	listener_destroy(&wp->api);
	listener_destroy(&wp->metrics);
	conn_list_drain(wp->w.conns, worker_drained, wp);
}

static void worker_stop(struct proc *p)
{
	struct worker_proc *wp = p->state;
	struct worker *w;

	if (!wp)
		return;
	w = &wp->w;
	listener_destroy(&wp->api);
	listener_destroy(&wp->metrics);
	conn_list_destroy(&w->conns);
	if (wp->commit_wait)
		event_free(wp->commit_wait);
	for (size_t i = 0; i < w->n_sites; i++)
		site_close(&w->sites[i].site);
	free(w->sites);
	repld_client_destroy(&w->repld);
	pool_destroy(&w->pool);
	curl_loop_destroy(&w->curl);
	healthd_client_destroy(&w->healthd); /* the last operations have ended */
	stats_close(&w->stats);
	keys_board_close(&w->keys_board);
	sites_board_close(&w->sites_board);
	free(wp);
	p->state = NULL;
}

int worker_main(int argc, char **argv)
{
	static const struct service svc = {
		.name = "routerd",
		.role = PEER_WORKER,
		.start = worker_start,
		.sites_changed = worker_sites_changed,
		.drain = worker_drain,
		.stop = worker_stop,
	};

	return proc_main(argc, argv, &svc);
}
