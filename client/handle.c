/* SPDX-License-Identifier: Apache-2.0 */
/* The handle of libglobalfs: settings, what the last call left, and its memory. Contract in globalfs.h and impl.h. */
#include "config.h"

#include "client/impl.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define TIMEOUT_MS 30000
#define STALL_MS 300000
#define BODY_MAX (4u << 20) /* of an answer that is kept: documents, metrics, errors. As JSON values it may take 40 times that. */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT); /* if it fails, so does curl_easy_init() */
}

/* The address with its scheme and without slashes at its end. Returns owned; NULL: *code_out says why. */
static char *clean_url(const char *url, int *code_out)
{
	bool has_scheme = url && strstr(url, "://");
	size_t n;
	char *out;

	*code_out = GLOBALFS_ERR_USAGE;
	if (!url || !*url || (has_scheme && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0))
		return NULL;
	for (const char *p = url; *p; p++)
		if ((unsigned char)*p <= ' ' || strchr("\"<>\\^`{|}?#", *p))
			return NULL;
	*code_out = GLOBALFS_ERR_NOMEM;
	n = strlen(url) + sizeof("http://");
	out = malloc(n);
	if (!out)
		return NULL;
	snprintf(out, n, "%s%s", has_scheme ? "" : "http://", url);
	for (n = strlen(out); n > 0 && out[n - 1] == '/'; n--)
		out[n - 1] = '\0';
	return out;
}

int globalfs_open(const char *url, struct globalfs **out)
{
	struct globalfs *h;
	int code;
	char *clean;

	if (!out)
		return GLOBALFS_ERR_USAGE;
	*out = NULL;
	clean = clean_url(url, &code);
	if (!clean)
		return code;
	pthread_once(&curl_once, init_curl);
	h = calloc(1, sizeof(*h));
	if (!h) {
		free(clean);
		return GLOBALFS_ERR_NOMEM;
	}
	h->url = clean;
	h->timeout_ms = TIMEOUT_MS;
	h->stall_ms = STALL_MS;
	h->body.max = BODY_MAX;
	h->error = (struct globalfs_error){.message = "", .request_id = "", .retry_after_s = -1};
	h->curl = curl_easy_init();
	if (!h->curl) {
		globalfs_close(&h);
		return GLOBALFS_ERR_NOMEM;
	}
	*out = h;
	return 0;
}

static void forget(struct globalfs *h)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		free(h->headers[i].name);
		free(h->headers[i].value);
	}
	free(h->headers);
	h->headers = NULL;
	h->n_headers = 0;
	for (size_t i = 0; i < h->n_kept; i++)
		free(h->kept[i]);
	free(h->kept);
	h->kept = NULL;
	h->n_kept = 0;
	json_decref(h->doc);
	h->doc = NULL;
	gfsc_buf_free(&h->body);
	h->message[0] = '\0';
	h->error = (struct globalfs_error){.message = h->message, .request_id = "", .retry_after_s = -1};
}

void globalfs_close(struct globalfs **h)
{
	if (!h || !*h)
		return;
	forget(*h);
	curl_easy_cleanup((*h)->curl);
	free((*h)->url);
	free((*h)->api_key);
	free((*h)->user_agent);
	free((*h)->ca_file);
	free(*h);
	*h = NULL;
}

int gfsc_begin(struct globalfs *h)
{
	if (h->busy)
		return GLOBALFS_ERR_USAGE;
	forget(h);
	return 0;
}

int gfsc_fail(struct globalfs *h, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(h->message, sizeof(h->message), fmt, ap);
	va_end(ap);
	for (char *p = h->message; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	h->error.code = code;
	return code;
}

void *gfsc_keep(struct globalfs *h, void *p)
{
	void **kept = p ? realloc(h->kept, (h->n_kept + 1) * sizeof(*kept)) : NULL;

	if (!kept) {
		free(p);
		return NULL;
	}
	h->kept = kept;
	kept[h->n_kept++] = p;
	return p;
}

/* ---- settings ---- */

/* Printable ASCII at least up to max_char, so that it is one header's value. */
static int set_text(struct globalfs *h, char **at, const char *text, unsigned char max_char)
{
	char *copy = NULL;

	for (const char *p = text; p && *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > max_char)
			return gfsc_fail(h, GLOBALFS_ERR_USAGE, "the text has a character that cannot be sent");
	if (text && *text) {
		copy = strdup(text);
		if (!copy)
			return gfsc_fail(h, GLOBALFS_ERR_NOMEM, "out of memory");
	}
	free(*at);
	*at = copy;
	return 0;
}

int globalfs_set_api_key(struct globalfs *h, const char *key)
{
	return set_text(h, &h->api_key, key, 0x7e);
}

int globalfs_set_user_agent(struct globalfs *h, const char *text)
{
	return set_text(h, &h->user_agent, text, 0x7e);
}

int globalfs_set_ca_file(struct globalfs *h, const char *path)
{
	return set_text(h, &h->ca_file, path, 0xff);
}

void globalfs_set_timeout_ms(struct globalfs *h, long ms)
{
	h->timeout_ms = ms > 0 ? ms : 0;
}

void globalfs_set_stall_ms(struct globalfs *h, long ms)
{
	h->stall_ms = ms > 0 ? ms : 0;
}

void globalfs_set_progress(struct globalfs *h, globalfs_progress_cb *progress, void *arg)
{
	h->progress = progress;
	h->progress_arg = arg;
}

/* ---- the last call ---- */

const struct globalfs_error *globalfs_error(const struct globalfs *h)
{
	return &h->error;
}

const char *globalfs_url(const struct globalfs *h)
{
	return h->url;
}

const char *globalfs_header(const struct globalfs *h, const char *name)
{
	for (size_t i = 0; i < h->n_headers; i++)
		if (strcasecmp(h->headers[i].name, name) == 0)
			return h->headers[i].value;
	return NULL;
}

const char *globalfs_body(const struct globalfs *h, size_t *size_out)
{
	if (size_out)
		*size_out = h->body.n;
	return gfsc_buf_str(&h->body);
}

const char *globalfs_code_text(int code)
{
	switch ((enum globalfs_code)code) {
	case GLOBALFS_OK: return "success";
	case GLOBALFS_ERR_STATUS: return "refused or failed";
	case GLOBALFS_ERR_CONNECT: return "cannot connect";
	case GLOBALFS_ERR_IO: return "connection lost";
	case GLOBALFS_ERR_TIMEOUT: return "timed out";
	case GLOBALFS_ERR_CANCELLED: return "cancelled";
	case GLOBALFS_ERR_PROTOCOL: return "does not answer like a GlobalFS";
	case GLOBALFS_ERR_USAGE: return "wrong usage";
	case GLOBALFS_ERR_TOO_LARGE: return "larger than allowed";
	case GLOBALFS_ERR_NOMEM: return "out of memory";
	}
	return "unknown error";
}

const char *globalfs_version(void)
{
	return PACKAGE_VERSION;
}

void globalfs_free(void *p)
{
	free(p);
}

int64_t globalfs_time(const char *text)
{
	struct tm tm = {0};
	const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;

	if (end && *end == '.')
		for (end++; *end >= '0' && *end <= '9'; end++)
			;
	return end && strcmp(end, "Z") == 0 ? (int64_t)timegm(&tm) : -1;
}
