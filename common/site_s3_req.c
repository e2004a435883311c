/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP exchange with an S3 store: waits for a connection, runs on the curl loop, watches its own deadlines, reads the answer's
 * head, and ends exactly once. Called by the operations (site_s3_*.c). A request owns itself: it is freed after done() or, when it
 * was cancelled, as soon as curl has let go of its handle.
 */
#include "config.h"

#include <event2/event.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "clock.h"
#include "curl_loop.h"
#include "http/fields.h"
#include "key.h"
#include "log.h"
#include "site_s3.h"
#include "xalloc.h"

#define TEXT_BODY_MAX (8 << 20)   /* a full page of a list with the longest keys stays below */
#define ERROR_BODY_MAX (64 << 10) /* more is dropped */
#define TICK_MIN_MS 5
#define HANG_UP_TICK_MS 250

static void on_timer(evutil_socket_t fd, short what, void *arg);
static void run(struct s3_req *rq);

/* ---- building ---- */

struct s3_req *s3_req_new(struct s3_site *site, const char *method, const struct slice *key, const struct s3_req_cbs *cbs,
                          void *arg)
{
	struct s3_req *rq = xcalloc(1, sizeof(*rq));

	rq->site = site;
	rq->method = method;
	rq->cbs = cbs;
	rq->arg = arg;
	rq->timer = evtimer_new(site->site.env->base, on_timer, rq);
	gfs_assert(rq->timer);
	s3_resp_reset(&rq->resp);
	strbuf_init(&rq->body, TEXT_BODY_MAX);
	strbuf_adds(&rq->path, site->base_path);
	if (key) {
		strbuf_addc(&rq->path, '/');
		url_encode(slice_str(site->site.conf.prefix), true, &rq->path);
		url_encode(*key, true, &rq->path);
	} else if (rq->path.n == 0) {
		strbuf_addc(&rq->path, '/');
	}
	site_op_began(&site->site);
	return rq;
}

void s3_req_check_key(struct s3_req *rq, struct slice key, unsigned flags)
{
	bool reserved = (flags & SITE_RESERVED) && key.n <= KEY_MAX && slice_starts_with(key, SLICE_LIT(KEY_RESERVED_DIR "/"));
	const char *why;

	if (reserved || !key_check(key, &why))
		return;
	rq->refused = GFS_ERR_KEY_INVALID;
	s3_req_reason(rq, "%s", why);
}

void s3_req_param(struct s3_req *rq, const char *name, struct slice value)
{
	if (rq->query.n > 0)
		strbuf_addc(&rq->query, '&');
	strbuf_adds(&rq->query, name);
	strbuf_addc(&rq->query, '=');
	url_encode(value, false, &rq->query);
}

void s3_req_header(struct s3_req *rq, const char *name, struct slice value)
{
	for (size_t i = 0; i < value.n; i++) {
		if ((unsigned char)value.p[i] < 0x20 || value.p[i] == 0x7f) {
			rq->refused = GFS_ERR_META_INVALID;
			s3_req_reason(rq, "the content type or metadata holds control characters");
			return;
		}
	}
	strbuf_adds(&rq->headers, name);
	strbuf_adds(&rq->headers, ": ");
	strbuf_add_slice(&rq->headers, value);
	strbuf_addc(&rq->headers, '\n');
}

void s3_req_stream(struct s3_req *rq, uint64_t size)
{
	rq->streaming = true;
	rq->stream_size = size;
}

/* ---- the end ---- */

/* Gives the connection's place to whoever waits. */
static void release_place(struct s3_req *rq)
{
	struct s3_site *site = rq->site;
	struct s3_req *next;

	if (rq->phase == S3_WAITING)
		TAILQ_REMOVE(&site->waiting, rq, link);
	if (rq->counted)
		site->active--;
	rq->counted = false;
	rq->phase = S3_ENDED;
	while (site->active < site->site.conf.max_connections && (next = TAILQ_FIRST(&site->waiting))) {
		TAILQ_REMOVE(&site->waiting, next, link);
		run(next);
	}
}

static void req_free(struct s3_req *rq)
{
	struct site *site = &rq->site->site;

	s3_wire_release(rq);
	event_free(rq->timer);
	s3_resp_reset(&rq->resp);
	strbuf_free(&rq->path);
	strbuf_free(&rq->query);
	strbuf_free(&rq->text);
	strbuf_free(&rq->headers);
	strbuf_free(&rq->body);
	free(rq);
	site_op_ended(site);
}

