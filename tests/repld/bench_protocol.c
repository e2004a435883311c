/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many writes per second repld orders and journals: N callers in a process of their own, each BEGIN, FINALISE, COMMIT in a
 * circle over the real client and socket. Not built by default: make tests/repld/bench_protocol, then
 *   bench_protocol DIR [CALLERS [SECONDS]]       DIR: on the disk to be measured
 */
#include "config.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/stubs/repld_client.h"
#include "common/xalloc.h"
#include "repld/journal.h"
#include "repld/repld.h"

struct caller {
	struct repld_client *c;
	struct repld_write *w;
	unsigned n;
	int id;
};

static uint64_t done, failed;
static const uint64_t sync_sites[] = {1, 2};

static void begin(struct caller *x);

static void on_granted(void *arg, int err, const char *text)
{
	static const enum site_outcome outcomes[] = {SITE_DONE, SITE_DONE};
	struct caller *x = arg;

	(void)text;
	if (err) {
		failed++;
		repld_write_abandon(&x->w);
	} else {
		repld_commit(&x->w, outcomes, true, NULL, NULL);
		done++;
	}
	begin(x);
}

static void on_begun(void *arg, int err, const struct gen *gen, const char *text)
{
	struct caller *x = arg;
	const struct repld_version v = {.size = 4096, .etag = "0123456789abcdef0123456789abcdef", .part_size = 8u << 20,
					.sync_sites = sync_sites, .n_sync = 2, .write_min = 2};

	(void)gen, (void)text;
	if (err) {
		failed++;
		repld_write_abandon(&x->w);
		begin(x);
	} else {
		repld_finalise(x->w, &v, on_granted, x);
	}
}

static void begin(struct caller *x)
{
	char key[64];

	snprintf(key, sizeof(key), "bench/%d/%u", x->id, x->n++);
	x->w = repld_begin(x->c, slice_str(key), OP_WRITE, "bench", on_begun, x);
}

static void client(const char *run_dir, int callers, int seconds)
{
	struct event_base *base = event_base_new();
	struct repld_client *c = repld_client_create(base, run_dir);
	struct caller *v = xcalloc((size_t)callers, sizeof(*v));

	while (!repld_client_is_up(c))
		event_base_loop(base, EVLOOP_ONCE);
	for (int i = 0; i < callers; i++) {
		v[i].c = c;
		v[i].id = i;
		begin(&v[i]);
	}
	int64_t start_ms = clock_mono_ms(), end_ms = start_ms + seconds * 1000;

	while (clock_mono_ms() < end_ms)
		event_base_loop(base, EVLOOP_ONCE);
	printf("callers=%d writes/s=%llu failed=%llu\n", callers,
	       (unsigned long long)(done * 1000 / (uint64_t)(clock_mono_ms() - start_ms)), (unsigned long long)failed);
	fflush(stdout);
	_exit(0);
}

static void on_child(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

int main(int argc, char **argv)
{
	const char *dir = argc > 1 ? argv[1] : ".";
	char *run = xasprintf("%s/run", dir), *state = xasprintf("%s/state", dir);
	char *yaml = xasprintf("global: {run_dir: %s, state_dir: %s, node_name: n1}\n"
			       "sites:\n  - {name: a, role: primary, file: {path: %s/a}}\n", run, state, dir);
	struct conf_report rep = {0};
	struct conf *conf;

	mkdir(run, 0750);
	mkdir(state, 0750);
	log_set_level(LOG_LVL_ERROR);
	if (conf_load_text("bench", slice_str(yaml), &conf, &rep))
		fatal(1, "%s", strbuf_str(&rep.errors));
	pid_t pid = fork();

	if (pid == 0)
		client(run, argc > 2 ? atoi(argv[2]) : 64, argc > 3 ? atoi(argv[3]) : 5);
	struct event_base *base = event_base_new();
	struct event *sig = evsignal_new(base, SIGCHLD, on_child, base);
	struct repld_params params = {.base = base, .conf = conf, .grace_ms = argc > 4 ? atoi(argv[4]) : 1};
	struct journal_stats js;
	struct repld *r;

	event_add(sig, NULL);
	if (repld_create(&params, &r) || repld_listen(r))
		fatal(1, "cannot start");
	event_base_dispatch(base);
	journal_get_stats(r->journal, &js);
	printf("commits=%llu jobs=%llu mean_commit_us=%lld worst_commit_us=%lld\n", (unsigned long long)js.commits,
	       (unsigned long long)js.jobs,
	       (long long)(js.commit_us / (int64_t)(js.commits ? js.commits : 1)), (long long)js.worst_us);
	waitpid(pid, NULL, 0);
	repld_destroy(&r);
	return 0;
}
