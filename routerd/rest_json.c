/* SPDX-License-Identifier: Apache-2.0 */
/* JSON bodies of the REST API: read whole, bounded, parsed. See rest.h. */
#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/xalloc.h"

#include "ops.h"
#include "rest.h"

struct json_body {
	rest_json_cb *cb;
	char *p;
	size_t cap;
};

static struct json_body *body_detach(struct request *req)
{
	struct json_body *b = req->op;

	op_detach(req);
	return b;
}

static void body_free(struct json_body *b)
{
	free(b->p);
	free(b);
}

static void on_abort(struct request *req)
{
	body_free(body_detach(req));
}

static void body_parse(struct request *req, struct json_body *b, size_t n)
{
	json_error_t why;
	json_t *object = json_loadb(b->p, n, JSON_REJECT_DUPLICATES, &why);
	rest_json_cb *cb = b->cb;
	char text[JSON_ERROR_TEXT_LENGTH + 64];

	body_free(b);
	if (!object) {
		snprintf(text, sizeof(text), "body is not JSON: line %d: %s", why.line, why.text);
		response_error(req, GFS_ERR_INVALID, text);
	} else if (!json_is_object(object)) {
		response_error(req, GFS_ERR_INVALID, "body is not a JSON object");
	} else {
		cb(req, object);
	}
	json_decref(object);
}

static void on_body(struct request *req, int err, size_t n, bool end)
{
	struct json_body *b;

	if (!req->op)
		return;
	b = body_detach(req);
	if (!err && end && n <= REST_JSON_MAX) {
		body_parse(req, b, n);
		return;
	}
	body_free(b);
	if (err == GFS_ERR_CLIENT_SLOW)
		response_error(req, err, "the body arrives too slowly");
	else if (err)
		response_error(req, err, "the body ended early or is not well formed");
	else
		response_error(req, GFS_ERR_TOO_LARGE, "body is larger than 1 MiB");
}

void rest_json_read(struct request *req, rest_json_cb *cb)
{
	int64_t length = request_body_length(req);
	struct json_body *b;

	if (length > (int64_t)REST_JSON_MAX) {
		response_error(req, GFS_ERR_TOO_LARGE, "body is larger than 1 MiB");
		return;
	}
	if (length == 0) {
		response_error(req, GFS_ERR_INVALID, "body is missing: a JSON object is expected");
		return;
	}
	b = xcalloc(1, sizeof(*b));
	b->cb = cb;
	b->cap = length < 0 ? REST_JSON_MAX + 1 : (size_t)length;
	b->p = malloc(b->cap);
	if (!b->p) {
		free(b);
		response_error(req, GFS_ERR_NOMEM, NULL);
		return;
	}
	req->op = b;
	req->on_abort = on_abort;
	request_read_body(req, b->p, b->cap, on_body);
}
