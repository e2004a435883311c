/* SPDX-License-Identifier: Apache-2.0 */
/* Signature Version 4: the examples of the S3 API Reference, canonical forms, and that the verifying side agrees with
 * the signing. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "common/s3/sign.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define ACCESS "AKIAIOSFODNN7EXAMPLE"
#define DATE "20130524T000000Z"
#define DATE_MS INT64_C(1369353600000)
#define HOST "examplebucket.s3.amazonaws.com"
#define H(n, v) {SLICE_LIT(n), SLICE_LIT(v)}

static const struct sign_keys keys = {
	.access_key = SLICE_LIT(ACCESS), .secret_key = SLICE_LIT(SECRET), .region = SLICE_LIT("us-east-1")};

struct example {
	const char *method, *path, *query, *hash;
	struct sign_header headers[5];
	const char *names, *signature;
};

static const struct example examples[] = {
	{"GET", "/test.txt", "", SIGN_EMPTY_SHA256,
	 {H("Host", HOST), H("Range", "bytes=0-9"), H("x-amz-content-sha256", SIGN_EMPTY_SHA256), H("x-amz-date", DATE)},
	 "host;range;x-amz-content-sha256;x-amz-date", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
	{"PUT", "/test$file.text", "", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
	 {H("Date", "Fri, 24 May 2013 00:00:00 GMT"), H("Host", HOST), H("x-amz-date", DATE),
	  H("x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
	  H("x-amz-storage-class", "REDUCED_REDUNDANCY")},
	 "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	 "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
	{"GET", "/", "lifecycle", SIGN_EMPTY_SHA256, {H("Host", HOST), H("x-amz-content-sha256", SIGN_EMPTY_SHA256),
	     H("x-amz-date", DATE)},
	 "host;x-amz-content-sha256;x-amz-date", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
	{"GET", "/", "max-keys=2&prefix=J", SIGN_EMPTY_SHA256,
	 {H("Host", HOST), H("x-amz-content-sha256", SIGN_EMPTY_SHA256), H("x-amz-date", DATE)},
	 "host;x-amz-content-sha256;x-amz-date", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static struct sign_request request_of(const struct example *e)
{
	struct sign_request rq = {.method = slice_str(e->method), .path = slice_str(e->path), .query = slice_str(e->query),
	                          .payload_hash = slice_str(e->hash), .headers = e->headers};

	while (rq.n_headers < 5 && e->headers[rq.n_headers].name.p)
		rq.n_headers++;
	return rq;
}

Test(s3_sign, documented_examples)
{
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		struct sign_request rq = request_of(&examples[i]);
		struct strbuf sb = STRBUF_INIT;
		char want[512];

		snprintf(want, sizeof(want), "AWS4-HMAC-SHA256 Credential=" ACCESS "/20130524/us-east-1/s3/aws4_request,SignedHeaders=%s,"
		         "Signature=%s", examples[i].names, examples[i].signature);
		sign_authorization(&rq, &keys, SLICE_LIT(DATE), &sb);
		cr_assert_str_eq(strbuf_str(&sb), want, "example %zu: %s", i, strbuf_str(&sb));
		strbuf_free(&sb);
	}
}

Test(s3_sign, documented_presigned_example)
{
	static const struct sign_header host[] = {H("host", HOST)};
	struct sign_request rq = {.method = SLICE_LIT("GET"), .path = SLICE_LIT("/test.txt"),
	     .payload_hash = SLICE_LIT(SIGN_UNSIGNED),
	                          .headers = host, .n_headers = 1};
	struct strbuf sb = STRBUF_INIT;

	sign_presign(&rq, &keys, SLICE_LIT(DATE), 86400, &sb);
	cr_assert_str_eq(strbuf_str(&sb), "X-Amz-Algorithm=AWS4-HMAC-SHA256"
	     "&X-Amz-Credential=" ACCESS "%2F20130524%2Fus-east-1%2Fs3%2F"
	                 "aws4_request&X-Amz-Date=" DATE "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
	                 "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
	strbuf_free(&sb);
}

static void canonical_is(const char *path, const char *query, const char *want_path, const char *want_query)
{
	static const struct sign_header headers[] = {H("X-B", "  a   b  "), H("Host", "h"), H("x-b", "c")};
	struct sign_request rq = {.method = SLICE_LIT("GET"), .path = slice_str(path), .query = slice_str(query),
	                          .payload_hash = SLICE_LIT("X"), .headers = headers, .n_headers = 3};
	struct strbuf sb = STRBUF_INIT, names = STRBUF_INIT;
	char want[512];

	snprintf(want, sizeof(want), "GET\n%s\n%s\nhost:h\nx-b:a b,c\n\nhost;x-b\nX", want_path, want_query);
	sign_header_names(&rq, &names);
	cr_assert_str_eq(strbuf_str(&names), "host;x-b");
	sign_canonical_request(&rq, strbuf_slice(&names), &sb);
	cr_assert_str_eq(strbuf_str(&sb), want);
	strbuf_free(&sb);
	strbuf_free(&names);
}

Test(s3_sign, canonical_forms)
{
	canonical_is("", "", "/", "");
	canonical_is("/b/a%20b", "", "/b/a%20b", "");
	canonical_is("/b/a b+c", "", "/b/a%20b%2Bc", "");
	canonical_is("/b//x/./y/", "", "/b//x/./y/", "");
	canonical_is("/%e2%82%ac%2f", "", "/%E2%82%AC/", "");
	canonical_is("/b/%zz", "", "/b/%25zz", "");
	canonical_is("/", "b=2&a=1&a=&a", "/", "a=&a=&a=1&b=2");
	canonical_is("/", "uploads", "/", "uploads=");
	canonical_is("/", "p=a%2fb+c%2Bd&&q=1=2", "/", "p=a%2Fb%20c%2Bd&q=1%3D2");
}

static struct sign_header verify_headers[] = {H("Host", HOST), H("x-amz-content-sha256", SIGN_EMPTY_SHA256), H("x-amz-date",
     DATE),
                                              H("User-Agent", "x")};

static enum sign_verdict verify(const char *authorization, const char *secret, int64_t now_ms, const char *path)
{
	struct sign_request rq = {.method = SLICE_LIT("GET"), .path = slice_str(path), .payload_hash = SLICE_LIT(SIGN_EMPTY_SHA256),
	                          .headers = verify_headers, .n_headers = 4};
	struct sign_auth auth;
	enum sign_verdict v;

	if (sign_auth_parse(slice_str(authorization), SLICE_LIT(DATE), &auth))
		return SIGN_MALFORMED;
	v = sign_verify(&rq, &auth, slice_str(secret), now_ms);
	sign_auth_free(&auth);
	return v;
}

Test(s3_sign, verify_agrees_with_signing)
{
	struct sign_request rq = {.method = SLICE_LIT("GET"), .path = SLICE_LIT("/a%20b"),
	     .payload_hash = SLICE_LIT(SIGN_EMPTY_SHA256),
	                          .headers = verify_headers, .n_headers = 3};
	struct strbuf sb = STRBUF_INIT;
	const char *a;

	sign_authorization(&rq, &keys, SLICE_LIT(DATE), &sb);
	a = strbuf_str(&sb);
	cr_assert_eq(verify(a, SECRET, DATE_MS, "/a%20b"), SIGN_OK);
	cr_assert_eq(verify(a, SECRET, DATE_MS + SIGN_SKEW_MAX_MS, "/a b"), SIGN_OK);
	cr_assert_eq(verify(a, SECRET, DATE_MS, "/a%20c"), SIGN_MISMATCH);
	cr_assert_eq(verify(a, "other", DATE_MS, "/a%20b"), SIGN_MISMATCH);
	cr_assert_eq(verify(a, SECRET, DATE_MS + SIGN_SKEW_MAX_MS + 1, "/a%20b"), SIGN_SKEWED);
	cr_assert_eq(verify(a, SECRET, DATE_MS - SIGN_SKEW_MAX_MS - 1, "/a%20b"), SIGN_SKEWED);
	strbuf_free(&sb);
}

Test(s3_sign, malformed_authorizations)
{
	static const char *const bad[] = {
		"", "AWS4-HMAC-SHA256", "Bearer x", "AWS4-HMAC-SHA256 Credential=a/b",
		"AWS4-HMAC-SHA256 Credential=AK/20130524/us-east-1/s3/aws4_request,SignedHeaders=host,Signature=abc",
		"AWS4-HMAC-SHA256 Credential=AK/2013052/us-east-1/s3/aws4_request,SignedHeaders=host,Signature="
		"aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
		"AWS4-HMAC-SHA256 Credential=AK/20130524/us-east-1/ec2/aws4_request,SignedHeaders=host,Signature="
		"aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
		"AWS4-HMAC-SHA256 Credential=AK/20130524/us-east-1/s3/aws4_request,SignedHeaders=x-amz-date,Signature="
		"aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(verify(bad[i], SECRET, DATE_MS, "/"), SIGN_MALFORMED, "case %zu", i);
}

static enum sign_verdict verify_query(const char *query, int64_t now_ms)
{
	struct sign_request rq = {.method = SLICE_LIT("GET"), .path = SLICE_LIT("/test.txt"), .query = slice_str(query),
	                          .payload_hash = SLICE_LIT(SIGN_UNSIGNED), .headers = verify_headers, .n_headers = 4};
	struct sign_auth auth;
	enum sign_verdict v = SIGN_MALFORMED;

	if (sign_auth_parse_query(rq.query, &auth) == 0)
		v = sign_verify(&rq, &auth, SLICE_LIT(SECRET), now_ms);
	sign_auth_free(&auth);
	return v;
}

Test(s3_sign, verify_presigned)
{
	static const struct sign_header host[] = {H("host", HOST)};
	struct sign_request rq = {.method = SLICE_LIT("GET"), .path = SLICE_LIT("/test.txt"),
	     .query = SLICE_LIT("response-content-type=a%2Fb"),
	                          .payload_hash = SLICE_LIT(SIGN_UNSIGNED), .headers = host, .n_headers = 1};
	struct strbuf sb = STRBUF_INIT;

	sign_presign(&rq, &keys, SLICE_LIT(DATE), 60, &sb);
	cr_assert_eq(verify_query(strbuf_str(&sb), DATE_MS), SIGN_OK);
	cr_assert_eq(verify_query(strbuf_str(&sb), DATE_MS + 60000), SIGN_OK);
	cr_assert_eq(verify_query(strbuf_str(&sb), DATE_MS + 60001), SIGN_EXPIRED);
	cr_assert_eq(verify_query(strbuf_str(&sb), DATE_MS - SIGN_SKEW_MAX_MS - 1), SIGN_SKEWED);
	sb.p[sb.n - 1] = sb.p[sb.n - 1] == '0' ? '1' : '0';
	cr_assert_eq(verify_query(strbuf_str(&sb), DATE_MS), SIGN_MISMATCH);
	cr_assert_eq(verify_query("X-Amz-Date=1", DATE_MS), SIGN_MALFORMED);
	strbuf_free(&sb);
}

Test(s3_sign, times)
{
	char buf[SIGN_TIME_MAX];
	int64_t ms;

	sign_time_format(DATE_MS + 999, buf);
	cr_assert_str_eq(buf, DATE);
	cr_assert_eq(sign_time_parse(SLICE_LIT(DATE), &ms), 0);
	cr_assert_eq(ms, DATE_MS);
	cr_assert_neq(sign_time_parse(SLICE_LIT("20130524T000000"), &ms), 0);
	cr_assert_neq(sign_time_parse(SLICE_LIT("20131324T000000Z"), &ms), 0);
	cr_assert_neq(sign_time_parse(SLICE_LIT("20130230T000000Z"), &ms), 0);
	cr_assert_neq(sign_time_parse(SLICE_LIT("2013 524T000000Z"), &ms), 0);
}
