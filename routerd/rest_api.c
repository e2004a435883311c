/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REST API's front door: authenticates, finds the path in a table, checks the method, decodes the key, and hands on. Keys are
 * decoded once and never cleaned: "//", "%2F" and "+" mean what they say.
 */
#include "config.h"

#include "common/http/fields.h"
#include "common/key.h"

#include "auth.h"
#include "ops.h"
#include "rest.h"

#define QUERY_VALUE_MAX 4096

enum rest_allow {
	ALLOW_GET = 1,
	ALLOW_HEAD = 2,
	ALLOW_PUT = 4,
	ALLOW_POST = 8,
	ALLOW_DELETE = 16,
	ALLOW_ANY = 31,
};

struct rest_route {
	const char *path; /* with a slash at its end: everything below, the rest is decoded */
	unsigned allow;
	bool open; /* needs no API key */
	void (*handle)(struct request *req, struct slice rest);
};

static unsigned method_bit(enum http_method m)
{
	switch (m) {
	case HTTP_M_GET:
		return ALLOW_GET;
	case HTTP_M_HEAD:
		return ALLOW_HEAD;
	case HTTP_M_PUT:
		return ALLOW_PUT;
	case HTTP_M_POST:
		return ALLOW_POST;
	case HTTP_M_DELETE:
		return ALLOW_DELETE;
	default:
		return 0;
	}
}

/* ---- objects ---- */

/* An unsigned number; false for anything else. */
static bool parse_limit(struct slice text, uint64_t *out)
{
	*out = 0;
	if (text.n == 0 || text.n > 18)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		*out = *out * 10 + (uint64_t)(text.p[i] - '0');
	}
	return true;
}

/* The parameters of a list; each may be given once. */
enum list_param { LIST_PREFIX, LIST_START_AFTER, LIST_DELIMITER, LIST_LIMIT, LIST_STRICT, LIST_PARAMS };

static const char *const list_params[LIST_PARAMS] = {"prefix", "start_after", "delimiter", "limit", "strict"};

/* NULL, or what is wrong with them. */
static const char *take_list_args(const struct rest_query *q, struct op_list_args *args)
{
	struct slice strict = strbuf_slice(&q->value[LIST_STRICT]);

	args->prefix = strbuf_slice(&q->value[LIST_PREFIX]);
	args->start_after = strbuf_slice(&q->value[LIST_START_AFTER]);
	args->delimiter = strbuf_slice(&q->value[LIST_DELIMITER]);
	args->strict = slice_eq_str(strict, "1");
	if (q->given & 1u << LIST_LIMIT && !parse_limit(strbuf_slice(&q->value[LIST_LIMIT]), &args->limit))
		return "limit: not a number of 0 or more";
	if (q->given & 1u << LIST_STRICT && !args->strict && !slice_eq_str(strict, "0"))
		return "strict: neither 0 nor 1";
	if (args->delimiter.n > KEY_MAX)
		return "delimiter: longer than any key";
	return NULL;
}

static void handle_list(struct request *req, struct slice rest)
{
	struct op_list_args args = {0};
	struct rest_query q;
	const char *bad;

	(void)rest;
	req->op_name = "list";
	bad = rest_query_read(req->head.query, list_params, LIST_PARAMS, QUERY_VALUE_MAX, &q) ? take_list_args(&q, &args) : q.why;
	if (bad)
		response_error(req, GFS_ERR_INVALID, bad);
	else
		op_list(req, &args);
	rest_query_free(&q);
}

static void handle_object(struct request *req, struct slice key)
{
	switch (req->head.method) {
	case HTTP_M_GET:
		op_get(req, key);
		break;
	case HTTP_M_HEAD:
		op_head(req, key);
		break;
	case HTTP_M_PUT:
		op_put(req, key);
		break;
	default:
		op_delete(req, key);
		break;
	}
}

static void handle_where(struct request *req, struct slice key)
{
	op_where(req, key);
}

/* ---- the rest ---- */

static void handle_sites(struct request *req, struct slice rest)
{
	(void)rest;
	if (req->head.method == HTTP_M_POST)
		rest_sites_add(req);
	else
		rest_sites_list(req);
}

static void answer_method(struct request *req, unsigned allow);

