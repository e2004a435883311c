/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking HTTP on libcurl's easy interface. Contract in http_client.h. */
#include "config.h"

#include "http_client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define CONNECT_TIMEOUT_MS 10000
#define STALL_SECONDS 300 /* without a byte in either direction */
#define MAX_HEADERS 256

struct http {
	CURL *curl;
	char *base, *api_key;
	char why[CURL_ERROR_SIZE + 64];
	/* of the call in progress */
	const struct http_request *req;
	struct http_answer *answer;
	bool gave_up;
};

int http_open(const char *base, const char *api_key, struct http **out, char *why, size_t cap)
{
	const char *rest = strstr(base, "://");
	struct http *h;
	size_t n;

	if (rest && strncmp(base, "http://", 7) != 0 && strncmp(base, "https://", 8) != 0) {
		snprintf(why, cap, "the coordinator's address must begin with http:// or https://");
		return GFS_ERR_USAGE;
	}
	for (const char *p = base; *p; p++)
		if ((unsigned char)*p <= ' ' || strchr("\"<>\\^`{|}?#", *p)) {
			snprintf(why, cap, "the coordinator's address is not a URL: %.100s", base);
			return GFS_ERR_USAGE;
		}
	for (const char *p = api_key; p && *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f) {
			snprintf(why, cap, "the API key has a character that cannot be sent");
			return GFS_ERR_USAGE;
		}
	h = xcalloc(1, sizeof(*h));
	h->curl = curl_easy_init();
	h->base = rest ? xstrdup(base) : xasprintf("http://%s", base);
	for (n = strlen(h->base); n > 0 && h->base[n - 1] == '/'; n--)
		h->base[n - 1] = '\0';
	h->api_key = api_key && *api_key ? xstrdup(api_key) : NULL;
	*out = h;
	if (h->curl)
		return 0;
	http_close(out);
	snprintf(why, cap, "out of memory");
	return GFS_ERR_USAGE;
}

void http_close(struct http **h)
{
	if (!*h)
		return;
	curl_easy_cleanup((*h)->curl);
	free((*h)->base);
	free((*h)->api_key);
	free(*h);
	*h = NULL;
}

const char *http_base(const struct http *h)
{
	return h->base;
}

const char *http_why(const struct http *h)
{
	return h->why;
}

void http_answer_free(struct http_answer *a)
{
	for (size_t i = 0; i < a->n_headers; i++) {
		free(a->headers[i].name);
		free(a->headers[i].value);
	}
	free(a->headers);
	strbuf_free(&a->body);
	memset(a, 0, sizeof(*a));
}

const char *http_header(const struct http_answer *a, const char *name)
{
	for (size_t i = 0; i < a->n_headers; i++)
		if (strcasecmp(a->headers[i].name, name) == 0)
			return a->headers[i].value;
	return NULL;
}

void url_encode(struct strbuf *out, struct slice text, const char *keep)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c < 0x80 && c != 0 && (isalnum(c) || strchr("-._~", c) || strchr(keep, c)))
			strbuf_addc(out, (char)c);
		else
			strbuf_addf(out, "%%%02X", c);
	}
}

/* ---- callbacks ---- */

static void answer_reset(struct http_answer *a)
{
	http_answer_free(a);
	strbuf_init(&a->body, HTTP_KEPT_MAX);
	a->content_length = -1;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct http *h = arg;
	struct http_answer *a = h->answer;
	size_t len = size * n, name, from, to;
	const char *colon;

	if (len >= 5 && memcmp(p, "HTTP/", 5) == 0) { /* a new head: after 100 Continue */
		const char *space = memchr(p, ' ', len);

		answer_reset(a);
		a->status = space ? strtol(space + 1, NULL, 10) : 0;
		return len;
	}
	colon = memchr(p, ':', len);
	if (!colon || a->n_headers == MAX_HEADERS)
		return len;
	name = (size_t)(colon - p);
	for (from = name + 1; from < len && (p[from] == ' ' || p[from] == '\t'); from++)
		;
	for (to = len; to > from && strchr(" \t\r\n", p[to - 1]); to--)
		;
	a->headers = xreallocarray(a->headers, a->n_headers + 1, sizeof(*a->headers));
	a->headers[a->n_headers].name = xstrndup(p, name);
	a->headers[a->n_headers].value = xstrndup(p + from, to - from);
	for (char *c = a->headers[a->n_headers].name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (strcmp(a->headers[a->n_headers].name, "content-length") == 0)
		a->content_length = strtoll(a->headers[a->n_headers].value, NULL, 10);
	a->n_headers++;
	return len;
}

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct http *h = arg;
	size_t len = size * n;

	if (h->req->sink && (h->answer->status == 200 || h->answer->status == 206)) {
		if (h->req->sink(h->req->arg, h->answer, p, len))
			return len;
		h->gave_up = true;
		return 0;
	}
	strbuf_add(&h->answer->body, p, len);
	return strbuf_failed(&h->answer->body) ? 0 : len;
}

