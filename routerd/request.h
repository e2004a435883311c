/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request and its response, as the operations (op_*.c) and front doors (rest_api.c ...) see them. conn.c owns it: it is
 * made when a head is complete and freed when the response has gone out and on_done has run. Requests of one connection run one
 * after another (pipelined ones wait in the input buffer).
 *
 * Life: front door picks a handler -> handler sets callbacks -> body is pulled -> response is pushed -> response_end().
 * If the client goes away first, on_abort runs once (the handler cancels what it started) and the request is gone after it.
 * A handler that answers before it has read the body need not care: conn.c drains a little, or closes.
 */
#ifndef GFS_REQUEST_H
#define GFS_REQUEST_H

#include "common/conf/conf.h"
#include "common/http/head.h"
#include "common/stats.h"

struct conn;
struct request;
struct worker;

#define REQUEST_ID_MAX 64

struct request {
	struct worker *worker;
	struct conn *conn;
	struct http_head head;      /* borrows from the connection; valid for the request's life */
	char id[REQUEST_ID_MAX + 1]; /* the client's X-Request-ID when it is 1 to 64 of [A-Za-z0-9._-], else 16 hex digits */
	int64_t start_us;
	/* the handler's */
	void *op;
	void (*on_abort)(struct request *req); /* the client is gone; req is freed after it returns */
	void (*on_drain)(struct request *req); /* the output fell below the low mark after response_write() had returned false */
	bool ends_with_client; /* a client that shuts its side before the answer has begun is gone: there is nobody to work for */
	/* for the access log and stats; set by the handler */
	int stat_ok, stat_err, stat_time; /* enum stat_id, or -1 */
	const char *op_name;              /* "get"; static */
	char site[160];                   /* that answered; several, in order, when one took over from another */
	/* conn.c's */
	int status;
	uint64_t body_in, body_out;
	bool responded;
};

/* ---- the request's body ---- */
/* Reads into buf until cap bytes are there or the body ends; cb runs from the loop or before this returns (then the caller must be
 * ready for it: set your state first). n may be short only at the end; end = true with the last bytes (n may be 0).
 * err < 0: GFS_ERR_INVALID (bad framing), GFS_ERR_TIMEOUT (below the minimum rate): answer an error and the connection closes.
 * Sends "100 Continue" by itself at the first call. One read at a time. */
typedef void request_body_cb(struct request *req, int err, size_t n, bool end);
void request_read_body(struct request *req, void *buf, size_t cap, request_body_cb *cb);
static inline int64_t request_body_length(const struct request *req) /* -1: chunked */
{
	return req->head.chunked ? -1 : (req->head.content_length < 0 ? 0 : req->head.content_length);
}

/* ---- the response ---- */
/* headers: complete "Name: value\r\n" lines, without Content-Length, Date, Connection, X-Request-ID, which are added here.
 * length < 0: chunked (or until close for HTTP/1.0). For HEAD, 204 and 304 no body may follow. */
void response_start(struct request *req, int status, struct slice headers, int64_t length);
/* Copies. False: above the high mark (256 KiB), wait for on_drain. */
bool response_write(struct request *req, const void *p, size_t n);

struct response_file {
	int fd;           /* taken */
	uint64_t off, len;
	int64_t stall_ms; /* a disk that does not give a byte for so long has failed */
	/* When all of it has gone to the socket (left 0), or the file broke off: it could not be read, or became shorter. Then the
	 * response goes on: with more bytes, another file, or its end. Runs from the loop or before response_send_file() returns. */
	void (*done)(struct request *req, uint64_t left);
};
/* A range of a regular file goes out by sendfile (blocks read ahead on the pool when they are not resident). Only with a known
 * length. Nothing else is sent until done() has run. req may be gone when it returns. */
void response_send_file(struct request *req, const struct response_file *file);
void response_end(struct request *req); /* req may be gone when it returns */
/* The body cannot be completed: the connection is cut, so that the client sees it. req is gone when it returns. */
void response_cut(struct request *req);

/* Whole responses. req may be gone when they return. */
void response_text(struct request *req, int status, const char *text);
void response_json(struct request *req, int status, struct slice headers, struct slice json);
/* {"error":"..."} with the status of error.def; text NULL = gfs_err_text(err). retry_after_s 0 = no Retry-After. */
void response_error(struct request *req, int err, const char *text);
void response_error_headers(struct request *req, int err, const char *text, struct slice headers);
void response_status_error(struct request *req, int status, const char *text);

#endif