/* True when rest is a name and this word behind its slash; cuts it to the name. */
static bool take_verb(struct slice *rest, struct slice verb)
{
	if (rest->n < verb.n || memcmp(rest->p + rest->n - verb.n, verb.p, verb.n) != 0)
		return false;
	rest->n -= verb.n;
	return true;
}

static void handle_site(struct request *req, struct slice rest)
{
	bool drain = take_verb(&rest, SLICE_LIT("/drain")), undrain = !drain && take_verb(&rest, SLICE_LIT("/undrain"));

	if ((drain || undrain) != (req->head.method == HTTP_M_POST))
		answer_method(req, drain || undrain ? ALLOW_POST : ALLOW_DELETE);
	else if (drain || undrain)
		rest_sites_drain(req, rest, drain);
	else
		rest_sites_remove(req, rest);
}

static void handle_replicate(struct request *req, struct slice rest)
{
	(void)rest;
	rest_replicate(req);
}

static void handle_info(struct request *req, struct slice rest)
{
	(void)rest;
	rest_info(req);
}

static void handle_healthz(struct request *req, struct slice rest)
{
	(void)rest;
	rest_healthz(req);
}

static void handle_readyz(struct request *req, struct slice rest)
{
	(void)rest;
	rest_readyz(req);
}

static void handle_metrics(struct request *req, struct slice rest)
{
	(void)rest;
	if (req->worker->conf->global.metrics_enabled)
		metrics_handle(req);
	else
		response_status_error(req, 404, "global.metrics_enabled is false");
}

static const struct rest_route routes[] = {
	{"/api/v1/objects/", ALLOW_GET | ALLOW_HEAD | ALLOW_PUT | ALLOW_DELETE, false, handle_object},
	{"/api/v1/objects", ALLOW_GET, false, handle_list},
	{"/api/v1/where/", ALLOW_GET, false, handle_where},
	{"/api/v1/sites/", ALLOW_DELETE | ALLOW_POST, false, handle_site},
	{"/api/v1/sites", ALLOW_GET | ALLOW_POST, false, handle_sites},
	{"/api/v1/replicate", ALLOW_POST, false, handle_replicate},
	{"/api/v1/info", ALLOW_GET, false, handle_info},
	{"/healthz", ALLOW_ANY, true, handle_healthz},
	{"/readyz", ALLOW_ANY, true, handle_readyz},
	{"/metrics", ALLOW_GET | ALLOW_HEAD, false, handle_metrics},
};

static const struct rest_route *find_route(struct slice path, struct slice *rest_out)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		struct slice p = slice_str(routes[i].path);

		if (p.p[p.n - 1] == '/' ? slice_starts_with(path, p) : slice_eq(path, p)) {
			*rest_out = slice_of(path.p + p.n, path.n - p.n);
			return &routes[i];
		}
	}
	return NULL;
}

static void answer_method(struct request *req, unsigned allow)
{
	static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE"};
	struct strbuf headers = STRBUF_INIT, json = STRBUF_INIT;
	bool first = true;

	strbuf_adds(&headers, "Allow: ");
	for (unsigned i = 0; i < 5; i++) {
		if (!(allow & 1u << i))
			continue;
		strbuf_addf(&headers, "%s%s", first ? "" : ", ", names[i]);
		first = false;
	}
	strbuf_adds(&headers, "\r\n");
	strbuf_adds(&json, "{\"error\":\"method not allowed\"}\n");
	response_json(req, 405, strbuf_slice(&headers), strbuf_slice(&json));
	strbuf_free(&headers);
	strbuf_free(&json);
}

void rest_api_handle(struct request *req)
{
	struct slice rest;
	const struct rest_route *route = find_route(req->head.path, &rest);
	struct strbuf decoded;

	if (!(route && route->open) && !auth_ok(req)) {
		response_error(req, GFS_ERR_UNAUTHORIZED, NULL);
		return;
	}
	if (!route) {
		response_status_error(req, 404, "no such path");
		return;
	}
	if (!(route->allow & method_bit(req->head.method))) {
		answer_method(req, route->allow);
		return;
	}
	strbuf_init(&decoded, 8 * KEY_MAX);
	if (url_decode(rest, &decoded) || strbuf_failed(&decoded))
		response_error(req, GFS_ERR_KEY_INVALID, "path is too long or has a broken % escape");
	else
		route->handle(req, strbuf_slice(&decoded));
	strbuf_free(&decoded);
}
