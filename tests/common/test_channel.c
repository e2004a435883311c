/* SPDX-License-Identifier: Apache-2.0 */
/* Channels over a socketpair: HELLO, messages, descriptors, calls, the full out-queue, and ends of every kind. */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/ipc/channel.h"
#include "common/ipc/hello.h"
#include "common/ipc/show.h"
#include "common/log.h"

TestSuite(channel, .timeout = 20);

struct side {
	struct channel *ch;
	int ups, messages, closes, fd;
	char why[256], text[128];
	struct msg last;
	void (*on_message)(struct side *s, const struct msg *m);
	bool destroy_in_up, destroy_in_message, destroy_in_closed;
};

struct pair {
	struct event_base *base;
	struct side a, b;
};

static void up(void *arg, struct channel *ch)
{
	struct side *s = arg;

	cr_assert_eq(ch, s->ch);
	s->ups++;
	if (s->destroy_in_up)
		channel_destroy(&s->ch);
}

static void message(void *arg, struct channel *ch, const struct msg *m, int fd)
{
	struct side *s = arg;

	(void)ch;
	s->messages++;
	s->last = *m;
	if (m->type == MSG_SITE_REMOVE)
		snprintf(s->text, sizeof(s->text), "%.*s", (int)m->site_remove.name.n, m->site_remove.name.p);
	if (fd >= 0)
		s->fd = fd;
	if (s->on_message)
		s->on_message(s, m);
	if (s->destroy_in_message)
		channel_destroy(&s->ch);
}

static void closed(void *arg, struct channel *ch, const char *why)
{
	struct side *s = arg;

	(void)ch;
	s->closes++;
	snprintf(s->why, sizeof(s->why), "%s", why);
	if (s->destroy_in_closed)
		channel_destroy(&s->ch);
}

static const struct channel_cbs cbs = {up, message, closed};

static void spin(struct pair *p, const int *until, int value)
{
	for (int i = 0; i < 2000 && *until < value; i++) {
		const struct timeval tv = {.tv_usec = 5000};

		event_base_loopexit(p->base, &tv);
		event_base_loop(p->base, EVLOOP_ONCE);
	}
	cr_assert_geq(*until, value);
}

static void settle(struct pair *p)
{
	const struct timeval tv = {.tv_usec = 20000};

	event_base_loopexit(p->base, &tv);
	event_base_dispatch(p->base);
}

static void start_fds(struct pair *p, int fds[2])
{
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LVL_ERROR);
	*p = (struct pair){.base = event_base_new(), .a.fd = -1, .b.fd = -1};
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void start(struct pair *p, enum peer_role a, enum peer_role b)
{
	int fds[2];

	start_fds(p, fds);
	p->a.ch = channel_create(p->base, fds[0], a, &cbs, &p->a);
	p->b.ch = channel_create(p->base, fds[1], b, &cbs, &p->b);
}

static void start_up(struct pair *p, enum peer_role a, enum peer_role b)
{
	start(p, a, b);
	spin(p, &p->a.ups, 1);
	spin(p, &p->b.ups, 1);
}

static void stop(struct pair *p)
{
	channel_destroy(&p->a.ch);
	channel_destroy(&p->b.ch);
	event_base_free(p->base);
}

static struct msg remove_of(const char *name)
{
	struct msg m = {.type = MSG_SITE_REMOVE};

	m.site_remove.name = slice_str(name);
	return m;
}

Test(channel, hello_tells_both_who_the_other_is)
{
	struct pair p;

	start(&p, PEER_WORKER, PEER_REPLD);
	cr_assert_not(channel_is_up(p.a.ch));
	spin(&p, &p.a.ups, 1);
	spin(&p, &p.b.ups, 1);
	cr_assert(channel_is_up(p.a.ch));
	cr_assert_eq(channel_peer_role(p.a.ch), PEER_REPLD);
	cr_assert_eq(channel_peer_role(p.b.ch), PEER_WORKER);
	cr_assert_eq(channel_peer_pid(p.b.ch), getpid());
	cr_assert_eq(channel_peer_uid(p.b.ch), geteuid());
	cr_assert(channel_peer_start(p.b.ch) > 0);
	stop(&p);
}

