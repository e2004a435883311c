/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP call of libglobalfs on libcurl's easy interface. Bodies stream through callbacks; what is kept (documents, errors) is
 * bounded. SIGPIPE, which TLS may raise, is held back from the thread while a call runs: a library must not end its user.
 */
#include "config.h"

#include "client/impl.h"

#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECT_TIMEOUT_MS 10000
#define MAX_HEADERS 256
#define BUFFER_BYTES (256L << 10)

/* ---- the head of an answer ---- */

static void head_reset(struct globalfs *h)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		free(h->headers[i].name);
		free(h->headers[i].value);
	}
	h->n_headers = 0;
	h->error.status = 0;
	h->error.request_id = "";
	h->error.retry_after_s = -1;
}

static int head_add(struct globalfs *h, const char *line, size_t len, size_t colon)
{
	size_t from = colon + 1, to = len;
	struct gfsc_header *grown, *slot;

	while (from < len && (line[from] == ' ' || line[from] == '\t'))
		from++;
	while (to > from && strchr(" \t\r\n", line[to - 1]))
		to--;
	grown = realloc(h->headers, (h->n_headers + 1) * sizeof(*grown));
	if (!grown)
		return GLOBALFS_ERR_NOMEM;
	h->headers = grown;
	slot = &grown[h->n_headers];
	slot->name = strndup(line, colon);
	slot->value = strndup(line + from, to - from);
	if (!slot->name || !slot->value) {
		free(slot->name);
		free(slot->value);
		return GLOBALFS_ERR_NOMEM;
	}
	for (char *c = slot->name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	h->n_headers++;
	return 0;
}

/* Of "HTTP/1.1 200 OK", which libcurl does not promise to end with NUL. */
static long status_of(const char *line, size_t len)
{
	const char *end = line + len, *p = memchr(line, ' ', len);
	long status = 0;

	for (p = p ? p + 1 : end; p < end && *p >= '0' && *p <= '9' && status < 1000; p++)
		status = status * 10 + (*p - '0');
	return status;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct gfsc_call *call = arg;
	struct globalfs *h = call->h;
	size_t len = size * n;
	const char *colon;

	if (len >= 5 && memcmp(p, "HTTP/", 5) == 0) { /* a new head: after 100 Continue */
		head_reset(h);
		h->error.status = status_of(p, len);
		return len;
	}
	colon = memchr(p, ':', len);
	if (!colon || h->n_headers == MAX_HEADERS)
		return len;
	call->gave_up = head_add(h, p, len, (size_t)(colon - p));
	return call->gave_up ? 0 : len;
}

/* ---- bodies ---- */

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct gfsc_call *call = arg;
	struct globalfs *h = call->h;
	size_t len = size * n;

	if (call->sink && h->error.status / 100 == 2)
		call->gave_up = call->sink(h, call->arg, p, len);
	else {
		gfsc_buf_add(&h->body, p, len);
		call->gave_up = h->body.err;
	}
	return call->gave_up ? 0 : len;
}

static size_t on_read(char *buf, size_t size, size_t n, void *arg)
{
	struct gfsc_call *call = arg;
	size_t room = size * n;
	long got;

	if (call->source_size >= 0 && (int64_t)room > call->source_size - call->sent)
		room = (size_t)(call->source_size - call->sent);
	got = room ? call->source(call->arg, buf, room) : 0;
	if (got < 0 || (size_t)got > room)
		call->gave_up = got < 0 ? GLOBALFS_ERR_CANCELLED : GLOBALFS_ERR_USAGE;
	else if (got == 0 && call->sent < call->source_size)
		call->gave_up = GLOBALFS_ERR_USAGE; /* it would be waited for in vain */
	else
		call->sent += got;
	return call->gave_up ? CURL_READFUNC_ABORT : (size_t)got;
}

