/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the S3 site's put only: its handle, shared by site_s3_put.c (the caller's side and single PUTs), site_s3_parts.c
 * (multipart uploads) and site_s3_spool.c. */
#ifndef GFS_SITE_S3_PUT_H
#define GFS_SITE_S3_PUT_H

#include "site_s3.h"

#define S3_PARTS_MAX 10000
#define SPOOL_BUFFER (128 * 1024)

enum put_mode {
	PUT_SPOOLING, /* size unknown, all of it may still fit into one part */
	PUT_SINGLE,   /* one PUT, its last byte held back */
	PUT_EMPTY,    /* one PUT without a body, held back whole */
	PUT_PARTS,    /* multipart */
};

struct s3_spool;

struct s3_putting {
	struct site_put base;
	struct site_put_cbs cbs;
	void *arg;
	char *key;
	size_t key_n;
	char *content_type;
	struct meta meta;
	char gen_tag[GEN_TAG_MAX];
	unsigned flags;
	uint64_t part_size;
	int64_t size;     /* -1: unknown so far */
	uint64_t written; /* accepted from the caller */
	enum put_mode mode;
	struct event *kick; /* callbacks run from here */
	bool tell_ready, tell_prepared, must_fail;
	bool writing;     /* the caller's buffer is ours */
	bool ended, prepared, completing, detached;
	int fail_err, fail_status;
	unsigned fail_retry_after_s;
	bool fail_connected;
	char fail_reason[S3_REASON_MAX];
	/* where the body of the running exchange comes from: the caller's buffer, the spool's, or the byte held back */
	const char *src;
	size_t src_n;
	const char *first_src; /* at the exchange's begin, while nothing since has replaced it */
	size_t first_src_n;
	char held;
	bool holding;     /* the last byte of a single PUT has not been released */
	bool asked;       /* curl asked for body: the head is on its way */
	struct s3_req *rq;
	uint64_t body_len, body_fed; /* of the running exchange */
	/* multipart */
	char *upload_id;
	bool creating;
	char (*part_etags)[ETAG_MAX];
	unsigned n_parts, cap_parts;
	uint64_t parts_len; /* bytes in finished parts */
	/* unknown size */
	struct s3_spool *spool;
	const char *rest; /* of the caller's buffer, not yet in the spool */
	size_t rest_n;
	char etag[ETAG_MAX]; /* the caller's, at complete */
};

static inline struct slice put_key(const struct s3_putting *p)
{
	return slice_of(p->key, p->key_n);
}

/* site_s3_put.c */
void put_fail(struct s3_putting *p, int err, const char *fmt, ...) GFS_PRINTF(3, 4); /* reports later; before completing only */
void put_fail_from(struct s3_putting *p, const struct s3_req *rq); /* likewise, with the exchange's reason */
void put_ready(struct s3_putting *p);
void put_prepared(struct s3_putting *p);
void put_finish(struct s3_putting *p, const struct site_result *r, const char *etag); /* reports now */
void put_judge_etag(struct s3_putting *p, struct s3_req *rq, const char *etag, struct site_result *r);
void put_add_headers(const struct s3_putting *p, struct s3_req *rq);
void put_exchange_begin(struct s3_putting *p, uint64_t body_len); /* the feed's counters for a new body */
size_t put_feed(void *arg, char *buf, size_t cap);
bool put_rewind(void *arg);
void put_start_single(struct s3_putting *p, uint64_t size);
void put_detached_end(struct s3_putting *p); /* frees a handle that its caller has left */

/* site_s3_parts.c */
void parts_begin(struct s3_putting *p);   /* Create */
void parts_advance(struct s3_putting *p); /* begins the next part when there is something for it, or reports prepared */
void parts_complete(struct s3_putting *p);
void parts_drop(struct s3_putting *p);    /* aborts what was created */

/* site_s3_spool.c */
int spool_open(struct s3_putting *p);
void spool_close(struct s3_spool **spool);
void spool_take(struct s3_putting *p);    /* goes on with the rest of the caller's buffer */
uint64_t spool_held(const struct s3_spool *spool);
bool spool_rewind(struct s3_spool *spool); /* what is held will be read from its begin; false while it is being read */
void spool_clear(struct s3_spool *spool);
void spool_read(struct s3_putting *p);    /* fetches the next piece for the feed */
void spool_ended(struct s3_putting *p);   /* the caller has written all */

#endif
