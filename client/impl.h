/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside libglobalfs: the handle, one HTTP call, and memory that lives until the next call. Nothing here ends the process, prints
 * or logs; every allocation may fail. Names begin with gfsc_: the static library shares its user's name space.
 */
#ifndef GLOBALFS_IMPL_H
#define GLOBALFS_IMPL_H

#include <curl/curl.h>
#include <jansson.h>
#include <stdbool.h>

#include "client/buf.h"
#include "client/globalfs.h"

struct gfsc_header {
	char *name, *value; /* name in lower case */
};

struct globalfs {
	CURL *curl;
	char *url, *api_key, *user_agent, *ca_file;
	long timeout_ms, stall_ms;
	globalfs_progress_cb *progress;
	void *progress_arg;
	bool busy; /* within a call: its callbacks cannot make another */

	/* the last call */
	struct globalfs_error error;
	char message[512], curl_text[CURL_ERROR_SIZE];
	struct gfsc_header *headers;
	size_t n_headers;
	struct gfsc_buf body;
	json_t *doc;    /* what results borrow their texts from */
	void **kept;    /* freed when the next call begins */
	size_t n_kept;
	struct globalfs_object object;
	struct globalfs_list_result list;
	struct globalfs_where where;
	struct globalfs_info info;
};

struct gfsc_call {
	const char *method;
	const struct gfsc_buf *path;       /* with query, percent-encoded */
	struct curl_slist *headers;        /* freed by gfsc_perform() */
	bool failed;                       /* a header could not be added */
	const char *json;                  /* a small body; or: */
	globalfs_source_cb *source;
	curl_seek_callback seek;           /* NULL: source cannot begin anew */
	int64_t source_size, sent;
	int (*sink)(struct globalfs *h, void *arg, const void *p, size_t n); /* of a 2xx answer; 0 or the code to end with */
	void *arg;                         /* of source, seek and sink */
	bool is_transfer;                  /* bounded by progress, not by time */
	struct globalfs *h;
	int gave_up;                       /* code that a callback ended the call with */
};

/* Forgets the last call. GLOBALFS_ERR_USAGE within another call. */
int gfsc_begin(struct globalfs *h);
/* Sets the error's code and sentence; returns code. */
int gfsc_fail(struct globalfs *h, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Takes p (NULL: out of memory) for the time until the next call; returns it, or NULL. */
void *gfsc_keep(struct globalfs *h, void *p);

/* "Name: value", percent-free text without control characters; NULL value: nothing. false: call->failed. */
void gfsc_add_header(struct gfsc_call *call, const char *name, const char *value);
/* Sends call; returns 0 for a whole 2xx answer, else the code, with the error filled in. Once only for each gfsc_begin() but in
 * a list, which goes on. */
int gfsc_perform(struct globalfs *h, struct gfsc_call *call);
/* gfsc_perform() and the body as JSON in h->doc. */
int gfsc_document(struct globalfs *h, struct gfsc_call *call);
/* A small call from begin to end; json (may be NULL) is freed. */
int gfsc_ask(struct globalfs *h, const char *method, struct gfsc_buf *path, char *json, bool wants_document);

/* "/api/v1/objects/KEY" or another place of one key or name. GLOBALFS_ERR_USAGE for none. */
int gfsc_path(struct globalfs *h, struct gfsc_buf *path, const char *place, const char *name, const char *keep);
/* An ETag as a condition: in quotes, unless it is "*" or has them. NULL for NULL, or out of memory. */
char *gfsc_quoted(const char *etag);

/* Fields of a JSON object: "" or -1 when it has none of that name and kind. */
const char *gfsc_text(const json_t *object, const char *name);
int64_t gfsc_number(const json_t *object, const char *name);
double gfsc_real(const json_t *object, const char *name);
int gfsc_flag(const json_t *object, const char *name); /* 1, 0, -1 */

#endif
