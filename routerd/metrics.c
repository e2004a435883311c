/* SPDX-License-Identifier: Apache-2.0 */
/* GET /metrics: every process's counters, added up, in Prometheus text format. Called by rest_api.c and by the metrics door. */
#include "config.h"

#include "auth.h"
#include "request.h"
#include "worker.h"

static void metrics_send(struct request *req)
{
	static const char type[] = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
	struct strbuf out = STRBUF_INIT;

	stats_print(req->worker->stats, &out);
	if (strbuf_failed(&out)) {
		strbuf_free(&out);
		response_error(req, GFS_ERR_NOMEM, NULL);
		return;
	}
	response_start(req, 200, slice_of(type, sizeof(type) - 1), (int64_t)out.n);
	if (req->head.method != HTTP_M_HEAD)
		response_write(req, out.p, out.n);
	response_end(req);
	strbuf_free(&out);
}

void metrics_door(struct request *req)
{
	req->op_name = "metrics";
	if (auth_ok(req))
		metrics_handle(req);
	else
		response_error(req, GFS_ERR_UNAUTHORIZED, NULL);
}

void metrics_handle(struct request *req)
{
	req->op_name = "metrics";
	if (req->head.method != HTTP_M_GET && req->head.method != HTTP_M_HEAD)
		response_status_error(req, 405, "only GET and HEAD are allowed here");
	else if (!slice_eq_str(req->head.path, "/metrics"))
		response_status_error(req, 404, "this door has only /metrics");
	else
		metrics_send(req);
}
