/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /metrics: every process's counters, added up, and what is known of every site, in Prometheus text format. Called by
 * rest_api.c and by the metrics door.
 */
#include "config.h"

#include <stdlib.h>

#include "auth.h"
#include "common/clock.h"
#include "request.h"
#include "worker.h"

/* Without healthd, or before it has looked, a site's state is unknown and its circuit counts as closed. */
static void site_facts(const struct worker *w, const struct site_conf *conf, bool stale, int64_t *facts)
{
	struct site_status st = {.state = SITE_STATE_UNKNOWN, .circuit = CIRCUIT_CLOSED};
	struct site_status have;

	if (!stale && sites_board_get(&w->sites_board, conf->id, &have))
		st = have;
	facts[SITE_FACT_UP] = st.state == SITE_STATE_UP || st.state == SITE_STATE_DEGRADED;
	facts[SITE_FACT_STATE_UP] = st.state == SITE_STATE_UP;
	facts[SITE_FACT_STATE_DEGRADED] = st.state == SITE_STATE_DEGRADED;
	facts[SITE_FACT_STATE_DOWN] = st.state == SITE_STATE_DOWN;
	facts[SITE_FACT_STATE_UNKNOWN] = st.state == SITE_STATE_UNKNOWN;
	facts[SITE_FACT_CIRCUIT_CLOSED] = st.circuit == CIRCUIT_CLOSED;
	facts[SITE_FACT_CIRCUIT_OPEN] = st.circuit == CIRCUIT_OPEN;
	facts[SITE_FACT_CIRCUIT_HALF_OPEN] = st.circuit == CIRCUIT_HALF_OPEN;
	facts[SITE_FACT_LATENCY] = st.latency_us > 0 ? st.latency_us : -1;
	facts[SITE_FACT_DRAINED] = conf->drained;
}

static void metrics_print(const struct worker *w, struct strbuf *out)
{
	struct stats_site *sites = calloc(w->n_sites ? w->n_sites : 1, sizeof(*sites));
	bool stale = sites_board_stale(&w->sites_board, clock_real_ms());
	size_t i;

	for (i = 0; sites && i < w->n_sites; i++) {
		sites[i].id = w->sites[i].conf->id;
		sites[i].name = w->sites[i].conf->name;
		site_facts(w, w->sites[i].conf, stale, sites[i].facts);
	}
	stats_print(w->stats, sites, sites ? w->n_sites : 0, out);
	free(sites);
}

static void metrics_send(struct request *req)
{
	static const char type[] = "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
	struct strbuf out = STRBUF_INIT;

	metrics_print(req->worker, &out);
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
