/* SPDX-License-Identifier: Apache-2.0 */
/* What all operations on objects have in common: see ops.h. */
#include "config.h"

#include "ops.h"

#include "common/key.h"
#include "common/strbuf.h"

#include "search.h"

void op_begin(struct request *req, const char *name, int stat_ok, int stat_err, int stat_time)
{
	req->op_name = name;
	req->stat_ok = stat_ok;
	req->stat_err = stat_err;
	req->stat_time = stat_time;
}

void op_detach(struct request *req)
{
	req->op = NULL;
	req->on_abort = NULL;
	req->on_drain = NULL;
}

static void answer_error(struct request *req, int err, const char *text, unsigned retry_after_s, const char *more)
{
	struct strbuf headers = STRBUF_INIT;

	strbuf_adds(&headers, more);

	if (retry_after_s == 0 && gfs_err_retryable(err) && gfs_err_http(err) >= 500)
		retry_after_s = 1;
	if (retry_after_s)
		strbuf_addf(&headers, "Retry-After: %u\r\n", retry_after_s);
	response_error_headers(req, err, text, strbuf_slice(&headers));
	strbuf_free(&headers);
}

void op_error(struct request *req, int err, const char *text, unsigned retry_after_s)
{
	answer_error(req, err, text, retry_after_s, "");
}

void op_not_found(struct request *req, const struct search *s, const struct search_verdict *v)
{
	answer_error(req, v->err, v->text, v->retry_after_s, s->unverified ? "X-GlobalFS-Consistency: unverified\r\n" : "");
}

bool op_check_key(struct request *req, struct slice key)
{
	const char *why = NULL;

	if (key_check(key, &why) == GFS_OK)
		return true;
	response_error(req, GFS_ERR_KEY_INVALID, why);
	return false;
}
