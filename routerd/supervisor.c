/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's life (supervisor.h): the steps of the start in order, the loop, the end. Everything else is in the modules
 * it calls: start.c (the system), registry.c (sites), services.c (children), control.c (messages).
 */
#include "config.h"

#include "supervisor.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "start.h"

void supervisor_sites_changed(struct supervisor *s)
{
	const struct site_table *t = registry_table(s->registry);

	log_info("event=sites epoch=%llu sites=%zu", (unsigned long long)t->epoch, t->n);
	control_send_tables(s->control);
}

/* ---- callbacks of the children ---- */

static void on_all_ready(void *arg)
{
	struct supervisor *s = arg;
	const struct site_table *t = registry_table(s->registry);

	s->ready = true;
	log_info("event=ready ms=%lld epoch=%llu sites=%zu", (long long)(clock_mono_ms() - s->started_ms), (unsigned long long)t->epoch,
	         t->n);
}

static void on_all_ended(void *arg)
{
	struct supervisor *s = arg;

	event_base_loopbreak(s->base);
}

/* ---- signals ---- */

static void on_child_signal(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)sig;
	(void)what;
	services_reap(s->services);
}

static void on_stop_signal(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)what;
	if (s->stopping)
		return;
	s->stopping = true;
	log_info("event=stop signal=%d", (int)sig);
	/* Before the workers hear of it: none of them may still take a client while another is draining already. */
	listeners_shut(&s->listeners);
	services_stop(s->services);
}

static void on_hangup(evutil_socket_t sig, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)sig;
	(void)what;
	if (log_reopen())
		log_error("event=log why=\"the log cannot be opened again\"");
	services_signal(s->services, SIGHUP);
}

static void watch_signals(struct supervisor *s)
{
	static const struct {
		int sig;
		event_callback_fn cb;
	} rows[] = {{SIGCHLD, on_child_signal}, {SIGTERM, on_stop_signal}, {SIGINT, on_stop_signal}, {SIGHUP, on_hangup}};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		s->signals[i] = evsignal_new(s->base, rows[i].sig, rows[i].cb, s);
		gfs_assert(s->signals[i] && event_add(s->signals[i], NULL) == 0);
	}
	signal(SIGPIPE, SIG_IGN);
}

/* ---- steps of the start ---- */

static int start_registry(struct supervisor *s)
{
	char why[1024] = "";
	int err = registry_open(s->conf->global.state_dir, s->conf, &s->registry, why, sizeof(why));

	if (!err)
		return -1;
	fprintf(stderr, "routerd: %s\n", why);
	return 1;
}

static int start_bin_dir(struct supervisor *s)
{
	char path[4096], *slash;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (!slash) {
		fprintf(stderr, "routerd: cannot find my own program: %s\n", strerror(errno));
		return 1;
	}
	*slash = '\0';
	s->bin_dir = xstrdup(path);
	return -1;
}

/* The key goes to the workers by the environment, where other users do not see it, and from the command line, where they do. */
static int start_api_key(struct supervisor *s)
{
	char *key = s->options->api_key;

	if (key && setenv("GLOBALFS_API_KEY", key, 1)) {
		fprintf(stderr, "routerd: the API key cannot be handed on: %s\n", strerror(errno));
		return 1;
	}
	if (key)
		memset(key, 'x', strlen(key));
	return -1;
}

static int start_loop(struct supervisor *s)
{
	int err;

	s->base = event_base_new();
	if (!s->base) {
		fprintf(stderr, "routerd: no event loop\n");
		return 1;
	}
	watch_signals(s);
	err = control_create(s, &s->control);
	if (err)
		fprintf(stderr, "routerd: %s/routerd.sock: %s\n", s->conf->global.run_dir, gfs_err_text(err));
	return err ? 1 : -1;
}

static unsigned count_workers(const struct conf *conf)
{
	long cpus = conf->coordinator.workers ? (long)conf->coordinator.workers : sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 1 ? 1 : (unsigned)cpus;
}

static int start_children(struct supervisor *s)
{
	struct services_env env = {
		.base = s->base,
		.bin_dir = s->bin_dir,
		.conf_path = s->conf_path,
		.conf_fd = s->conf_fd,
		.listeners = &s->listeners,
		.log_level = s->options->log_level,
		.log_dest = start_log_dest(s),
		.poll_interval_ms = s->options->poll_interval_ms,
		.shutdown_timeout_ms = s->conf->coordinator.shutdown_timeout_ms,
		.workers = count_workers(s->conf),
		.all_ready = on_all_ready,
		.ended = on_all_ended,
		.arg = s,
	};

	s->services = services_create(&env);
	start_done(s); /* first: children that held our caller's pipes would keep it waiting */
	services_start(s->services);
	return -1;
}

/* ---- all of it ---- */

static int supervisor_run(struct supervisor *s)
{
	if (registry_table(s->registry)->n == 0)
		log_warn("event=start why=\"no sites are configured\"");
	if (event_base_dispatch(s->base) < 0) {
		log_error("event=exit why=\"the event loop failed\"");
		return 1;
	}
	return services_had_to_kill(s->services) ? 1 : 0;
}

static void supervisor_free(struct supervisor *s)
{
	size_t i;

	services_destroy(&s->services);
	control_destroy(&s->control);
	for (i = 0; i < sizeof(s->signals) / sizeof(s->signals[0]); i++)
		if (s->signals[i])
			event_free(s->signals[i]);
	if (s->base)
		event_base_free(s->base);
	registry_destroy(&s->registry);
	listeners_close(&s->listeners);
	if (s->conf_fd >= 0)
		close(s->conf_fd);
	if (s->status_fd >= 0)
		close(s->status_fd);
	conf_destroy(&s->conf);
	free(s->conf_warnings);
	free(s->bin_dir);
}

int supervisor_main(const struct options *options)
{
	static int (*const steps[])(struct supervisor *) = {
		start_conf, start_bin_dir, start_api_key, start_log, start_background, start_dirs, start_doors, start_privileges,
		start_registry, start_boards, start_loop, start_children,
	};
	struct supervisor s = {.options = options, .conf_fd = -1, .status_fd = -1, .started_ms = clock_mono_ms()};
	int code = -1;
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]) && code < 0; i++)
		code = steps[i](&s);
	if (code < 0)
		code = supervisor_run(&s);
	if (s.ready || s.stopping)
		log_info("event=exit code=%d", code);
	supervisor_free(&s);
	libevent_global_shutdown();
	return code;
}
