/* SPDX-License-Identifier: Apache-2.0 */
/* Links and listeners in a temporary run_dir: singletons, reconnects, waiting calls, the read-only socket, one-off questions. */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ipc/link.h"
#include "common/ipc/listen.h"
#include "common/ipc/show.h"
#include "common/ipc/sock.h"
#include "common/log.h"

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

TestSuite(link, .init = init, .fini = fini, .timeout = 20);

static void spin(const int *until, int value)
{
	int64_t end = clock_mono_ms() + 8000;

	while (*until < value && clock_mono_ms() < end) {
		const struct timeval tv = {.tv_usec = 5000};

		event_base_loopexit(base, &tv);
		event_base_loop(base, EVLOOP_ONCE);
	}
	cr_assert_geq(*until, value);
}

/* ---- a server that answers ---- */

static int served;

static void serve(void *arg, struct channel *ch, const struct msg *m, int fd)
{
	struct strbuf json = STRBUF_INIT;

	(void)arg;
	(void)fd;
	served++;
	if (m->type == MSG_SHOW) {
		strbuf_addf(&json, "{\"role\":\"%s\"}", peer_role_name(channel_peer_role(ch)));
		show_reply(ch, m, &json);
	} else if (m->type == MSG_LOOKUP && slice_eq_str(m->lookup.key, "die")) {
		struct channel *dead = ch;

		channel_destroy(&dead); /* a listener's channel, destroyed by its callback */
	} else if (m->type == MSG_REPLICATE) {
		channel_reply_error(ch, m->id, GFS_ERR_NO_SUCH_SITE, "no such site");
	} else if (m->id && !slice_eq_str(m->lookup.key, "silent")) {
		channel_reply_ok(ch, m->id);
	}
}

static const struct channel_cbs server_cbs = {.message = serve};

static struct listen_sock *serve_start(void)
{
	struct listen_sock *l;

	cr_assert_eq(listen_create(base, dir, "repld", PEER_REPLD, &server_cbs, NULL, &l), 0);
	return l;
}

struct client {
	struct link *link;
	int ups, downs, answers, err;
	char order[32];
};

static void on_answer(void *arg, int err, const struct msg *reply)
{
	struct client *c = arg;

	(void)reply;
	c->answers++;
	c->err = err;
	strcat(c->order, "a");
}

static struct msg lookup_of(const char *key)
{
	struct msg m = {.type = MSG_LOOKUP};

	m.lookup.key = slice_str(key);
	return m;
}

static void on_up(void *arg)
{
	struct client *c = arg;
	struct msg m = lookup_of("announce");

	c->ups++;
	strcat(c->order, "u");
	link_call(c->link, &m, 5000, on_answer, c);
}

static void on_down(void *arg, const char *why)
{
	struct client *c = arg;

	(void)why;
	c->downs++;
	strcat(c->order, "d");
}

static void client_start(struct client *c)
{
	static const struct link_cbs cbs = {on_up, on_down, NULL};

	*c = (struct client){0};
	c->link = link_create(base, dir, "repld", PEER_WORKER, &cbs, c);
}

Test(link, calls_wait_for_a_daemon_that_starts_later)
{
	struct client c;
	struct msg m = lookup_of("k");
	struct listen_sock *l;

	client_start(&c);
	cr_assert_eq(link_send(c.link, &m), GFS_ERR_UNAVAILABLE);
	link_call(c.link, &m, 5000, on_answer, &c);
	link_call_cancel(c.link, link_call(c.link, &m, 5000, on_answer, &c));
	l = serve_start();
	spin(&c.answers, 2);
	cr_assert(link_is_up(c.link));
	cr_assert_str_eq(c.order, "uaa");
	cr_assert_eq(c.err, 0);
	cr_assert_eq(listen_count(l), 1);
	cr_assert_eq(channel_peer_role(listen_next(l, NULL)), PEER_WORKER);
	cr_assert_null(listen_next(l, listen_next(l, NULL)));
	link_destroy(&c.link);
	listen_destroy(&l);
}

Test(link, a_waiting_call_ends_at_its_deadline)
{
	struct client c;
	struct msg m = lookup_of("k");
	int64_t start = clock_mono_ms();

	client_start(&c);
	link_call(c.link, &m, 60, on_answer, &c);
	spin(&c.answers, 1);
	cr_assert_eq(c.err, GFS_ERR_TIMEOUT);
	cr_assert_geq(clock_mono_ms() - start, 55);
	link_destroy(&c.link);
}

Test(link, it_comes_back_after_its_daemon_did)
{
	struct client c;
	struct listen_sock *l = serve_start();
	struct msg m = lookup_of("silent");

	client_start(&c);
	spin(&c.answers, 1);
	for (int i = 1; i <= 3; i++) {
		link_call(c.link, &m, 5000, on_answer, &c);
		spin(&served, served + 1);
		listen_destroy(&l);
		spin(&c.downs, i);
		cr_assert_eq(c.err, GFS_ERR_UNAVAILABLE);
		cr_assert_not(link_is_up(c.link));
		l = serve_start();
		spin(&c.ups, i + 1);
		spin(&c.answers, 2 * i + 1);
	}
	link_destroy(&c.link);
	listen_destroy(&l);
}

Test(link, a_channel_that_the_daemon_drops_is_made_again)
{
	struct client c;
	struct listen_sock *l = serve_start();
	struct msg m = lookup_of("die");

	client_start(&c);
	spin(&c.answers, 1);
	link_call(c.link, &m, 5000, on_answer, &c);
	spin(&c.ups, 2);
	cr_assert_eq(listen_count(l), 1);
	link_destroy(&c.link);
	listen_destroy(&l);
}

