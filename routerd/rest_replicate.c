/* SPDX-License-Identifier: Apache-2.0 */
/* POST /api/v1/replicate: asks repld to copy a key from one site to another. */
#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/key.h"
#include "common/xalloc.h"

#include "ops.h"
#include "rest.h"

struct replicate {
	uint64_t call;
	char *key, *from, *to;
};

static void replicate_free(struct replicate *r)
{
	free(r->key);
	free(r->from);
	free(r->to);
	free(r);
}

static void on_abort(struct request *req)
{
	struct replicate *r = req->op;

	repld_replicate_cancel(req->worker->repld, r->call);
	op_detach(req);
	replicate_free(r);
}

static void on_accepted(void *arg, int err, const char *text)
{
	struct request *req = arg;
	struct replicate *r = req->op;
	struct strbuf out = STRBUF_INIT;

	op_detach(req);
	if (err) {
		/* The contract calls a site that is not known a bad request, not a missing resource. */
		if (err == GFS_ERR_NO_SUCH_SITE)
			err = GFS_ERR_INVALID;
		op_error(req, err, text && *text ? text : NULL, 0);
	} else {
		strbuf_adds(&out, "{\"status\":\"accepted\",\"key\":");
		strbuf_add_json(&out, slice_str(r->key));
		strbuf_adds(&out, ",\"from\":");
		strbuf_add_json(&out, slice_str(r->from));
		strbuf_adds(&out, ",\"to\":");
		strbuf_add_json(&out, slice_str(r->to));
		strbuf_adds(&out, "}\n");
		response_json(req, 202, SLICE_LIT(""), strbuf_slice(&out));
		strbuf_free(&out);
	}
	replicate_free(r);
}

static bool site_of(struct request *req, const char *field, const char *name, uint32_t *id_out)
{
	const struct worker *w = req->worker;
	char text[160];

	for (size_t i = 0; i < w->n_sites; i++) {
		if (strcmp(w->sites[i].conf->name, name) == 0) {
			*id_out = w->sites[i].conf->id;
			return true;
		}
	}
	snprintf(text, sizeof(text), "%s: no site is called \"%.80s\"", field, name);
	response_error(req, GFS_ERR_INVALID, text);
	return false;
}

static bool take_fields(struct request *req, json_t *object, const char *values[3])
{
	static const char *const names[3] = {"key", "from", "to"};
	const char *field;
	json_t *value;
	char text[128];
	int i;

	json_object_foreach(object, field, value) {
		for (i = 0; i < 3 && strcmp(field, names[i]) != 0; i++)
			;
		if (i == 3)
			snprintf(text, sizeof(text), "%.64s: unknown field", field);
		else if (!json_is_string(value))
			snprintf(text, sizeof(text), "%s: not a string", field);
		else {
			values[i] = json_string_value(value);
			continue;
		}
		response_error(req, GFS_ERR_INVALID, text);
		return false;
	}
	for (i = 0; i < 3; i++) {
		if (values[i] && *values[i])
			continue;
		snprintf(text, sizeof(text), "%s: missing", names[i]);
		response_error(req, GFS_ERR_INVALID, text);
		return false;
	}
	return true;
}

static void on_json(struct request *req, json_t *object)
{
	const char *values[3] = {NULL};
	struct replicate *r;
	uint32_t from, to;

	if (!take_fields(req, object, values) || !op_check_key(req, slice_str(values[0])) ||
	    !site_of(req, "from", values[1], &from) || !site_of(req, "to", values[2], &to))
		return;
	if (from == to) {
		response_error(req, GFS_ERR_INVALID, "from and to are the same site");
		return;
	}
	r = xcalloc(1, sizeof(*r));
	r->key = xstrdup(values[0]);
	r->from = xstrdup(values[1]);
	r->to = xstrdup(values[2]);
	req->op = r;
	req->on_abort = on_abort;
	r->call = repld_replicate(req->worker->repld, slice_str(r->key), from, to, on_accepted, req);
}

void rest_replicate(struct request *req)
{
	req->op_name = "replicate";
	rest_json_read(req, on_json);
}