static void req_end(struct s3_req *rq)
{
	evtimer_del(rq->timer);
	release_place(rq);
	if (!rq->dead) {
		if (rq->err)
			log_debug("event=s3_failed site=%s method=%s status=%d error=%s", site_name(&rq->site->site), rq->method,
			          rq->resp.status, gfs_err_name(rq->err));
		rq->cbs->done(rq->arg, rq);
	}
	req_free(rq);
}

/* Ends from the loop soon: what begins a request is never called back from inside. */
static void end_soon(struct s3_req *rq, int err)
{
	static const struct timeval now = {0, 0};

	rq->err = err;
	if (!rq->reason[0])
		s3_req_reason(rq, "%s", gfs_err_text(err));
	rq->ending = true;
	evtimer_add(rq->timer, &now);
}

static void on_gone(void *arg, CURL *easy)
{
	(void)easy;
	req_free(arg);
}

static void on_hung_up(void *arg, CURL *easy)
{
	struct s3_req *rq = arg;

	(void)easy;
	rq->in_curl = false;
	if (rq->dead)
		req_free(rq);
	else
		req_end(rq);
}

void s3_req_cancel(struct s3_req **rq_io)
{
	struct s3_req *rq = *rq_io;
	bool running;

	*rq_io = NULL;
	if (!rq || rq->dead)
		return;
	rq->dead = true;
	running = rq->in_curl;
	s3_req_cancel(&rq->look);
	if (rq->phase == S3_ENDED)
		return; /* inside its done() */
	evtimer_del(rq->timer);
	release_place(rq);
	if (rq->hung_up)
		return; /* on_hung_up() frees it */
	if (running)
		curl_loop_abandon(rq->site->site.env->curl, rq->easy, on_gone, rq);
	else
		req_free(rq);
}

void s3_req_fail(struct s3_req *rq, int err, const char *fmt, ...)
{
	va_list ap;

	if (rq->err)
		return;
	rq->err = err;
	va_start(ap, fmt);
	vsnprintf(rq->reason, sizeof(rq->reason), fmt, ap);
	va_end(ap);
}

/* ---- the end of an exchange ---- */

static bool try_again_in_time(struct s3_req *rq)
{
	if (rq->retried || rq->dead || !rq->err || !s3_refused_for_time(rq))
		return false;
	rq->site->skew_ms += rq->resp.date_ms - rq->signed_ms;
	log_warn("event=clock_skew site=%s skew_ms=%lld", site_name(&rq->site->site), (long long)rq->site->skew_ms);
	if (rq->streaming && rq->fed > 0 && !(rq->cbs->rewind && rq->cbs->rewind(rq->arg)))
		return false;
	rq->retried = true;
	s3_wire_release(rq);
	s3_resp_reset(&rq->resp);
	strbuf_reset(&rq->body);
	memset(&rq->xml, 0, sizeof(rq->xml));
	rq->err = 0;
	rq->reason[0] = '\0';
	rq->fed = 0;
	rq->sent = 0;
	rq->connected = rq->head_done = rq->send_paused = rq->curl_recv_paused = false;
	if (rq->counted)
		rq->site->active--;
	rq->counted = false;
	run(rq);
	return true;
}

static void on_done(void *arg, CURL *easy, CURLcode code)
{
	struct s3_req *rq = arg;

	(void)easy;
	rq->in_curl = false;
	s3_judge(rq, code);
	if (try_again_in_time(rq))
		return;
	if (s3_is_success(rq->resp.status))
		rq->site->clock_known = true;
	req_end(rq);
}

/* ---- curl's callbacks ---- */

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct s3_req *rq = arg;
	struct slice line = slice_of(p, size * n);

	rq->progress_ms = clock_mono_ms();
	if (rq->dead || rq->err)
		return 0;
	/* a line after the body is a trailer */
	if (rq->head_done)
		return size * n;
	s3_resp_line(&rq->resp, line);
	if (line.n > 2 || rq->resp.status < 200)
		return size * n;
	rq->head_done = true;
	if (s3_is_success(rq->resp.status) && rq->cbs->head && !rq->cbs->head(rq->arg, rq))
		return 0;
	return rq->dead ? 0 : size * n;
}

