/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of an exchange with an S3 store that is curl's: a handle with its options, the signed head, and what curl's failures
 * mean. Called by site_s3_req.c. Handles go back to a small stock of the site, which spares most of their cost.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "http/fields.h"
#include "log.h"
#include "site_s3.h"
#include "xalloc.h"

/* Not more, so that an idle handle's buffer stays below malloc's mmap threshold. */
#define WIRE_BUFFER (64 * 1024L)
/* Below the idle timeouts of common stores, so that a connection is seldom closed under a request. */
#define WIRE_IDLE_MAX_S 55L

struct signing {
	struct sign_header *v;
	size_t n, cap;
};

/* Room for every field of the request and our own four. */
static void signing_init(struct signing *s, const struct s3_req *rq)
{
	*s = (struct signing){.cap = 4};
	for (size_t i = 0; i < rq->headers.n; i++)
		s->cap += rq->headers.p[i] == '\n';
	s->v = xcalloc(s->cap, sizeof(*s->v));
}

static void signing_add(struct signing *s, struct slice name, struct slice value)
{
	gfs_assert(s->n < s->cap);
	s->v[s->n++] = (struct sign_header){name, value};
}

static int list_add(struct s3_req *rq, const char *name, struct slice value)
{
	struct strbuf line = STRBUF_INIT;
	struct curl_slist *more = NULL;

	strbuf_adds(&line, name);
	/* an empty value needs curl's own form, else curl removes the field */
	strbuf_adds(&line, value.n ? ": " : ";");
	strbuf_add_slice(&line, value);
	if (!strbuf_failed(&line))
		more = curl_slist_append(rq->list, strbuf_str(&line));
	strbuf_free(&line);
	if (!more)
		return GFS_ERR_NOMEM;
	rq->list = more;
	return 0;
}

/* Walks "Name: value\n" lines. */
static bool next_header(struct slice *lines, struct slice *line_out, struct slice *name_out, struct slice *value_out)
{
	const char *end = lines->n ? memchr(lines->p, '\n', lines->n) : NULL, *colon;

	if (!end)
		return false;
	*line_out = slice_of(lines->p, (size_t)(end - lines->p));
	*lines = slice_of(end + 1, lines->n - line_out->n - 1);
	colon = memchr(line_out->p, ':', line_out->n);
	gfs_assert(colon && colon[1] == ' ');
	*name_out = slice_of(line_out->p, (size_t)(colon - line_out->p));
	*value_out = slice_of(colon + 2, line_out->n - name_out->n - 2);
	return true;
}

static bool is_signed(struct slice name)
{
	return (name.n > 6 && strncasecmp(name.p, "x-amz-", 6) == 0) || slice_caseeq_str(name, "content-type");
}

/* The request's own fields: into curl's list, and the ones that count into the signature. */
static int add_own_headers(struct s3_req *rq, struct signing *signing)
{
	struct slice lines = strbuf_slice(&rq->headers), line, name, value;
	bool has_type = false;
	char small[64];

	while (next_header(&lines, &line, &name, &value)) {
		if (name.n >= sizeof(small))
			return GFS_ERR_META_INVALID;
		memcpy(small, name.p, name.n);
		small[name.n] = '\0';
		if (list_add(rq, small, value))
			return GFS_ERR_NOMEM;
		has_type = has_type || slice_caseeq_str(name, "content-type");
		if (is_signed(name))
			signing_add(signing, name, value);
	}
	/* what curl would add by itself */
	if (!has_type)
		rq->list = curl_slist_append(rq->list, "Content-Type:");
	rq->list = curl_slist_append(rq->list, "Expect:");
	return rq->list ? 0 : GFS_ERR_NOMEM;
}

/* Fills in date and hash, and the list of fields; what is signed goes into signing. */
static int add_headers(struct s3_req *rq, const struct s3_creds_view *creds, const char *date, const char *hash,
                       struct signing *signing)
{
	int err;

	signing_add(signing, SLICE_LIT("host"), slice_str(rq->site->host));
	signing_add(signing, SLICE_LIT("x-amz-date"), slice_str(date));
	signing_add(signing, SLICE_LIT("x-amz-content-sha256"), slice_str(hash));
	err = list_add(rq, "x-amz-date", slice_str(date));
	if (!err)
		err = list_add(rq, "x-amz-content-sha256", slice_str(hash));
	if (!err && creds->session_token.n > 0) {
		signing_add(signing, SLICE_LIT("x-amz-security-token"), creds->session_token);
		err = list_add(rq, "x-amz-security-token", creds->session_token);
	}
	return err ? err : add_own_headers(rq, signing);
}

