/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to a daemon from a program without an event loop (gfsctl): connect, HELLO both ways, one call, its reply.
 * Whoever may not use the operators' socket is let through to the read-only one.
 */
#include "config.h"

#include "link.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../clock.h"
#include "../log.h"
#include "../xalloc.h"
#include "frame.h"
#include "hello.h"
#include "sock.h"

#define ASK_ID 1

struct ask {
	int sock;
	int64_t until_ms;
	struct strbuf *frame;
};

static int ask_wait(const struct ask *a, short events)
{
	struct pollfd pfd = {.fd = a->sock, .events = events};
	int64_t left = a->until_ms - clock_mono_ms();

	if (left <= 0 || poll(&pfd, 1, left > 60000 ? 60000 : (int)left) == 0)
		return GFS_ERR_TIMEOUT;
	return GFS_OK;
}

static int ask_send(struct ask *a, const struct msg *m)
{
	struct strbuf sb = STRBUF_INIT;
	int err = msg_pack(m, &sb);

	while (!err) {
		err = frame_send(a->sock, sb.p, sb.n, -1);
		if (err != GFS_ERR_BUSY)
			break;
		err = ask_wait(a, POLLOUT);
	}
	strbuf_free(&sb);
	return err;
}

/* One message; the frame stays in a->frame. */
static int ask_recv(struct ask *a, struct msg *out)
{
	char *buf = malloc(MSG_MAX_BYTES);
	size_t n = 0;
	int fd = -1, err = buf ? ask_wait(a, POLLIN) : GFS_ERR_NOMEM;

	while (!err) {
		err = frame_recv(a->sock, buf, MSG_MAX_BYTES, &n, &fd);
		if (fd >= 0)
			close(fd);
		if (err != GFS_ERR_BUSY)
			break;
		err = ask_wait(a, POLLIN);
	}
	strbuf_reset(a->frame);
	strbuf_add(a->frame, buf, n);
	free(buf);
	if (err)
		return err;
	return strbuf_failed(a->frame) ? GFS_ERR_NOMEM : msg_unpack(a->frame->p, a->frame->n, out);
}

static int error_of(const struct msg *m)
{
	return m->error.err < 0 && m->error.err > -GFS_ORD_COUNT ? (int)m->error.err : GFS_ERR_INTERNAL;
}

static int ask_greet(struct ask *a, struct msg *reply_out)
{
	struct hello_peer peer;
	char why[200];
	struct msg m;
	int err;

	hello_fill(PEER_CTL, &m);
	err = ask_send(a, &m);
	if (!err)
		err = ask_recv(a, reply_out);
	if (err)
		return err;
	if (reply_out->type == MSG_ERROR)
		return error_of(reply_out);
	err = hello_check(reply_out, a->sock, PEER_CTL, false, &peer, why, sizeof(why));
	msg_free(reply_out);
	if (!err)
		return GFS_OK;
	/* hand the sentence back as if the daemon had said it */
	strbuf_reset(a->frame);
	strbuf_adds(a->frame, why);
	*reply_out = (struct msg){.type = MSG_ERROR};
	reply_out->error.err = err;
	reply_out->error.has_text = true;
	reply_out->error.text = strbuf_slice(a->frame);
	return err;
}

static int ask_call(struct ask *a, const struct msg *m, struct msg *reply_out)
{
	struct msg copy = *m;
	int err;

	copy.id = ASK_ID;
	err = ask_send(a, &copy);
	while (!err) {
		err = ask_recv(a, reply_out);
		if (err)
			break;
		if (reply_out->type == MSG_ERROR && (reply_out->id == 0 || reply_out->id == (ASK_ID | MSG_REPLY_BIT)))
			return error_of(reply_out);
		if (reply_out->id == (ASK_ID | MSG_REPLY_BIT)) {
			reply_out->id = ASK_ID;
			return GFS_OK;
		}
		msg_free(reply_out); /* something for everybody, a site table perhaps */
	}
	return err;
}

int link_ask(const char *run_dir, const char *daemon, const struct msg *m, int64_t deadline_ms, struct msg *reply_out,
             struct strbuf *frame_out)
{
	char *path = xasprintf("%s/%s.sock", run_dir, daemon), *monitor = xasprintf("%s/monitor/%s.sock", run_dir, daemon);
	struct ask a = {.until_ms = clock_mono_ms() + deadline_ms, .frame = frame_out};
	int err = sock_connect(path, &a.sock);

	*reply_out = (struct msg){.type = MSG_OK};
	if (err == GFS_ERR_FORBIDDEN)
		err = sock_connect(monitor, &a.sock);
	free(path);
	free(monitor);
	if (err)
		return err;
	err = ask_greet(&a, reply_out);
	if (!err)
		err = ask_call(&a, m, reply_out);
	close(a.sock);
	return err;
}