static size_t collect(struct s3_req *rq, const char *p, size_t n)
{
	if (!s3_is_success(rq->resp.status)) {
		size_t room = ERROR_BODY_MAX - rq->body.n;

		strbuf_add(&rq->body, p, n < room ? n : room);
		return n;
	}
	strbuf_add(&rq->body, p, n);
	if (!strbuf_failed(&rq->body))
		return n;
	s3_req_fail(rq, GFS_ERR_SITE_ERROR, "%.200s sent an answer of more than %d bytes", rq->site->origin, TEXT_BODY_MAX);
	return 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct s3_req *rq = arg;

	(void)size;
	rq->progress_ms = clock_mono_ms();
	if (rq->dead || rq->err)
		return 0;
	if (!s3_is_success(rq->resp.status) || !rq->cbs->data)
		return collect(rq, p, n);
	if (rq->recv_paused) {
		rq->curl_recv_paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	if (!rq->cbs->data(rq->arg, p, n) && !rq->dead)
		rq->recv_paused = true;
	return rq->dead || rq->err ? 0 : n;
}

static size_t on_feed(char *buf, size_t size, size_t n, void *arg)
{
	struct s3_req *rq = arg;
	size_t got;

	rq->progress_ms = clock_mono_ms();
	if (rq->dead || rq->err)
		return CURL_READFUNC_ABORT;
	if (rq->fed >= rq->stream_size)
		return 0;
	got = rq->cbs->feed(rq->arg, buf, size * n);
	if (rq->dead || rq->err)
		return CURL_READFUNC_ABORT;
	if (got == 0) {
		rq->send_paused = true;
		return CURL_READFUNC_PAUSE;
	}
	rq->fed += got;
	return got;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct s3_req *rq = arg;

	if (rq->dead || origin != SEEK_SET || offset != 0 || !rq->cbs->rewind || !rq->cbs->rewind(rq->arg))
		return CURL_SEEKFUNC_FAIL;
	rq->fed = 0;
	return CURL_SEEKFUNC_OK;
}

static int on_send(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	struct s3_req *rq = arg;

	(void)ip, (void)local_ip, (void)port, (void)local_port;
	rq->sent++;
	return CURL_PREREQFUNC_OK;
}

/* curl does not tell that the store has closed the connection while sending is paused. */
static bool store_hung_up(const struct s3_req *rq)
{
	return rq->in_curl && rq->send_paused && !rq->head_done && curl_loop_socket(rq->easy) == CURL_SOCKET_BAD;
}

/* Takes it out of curl and ends it soon: not one more byte is sent. */
static void hang_up(struct s3_req *rq)
{
	s3_req_fail(rq, GFS_ERR_SITE_ERROR, "%.200s closed the connection in the middle of the body", rq->site->origin);
	rq->connected = true;
	curl_loop_abandon(rq->site->site.env->curl, rq->easy, on_hung_up, rq);
	rq->hung_up = true;
}

void s3_req_resume(struct s3_req *rq)
{
	bool paused = rq->send_paused || rq->curl_recv_paused;

	if (rq->hung_up)
		return;
	if (store_hung_up(rq)) {
		hang_up(rq);
		return;
	}

	rq->progress_ms = clock_mono_ms();
	rq->recv_paused = rq->send_paused = rq->curl_recv_paused = false;
	if (paused && rq->in_curl)
		curl_loop_unpause(rq->site->site.env->curl, rq->easy);
}

/* ---- running ---- */

static void look_done(void *arg, struct s3_req *look)
{
	struct s3_req *rq = arg;

	rq->look = NULL;
	if (look->resp.status > 0) {
		rq->site->clock_known = true;
		s3_req_start(rq, false);
		return;
	}
	rq->connected = look->connected;
	memcpy(rq->reason, look->reason, sizeof(rq->reason));
	end_soon(rq, look->err);
}

static const struct s3_req_cbs look_cbs = {.done = look_done};

void s3_req_start(struct s3_req *rq, bool urgent)
{
	struct s3_site *site = rq->site;
	struct timeval tv;

	gfs_assert(rq->phase == S3_NEW);
	rq->begun_ms = rq->progress_ms = clock_mono_ms();
	/* The body of a stream is gone once it was sent, so whether the clocks agree is found out before the first one. */
	if (rq->streaming && !site->clock_known && !rq->refused) {
		rq->look = s3_req_new(site, "HEAD", NULL, &look_cbs, rq);
		s3_req_start(rq->look, urgent);
		return;
	}
	if (urgent || site->active < site->site.conf.max_connections) {
		run(rq);
		return;
	}
	rq->phase = S3_WAITING;
	TAILQ_INSERT_TAIL(&site->waiting, rq, link);
	tv = (struct timeval){site->site.conf.first_byte_timeout_ms / 1000, site->site.conf.first_byte_timeout_ms % 1000 * 1000};
	evtimer_add(rq->timer, &tv);
}

static void arm(struct s3_req *rq, int64_t in_ms)
{
	struct timeval tv;

	if (in_ms < TICK_MIN_MS)
		in_ms = TICK_MIN_MS;
	tv = (struct timeval){in_ms / 1000, in_ms % 1000 * 1000};
	evtimer_add(rq->timer, &tv);
}

static void run(struct s3_req *rq)
{
	int err;

	rq->phase = S3_RUNNING;
	rq->counted = true;
	rq->site->active++;
	rq->begun_ms = rq->progress_ms = clock_mono_ms();
	if (rq->refused) {
		end_soon(rq, rq->refused);
		return;
	}
	err = s3_wire_setup(rq);
	if (err) {
		end_soon(rq, err);
		return;
	}
	curl_easy_setopt(rq->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(rq->easy, CURLOPT_HEADERDATA, rq);
	curl_easy_setopt(rq->easy, CURLOPT_PREREQFUNCTION, on_send);
	curl_easy_setopt(rq->easy, CURLOPT_PREREQDATA, rq);
	curl_easy_setopt(rq->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(rq->easy, CURLOPT_WRITEDATA, rq);
	curl_easy_setopt(rq->easy, CURLOPT_READFUNCTION, on_feed);
	curl_easy_setopt(rq->easy, CURLOPT_READDATA, rq);
	if (rq->streaming) {
		curl_easy_setopt(rq->easy, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(rq->easy, CURLOPT_SEEKDATA, rq);
	}
	err = curl_loop_add(rq->site->site.env->curl, rq->easy, on_done, rq);
	if (err) {
		end_soon(rq, err);
		return;
	}
	rq->in_curl = true;
	arm(rq, rq->streaming ? HANG_UP_TICK_MS : rq->site->site.conf.first_byte_timeout_ms);
}

/* The store takes what the kernel still holds of ours: that is progress, though curl has nothing left to do. */
static bool outq_moved(struct s3_req *rq)
{
	curl_socket_t fd = curl_loop_socket(rq->easy);
	int n = 0, before = rq->outq;

	if (fd == CURL_SOCKET_BAD || ioctl(fd, SIOCOUTQ, &n))
		return false;
	rq->outq = n;
	return before < 0 ? n > 0 : before > 0 && n != before;
}

/* How long until this exchange has been silent for too long; 0 or less: it has. Pauses of our own side do not count. */
static int64_t time_left(struct s3_req *rq, int64_t now_ms, const char **what_out)
{
	const struct site_conf *conf = &rq->site->site.conf;
	bool sending = rq->streaming && rq->fed < rq->stream_size;
	curl_off_t us = 0;

	if (!rq->connected && curl_easy_getinfo(rq->easy, CURLINFO_PRETRANSFER_TIME_T, &us) == CURLE_OK && us > 0) {
		rq->connected = true;
		if (rq->progress_ms < rq->begun_ms + us / 1000)
			rq->progress_ms = rq->begun_ms + us / 1000;
	}
	if (!rq->connected || rq->recv_paused || (sending && rq->send_paused)) {
		/* curl bounds the time to connect */
		rq->progress_ms = now_ms;
		return sending ? HANG_UP_TICK_MS : conf->stall_timeout_ms;
	}
	*what_out = rq->head_done ? "went silent in the middle of its answer" : sending ? "stopped taking the body" : "did not answer";
	return rq->progress_ms + (rq->head_done || sending ? conf->stall_timeout_ms : conf->first_byte_timeout_ms) - now_ms;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	const char *silent = "did not answer";
	struct s3_req *rq = arg;
	int64_t now_ms = clock_mono_ms(), left_ms;

	(void)fd;
	(void)what;
	if (rq->ending) {
		req_end(rq);
		return;
	}
	if (rq->phase == S3_WAITING) {
		s3_req_fail(rq, GFS_ERR_BUSY, "all %u connections to the site are in use", rq->site->site.conf.max_connections);
		req_end(rq);
		return;
	}
	if (rq->hung_up)
		return;
	if (store_hung_up(rq)) {
		hang_up(rq);
		return;
	}
	left_ms = time_left(rq, now_ms, &silent);
	if (left_ms <= 0 && outq_moved(rq)) {
		rq->progress_ms = now_ms;
		left_ms = time_left(rq, now_ms, &silent);
	}
	if (left_ms > 0) {
		arm(rq, rq->streaming && left_ms > HANG_UP_TICK_MS ? HANG_UP_TICK_MS : left_ms);
		return;
	}
	s3_req_fail(rq, GFS_ERR_TIMEOUT, "%.200s %s for %lld ms", rq->site->origin, silent, (long long)(now_ms - rq->progress_ms));
	curl_loop_remove(rq->site->site.env->curl, rq->easy);
	rq->in_curl = false;
	s3_judge(rq, CURLE_OPERATION_TIMEDOUT);
	req_end(rq);
}