static void send_raw(int fd, struct msg *m)
{
	struct strbuf sb = STRBUF_INIT;

	cr_assert_eq(msg_pack(m, &sb), 0);
	cr_assert_eq(send(fd, sb.p, sb.n, 0), (ssize_t)sb.n);
	strbuf_free(&sb);
}

static void expect_refusal(struct msg *first, const char *why)
{
	struct pair p;
	int fds[2];

	start_fds(&p, fds);
	send_raw(fds[0], first);
	p.b.ch = channel_create(p.base, fds[1], PEER_REPLD, &cbs, &p.b);
	spin(&p, &p.b.closes, 1);
	cr_assert_eq(p.b.ups, 0);
	cr_assert_not_null(strstr(p.b.why, why), "%s", p.b.why);
	close(fds[0]);
	stop(&p);
}

Test(channel, a_hello_that_does_not_fit_is_refused_with_a_sentence)
{
	struct msg m;

	hello_fill(PEER_WORKER, &m);
	m.hello.proto = 99;
	m.hello.build = SLICE_LIT("9.9");
	expect_refusal(&m, "speaks protocol 99");
	hello_fill(PEER_WORKER, &m);
	m.hello.pid++;
	expect_refusal(&m, "the kernel says");
	hello_fill(PEER_WORKER, &m);
	m.hello.start++;
	expect_refusal(&m, "start time");
	hello_fill(PEER_WORKER | PEER_REPLD, &m);
	expect_refusal(&m, "unknown role");
	hello_fill(PEER_MONITOR, &m);
	expect_refusal(&m, "unknown role");
	m = remove_of("x");
	expect_refusal(&m, "first message is SITE_REMOVE");
}

Test(channel, the_refused_side_reads_why)
{
	struct pair p;
	struct msg m = {.type = MSG_ERROR};
	int fds[2];

	start_fds(&p, fds);
	m.error.err = GFS_ERR_VERSION;
	m.error.has_text = true;
	m.error.text = SLICE_LIT("restart the older one");
	p.a.ch = channel_create(p.base, fds[0], PEER_WORKER, &cbs, &p.a);
	send_raw(fds[1], &m);
	close(fds[1]); /* with our HELLO unread, which the kernel turns into a reset */
	spin(&p, &p.a.closes, 1);
	cr_assert_str_eq(p.a.why, "refused by the peer: restart the older one");
	stop(&p);
}

