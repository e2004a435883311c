/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface on libevent. Owns the multi handle (and with it the connections), an event per socket, one timer, and a
 * small record per running transfer, kept in the easy handle's CURLOPT_PRIVATE. curl forbids most of its calls inside its own
 * callbacks, while those callbacks run code of ours that starts and ends other transfers: whatever arrives then is put on the
 * work list and done by an event of its own.
 */
#include "config.h"

#include "curl_loop.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "log.h"
#include "xalloc.h"

/* Idle connections kept over all sites. */
#define CURL_LOOP_IDLE_MAX 512

struct transfer {
	TAILQ_ENTRY(transfer) all_link, work_link;
	CURL *easy;
	void (*done)(void *arg, CURL *easy, CURLcode code);
	void (*gone)(void *arg, CURL *easy); /* set: abandoned */
	void *arg;
	bool added, on_work, unpause;
	curl_socket_t fd; /* that curl watches for it */
};

TAILQ_HEAD(transfer_list, transfer);

struct curl_loop {
	CURLM *multi;
	struct event_base *base;
	struct event *timer, *kick;
	struct transfer_list all, work;
	size_t n_work;
	unsigned depth; /* inside calls into curl that may run callbacks */
};

static struct transfer *transfer_of(CURL *easy)
{
	char *p = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &p);
	return (struct transfer *)(void *)p;
}

static void work_add(struct curl_loop *cl, struct transfer *t)
{
	if (!t->on_work) {
		t->on_work = true;
		TAILQ_INSERT_TAIL(&cl->work, t, work_link);
		cl->n_work++;
	}
	event_active(cl->kick, EV_TIMEOUT, 0);
}

static void work_drop(struct curl_loop *cl, struct transfer *t)
{
	if (t->on_work) {
		t->on_work = false;
		TAILQ_REMOVE(&cl->work, t, work_link);
		cl->n_work--;
	}
}

/* Takes the easy handle out of curl and frees the record. */
static void transfer_free(struct curl_loop *cl, struct transfer *t)
{
	work_drop(cl, t);
	TAILQ_REMOVE(&cl->all, t, all_link);
	if (t->added)
		curl_multi_remove_handle(cl->multi, t->easy);
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, NULL);
	free(t);
}

static void transfer_end(struct curl_loop *cl, struct transfer *t, CURLcode code)
{
	struct transfer last = *t;

	transfer_free(cl, t);
	if (last.gone)
		last.gone(last.arg, last.easy);
	else
		last.done(last.arg, last.easy, code);
}

static void reap(struct curl_loop *cl)
{
	struct transfer *t;
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(cl->multi, &left))) {
		CURLcode code = msg->data.result;

		if (msg->msg != CURLMSG_DONE)
			continue;
		t = transfer_of(msg->easy_handle);
		if (t)
			transfer_end(cl, t, code);
	}
}

