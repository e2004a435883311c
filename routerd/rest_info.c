/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/info: from what the worker knows already; no site is asked. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/http/fields.h"

#include "rest.h"

/* The rows that healthd keeps; false when it keeps none of this site, or is away. */
static bool status_of(const struct worker *w, const struct site_conf *conf, struct site_status *out)
{
	return !sites_board_stale(&w->sites_board, clock_real_ms()) && sites_board_get(&w->sites_board, conf->id, out);
}

static void add_health(const struct worker *w, struct strbuf *out)
{
	struct site_status st;
	unsigned healthy = 0, unhealthy = 0;
	int64_t checked_ms = 0;
	char date[32];

	for (size_t i = 0; i < w->n_sites; i++) {
		bool known = status_of(w, w->sites[i].conf, &st);

		if (known && st.checked_ms > checked_ms)
			checked_ms = st.checked_ms;
		if (known && st.state == SITE_STATE_UP)
			healthy++;
		else
			unhealthy++;
	}
	strbuf_addf(out, "\"health\":{\"healthy\":%u,\"unhealthy\":%u", healthy, unhealthy);
	if (checked_ms) {
		http_rfc3339_format(checked_ms, false, date);
		strbuf_addf(out, ",\"last_checked_at\":\"%s\"", date);
	}
	strbuf_addc(out, '}');
}

void rest_info(struct request *req)
{
	const struct worker *w = req->worker;
	struct strbuf out = STRBUF_INIT;
	size_t by_role[ROLE_COUNT] = {0};
	bool first = true;

	req->op_name = "info";
	for (size_t i = 0; i < w->n_sites; i++)
		by_role[w->sites[i].conf->role]++;
	strbuf_addf(&out, "{\"version\":\"%s\",\"cluster\":", PACKAGE_VERSION);
	strbuf_add_json(&out, slice_str(w->conf->global.cluster_name));
	strbuf_addf(&out, ",\"uptime_seconds\":%.3f,\"sites\":%zu,\"sites_by_role\":{",
	            (double)(clock_real_ms() - w->started_ms) / 1000, w->n_sites);
	for (int r = 0; r < ROLE_COUNT; r++) {
		if (!by_role[r])
			continue;
		strbuf_addf(&out, "%s\"%s\":%zu", first ? "" : ",", site_role_name((enum site_role)r), by_role[r]);
		first = false;
	}
	/* One node works alone, so it leads. */
	strbuf_addf(&out, "},\"replication_queue_depth\":%" PRIu64 ",\"is_leader\":true,", stats_total(w->stats, STAT_REPL_QUEUE));
	add_health(w, &out);
	strbuf_adds(&out, "}\n");
	response_json(req, 200, SLICE_LIT(""), strbuf_slice(&out));
	strbuf_free(&out);
}