/* Before the first byte was taken there is nothing to take back. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct gfsc_call *call = arg;
	int done = CURL_SEEKFUNC_CANTSEEK;

	if (offset == call->sent && origin == SEEK_SET)
		return CURL_SEEKFUNC_OK;
	if (call->seek)
		done = call->seek(call->arg, offset, origin);
	if (done == CURL_SEEKFUNC_OK)
		call->sent = offset;
	return done;
}

static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct gfsc_call *call = arg;
	struct globalfs *h = call->h;

	(void)down_total;
	(void)up_total;
	if (h->progress && h->progress(h->progress_arg, down, up) != 0)
		call->gave_up = GLOBALFS_ERR_CANCELLED;
	return call->gave_up != 0;
}

/* ---- setting up ---- */

void gfsc_add_header(struct gfsc_call *call, const char *name, const char *value)
{
	struct gfsc_buf line = {0};
	struct curl_slist *longer;

	if (!value)
		return;
	gfsc_buf_adds(&line, name);
	gfsc_buf_adds(&line, *value ? ": " : ";"); /* curl sends a header without a value only when it ends in a semicolon */
	gfsc_buf_adds(&line, value);
	longer = line.err ? NULL : curl_slist_append(call->headers, line.p);
	if (longer)
		call->headers = longer;
	else
		call->failed = true;
	gfsc_buf_free(&line);
}

static void set_up(struct globalfs *h, struct gfsc_call *call)
{
	CURL *c = h->curl;

	curl_easy_reset(c); /* keeps connections */
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->curl_text);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L); /* keys with // */
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	if (!call->is_transfer) {
		curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, h->timeout_ms);
	} else if (h->stall_ms) {
		curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (h->stall_ms + 999) / 1000);
	}
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES);
	curl_easy_setopt(c, CURLOPT_USERAGENT, h->user_agent ? h->user_agent : "libglobalfs/" PACKAGE_VERSION);
	if (h->ca_file)
		curl_easy_setopt(c, CURLOPT_CAINFO, h->ca_file);
	if (!getenv("no_proxy") && !getenv("NO_PROXY"))
		curl_easy_setopt(c, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, call);
}

static void set_method(struct globalfs *h, struct gfsc_call *call)
{
	CURL *c = h->curl;

	if (call->source) {
		curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(c, CURLOPT_READDATA, call);
		curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(c, CURLOPT_SEEKDATA, call);
		curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->source_size);
	} else if (strcmp(call->method, "HEAD") == 0) {
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
		return;
	} else if (call->json || strcmp(call->method, "POST") == 0) {
		curl_easy_setopt(c, CURLOPT_POST, 1L);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, call->json ? call->json : "");
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(call->json ? strlen(call->json) : 0));
	}
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, call->method);
}

/* ---- running ---- */

static CURLcode run_without_sigpipe(CURL *c)
{
	const struct timespec now = {0};
	sigset_t pipe, pending, old;
	CURLcode code;
	bool was_pending;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigemptyset(&pending);
	sigpending(&pending);
	was_pending = sigismember(&pending, SIGPIPE) == 1;
	if (was_pending || pthread_sigmask(SIG_BLOCK, &pipe, &old) != 0)
		return curl_easy_perform(c); /* it is blocked already */
	code = curl_easy_perform(c);
	(void)sigtimedwait(&pipe, NULL, &now); /* ours, if one came */
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return code;
}

static const char *status_meaning(long status)
{
	switch (status) {
	case 304: return "not modified";
	case 400: return "bad request";
	case 401: return "unauthorized: the API key is missing or wrong";
	case 404: return "not found";
	case 409: return "in conflict with another operation";
	case 412: return "precondition failed";
	case 413: return "larger than allowed";
	case 416: return "the range lies outside the object";
	case 502: return "a site failed";
	case 503: return "not available now, try again";
	case 504: return "a site did not answer in time";
	case 507: return "a site is full";
	default: return "refused";
	}
}

/* The API's "error", or the first line of its text, or the status' meaning. */
static int fail_by_status(struct globalfs *h)
{
	json_t *root = json_loadb(gfsc_buf_str(&h->body), h->body.n, 0, NULL);
	const char *text = json_string_value(json_object_get(root, "error")), *type = globalfs_header(h, "content-type");
	int line = (int)strcspn(gfsc_buf_str(&h->body), "\r\n"), code;

	if (text)
		code = gfsc_fail(h, GLOBALFS_ERR_STATUS, "%s", text);
	else if (line > 0 && line < 300 && type && strncmp(type, "text/plain", 10) == 0)
		code = gfsc_fail(h, GLOBALFS_ERR_STATUS, "%.*s", line, gfsc_buf_str(&h->body));
	else
		code = gfsc_fail(h, GLOBALFS_ERR_STATUS, "%s", status_meaning(h->error.status));
	json_decref(root);
	return code;
}