static void destroy_in_answer(void *arg, int err, const struct msg *reply)
{
	struct client *c = arg;

	(void)err;
	(void)reply;
	c->answers++;
	link_destroy(&c->link);
}

static void destroy_in_up(void *arg)
{
	struct client *c = arg;

	c->ups++;
	link_destroy(&c->link);
}

static void destroy_in_down(void *arg, const char *why)
{
	struct client *c = arg;

	(void)why;
	c->downs++;
	link_destroy(&c->link);
}

static void just_up(void *arg)
{
	((struct client *)arg)->ups++;
}

Test(link, it_may_be_destroyed_in_any_callback)
{
	static const struct link_cbs in_up = {destroy_in_up, NULL, NULL}, in_down = {just_up, destroy_in_down, NULL};
	struct listen_sock *l = serve_start();
	struct client c = {0};
	struct msg m = lookup_of("k");

	c.link = link_create(base, dir, "repld", PEER_WORKER, &in_up, &c);
	link_call(c.link, &m, 5000, on_answer, &c);
	spin(&c.ups, 1);
	client_start(&c);
	spin(&c.answers, 1);
	link_call(c.link, &m, 5000, destroy_in_answer, &c);
	link_call(c.link, &m, 5000, on_answer, &c);
	spin(&c.answers, 2);
	c = (struct client){0};
	c.link = link_create(base, dir, "repld", PEER_WORKER, &in_down, &c);
	spin(&c.ups, 1);
	m = lookup_of("die");
	link_call(c.link, &m, 5000, on_answer, &c);
	spin(&c.downs, 1);
	cr_assert_eq(c.answers, 1);
	c = (struct client){0};
	c.link = link_create(base, dir, "nobody", PEER_WORKER, &in_down, &c);
	link_call(c.link, &m, 10, destroy_in_answer, &c);
	spin(&c.answers, 1);
	listen_destroy(&l);
}

/* ---- listeners ---- */

Test(link, a_daemon_is_alone_and_a_dead_ones_socket_is_replaced)
{
	struct listen_sock *l = serve_start(), *second;
	char path[128];
	struct stat st;
	int fd;

	cr_assert_eq(listen_create(base, dir, "repld", PEER_REPLD, &server_cbs, NULL, &second), GFS_ERR_LOCKED);
	cr_assert_null(second);
	snprintf(path, sizeof(path), "%s/repld.sock", dir);
	cr_assert_eq(stat(path, &st), 0); /* the second start harmed nothing */
	cr_assert_eq(st.st_mode & 0777, 0660);
	snprintf(path, sizeof(path), "%s/monitor/repld.sock", dir);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0666);
	listen_destroy(&l);
	cr_assert_eq(stat(path, &st), -1);
	snprintf(path, sizeof(path), "%s/repld.sock", dir);
	cr_assert_eq(sock_listen(path, 0600, &fd), 0); /* left by one that was killed */
	close(fd);
	l = serve_start();
	listen_destroy(&l);
}

Test(link, a_path_too_long_is_an_error)
{
	struct listen_sock *l;
	char deep[200];

	snprintf(deep, sizeof(deep), "%s/%0120d", dir, 0);
	cr_assert_eq(listen_create(base, deep, "repld", PEER_REPLD, &server_cbs, NULL, &l), GFS_ERR_IO);
}

/* ---- link_ask, in a child so that the server's loop runs here ---- */

static int ask_in_child(const char *daemon, struct msg m, int64_t ms, const char *expect)
{
	pid_t pid = fork();
	int status, done = 0;

	if (pid == 0) {
		struct strbuf frame = STRBUF_INIT;
		struct msg reply;
		int err = link_ask(dir, daemon, &m, ms, &reply, &frame);
		struct slice text = reply.type == MSG_SHOWN ? reply.shown.json : reply.type == MSG_ERROR ? reply.error.text : slice_str("");

		if (expect && !slice_eq_str(text, expect))
			_exit(99);
		msg_free(&reply);
		strbuf_free(&frame);
		_exit(-err);
	}
	while (!done) {
		const struct timeval tv = {.tv_usec = 5000};

		event_base_loopexit(base, &tv);
		event_base_loop(base, EVLOOP_ONCE);
		done = waitpid(pid, &status, WNOHANG) == pid;
	}
	return WIFEXITED(status) ? -WEXITSTATUS(status) : 1;
}

Test(link, one_question_without_a_loop)
{
	struct listen_sock *l = serve_start();
	struct msg show = {.type = MSG_SHOW}, repl = {.type = MSG_REPLICATE};
	char path[128];

	cr_assert_eq(ask_in_child("repld", show, 5000, "{\"role\":\"gfsctl\"}"), 0);
	cr_assert_eq(ask_in_child("repld", repl, 5000, "no such site"), GFS_ERR_NO_SUCH_SITE);
	cr_assert_eq(ask_in_child("repld", lookup_of("silent"), 50, NULL), GFS_ERR_TIMEOUT);
	cr_assert_eq(ask_in_child("nobody", show, 5000, NULL), GFS_ERR_CONNECT);
	/* a CTL may not send BEGIN: the daemon closes with a sentence */
	show.type = MSG_SITES_TAKEN;
	cr_assert_eq(ask_in_child("repld", show, 5000, "a gfsctl may not send SITES_TAKEN here"), GFS_ERR_PROTOCOL);
	/* the read-only socket, as a link_ask under that path */
	snprintf(path, sizeof(path), "monitor/repld");
	show.type = MSG_SHOW;
	cr_assert_eq(ask_in_child(path, show, 5000, "{\"role\":\"monitor\"}"), 0);
	cr_assert_eq(ask_in_child(path, repl, 5000, "a monitor may not send REPLICATE here"), GFS_ERR_PROTOCOL);
	listen_destroy(&l);
}
