/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the end of an exchange with an S3 store means: the error and the sentence for people, whether a mutation may have taken
 * effect, and whether the store only minded our clock. Called by site_s3_req.c when curl is done with a request.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/fields.h"
#include "s3/errors.h"
#include "site_s3.h"

#define SKEW_WORTH_MS (5 * 60 * 1000)

void s3_req_reason(struct s3_req *rq, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(rq->reason, sizeof(rq->reason), fmt, ap);
	va_end(ap);
}

static void judge_answer(struct s3_req *rq)
{
	const struct s3_resp *r = &rq->resp;
	const char *where = r->region[0] ? r->region : NULL;

	if (s3xml_parse_error(strbuf_slice(&rq->body), &rq->xml))
		memset(&rq->xml, 0, sizeof(rq->xml));
	rq->err = s3_error_map(r->status, slice_str(rq->xml.code));
	if (!where && rq->xml.region[0])
		where = rq->xml.region;
	if (strcmp(rq->xml.code, "NoSuchBucket") == 0)
		s3_req_reason(rq, "no bucket \"%.200s\" at %.200s (NoSuchBucket)", rq->site->site.conf.s3_bucket, rq->site->origin);
	else if (where && strcmp(where, rq->site->region) != 0 && (r->status == 301 || r->status == 307 || r->status == 400))
		s3_req_reason(rq, "the bucket is in region %s, the site says %s (HTTP %d)", where, rq->site->region, r->status);
	else if (rq->xml.code[0])
		s3_req_reason(rq, "HTTP %d %s: %s", r->status, rq->xml.code, rq->xml.message);
	else
		s3_req_reason(rq, "HTTP %d %s%s", r->status, http_reason(r->status),
		           r->status == 404 && strcmp(rq->method, "HEAD") ? " without an S3 error: not an S3 store?" : "");
}

/* The system's own word where there is one; curl's repeats the address and ends in "Couldn't connect to server". */
static const char *connect_failure(const struct s3_req *rq, const char *text)
{
	long number = 0;

	if (strncmp(text, "Failed to connect to ", 21) != 0 || curl_easy_getinfo(rq->easy, CURLINFO_OS_ERRNO, &number) != CURLE_OK ||
	    number <= 0)
		return text;
	return strerror((int)number);
}

static void judge_failure(struct s3_req *rq, CURLcode code)
{
	const char *text = rq->curl_text[0] ? rq->curl_text : curl_easy_strerror(code);

	rq->err = s3_wire_error(code, rq->connected);
	if (rq->connected)
		s3_req_reason(rq, "connection to %.200s lost: %.250s", rq->site->origin, text);
	else
		s3_req_reason(rq, "cannot connect to %.200s: %.250s", rq->site->origin, connect_failure(rq, text));
}

void s3_judge(struct s3_req *rq, CURLcode code)
{
	curl_off_t pretransfer_us = 0;

	if (rq->resp.status > 0 || (curl_easy_getinfo(rq->easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer_us) == CURLE_OK &&
	                            pretransfer_us > 0))
		rq->connected = true;
	if (rq->err)
		return; /* s3_req_fail(), a deadline, or a body over its bound */
	/* A refusal that came while we were still sending is the answer, even if the rest of it was lost. */
	if (rq->head_done && !s3_is_success(rq->resp.status))
		judge_answer(rq);
	else if (code)
		judge_failure(rq, code);
	else if (!rq->head_done)
		s3_req_fail(rq, GFS_ERR_SITE_ERROR, "%.200s sent no answer", rq->site->origin);
}

/* A store that refuses a signature for its time tells its own in the Date field. */
bool s3_refused_for_time(const struct s3_req *rq)
{
	int64_t off_ms = rq->resp.date_ms - rq->signed_ms;

	if (rq->resp.status != 403 || rq->resp.date_ms == 0)
		return false;
	if (strcmp(rq->xml.code, "RequestTimeTooSkewed") == 0)
		return true;
	return strcmp(rq->method, "HEAD") == 0 && (off_ms > SKEW_WORTH_MS || off_ms < -SKEW_WORTH_MS);
}

bool s3_req_may_have_acted(const struct s3_req *rq)
{
	if (rq->sent > 1)
		return true;
	if (rq->streaming && rq->fed < rq->stream_size)
		return false;
	if (rq->resp.status == 0)
		return rq->connected;
	if (s3_is_success(rq->resp.status))
		return true;
	/* 503 with the store's own code is a refusal; without one a proxy may have written it after passing the request on */
	return rq->resp.status >= 500 && rq->resp.status != 501 && !(rq->resp.status == 503 && rq->xml.code[0]);
}

struct site_result s3_req_result(const struct s3_req *rq, bool mutation)
{
	struct site_result r = site_result_make(SITE_DONE, GFS_OK, "");

	if (rq->err) {
		r = site_result_make(mutation && s3_req_may_have_acted(rq) ? SITE_UNKNOWN : SITE_FAILED, rq->err, rq->reason);
		r.connected = rq->connected;
	}
	r.repeated = mutation && rq->sent > 1;
	r.http_status = rq->resp.status;
	r.retry_after_s = rq->resp.retry_after_s;
	return r;
}