Test(channel, messages_and_descriptors_arrive_in_order)
{
	struct pair p;
	struct msg m = {.type = MSG_SITES};
	int pipefd[2];
	char c = 0;

	start_up(&p, PEER_SUPERVISOR, PEER_WORKER);
	cr_assert_eq(pipe(pipefd), 0);
	m.sites.epoch = 5;
	cr_assert_eq(channel_send(p.a.ch, &m, pipefd[1]), 0);
	m.sites.epoch = 6;
	cr_assert_eq(channel_send(p.a.ch, &m, -1), 0);
	spin(&p, &p.b.messages, 2);
	cr_assert_eq(p.b.last.sites.epoch, 6);
	cr_assert_eq(p.b.last.id, 0);
	cr_assert(p.b.fd >= 0);
	cr_assert(fcntl(p.b.fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(write(p.b.fd, "x", 1), 1);
	cr_assert_eq(read(pipefd[0], &c, 1), 1);
	cr_assert_eq(c, 'x');
	stop(&p);
}

Test(channel, a_role_may_send_only_what_the_table_says)
{
	struct pair p;
	struct msg m = {.type = MSG_SITES};

	start_up(&p, PEER_WORKER, PEER_REPLD);
	cr_assert_eq(channel_send(p.a.ch, &m, -1), 0); /* only the supervisor may */
	spin(&p, &p.b.closes, 1);
	spin(&p, &p.a.closes, 1);
	cr_assert_str_eq(p.b.why, "a worker may not send SITES here");
	cr_assert_str_eq(p.a.why, "closed by the peer: a worker may not send SITES here");
	cr_assert_eq(p.b.messages, 0);
	stop(&p);
}

Test(channel, malformed_frames_close_it)
{
	static const char *const frames[] = {"x", "\x93\x02\x00\xdf\x0f\xff\xff\xff"};

	for (size_t i = 0; i < 2; i++) {
		struct pair p;
		struct msg m;
		int fds[2];

		start_fds(&p, fds);
		hello_fill(PEER_WORKER, &m);
		send_raw(fds[0], &m);
		p.b.ch = channel_create(p.base, fds[1], PEER_REPLD, &cbs, &p.b);
		spin(&p, &p.b.ups, 1);
		cr_assert_eq(send(fds[0], frames[i], i ? 8 : 1, 0), i ? 8 : 1);
		spin(&p, &p.b.closes, 1);
		cr_assert_str_eq(p.b.why, "malformed message");
		close(fds[0]);
		stop(&p);
	}
}

Test(channel, a_frame_over_the_limit_closes_it)
{
	struct pair p;
	struct msg m;
	int fds[2];
	char *big = calloc(1, MSG_MAX_BYTES + 1);

	start_fds(&p, fds);
	hello_fill(PEER_WORKER, &m);
	send_raw(fds[0], &m);
	p.b.ch = channel_create(p.base, fds[1], PEER_REPLD, &cbs, &p.b);
	spin(&p, &p.b.ups, 1);
	cr_assert_eq(send(fds[0], big, MSG_MAX_BYTES + 1, 0), MSG_MAX_BYTES + 1);
	spin(&p, &p.b.closes, 1);
	free(big);
	close(fds[0]);
	stop(&p);
}

/* ---- calls ---- */

struct answer {
	int runs, err;
	char text[64];
	struct channel **destroy;
};

static void answered(void *arg, int err, const struct msg *reply)
{
	struct answer *a = arg;

	a->runs++;
	a->err = err;
	if (reply && reply->type == MSG_ERROR)
		snprintf(a->text, sizeof(a->text), "%.*s", (int)reply->error.text.n, reply->error.text.p);
	if (a->destroy)
		channel_destroy(a->destroy);
}

static void answer_by_name(struct side *s, const struct msg *m)
{
	if (slice_eq_str(m->site_remove.name, "good"))
		cr_assert_eq(channel_reply_ok(s->ch, m->id), 0);
	else if (slice_eq_str(m->site_remove.name, "bad"))
		cr_assert_eq(channel_reply_error(s->ch, m->id, GFS_ERR_NO_SUCH_SITE, "no site bad"), 0);
	else if (slice_eq_str(m->site_remove.name, "twice"))
		cr_assert(channel_reply_ok(s->ch, m->id) == 0 && channel_reply_ok(s->ch, m->id) == 0);
}

Test(channel, calls_get_their_own_answers)
{
	struct pair p;
	struct answer good = {0}, bad = {0}, twice = {0}, silent = {0}, cancelled = {0};
	struct msg m = remove_of("good");
	uint64_t id;

	start_up(&p, PEER_WORKER, PEER_SUPERVISOR);
	p.b.on_message = answer_by_name;
	m = remove_of("silent");
	channel_call(p.a.ch, &m, 30, answered, &silent);
	id = channel_call(p.a.ch, &m, 1000, answered, &cancelled);
	m = remove_of("bad");
	channel_call(p.a.ch, &m, 5000, answered, &bad);
	m = remove_of("twice");
	channel_call(p.a.ch, &m, 5000, answered, &twice);
	m = remove_of("good");
	channel_call(p.a.ch, &m, 5000, answered, &good);
	cr_assert_eq(good.runs, 0);
	channel_call_cancel(p.a.ch, id);
	spin(&p, &good.runs, 1);
	spin(&p, &silent.runs, 1);
	settle(&p);
	cr_assert_eq(good.err, 0);
	cr_assert_eq(bad.err, GFS_ERR_NO_SUCH_SITE);
	cr_assert_str_eq(bad.text, "no site bad");
	cr_assert(twice.runs == 1 && twice.err == 0);
	cr_assert(silent.runs == 1 && silent.err == GFS_ERR_TIMEOUT);
	cr_assert_eq(cancelled.runs, 0);
	stop(&p);
}

Test(channel, both_sides_may_call_with_the_same_id)
{
	struct pair p;
	struct answer a = {0}, b = {0};
	struct msg show = {.type = MSG_SHOW}, m = remove_of("good");

	start_up(&p, PEER_WORKER, PEER_WORKER);
	p.a.on_message = p.b.on_message = answer_by_name;
	cr_assert_eq(channel_call(p.a.ch, &m, 5000, answered, &a), 1);
	cr_assert_eq(channel_call(p.b.ch, &m, 5000, answered, &b), 1);
	(void)show;
	spin(&p, &a.runs, 1);
	spin(&p, &b.runs, 1);
	cr_assert(a.err == 0 && b.err == 0 && p.a.messages == 1 && p.b.messages == 1);
	stop(&p);
}

Test(channel, an_end_fails_every_call_once_then_says_closed)
{
	struct pair p;
	struct answer v[50] = {{0}}, late = {0};
	struct msg m = remove_of("silent");

	start_up(&p, PEER_WORKER, PEER_SUPERVISOR);
	for (int i = 0; i < 50; i++)
		channel_call(p.a.ch, &m, 5000, answered, &v[i]);
	channel_destroy(&p.b.ch);
	spin(&p, &p.a.closes, 1);
	for (int i = 0; i < 50; i++)
		cr_assert(v[i].runs == 1 && v[i].err == GFS_ERR_UNAVAILABLE);
	cr_assert_eq(channel_send(p.a.ch, &m, -1), GFS_ERR_UNAVAILABLE);
	channel_call(p.a.ch, &m, 5000, answered, &late);
	cr_assert_eq(late.runs, 0);
	spin(&p, &late.runs, 1);
	cr_assert_eq(late.err, GFS_ERR_UNAVAILABLE);
	settle(&p);
	cr_assert_eq(p.a.closes, 1);
	stop(&p);
}

Test(channel, it_may_be_destroyed_in_any_callback)
{
	struct pair p;
	struct answer a = {0}, never = {0};
	struct msg m = remove_of("good");

	start(&p, PEER_WORKER, PEER_SUPERVISOR);
	p.a.destroy_in_up = true;
	spin(&p, &p.a.ups, 1);
	spin(&p, &p.b.closes, 1);
	cr_assert_eq(p.a.closes, 0);
	stop(&p);

	start_up(&p, PEER_WORKER, PEER_SUPERVISOR);
	p.b.destroy_in_message = true;
	p.a.destroy_in_closed = true;
	for (int i = 0; i < 5; i++)
		channel_send(p.a.ch, &m, -1);
	spin(&p, &p.a.closes, 1);
	cr_assert_eq(p.b.messages, 1);
	stop(&p);

	start_up(&p, PEER_WORKER, PEER_SUPERVISOR);
	p.b.on_message = answer_by_name;
	a.destroy = &p.a.ch;
	channel_call(p.a.ch, &m, 5000, answered, &a);
	channel_call(p.a.ch, &m, 5000, answered, &never);
	spin(&p, &a.runs, 1);
	settle(&p);
	cr_assert_eq(never.runs, 0);
	stop(&p);

	a = (struct answer){0};
	start_up(&p, PEER_WORKER, PEER_SUPERVISOR);
	a.destroy = &p.a.ch;
	m = remove_of("silent");
	channel_call(p.a.ch, &m, 5000, answered, &a);
	channel_call(p.a.ch, &m, 5000, answered, &never);
	channel_destroy(&p.b.ch);
	spin(&p, &a.runs, 1);
	settle(&p);
	cr_assert(a.err == GFS_ERR_UNAVAILABLE && never.runs == 0 && p.a.closes == 0);
	stop(&p);

	a = (struct answer){0};
	start_up(&p, PEER_WORKER, PEER_SUPERVISOR);
	a.destroy = &p.a.ch;
	channel_call(p.a.ch, &m, 1, answered, &a); /* its timeout */
	spin(&p, &a.runs, 1);
	stop(&p);
}

Test(channel, a_peer_that_does_not_read_is_cut_off)
{
	struct pair p;
	struct msg m = {.type = MSG_SHOWN}, hello;
	int fds[2], sent = 0;
	char *big = calloc(1, 60000);

	start_fds(&p, fds);
	hello_fill(PEER_CTL, &hello);
	send_raw(fds[0], &hello);
	p.b.ch = channel_create(p.base, fds[1], PEER_REPLD, &cbs, &p.b);
	spin(&p, &p.b.ups, 1);
	m.shown.json = slice_of(big, 60000);
	while (sent < 1000 && channel_send(p.b.ch, &m, -1) == 0)
		sent++;
	cr_assert(sent > 3 && sent < 30, "%d", sent); /* the socket's own buffer and 256 KiB */
	cr_assert_eq(p.b.closes, 0);                    /* not from inside the call */
	spin(&p, &p.b.closes, 1);
	cr_assert_not_null(strstr(p.b.why, "out-queue"));
	free(big);
	close(fds[0]);
	stop(&p);
}

Test(channel, a_queue_is_sent_when_the_peer_reads_again)
{
	struct pair p;
	struct msg m = {.type = MSG_SITES};
	int null = open("/dev/null", O_RDONLY);

	start_up(&p, PEER_SUPERVISOR, PEER_WORKER);
	for (int i = 1; i <= 3000; i++) {
		m.sites.epoch = (uint64_t)i;
		cr_assert_eq(channel_send(p.a.ch, &m, i % 100 == 0 ? null : -1), 0, "%d", i);
	}
	spin(&p, &p.b.messages, 3000);
	cr_assert_eq(p.b.last.sites.epoch, 3000);
	stop(&p);
}

Test(channel, a_message_too_large_leaves_it_open)
{
	struct pair p;
	struct answer a = {0};
	struct msg m = {.type = MSG_SITE_ADD};
	char *big = calloc(1, 70000);

	start_up(&p, PEER_WORKER, PEER_SUPERVISOR);
	m.site_add.site = slice_of(big, 70000);
	cr_assert_eq(channel_send(p.a.ch, &m, -1), GFS_ERR_TOO_LARGE);
	channel_call(p.a.ch, &m, 5000, answered, &a);
	spin(&p, &a.runs, 1);
	cr_assert_eq(a.err, GFS_ERR_TOO_LARGE);
	cr_assert(channel_is_up(p.a.ch));
	free(big);
	stop(&p);
}

/* ---- SHOW in pieces ---- */

static size_t shows_built;

static void answer_show(struct side *s, const struct msg *m)
{
	struct strbuf json = STRBUF_INIT;

	if (show_resume(s->ch, m))
		return;
	shows_built++;
	for (int i = 0; i < 130000; i++)
		strbuf_addc(&json, (char)('a' + i % 26));
	show_reply(s->ch, m, &json);
}

struct pieces {
	int runs;
	bool more;
	struct strbuf all;
};

static void piece(void *arg, int err, const struct msg *reply)
{
	struct pieces *x = arg;

	cr_assert_eq(err, 0);
	x->runs++;
	x->more = reply->shown.more;
	strbuf_add_slice(&x->all, reply->shown.json);
}

Test(channel, a_large_show_is_read_in_pieces_of_one_snapshot)
{
	struct pair p;
	struct pieces x = {0};
	struct msg m = {.type = MSG_SHOW};

	start_up(&p, PEER_CTL, PEER_HEALTHD);
	p.b.on_message = answer_show;
	do {
		m.show.offset = x.all.n;
		channel_call(p.a.ch, &m, 5000, piece, &x);
		spin(&p, &x.runs, x.runs + 1);
	} while (x.more);
	cr_assert_eq(x.runs, 3);
	cr_assert_eq(x.all.n, 130000);
	cr_assert_eq(x.all.p[129999], 'a' + 129999 % 26);
	cr_assert_eq(shows_built, 1);
	strbuf_free(&x.all);
	stop(&p);
}