static void socket_action(struct curl_loop *cl, curl_socket_t fd, int mask)
{
	int running;

	cl->depth++;
	curl_multi_socket_action(cl->multi, fd, mask, &running);
	cl->depth--;
	reap(cl);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	socket_action(arg, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	socket_action(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void transfer_start(struct curl_loop *cl, struct transfer *t)
{
	CURLMcode code = curl_multi_add_handle(cl->multi, t->easy);

	t->added = code == CURLM_OK;
	if (!t->added)
		transfer_end(cl, t, code == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_FAILED_INIT);
}

static void transfer_unpause(struct curl_loop *cl, struct transfer *t)
{
	CURLcode code;

	t->unpause = false;
	cl->depth++;
	code = curl_easy_pause(t->easy, CURLPAUSE_CONT);
	cl->depth--;
	/* Without a connection (not begun, or just ended) nothing is paused. Any other error came from a callback that was handed
	 * what had been kept back; curl leaves such a transfer standing. */
	if (code && code != CURLE_BAD_FUNCTION_ARGUMENT)
		transfer_end(cl, t, code);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct curl_loop *cl = arg;
	size_t n = cl->n_work;
	struct transfer *t;

	(void)fd;
	(void)what;
	/* What is put on the list meanwhile waits for the next turn, so that the loop stays fair. */
	while (n-- > 0 && (t = TAILQ_FIRST(&cl->work))) {
		work_drop(cl, t);
		if (t->gone)
			transfer_end(cl, t, CURLE_ABORTED_BY_CALLBACK);
		else if (!t->added)
			transfer_start(cl, t);
		else if (t->unpause)
			transfer_unpause(cl, t);
	}
	reap(cl);
	if (cl->n_work > 0)
		event_active(cl->kick, EV_TIMEOUT, 0);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct transfer *t = transfer_of(easy);
	struct event *ev = socket_arg;
	struct curl_loop *cl = arg;
	short flags = EV_PERSIST;

	if (t)
		t->fd = what == CURL_POLL_REMOVE ? CURL_SOCKET_BAD : fd;
	if (ev)
		event_free(ev);
	if (what == CURL_POLL_REMOVE) {
		curl_multi_assign(cl->multi, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		flags |= EV_READ;
	if (what & CURL_POLL_OUT)
		flags |= EV_WRITE;
	ev = event_new(cl->base, fd, flags, on_socket, cl);
	gfs_assert(ev && event_add(ev, NULL) == 0);
	curl_multi_assign(cl->multi, fd, ev);
	return 0;
}

static int watch_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct curl_loop *cl = arg;
	struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};

	(void)multi;
	if (timeout_ms < 0)
		evtimer_del(cl->timer);
	else
		evtimer_add(cl->timer, &tv);
	return 0;
}

struct curl_loop *curl_loop_create(struct event_base *base)
{
	struct curl_loop *cl = xcalloc(1, sizeof(*cl));

	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		panic("libcurl cannot be initialised");
	cl->base = base;
	TAILQ_INIT(&cl->all);
	TAILQ_INIT(&cl->work);
	cl->timer = evtimer_new(base, on_timer, cl);
	cl->kick = event_new(base, -1, 0, on_kick, cl);
	cl->multi = curl_multi_init();
	gfs_assert(cl->timer && cl->kick && cl->multi);
	curl_multi_setopt(cl->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(cl->multi, CURLMOPT_SOCKETDATA, cl);
	curl_multi_setopt(cl->multi, CURLMOPT_TIMERFUNCTION, watch_timer);
	curl_multi_setopt(cl->multi, CURLMOPT_TIMERDATA, cl);
	curl_multi_setopt(cl->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	curl_multi_setopt(cl->multi, CURLMOPT_MAXCONNECTS, (long)CURL_LOOP_IDLE_MAX);
	return cl;
}

void curl_loop_destroy(struct curl_loop **cl_io)
{
	struct curl_loop *cl = *cl_io;
	struct transfer *t;

	*cl_io = NULL;
	if (!cl)
		return;
	gfs_assert(cl->depth == 0);
	while ((t = TAILQ_FIRST(&cl->all))) {
		if (t->gone)
			transfer_end(cl, t, CURLE_ABORTED_BY_CALLBACK);
		else
			transfer_free(cl, t);
	}
	/* Closes the connections, which still calls watch_socket(). */
	curl_multi_cleanup(cl->multi);
	event_free(cl->timer);
	event_free(cl->kick);
	curl_global_cleanup();
	free(cl);
}

int curl_loop_add(struct curl_loop *cl, CURL *easy, void (*done)(void *arg, CURL *easy, CURLcode code), void *arg)
{
	struct transfer *t = xcalloc(1, sizeof(*t));

	*t = (struct transfer){.easy = easy, .done = done, .arg = arg, .fd = CURL_SOCKET_BAD};
	if (curl_easy_setopt(easy, CURLOPT_PRIVATE, (void *)t)) {
		free(t);
		return GFS_ERR_NOMEM;
	}
	TAILQ_INSERT_TAIL(&cl->all, t, all_link);
	if (cl->depth > 0) {
		work_add(cl, t);
		return 0;
	}
	if (curl_multi_add_handle(cl->multi, easy)) {
		transfer_free(cl, t);
		return GFS_ERR_INTERNAL;
	}
	t->added = true;
	return 0;
}

void curl_loop_remove(struct curl_loop *cl, CURL *easy)
{
	struct transfer *t = transfer_of(easy);

	if (!t)
		return;
	gfs_assert(cl->depth == 0 || !t->added);
	transfer_free(cl, t);
}

void curl_loop_abandon(struct curl_loop *cl, CURL *easy, void (*gone)(void *arg, CURL *easy), void *arg)
{
	struct transfer *t = transfer_of(easy);

	gfs_assert(t && !t->gone);
	t->gone = gone;
	t->arg = arg;
	work_add(cl, t);
}

void curl_loop_unpause(struct curl_loop *cl, CURL *easy)
{
	struct transfer *t = transfer_of(easy);

	if (!t || t->gone)
		return;
	t->unpause = true;
	work_add(cl, t);
}

curl_socket_t curl_loop_socket(CURL *easy)
{
	struct transfer *t = transfer_of(easy);

	return t ? t->fd : CURL_SOCKET_BAD;
}
