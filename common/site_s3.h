/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the S3 site only (site_s3*.c): the site's own struct, one HTTP exchange with the store (struct s3_req), and what the
 * operations share. An exchange outlives the operation that began it for as long as curl holds its handle; the operation only
 * drops its pointer.
 */
#ifndef GFS_SITE_S3_H
#define GFS_SITE_S3_H

#include <curl/curl.h>
#include <sys/queue.h>

#include "s3/creds.h"
#include "s3/sign.h"
#include "s3/xml.h"
#include "site_impl.h"
#include "strbuf.h"

struct event;

#define S3_IDLE_HANDLES 16
#define S3_REASON_MAX 512
#define S3_META_PREFIX "x-amz-meta-"
#define S3_GEN_HEADER "x-amz-meta-gfs-gen"

struct s3_req;
TAILQ_HEAD(s3_req_list, s3_req);

struct s3_site {
	struct site site;
	struct s3_creds *creds;
	char *origin;    /* scheme, host, port: "http://127.0.0.1:9000" */
	char *host;      /* as in the Host field */
	char *base_path; /* before every key: "", "/bucket" */
	char *region;
	int64_t skew_ms; /* the store's clock less ours, learnt when it refused a signature for its time */
	bool clock_known; /* the store has taken a signature of ours */
	unsigned active;
	struct s3_req_list waiting; /* for one of max_connections */
	CURL *idle[S3_IDLE_HANDLES];
	unsigned n_idle;
};

static inline struct s3_site *s3_site_of(struct site *site)
{
	return (struct s3_site *)site; /* the first member */
}

/* What an answer's head says. */
struct s3_resp {
	int status; /* 0: no answer */
	int64_t content_length; /* -1: not said */
	bool has_range; /* Content-Range; first > last: "bytes * / SIZE" */
	uint64_t range_first, range_last, range_size;
	int64_t mtime_ms, date_ms; /* 0: not said */
	unsigned retry_after_s;
	char etag[ETAG_MAX], gen_tag[GEN_TAG_MAX], region[64];
	char *content_type;
	struct meta meta;
};
void s3_resp_reset(struct s3_resp *r);
/* One line of a head, with or without its end. A status line begins the answer anew (after 100 Continue). */
void s3_resp_line(struct s3_resp *r, struct slice line);
/* The object that the head describes; out is to be freed. size: as the caller worked it out. */
void s3_resp_info(const struct s3_resp *r, struct slice key, uint64_t size, const char *site_name, struct object_info *out);

struct s3_req_cbs {
	/* A 2xx answer began. Return false after s3_req_fail(). NULL: the body is collected in rq->body. */
	bool (*head)(void *arg, struct s3_req *rq);
	/* With head: body bytes. Return false to pause until s3_req_resume(). */
	bool (*data)(void *arg, const void *p, size_t n);
	/* The body of s3_req_stream(): returns how many bytes it put into buf; 0 = none now, until s3_req_resume(). */
	size_t (*feed)(void *arg, char *buf, size_t cap);
	/* The body must be sent again from its begin: false when it cannot. */
	bool (*rewind)(void *arg);
	/* The end, from the loop, never inside s3_req_start(). The request is freed when this returns. */
	void (*done)(void *arg, struct s3_req *rq);
};

enum s3_phase { S3_NEW, S3_WAITING, S3_RUNNING, S3_ENDED };

struct s3_req {
	TAILQ_ENTRY(s3_req) link; /* in site->waiting */
	struct s3_site *site;
	const struct s3_req_cbs *cbs;
	void *arg;
	enum s3_phase phase;
	bool dead; /* cancelled: no callback any more */
	bool counted, retried, streaming, ending;
	bool in_curl; /* the loop holds the handle */
	bool hung_up; /* taken out because the store closed the connection; ends soon */
	struct s3_req *look; /* a HEAD of the bucket that goes before it */
	int refused; /* by ourselves while it was built */
	/* the request */
	const char *method;
	struct strbuf path, query, text;
	struct strbuf headers; /* "Name: value\n" each */
	uint64_t stream_size, fed;
	CURL *easy;
	struct curl_slist *list;
	int64_t signed_ms;
	/* progress */
	struct event *timer;
	int64_t begun_ms, progress_ms;
	int outq;
	unsigned sent; /* times; curl sends again by itself when a connection that was idle dies without an answer */
	bool connected, head_done, send_paused, recv_paused, curl_recv_paused;
	/* the result */
	struct s3_resp resp;
	struct strbuf body;
	struct s3xml_error xml;
	int err; /* GFS_OK after a 2xx answer that came whole */
	char reason[S3_REASON_MAX];
	char curl_text[CURL_ERROR_SIZE];
};