static size_t on_read(char *buf, size_t size, size_t n, void *arg)
{
	struct http *h = arg;
	long got = h->req->source(h->req->arg, buf, size * n);

	if (got >= 0)
		return (size_t)got;
	h->gave_up = true;
	return CURL_READFUNC_ABORT;
}

static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct http *h = arg;

	(void)down_total;
	(void)up_total;
	if (h->req->progress)
		h->req->progress(h->req->arg, h->req->source ? up : down, -1);
	return 0;
}

/* ---- one call ---- */

static void set_up(struct http *h)
{
	CURL *c = h->curl;

	curl_easy_reset(c); /* keeps connections */
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->why);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L); /* keys with // */
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "gfsctl/" PACKAGE_VERSION);
	if (!getenv("no_proxy") && !getenv("NO_PROXY"))
		curl_easy_setopt(c, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, h);
}

static void set_method(struct http *h, const struct http_request *req)
{
	CURL *c = h->curl;

	if (req->source) {
		curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(c, CURLOPT_READDATA, h);
		curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)req->source_size);
	} else if (strcmp(req->method, "HEAD") == 0) {
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
		return;
	} else if (req->body.p) {
		curl_easy_setopt(c, CURLOPT_POST, 1L);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, req->body.p);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body.n);
	}
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, req->method);
}

static struct curl_slist *make_headers(struct http *h, const struct http_request *req)
{
	struct curl_slist *list = NULL;
	char *key;

	if (h->api_key) {
		key = xasprintf("X-GlobalFS-API-Key: %s", h->api_key);
		list = curl_slist_append(list, key);
		free(key);
	}
	if (req->body.p)
		list = curl_slist_append(list, "Content-Type: application/json");
	for (size_t i = 0; req->headers && req->headers[i]; i++)
		list = curl_slist_append(list, req->headers[i]);
	return list;
}

static int map_error(struct http *h, CURLcode code)
{
	if (h->why[0] == '\0')
		snprintf(h->why, sizeof(h->why), "%s", curl_easy_strerror(code));
	if (h->gave_up)
		return GFS_ERR_CANCELLED;
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return h->answer->status ? GFS_ERR_IO : GFS_ERR_CONNECT;
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_URL_MALFORMAT:
		return GFS_ERR_CONNECT;
	default:
		return GFS_ERR_IO;
	}
}

int http_send(struct http *h, const struct http_request *req, struct http_answer *answer)
{
	char *url = xasprintf("%s%s", h->base, req->path);
	struct curl_slist *headers = make_headers(h, req);
	CURLcode code;

	memset(answer, 0, sizeof(*answer));
	answer_reset(answer);
	h->req = req;
	h->answer = answer;
	h->gave_up = false;
	h->why[0] = '\0';
	set_up(h);
	set_method(h, req);
	curl_easy_setopt(h->curl, CURLOPT_URL, url);
	curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
	code = curl_easy_perform(h->curl);
	curl_slist_free_all(headers);
	free(url);
	h->req = NULL;
	/* An answer that came before the whole body was taken counts: it says why. */
	if (code == CURLE_OK || (code == CURLE_SEND_ERROR && answer->status >= 400))
		return 0;
	return map_error(h, code);
}

/* ---- what went wrong ---- */

static const char *status_meaning(long status)
{
	switch (status) {
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

void http_error_text(const struct http_answer *a, struct strbuf *out)
{
	json_t *root = json_loadb(a->body.n ? a->body.p : "", a->body.n, 0, NULL);
	const char *text = json_string_value(json_object_get(root, "error"));
	size_t n = a->body.n ? strcspn(a->body.p, "\r\n") : 0;
	const char *type = http_header(a, "content-type");

	if (text)
		strbuf_adds(out, text);
	else if (n > 0 && n < 300 && type && strncmp(type, "text/plain", 10) == 0)
		strbuf_add(out, a->body.p, n);
	else
		strbuf_adds(out, status_meaning(a->status));
	json_decref(root);
}