static int fail_by_curl(struct globalfs *h, const struct gfsc_call *call, CURLcode code)
{
	const char *why = h->curl_text[0] ? h->curl_text : curl_easy_strerror(code);
	curl_off_t sending = 0; /* when it began; 0: it never came to that */
	long number = 0;        /* the system's, when it refused */

	if (call->gave_up == GLOBALFS_ERR_USAGE)
		return gfsc_fail(h, call->gave_up, "the source has not as many bytes as it said");
	if (call->gave_up && h->error.code == call->gave_up) /* told already */
		return call->gave_up;
	if (call->gave_up)
		return gfsc_fail(h, call->gave_up, "%s", globalfs_code_text(call->gave_up));
	if (code == CURLE_COULDNT_CONNECT && curl_easy_getinfo(h->curl, CURLINFO_OS_ERRNO, &number) == CURLE_OK && number > 0)
		why = strerror((int)number); /* curl's repeats the address */
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		return gfsc_fail(h, GLOBALFS_ERR_NOMEM, "out of memory");
	case CURLE_OPERATION_TIMEDOUT:
		curl_easy_getinfo(h->curl, CURLINFO_PRETRANSFER_TIME_T, &sending);
		return gfsc_fail(h, sending || h->error.status ? GLOBALFS_ERR_TIMEOUT : GLOBALFS_ERR_CONNECT, "%s", why);
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_URL_MALFORMAT:
		return gfsc_fail(h, GLOBALFS_ERR_CONNECT, "%s", why);
	default:
		return gfsc_fail(h, GLOBALFS_ERR_IO, "%s", why);
	}
}

/* Seconds, or a date. */
static long retry_after(const char *text)
{
	time_t at, now = time(NULL);

	if (!text)
		return -1;
	if (*text >= '0' && *text <= '9' && strlen(text) < 9)
		return strtol(text, NULL, 10);
	at = curl_getdate(text, NULL);
	return at == -1 ? -1 : at > now ? (long)(at - now) : 0;
}

static int conclude(struct globalfs *h, const struct gfsc_call *call, CURLcode code)
{
	const char *id = globalfs_header(h, "x-request-id");

	h->error.request_id = id ? id : "";
	h->error.retry_after_s = retry_after(globalfs_header(h, "retry-after"));
	/* An answer that came before the whole body was taken counts: it says why. */
	if (code != CURLE_OK && !(code == CURLE_SEND_ERROR && h->error.status >= 400))
		return fail_by_curl(h, call, code);
	if (h->error.status / 100 != 2)
		return fail_by_status(h);
	h->error.code = 0;
	h->message[0] = '\0';
	return 0;
}

int gfsc_perform(struct globalfs *h, struct gfsc_call *call)
{
	struct gfsc_buf url = {0};
	CURLcode code;
	int err = 0;

	call->h = h;
	gfsc_add_header(call, "X-GlobalFS-API-Key", h->api_key);
	if (call->json)
		gfsc_add_header(call, "Content-Type", "application/json");
	gfsc_buf_adds(&url, h->url);
	gfsc_buf_adds(&url, gfsc_buf_str(call->path));
	if (call->failed || call->path->err || url.err) {
		err = gfsc_fail(h, GLOBALFS_ERR_NOMEM, "out of memory");
	} else {
		head_reset(h);
		gfsc_buf_reset(&h->body);
		h->curl_text[0] = '\0';
		set_up(h, call);
		set_method(h, call);
		curl_easy_setopt(h->curl, CURLOPT_URL, url.p);
		curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, call->headers);
		h->busy = true;
		code = run_without_sigpipe(h->curl);
		h->busy = false;
		err = conclude(h, call, code);
	}
	curl_slist_free_all(call->headers);
	call->headers = NULL;
	gfsc_buf_free(&url);
	return err;
}
