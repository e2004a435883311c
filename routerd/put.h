/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One PUT on its way (architecture 5), shared by op_put.c (its beginning and its end), put_body.c (bytes) and put_commit.c (the
 * completing acts). It outlives its request when the client goes away after FINALISE has been asked for, and it outlives its own
 * end for as long as the pool still hashes from its buffer.
 */
#ifndef GFS_PUT_H
#define GFS_PUT_H

#include "common/etag.h"
#include "common/http/fields.h"
#include "common/key.h"

#include "candidates.h"
#include "find.h"
#include "ops.h"

#define PUT_BUF_BYTES (256u << 10)
/* Below this many bytes a trip to the pool costs more than hashing. */
#define PUT_INLINE_HASH_BYTES (16u << 10)

enum put_state {
	PUT_BEGINNING,  /* waits for BEGUN, then perhaps for a condition */
	PUT_STREAMING,  /* body in, body out */
	PUT_PREPARING,  /* every site does all but the completing act */
	PUT_FINALISING, /* waits for GRANTED; from here on it runs to its end */
	PUT_COMPLETING,
	PUT_STATES
};

enum put_site_state {
	PUT_SITE_STARTING, /* not ready for bytes */
	PUT_SITE_READY,
	PUT_SITE_WRITING,
	PUT_SITE_PREPARING,
	PUT_SITE_PREPARED,
	PUT_SITE_COMPLETING,
	PUT_SITE_ENDED,
};

struct put;
struct etag_calc;

struct put_site {
	struct put *put;
	uint32_t id;
	char name[SITE_NAME_MAX];
	struct site_put *h;
	enum put_site_state state;
	enum site_outcome outcome;
	bool repeated;
	int err;
	char why[160];
	bool finalised; /* one of the sites that FINALISE named as ours to complete */
};

struct put_buf {
	char *p;
	size_t n;
	enum { PUT_BUF_EMPTY, PUT_BUF_READING, PUT_BUF_FULL, PUT_BUF_SENDING } state;
};

struct put {
	struct request *req; /* NULL: the client has gone */
	struct worker *w;
	enum put_state state;
	char key[KEY_MAX];
	size_t key_n;
	char id[REQUEST_ID_MAX + 1];
	struct targets targets;
	struct repld_write *write;
	struct gen gen;
	struct find *find;
	struct http_conditions conditions;
	bool conditional;
	/* what is stored */
	char *content_type;
	struct meta meta;
	int64_t length; /* -1: unknown */
	uint64_t part_size;
	bool has_md5;
	unsigned char md5[16]; /* what the client says it is */
	/* body */
	struct put_buf buf[2];
	size_t buf_bytes;
	unsigned reading, sending; /* which buffer is next */
	bool ended;
	uint64_t total;
	struct etag_calc *calc;
	void *md5_ctx; /* EVP_MD_CTX, only with has_md5 */
	bool hashing, stepping;
	char etag[ETAG_MAX];
	uint64_t crc64;
	/* sites */
	struct put_site sites[ROUTE_MAX];
	size_t n_sites;
	unsigned hold; /* frames on the stack that still need it */
	bool dead;
};

static inline struct slice put_key(const struct put *p)
{
	return slice_of(p->key, p->key_n);
}
/* op_put.c */
void put_give_up(struct put *p, int err, const char *text); /* nothing has been finalised: undo all, answer */
void put_answer(struct put *p);                          /* 201 */
void put_answer_error(struct put *p, int err, const char *text);
void put_end(struct put *p); /* frees it as soon as nobody holds it; sites and write are let go of */
static inline void put_hold(struct put *p)
{
	p->hold++;
}
void put_release(struct put *p);
void put_set_state(struct put *p, enum put_state state);
/* The sites go on without s, or the put fails: before FINALISE only. */
void put_site_lost(struct put_site *s, const struct site_result *r);
/* put_body.c */
void put_body_start(struct put *p); /* all sites are started */
void put_body_site_ready(struct put *p);
void put_body_free(struct put *p);
/* put_commit.c */
void put_prepare(struct put *p); /* the body has ended, ETag and checksum are known */
void put_check_prepared(struct put *p);
void put_site_completed(struct put_site *s, const struct site_result *r);
/* The error that a client may see of a site's: never a 404 or 400 that is about the site's own affairs. */
int put_site_error(int err);

#endif
