/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that are wrong, cut, late or from something that is no S3 store: what the site makes of them. */
#include "config.h"

#include <stdlib.h>

#include "script.h"

#define PART (5 * MIB)
#define OK(body_n, fields) "HTTP/1.1 200 OK\r\n" fields "Content-Length: " #body_n "\r\n\r\n"
#define XML(status, n, body) "HTTP/1.1 " status "\r\nContent-Length: " #n "\r\n\r\n" body
#define NO_KEY XML("404 Not Found", 41, "<Error><Code>NoSuchKey</Code></Error>    ")
#define NO_BUCKET XML("404 Not Found", 44, "<Error><Code>NoSuchBucket</Code></Error>    ")

static int get_all(struct exercise *x)
{
	return do_get(x, "k", RANGE_ALL, 0, 0, NULL, PART);
}

static void gets(struct exercise *x, struct script *s)
{
	SCRIPT(s, {"GET /b/k ", OK(10, "ETag: \"e\"\r\n") "12345", .close = true});
	CHECK(get_all(x) == GFS_ERR_SITE_ERROR && x->last.got == 5 && x->last.outcome == SITE_FAILED, "%s", x->last.reason);
	SCRIPT(s, {"GET", "HTTP/1.1 200 OK\r\n\r\n12345", .close = true});
	CHECK(get_all(x) == GFS_ERR_SITE_ERROR && x->last.n_head == 0, "%s", x->last.reason);
	SCRIPT(s, {"Range: bytes=2-5\r\n", OK(10, "") "0123456789"});
	CHECK(do_get(x, "k", RANGE_SPAN, 2, 4, NULL, PART) == GFS_ERR_SITE_ERROR && x->last.n_head == 0, "%s", x->last.reason);
	SCRIPT(s, {"Range: bytes=2-5\r\n", "HTTP/1.1 206 P\r\nContent-Range: bytes 3-6/10\r\nContent-Length: 4\r\n\r\n3456"});
	CHECK(do_get(x, "k", RANGE_SPAN, 2, 4, NULL, PART) == GFS_ERR_SITE_ERROR && x->last.n_head == 0, "%s", x->last.reason);
	SCRIPT(s, {"Range: bytes=2-5\r\n", "HTTP/1.1 206 P\r\nContent-Range: bytes 2-5/10\r\nContent-Length: 5\r\n\r\n23456"});
	CHECK(do_get(x, "k", RANGE_SPAN, 2, 4, NULL, PART) == GFS_ERR_SITE_ERROR && x->last.n_head == 0, "%s", x->last.reason);
	SCRIPT(s, {"Range: bytes=-4\r\n", "HTTP/1.1 206 P\r\nContent-Range: bytes 6-9/10\r\nContent-Length: 4\r\n\r\n6789"});
	CHECK(do_get(x, "k", RANGE_SUFFIX, 0, 4, NULL, PART) == 0 && x->last.off == 6 && x->last.info.size == 10, "%s",
	     x->last.reason);
	SCRIPT(s, {"GET", "HTTP/1.1 416 R\r\nContent-Range: bytes */77\r\nContent-Length: 0\r\n\r\n"});
	CHECK(do_get(x, "k", RANGE_FROM, 100, 0, NULL, PART) == GFS_ERR_RANGE && x->last.object_size == 77, "%s", x->last.reason);
	/* on a connection that was kept curl tries a second one */
	SCRIPT(s, {"GET", NULL}, {"GET", NULL});
	CHECK(get_all(x) == GFS_ERR_SITE_ERROR && x->last.connected, "%s", x->last.reason);
	SCRIPT(s, {"GET", "nonsense\r\n\r\n", .close = true});
	CHECK(get_all(x) != 0 && x->last.n_head == 0, "%s", x->last.reason);
	SCRIPT(s, {"GET", "HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"});
	CHECK(get_all(x) == GFS_ERR_SITE_ERROR && x->last.http_status == 307, "%s", x->last.reason);
	SCRIPT(s, {"GET", "HTTP/1.1 301 M\r\nx-amz-bucket-region: eu-west-9\r\nContent-Length: 0\r\n\r\n"});
	CHECK(get_all(x) == GFS_ERR_SITE_ERROR && strstr(x->last.reason, "eu-west-9"), "%s", x->last.reason);
	script_done(s);
}

