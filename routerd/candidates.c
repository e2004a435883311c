/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs and outputs of route.c, see candidates.h. */
#include "config.h"

#include "candidates.h"

#include <stdio.h>

#include "common/clock.h"

size_t candidates_build(const struct worker *w, struct route_site v[ROUTE_MAX])
{
	bool stale = sites_board_stale(&w->sites_board, clock_real_ms());
	struct site_status st;
	size_t n = 0;

	for (size_t i = 0; i < w->n_sites && n < ROUTE_MAX; i++) {
		v[n] = (struct route_site){.conf = w->sites[i].conf};
		/* A board that nobody keeps up says nothing: all circuits closed. */
		if (!stale && sites_board_get(&w->sites_board, v[n].conf->id, &st)) {
			v[n].state = st.state <= SITE_STATE_DOWN ? (enum site_state)st.state : SITE_STATE_UNKNOWN;
			v[n].circuit = st.circuit <= CIRCUIT_HALF_OPEN ? (enum circuit_state)st.circuit : CIRCUIT_CLOSED;
			v[n].nearness = st.nearness;
			v[n].latency_us = st.latency_us;
			v[n].p95_us = st.p95_us;
		}
		n++;
	}
	return n;
}

const char *candidates_reason(const struct worker *w, uint32_t site_id, char *buf, size_t cap)
{
	struct site_status st;

	if (sites_board_stale(&w->sites_board, clock_real_ms()) || !sites_board_get(&w->sites_board, site_id, &st))
		return "";
	if (st.state == SITE_STATE_UP && st.circuit == CIRCUIT_CLOSED)
		return "";
	st.reason[sizeof(st.reason) - 1] = '\0';
	snprintf(buf, cap, "%s", st.reason[0] ? st.reason : st.circuit == CIRCUIT_OPEN ? "circuit open" : "");
	return buf;
}

static void why_not(const struct worker *w, const struct route_site *s, struct strbuf *why)
{
	char buf[200];
	const char *reason = s->conf->drained       ? "drained"
	                     : route_site_rests(s) ? "not in use yet"
	                                           : candidates_reason(w, s->conf->id, buf, sizeof(buf));

	strbuf_addf(why, "%s%s%s%s%s", why->n ? ", " : "", s->conf->name, reason[0] ? " (" : "", reason, reason[0] ? ")" : "");
}

static struct target target_of(const struct route_site *s)
{
	struct target t = {.id = s->conf->id};

	snprintf(t.name, sizeof(t.name), "%s", s->conf->name);
	return t;
}

static int no_target(const struct route_site *v, size_t n, const struct policy_rule *rule, const struct route_write *route,
                     struct strbuf *why)
{
	if (n == 0)
		strbuf_adds(why, "there are no sites");
	else if (route->n_resting == 0)
		strbuf_addf(why, "policy rule %s routes it to no site", rule ? rule->name : "");
	else
		strbuf_adds(why, "every site that could take it at once is drained or not in use yet: ");
	for (size_t i = 0; i < route->n_resting; i++)
		strbuf_addf(why, "%s%s", i ? ", " : "", v[route->async[i]].conf->name);
	return GFS_ERR_NO_TARGET;
}

int targets_pick(const struct worker *w, struct slice key, enum op_kind op, struct targets *out, struct strbuf *why)
{
	const struct policy_rule *rule = policy_match(w->conf->rules, w->conf->n_rules, key, op);
	struct route_site v[ROUTE_MAX];
	struct route_write route;
	size_t n = candidates_build(w, v);
	bool scarce;

	memset(out, 0, sizeof(*out));
	route_write(v, n, rule, w->conf->routing.write_min, &route);
	/* When it is needed, a site whose circuit is open is tried all the same: its probes may be fine. */
	scarce = route.n_sync - route.sync_down < route.write_min;
	if (route.n_sync == 0)
		return no_target(v, n, rule, &route, why);
	out->write_min = route.write_min;
	for (size_t i = 0; i < route.n_async; i++) {
		out->async[out->n_async++] = v[route.async[i]].conf->id;
		if (i < route.n_resting)
			why_not(w, &v[route.async[i]], why);
	}
	for (size_t i = 0; i < route.n_sync; i++) {
		const struct route_site *s = &v[route.sync[i]];

		if (!route_site_is_down(s) || (scarce && s->state != SITE_STATE_DOWN)) {
			out->sync[out->n_sync++] = target_of(s);
			continue;
		}
		why_not(w, s, why);
		out->async[out->n_async++] = s->conf->id;
	}
	if (out->n_sync >= out->write_min)
		return GFS_OK;
	strbuf_addf(why, ": not available, and %u of %zu sites must take the change", out->write_min, route.n_sync + route.n_resting);
	return GFS_ERR_SITE_DOWN;
}
