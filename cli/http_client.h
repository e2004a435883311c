/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP API as gfsctl uses it: one blocking libcurl handle, kept alive over the calls of one run. Bodies stream through
 * callbacks; what is kept in memory (JSON answers, error texts) is bounded.
 */
#ifndef GFSCTL_HTTP_CLIENT_H
#define GFSCTL_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/strbuf.h"

#define HTTP_KEPT_MAX (64u << 20)

struct http;

struct http_header {
	char *name, *value; /* name lower case */
};

struct http_answer {
	long status;           /* 0: none came */
	struct http_header *headers;
	size_t n_headers;
	struct strbuf body;    /* unless it went to the sink */
	int64_t content_length; /* -1: not told */
};

struct http_request {
	const char *method, *path; /* path with query, percent-encoded */
	const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
	struct slice body;          /* a small body; or: */
	/* Fills buf; returns the bytes, 0 at the end, or -1 to give up. */
	long (*source)(void *arg, void *buf, size_t cap);
	int64_t source_size;        /* -1: unknown, sent chunked */
	/* Takes bytes of a 200 or 206 answer, whose head is complete; false gives up. NULL: kept in answer->body. */
	bool (*sink)(void *arg, const struct http_answer *answer, const void *p, size_t n);
	void (*progress)(void *arg, int64_t done, int64_t total);
	void *arg;
};

/* base: "http://host:port", or "host:port". api_key may be NULL. 0, or GFS_ERR_USAGE with a sentence. */
int http_open(const char *base, const char *api_key, struct http **out, char *why, size_t cap) GFS_MUST_USE;
void http_close(struct http **h);
const char *http_base(const struct http *h);

/* 0 when a whole answer came, whatever its status. GFS_ERR_CONNECT: nothing was reached; GFS_ERR_IO: the connection was lost in
 * the middle; GFS_ERR_CANCELLED: a callback gave up. http_why() has the sentence. The caller frees answer in every case. */
int http_send(struct http *h, const struct http_request *req, struct http_answer *answer) GFS_MUST_USE;
const char *http_why(const struct http *h);
void http_answer_free(struct http_answer *answer);
const char *http_header(const struct http_answer *answer, const char *name); /* NULL when absent */
/* What an answer that is not a success says: the API's "error", or the first line of its text, or the status' meaning. */
void http_error_text(const struct http_answer *answer, struct strbuf *out);

/* Percent-encodes everything but unreserved characters (RFC 3986) and those in keep. */
void url_encode(struct strbuf *out, struct slice text, const char *keep);

#endif