static void absent_or_ill(struct exercise *x, struct script *s)
{
	SCRIPT(s, {"GET", NO_KEY});
	CHECK(get_all(x) == GFS_ERR_NO_SUCH_KEY, "%s", x->last.reason);
	SCRIPT(s, {"GET", NO_BUCKET});
	CHECK(get_all(x) == GFS_ERR_SITE_ERROR && strstr(x->last.reason, "no bucket"), "%s", x->last.reason);
	SCRIPT(s, {"GET", XML("404 Not Found", 20, "<html>nothing</html>")});
	CHECK(get_all(x) == GFS_ERR_SITE_ERROR, "%s", x->last.reason);
	SCRIPT(s, {"GET", XML("404 Not Found", 0, "")});
	CHECK(get_all(x) == GFS_ERR_SITE_ERROR, "%s", x->last.reason);
	SCRIPT(s, {"HEAD", XML("404 Not Found", 0, "")}, {"GET", NO_KEY});
	CHECK(do_head(x, "k") == GFS_ERR_NO_SUCH_KEY, "%s", x->last.reason);
	SCRIPT(s, {"HEAD", XML("404 Not Found", 0, "")}, {"GET", NO_BUCKET});
	CHECK(do_head(x, "k") == GFS_ERR_SITE_ERROR, "%s", x->last.reason);
	SCRIPT(s, {"HEAD", XML("404 Not Found", 0, "")}, {"GET", XML("404 Not Found", 0, "")});
	CHECK(do_head(x, "k") == GFS_ERR_SITE_ERROR, "%s", x->last.reason);
	SCRIPT(s, {"HEAD", XML("404 Not Found", 0, "")},
	       {"bytes=0-0", "HTTP/1.1 206 P\r\nContent-Range: bytes 0-0/10\r\nContent-Length: 1\r\n\r\n1"});
	CHECK(do_head(x, "k") == 0 && x->last.info.size == 10, "%s", x->last.reason);
	SCRIPT(s, {"DELETE /b/k ", NO_KEY});
	CHECK(do_delete(x, "k") == 0, "%s", x->last.reason);
	SCRIPT(s, {"DELETE", XML("404 Not Found", 0, "")});
	CHECK(do_delete(x, "k") == GFS_ERR_SITE_ERROR && x->last.outcome == SITE_FAILED, "%s", x->last.reason);
	SCRIPT(s, {"DELETE", XML("500 E", 0, "")});
	CHECK(do_delete(x, "k") == GFS_ERR_SITE_ERROR && x->last.outcome == SITE_UNKNOWN, "%s", x->last.reason);
	SCRIPT(s, {"GET", "HTTP/1.1 503 S\r\nRetry-After: 7\r\nContent-Length: 36\r\n\r\n<Error><Code>SlowDown</Code></Error>"});
	CHECK(get_all(x) == GFS_ERR_SITE_BUSY && x->last.retry_after_s == 7, "%s", x->last.reason);
	script_done(s);
}

