/* SPDX-License-Identifier: Apache-2.0 */
/* HEAD of an object: what GET would answer, without the body. Ranges do not apply. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/key.h"
#include "common/xalloc.h"

#include "find.h"
#include "object_headers.h"
#include "ops.h"

struct head {
	struct find *find;
	char key[KEY_MAX];
};

static struct request *head_detach(struct request *req)
{
	struct head *h = req->op;

	op_detach(req);
	find_cancel(&h->find);
	free(h);
	return req;
}

static void head_answer(struct request *req, const struct search *s, const struct object_info *info)
{
	struct http_conditions conditions;
	struct strbuf headers = STRBUF_INIT;
	enum http_cond cond;

	object_conditions(&req->head, &conditions);
	cond = http_conditions_check(&conditions, true, true, info->etag, info->mtime_ms);
	if (cond == HTTP_COND_FAILED) {
		op_error(req, GFS_ERR_PRECONDITION, NULL, 0);
		return;
	}
	object_headers_add(info, cond == HTTP_COND_NOT_MODIFIED, &headers);
	strbuf_addf(&headers, "X-GlobalFS-Site: %s\r\n", search_site_name(s));
	if (s->unverified)
		strbuf_adds(&headers, "X-GlobalFS-Consistency: unverified\r\n");
	if (s->serves_stale)
		strbuf_adds(&headers, "X-GlobalFS-Stale: true\r\n");
	snprintf(req->site, sizeof(req->site), "%s", search_site_name(s));
	response_start(req, cond == HTTP_COND_NOT_MODIFIED ? 304 : 200, strbuf_slice(&headers), (int64_t)info->size);
	strbuf_free(&headers);
	response_end(req);
}

static void on_found(void *arg, const struct search *s, const struct search_verdict *v, const struct object_info *info)
{
	struct request *req = head_detach(arg);

	if (v->err)
		op_not_found(req, s, v);
	else
		head_answer(req, s, info);
}

static void on_abort(struct request *req)
{
	head_detach(req);
}

void op_head(struct request *req, struct slice key)
{
	struct slice consistency = http_head_get(&req->head, "X-GlobalFS-Consistency");
	struct head *h;

	op_begin(req, "head", STAT_OP_HEAD_OK, STAT_OP_HEAD_ERR, STAT_OP_HEAD_TIME);
	if (!op_check_key(req, key))
		return;
	h = xcalloc(1, sizeof(*h));
	memcpy(h->key, key.p, key.n);
	req->op = h;
	req->on_abort = on_abort;
	req->ends_with_client = true;
	find_start(&h->find, req->worker, slice_of(h->key, key.n), slice_caseeq_str(consistency, "current"), on_found, req);
}