/* Builds a request; nothing is sent before s3_req_start(). key: of ours, without the site's prefix; NULL = the bucket. */
struct s3_req *s3_req_new(struct s3_site *site, const char *method, const struct slice *key, const struct s3_req_cbs *cbs,
                          void *arg);
/* Refuses a key that key_check() does not allow; flags: SITE_RESERVED. */
void s3_req_check_key(struct s3_req *rq, struct slice key, unsigned flags);
void s3_req_param(struct s3_req *rq, const char *name, struct slice value);
void s3_req_header(struct s3_req *rq, const char *name, struct slice value);
void s3_req_stream(struct s3_req *rq, uint64_t size);
/* urgent: does not wait for one of max_connections (the completing acts, which others may be waiting for). */
void s3_req_start(struct s3_req *rq, bool urgent);
void s3_req_resume(struct s3_req *rq);
/* From inside the request's own callbacks: ends it with this error. */
void s3_req_fail(struct s3_req *rq, int err, const char *fmt, ...) GFS_PRINTF(3, 4);
void s3_req_cancel(struct s3_req **rq); /* from anywhere */
/* After done with an error: may a mutation have taken effect all the same? */
bool s3_req_may_have_acted(const struct s3_req *rq);
/* site_result of an ended request, borrowing its reason. */
struct site_result s3_req_result(const struct s3_req *rq, bool mutation);

/* What the end of an exchange means (site_s3_judge.c). */
void s3_judge(struct s3_req *rq, CURLcode code); /* fills in err, reason, xml and connected */
bool s3_refused_for_time(const struct s3_req *rq); /* the store minded our clock, and told its own */
void s3_req_reason(struct s3_req *rq, const char *fmt, ...) GFS_PRINTF(2, 3);
static inline bool s3_is_success(int status)
{
	return status >= 200 && status < 300;
}

/* The part of a request that is no protocol: curl's handle (site_s3_wire.c). */
int s3_wire_setup(struct s3_req *rq) GFS_MUST_USE; /* 0 or an error with rq->reason; makes rq->easy, signs */
void s3_wire_release(struct s3_req *rq); /* gives the handle back; curl must not hold it */
int s3_wire_error(CURLcode code, bool connected);

/* Aborts a multipart upload in the background, a few times if need be. */
void s3_abort_upload(struct s3_site *site, struct slice key, const char *upload_id);

/* The operations. */
struct site_get *s3_get(struct site *site, const struct site_get_req *req, const struct site_get_cbs *cbs, void *arg);
void s3_get_resume(struct site_get *op);
void s3_get_cancel(struct site_get *op);
struct site_op *s3_head(struct site *site, struct slice key, unsigned flags, site_head_cb *cb, void *arg);
struct site_op *s3_list(struct site *site, const struct site_list_req *req, site_list_cb *cb, void *arg);
struct site_op *s3_probe(struct site *site, site_probe_cb *cb, void *arg);
void s3_op_cancel(struct site_op *op);
void s3_delete(struct site *site, struct slice key, unsigned flags, site_done_cb *cb, void *arg);
void s3_claim(struct site *site, site_done_cb *cb, void *arg);
struct site_put *s3_put(struct site *site, const struct site_put_req *req, const struct site_put_cbs *cbs, void *arg);
void s3_put_write(struct site_put *op, const void *p, size_t n);
void s3_put_end(struct site_put *op);
void s3_put_complete(struct site_put *op, const char *etag, bool has_crc64, uint64_t crc64);
void s3_put_abort(struct site_put *op);

/* First members of every handle behind struct site_op, so that one cancel serves all. */
struct s3_op {
	struct site_op base;
	struct s3_req *rq;
	void (*free)(struct s3_op *op);
};

#endif