/* The tag of another key is not believed; what is not ours has a generation of its own time. */
static void tags(struct exercise *x, struct script *s)
{
	SCRIPT(s, {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nLast-Modified: Sat, 21 Nov 2026 10:00:00 GMT\r\nETag: \"e\"\r\n"
	                   "x-amz-meta-gfs-gen: 0193a5c4e2f00001-node1:0123456789abcdef:5\r\nX-Amz-Meta-Color: blue\r\n"
	                   "x-amz-meta-b\xc3\xa4: x\r\nContent-Type: binary/octet-stream\r\n\r\n"});
	CHECK(do_head(x, "k") == 0, "%s", x->last.reason);
	CHECK(!x->last.info.gen_tagged && strcmp(x->last.info.gen.node, "ext@near") == 0 && x->last.info.part_size == 0, "node %s",
	      x->last.info.gen.node);
	CHECK(gen_ms(&x->last.info.gen) == INT64_C(1795255200000) && x->last.info.meta.n == 1 && !x->last.info.content_type,
	     "info");
	script_done(s);
}

static void lists(struct exercise *x, struct script *s)
{
	struct slice none = {NULL, 0};

	SCRIPT(s, {"GET /b?list-type=2&encoding-type=url&max-keys=10 ", XML("200 OK", 106,
	       "<ListBucketResult><Contents><Key>b</Key></Contents><Contents><Key>a</Key></Contents></ListBucketResult>   ")});
	CHECK(do_list(x, "", none, 10) == GFS_ERR_SITE_ERROR, "%s", x->last.reason);
	SCRIPT(s, {"prefix=a%2Fb%20c&start-after=a%2Fb%20c%25 ", XML("200 OK", 71,
	       "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>   ")});
	CHECK(do_list(x, "a/b c", SLICE_LIT("a/b c%"), 10) == GFS_ERR_SITE_ERROR, "%s", x->last.reason);
	SCRIPT(s, {"GET", XML("200 OK", 6, "<html>")});
	CHECK(do_list(x, "", none, 10) == GFS_ERR_SITE_ERROR, "%s", x->last.reason);
	SCRIPT(s, {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n", .flood = 20000000});
	CHECK(do_list(x, "", none, 10) == GFS_ERR_SITE_ERROR && strstr(x->last.reason, "more than"), "%s", x->last.reason);
	SCRIPT(s, {"GET", "HTTP/1.1 500 E\r\nContent-Length: 2000000\r\n\r\n", .flood = 2000000});
	CHECK(do_list(x, "", none, 10) == GFS_ERR_SITE_ERROR, "%s", x->last.reason);
	script_done(s);
}

static void singles(struct exercise *x, struct script *s)
{
	static const struct {
		struct script_step step;
		int err;
		enum site_outcome outcome;
	} v[] = {
		{{"PUT /b/k ", OK(0, "ETag: \"0123456789abcdef0123456789abcdef\"\r\n")}, GFS_ERR_SITE_CORRUPT, SITE_UNKNOWN},
		{{"UNSIGNED-PAYLOAD", OK(0, "")}, 0, SITE_DONE},
		{{"PUT", XML("500 E", 41, "<Error><Code>InternalError</Code></Error>")}, GFS_ERR_SITE_ERROR, SITE_UNKNOWN},
		{{"PUT", XML("503 S", 36, "<Error><Code>SlowDown</Code></Error>")}, GFS_ERR_SITE_BUSY, SITE_FAILED},
		{{"PUT", XML("503 S", 0, "")}, GFS_ERR_SITE_BUSY, SITE_UNKNOWN},
		{{"PUT", XML("502 S", 0, "")}, GFS_ERR_SITE_ERROR, SITE_UNKNOWN},
		{{"PUT", XML("403 F", 41, "<Error><Code>QuotaExceeded</Code></Error>")}, GFS_ERR_SITE_FULL, SITE_FAILED},
		{{"PUT", NULL}, GFS_ERR_SITE_ERROR, SITE_UNKNOWN},
		{{"PUT", XML("403 F", 0, ""), .early = true, .close = true}, GFS_ERR_FORBIDDEN, SITE_FAILED},
		{{"PUT", OK(0, ""), .early = true, .close = true}, GFS_ERR_SITE_ERROR, SITE_FAILED},
		{{"PUT", NULL, .early = true}, GFS_ERR_SITE_ERROR, SITE_FAILED},
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		int err;

		SCRIPT(s, v[i].step);
		err = do_put(x, "k", 70000, true, PART, 20000, 1);
		CHECK(err == v[i].err && x->last.outcome == v[i].outcome, "case %zu: %d, outcome %d: %s", i, err, x->last.outcome,
		      x->last.reason);
		script_done(s);
	}
}

static void parts(struct exercise *x, struct script *s)
{
	static const struct script_step create = {"POST /b/k?uploads= ", "HTTP/1.1 200 OK\r\nContent-Length: 86\r\n\r\n"
	                                          "<InitiateMultipartUploadResult><UploadId>u1</UploadId>"
	                                          "</InitiateMultipartUploadResult>"};
	static const struct script_step part1 = {"PUT /b/k?partNumber=1&uploadId=u1 ", OK(0, "ETag: \"a\"\r\n")};
	static const struct script_step part2 = {"PUT /b/k?partNumber=2&uploadId=u1 ", OK(0, "ETag: \"b\"\r\n")};
	static const struct script_step drop = {"DELETE /b/k?uploadId=u1 ", "HTTP/1.1 204 No\r\n\r\n"};
	static const struct {
		const char *answer;
		int err;
		enum site_outcome outcome;
	} v[] = {
		{XML("200 OK", 41, "<Error><Code>InternalError</Code></Error>"), GFS_ERR_SITE_ERROR, SITE_UNKNOWN},
		{XML("200 OK", 39, "<Error><Code>InvalidPart</Code></Error>"), GFS_ERR_SITE_ERROR, SITE_FAILED},
		{XML("200 OK", 10, "          "), GFS_ERR_SITE_ERROR, SITE_UNKNOWN},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n", GFS_ERR_SITE_ERROR, SITE_UNKNOWN},
		{XML("404 N", 40, "<Error><Code>NoSuchUpload</Code></Error>"), GFS_ERR_SITE_ERROR, SITE_UNKNOWN},
		{XML("400 N", 39, "<Error><Code>InvalidPart</Code></Error>"), GFS_ERR_SITE_ERROR, SITE_FAILED},
		{XML("500 N", 0, ""), GFS_ERR_SITE_ERROR, SITE_UNKNOWN},
		{XML("503 S", 36, "<Error><Code>SlowDown</Code></Error>"), GFS_ERR_SITE_BUSY, SITE_FAILED},
		{XML("200 OK", 86, "<CompleteMultipartUploadResult><ETag>\"wrong\"</ETag></CompleteMultipartUploadResult>   "),
		 GFS_ERR_SITE_CORRUPT, SITE_UNKNOWN},
		{NULL, GFS_ERR_SITE_ERROR, SITE_UNKNOWN},
	};
	int err;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct script_step end = {"POST /b/k?uploadId=u1 ", v[i].answer, .close = true};

		if (!v[i].answer)
			SCRIPT(s, create, part1, part2, end, end);
		else if (v[i].outcome == SITE_FAILED)
			SCRIPT(s, create, part1, part2, end, drop);
		else
			SCRIPT(s, create, part1, part2, end);
		err = do_put(x, "k", PART + 1, true, PART, MIB, 1);
		CHECK(err == v[i].err && x->last.outcome == v[i].outcome, "case %zu: %d, outcome %d: %s", i, err, x->last.outcome,
		      x->last.reason);
		script_done(s);
	}
	SCRIPT(s, {"POST", OK(0, "")});
	CHECK(do_put(x, "k", PART + 1, true, PART, MIB, 1) == GFS_ERR_SITE_ERROR && x->last.outcome == SITE_FAILED, "%s",
	     x->last.reason);
	script_done(s);
	SCRIPT(s, create, {"partNumber=1", OK(0, "")}, drop);
	CHECK(do_put(x, "k", PART + 1, true, PART, MIB, 1) == GFS_ERR_SITE_ERROR && x->last.outcome == SITE_FAILED, "%s",
	     x->last.reason);
	script_done(s);
	SCRIPT(s, create, part1, {"partNumber=2", XML("500 N", 0, "")}, drop);
	CHECK(do_put(x, "k", PART + 1, false, PART, MIB, 1) == GFS_ERR_SITE_ERROR && x->last.outcome == SITE_FAILED, "%s",
	     x->last.reason);
	script_done(s);
}

static void claims(struct exercise *x, struct script *s)
{
	char marker[512], text[SITE_MARKER_MAX];

	site_marker_format(NAMESPACE, 7, text);
	snprintf(marker, sizeof(marker), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(text), text);
	SCRIPT(s, {"GET /b/.globalfs/site ", NO_KEY}, {"If-None-Match: *", XML("501 N", 0, "")}, {"PUT", OK(0, "")}, {"GET",
	     marker});
	CHECK(do_claim(x) == 0, "%s", x->last.reason);
	CHECK(!strstr(s->last_head, "If-None-Match"), "not plain");
	SCRIPT(s, {"GET", NO_KEY}, {"If-None-Match: *", XML("412 P", 0, "")}, {"GET", OK(7, "") "another"});
	CHECK(do_claim(x) == GFS_ERR_SITE_FOREIGN && x->last.outcome == SITE_FAILED, "%s", x->last.reason);
	SCRIPT(s, {"GET", NO_KEY, .close = true}, {"If-None-Match: *", NULL});
	CHECK(do_claim(x) != 0 && x->last.outcome == SITE_UNKNOWN, "%s", x->last.reason);
	SCRIPT(s, {"GET", NO_KEY});
	CHECK(do_probe(x) == GFS_ERR_SITE_MARKER, "%s", x->last.reason);
	script_done(s);
}

/* One place, taken by an upload that waits: others wait, and say so. */
static void few_connections(struct exercise *x, struct script *s)
{
	struct site_put *put;
	struct outcome saved;

	x->conf.max_connections = 1;
	x->conf.first_byte_timeout_ms = 200;
	exercise_reopen(x);
	s3_site_of(x->site)->clock_known = true;
	SCRIPT(s, {"GET", NO_KEY}, {"PUT", OK(0, "")});
	put_open(x, "held", 5, PART);
	CHECK(put_body(x, 0, 5, 5, 1) && put_close(x), "%s", x->last.reason);
	put = x->put;
	saved = x->last;
	memset(&x->last, 0, sizeof(x->last));
	CHECK(get_all(x) == GFS_ERR_BUSY && !site_result_is_fault(&(struct site_result){.err = x->last.err}), "%s", x->last.reason);
	/* completing acts and probes do not wait */
	CHECK(do_probe(x) == GFS_ERR_SITE_MARKER, "%s", x->last.reason);
	x->last = saved;
	x->put = put;
	CHECK(put_finish_with(x, NULL) == 0, "%s", x->last.reason);
	script_done(s);
	SCRIPT(s, {"GET", "hang"});
	CHECK(get_all(x) == GFS_ERR_TIMEOUT && x->last.connected, "%s", x->last.reason);
	script_done(s);
}

void test_scripted(void)
{
	struct exercise x;
	struct script s;

	/* must not be asked */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	exercise_begin_bare(&x);
	script_begin(&s, &x);
	free(x.conf.s3_endpoint);
	if (asprintf(&x.conf.s3_endpoint, "http://127.0.0.1:%d", s.port) < 0)
		abort();
	exercise_reopen(&x);
	s3_site_of(x.site)->clock_known = true;
	gets(&x, &s);
	absent_or_ill(&x, &s);
	tags(&x, &s);
	lists(&x, &s);
	singles(&x, &s);
	parts(&x, &s);
	claims(&x, &s);
	few_connections(&x, &s);
	exercise_end(&x);
	script_end(&s);
	unsetenv("http_proxy");
}