static int sign_request_head(struct s3_req *rq)
{
	char date[SIGN_TIME_MAX], hash[SIGN_HEX_MAX] = SIGN_EMPTY_SHA256;
	struct strbuf auth = STRBUF_INIT;
	struct s3_creds_view creds;
	struct signing signing;
	struct sign_request sr;
	struct sign_keys keys;
	int err;

	err = s3_creds_get(rq->site->creds, clock_mono_ms(), &creds, rq->reason, sizeof(rq->reason));
	if (err)
		return err;
	rq->signed_ms = clock_real_ms() + rq->site->skew_ms;
	sign_time_format(rq->signed_ms, date);
	if (rq->streaming)
		snprintf(hash, sizeof(hash), "%s", SIGN_UNSIGNED);
	else if (rq->text.n > 0)
		sign_sha256_hex(rq->text.p, rq->text.n, hash);
	signing_init(&signing, rq);
	err = add_headers(rq, &creds, date, hash, &signing);
	sr = (struct sign_request){.method = slice_str(rq->method), .path = strbuf_slice(&rq->path), .query = strbuf_slice(&rq->query),
	                           .payload_hash = slice_str(hash), .headers = signing.v, .n_headers = signing.n};
	keys = (struct sign_keys){creds.access_key, creds.secret_key, creds.session_token, slice_str(rq->site->region)};
	if (!err) {
		sign_authorization(&sr, &keys, slice_str(date), &auth);
		err = strbuf_failed(&auth) ? GFS_ERR_NOMEM : list_add(rq, "Authorization", strbuf_slice(&auth));
	}
	strbuf_free(&auth);
	free(signing.v);
	return err;
}

static void set_site_options(CURL *easy, const struct site_conf *conf)
{
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, WIRE_BUFFER);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, WIRE_BUFFER);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, WIRE_IDLE_MAX_S);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)conf->connect_timeout_ms);
	curl_easy_setopt(easy, CURLOPT_PROXY, conf->proxy ? conf->proxy : "");
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "globalfs/" PACKAGE_VERSION);
	if (conf->ca_file && *conf->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, conf->ca_file);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, conf->tls_verify ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, conf->tls_verify ? 2L : 0L);
}

static int set_target(struct s3_req *rq)
{
	struct strbuf url = STRBUF_INIT;
	CURLcode code = CURLE_OUT_OF_MEMORY;

	strbuf_adds(&url, rq->site->origin);
	strbuf_add_slice(&url, strbuf_slice(&rq->path));
	if (rq->query.n > 0) {
		strbuf_addc(&url, '?');
		strbuf_add_slice(&url, strbuf_slice(&rq->query));
	}
	if (!strbuf_failed(&url))
		code = curl_easy_setopt(rq->easy, CURLOPT_URL, strbuf_str(&url));
	strbuf_free(&url);
	return code ? GFS_ERR_NOMEM : 0;
}

static void set_method(struct s3_req *rq)
{
	if (rq->streaming) {
		curl_easy_setopt(rq->easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(rq->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)rq->stream_size);
	} else if (strcmp(rq->method, "HEAD") == 0) {
		curl_easy_setopt(rq->easy, CURLOPT_NOBODY, 1L);
		return;
	} else if (rq->text.n > 0 || strcmp(rq->method, "POST") == 0 || strcmp(rq->method, "PUT") == 0) {
		curl_easy_setopt(rq->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->text.n);
		curl_easy_setopt(rq->easy, CURLOPT_POSTFIELDS, strbuf_str(&rq->text)); /* borrowed */
	}
	if (strcmp(rq->method, "GET") != 0)
		curl_easy_setopt(rq->easy, CURLOPT_CUSTOMREQUEST, rq->method);
}

int s3_wire_setup(struct s3_req *rq)
{
	struct s3_site *site = rq->site;
	int err;

	rq->outq = -1;
	if (strbuf_failed(&rq->path) || strbuf_failed(&rq->query) || strbuf_failed(&rq->headers) || strbuf_failed(&rq->text))
		return GFS_ERR_NOMEM;
	rq->easy = site->n_idle > 0 ? site->idle[--site->n_idle] : curl_easy_init();
	if (!rq->easy)
		return GFS_ERR_NOMEM;
	set_site_options(rq->easy, &site->site.conf);
	curl_easy_setopt(rq->easy, CURLOPT_ERRORBUFFER, rq->curl_text);
	err = set_target(rq);
	if (!err)
		err = sign_request_head(rq);
	if (err)
		return err;
	set_method(rq);
	curl_easy_setopt(rq->easy, CURLOPT_HTTPHEADER, rq->list);
	return 0;
}

void s3_wire_release(struct s3_req *rq)
{
	struct s3_site *site = rq->site;

	if (rq->easy) {
		curl_easy_reset(rq->easy);
		if (site->n_idle < S3_IDLE_HANDLES)
			site->idle[site->n_idle++] = rq->easy;
		else
			curl_easy_cleanup(rq->easy);
		rq->easy = NULL;
	}
	curl_slist_free_all(rq->list);
	rq->list = NULL;
}

int s3_wire_error(CURLcode code, bool connected)
{
	switch (code) {
	case CURLE_OUT_OF_MEMORY:
		return GFS_ERR_NOMEM;
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
		return GFS_ERR_CONNECT;
	case CURLE_OPERATION_TIMEDOUT:
		return GFS_ERR_TIMEOUT;
	case CURLE_URL_MALFORMAT:
	case CURLE_FAILED_INIT:
	case CURLE_BAD_FUNCTION_ARGUMENT:
		return GFS_ERR_INTERNAL;
	default:
		/* before the request was sent: TLS and proxy failures */
		return connected ? GFS_ERR_SITE_ERROR : GFS_ERR_CONNECT;
	}
}
