/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4 for S3, both sides of it: S3 sites sign with it, the S3 door verifies with it. Pure; the source is
 * the S3 API Reference, "Authenticating Requests (AWS Signature Version 4)". Paths and queries are taken as they are on the wire;
 * the canonical form is made here (S3 decodes and encodes a path once, and never normalises its segments).
 */
#ifndef GFS_S3_SIGN_H
#define GFS_S3_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../slice.h"
#include "../strbuf.h"

#define SIGN_UNSIGNED "UNSIGNED-PAYLOAD"
#define SIGN_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SIGN_HEX_MAX 65           /* 64 hex digits, NUL */
#define SIGN_TIME_MAX 17          /* "20130524T000000Z", NUL */
#define SIGN_SKEW_MAX_MS (15 * 60 * 1000)

struct sign_header {
	struct slice name, value; /* name in any case; value as on the wire */
};

struct sign_request {
	struct slice method;       /* "GET" */
	struct slice path;         /* percent-encoded, begins with '/' */
	struct slice query;        /* without '?'; may be empty */
	struct slice payload_hash; /* hex SHA-256, SIGN_UNSIGNED, or a STREAMING-... constant */
	const struct sign_header *headers;
	size_t n_headers;
};

struct sign_keys {
	struct slice access_key, secret_key, session_token; /* token empty when there is none */
	struct slice region;
};

void sign_time_format(int64_t ms, char buf[SIGN_TIME_MAX]);
int sign_time_parse(struct slice text, int64_t *ms_out) GFS_MUST_USE;
void sign_sha256_hex(const void *p, size_t n, char hex[SIGN_HEX_MAX]);

/* The steps, for tests and for whoever needs one alone. signed_headers: "host;x-amz-date", the names in the order given. */
void sign_header_names(const struct sign_request *rq, struct strbuf *out); /* all of rq's, lower case, sorted, once each */
void sign_canonical_request(const struct sign_request *rq, struct slice signed_headers, struct strbuf *out);
void sign_string_to_sign(struct slice date_time, struct slice region, struct slice canonical_request, struct strbuf *out);
void sign_signing_key(struct slice secret_key, struct slice date8, struct slice region, unsigned char key[32]);
/* 64 hex digits. */
void sign_signature(const struct sign_request *rq, struct slice signed_headers, const struct sign_keys *keys,
                    struct slice date_time, struct strbuf *out);

/* The value of Authorization for rq, all of whose headers are signed; they must hold host, x-amz-date (of date_time),
 * x-amz-content-sha256, and x-amz-security-token when there is a token. */
void sign_authorization(const struct sign_request *rq, const struct sign_keys *keys, struct slice date_time, struct strbuf *out);
/* A presigned query: rq's query with all X-Amz-... parameters added. rq's headers (host at least) are signed. */
void sign_presign(const struct sign_request *rq, const struct sign_keys *keys, struct slice date_time, uint32_t expires_s,
                  struct strbuf *out);

/* ---- the verifying side ---- */
struct sign_auth {
	struct slice access_key, date8, region, service, signed_headers, signature; /* borrow the parsed text or store */
	struct slice date_time, session_token;
	uint32_t expires_s; /* of a presigned query */
	bool presigned;
	struct strbuf store;
};

enum sign_verdict { SIGN_OK, SIGN_MALFORMED, SIGN_MISMATCH, SIGN_SKEWED, SIGN_EXPIRED };

/* Authorization: "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...". date_time: of x-amz-date; borrowed. */
int sign_auth_parse(struct slice authorization, struct slice date_time, struct sign_auth *out) GFS_MUST_USE;
/* From a presigned query. 0, or GFS_ERR_INVALID when it is not one or is malformed. sign_auth_free() it in any case. */
int sign_auth_parse_query(struct slice query, struct sign_auth *out) GFS_MUST_USE;
void sign_auth_free(struct sign_auth *auth);
/* rq holds all headers of the request. The comparison takes the same time for any signature. */
enum sign_verdict sign_verify(const struct sign_request *rq, const struct sign_auth *auth, struct slice secret_key, int64_t now_ms);

#endif
