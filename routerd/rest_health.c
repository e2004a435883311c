/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /healthz and /readyz, for people, monitors and load balancers: from the boards, no site is asked. healthz says how the primaries
 * are; readyz whether this suite, or one site of it, can serve, and if not why, in one line.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/http/fields.h"

#include "candidates.h"
#include "rest.h"

#define QUERY_VALUE_MAX 256

/* ---- healthz ---- */

static int name_cmp(const void *a, const void *b)
{
	const struct worker_site *const *x = a, *const *y = b;

	return strcmp((*x)->conf->name, (*y)->conf->name);
}

/* What healthd says; a board that it does not keep up says nothing. */
static struct site_status status_of(const struct worker *w, const struct site_conf *conf)
{
	struct site_status st;

	if (sites_board_stale(&w->sites_board, clock_real_ms()) || !sites_board_get(&w->sites_board, conf->id, &st))
		st = (struct site_status){.state = SITE_STATE_UNKNOWN};
	st.reason[sizeof(st.reason) - 1] = '\0';
	return st;
}

static void add_reason(const struct site_status *st, const char *otherwise, struct strbuf *out)
{
	const char *reason = st->reason[0] ? st->reason : otherwise;

	/* A line each: nothing that a site said may make two of it. */
	for (; *reason; reason++)
		strbuf_addc(out, (unsigned char)*reason < 0x20 ? ' ' : *reason);
}

static void add_detail(const struct worker *w, const struct site_conf *conf, struct strbuf *out)
{
	struct site_status st = status_of(w, conf);
	uint64_t rows = stats_site_total(w->stats, conf->id, SITE_STAT_REPL_QUEUE);
	int64_t lag_ms = stats_site_age_ms(w->stats, conf->id, SITE_STAT_REPL_LAG, clock_real_ms());
	time_t until = (time_t)(st.retry_ms / 1000);
	struct tm tm;
	char text[16];

	strbuf_addf(out, "%s: %s, %s, circuit %s", conf->name, site_role_name(conf->role),
	            site_state_name((enum site_state)st.state), circuit_state_name((enum circuit_state)st.circuit));
	if (st.circuit == CIRCUIT_OPEN && st.retry_ms > 0 && gmtime_r(&until, &tm) && strftime(text, sizeof(text), "%H:%M:%S", &tm))
		strbuf_addf(out, " until %s UTC", text);
	if (conf->drained)
		strbuf_adds(out, ", drained");
	strbuf_addf(out, ", %" PRIu64 " to copy", rows);
	if (lag_ms > 0)
		strbuf_addf(out, ", lags %.1f s", (double)lag_ms / 1000);
	if (st.latency_us > 0)
		strbuf_addf(out, ", latency %.1f ms", (double)st.latency_us / 1000);
	if (st.state != SITE_STATE_UP || st.circuit != CIRCUIT_CLOSED) {
		strbuf_adds(out, ": ");
		add_reason(&st, "not checked yet", out);
	}
	strbuf_addc(out, '\n');
}

/* A primary that was drained is not missed. */
static bool is_degrading(const struct worker *w, const struct site_conf *conf)
{
	return conf->role == ROLE_PRIMARY && !conf->drained && status_of(w, conf).state == SITE_STATE_DOWN;
}

void rest_healthz(struct request *req)
{
	static const char *const names[] = {"verbose"};
	const struct worker *w = req->worker;
	const struct worker_site *sites[ROUTE_MAX];
	struct strbuf out = STRBUF_INIT;
	struct rest_query q;
	bool verbose, degraded = false;
	size_t n = w->n_sites < ROUTE_MAX ? w->n_sites : ROUTE_MAX;

	req->op_name = "healthz";
	if (!rest_query_read(req->head.query, names, 1, QUERY_VALUE_MAX, &q)) {
		response_error(req, GFS_ERR_INVALID, q.why);
		rest_query_free(&q);
		return;
	}
	verbose = q.given && !slice_eq_str(strbuf_slice(&q.value[0]), "0");
	rest_query_free(&q);
	for (size_t i = 0; i < n; i++) {
		sites[i] = &w->sites[i];
		degraded = degraded || is_degrading(w, w->sites[i].conf);
	}
	qsort(sites, n, sizeof(sites[0]), name_cmp);
	strbuf_adds(&out, degraded ? "DEGRADED\n" : "OK\n");
	for (size_t i = 0; i < n; i++) {
		struct site_status st = status_of(w, sites[i]->conf);

		if (verbose) {
			add_detail(w, sites[i]->conf, &out);
		} else if (is_degrading(w, sites[i]->conf)) {
			strbuf_addf(&out, "%s: ", sites[i]->conf->name);
			add_reason(&st, "down", &out);
			strbuf_addc(&out, '\n');
		}
	}
	response_text(req, degraded ? 503 : 200, strbuf_str(&out));
	strbuf_free(&out);
}

/* ---- readyz ---- */

/* Why this suite cannot serve, or NULL. */
static const char *suite_unready(const struct worker *w)
{
	struct route_site v[ROUTE_MAX];
	size_t n, down = 0;

	if (!w->proc->sites)
		return "no site table yet";
	if (!repld_client_is_up(w->repld))
		return "repld is not connected: no writes";
	if (stats_total(w->stats, STAT_REPL_USABLE) == 0)
		return "repld's journal cannot be used: no writes";
	n = candidates_build(w, v);
	for (size_t i = 0; i < n; i++)
		down += route_site_is_down(&v[i]);
	if (n == 0)
		return "there are no sites: add one";
	return down == n ? "every site is down" : NULL;
}

/* Why the site cannot serve, into why. max_lag_ms < 0: however much it lags. */
static bool site_unready(const struct worker *w, const struct site_conf *conf, int64_t max_lag_ms, struct strbuf *why)
{
	struct site_status st = status_of(w, conf);
	int64_t lag_ms = stats_site_age_ms(w->stats, conf->id, SITE_STAT_REPL_LAG, clock_real_ms());
	char limit[32];

	strbuf_addf(why, "site %s ", conf->name);
	if (conf->drained) {
		strbuf_adds(why, "is drained");
	} else if (st.state == SITE_STATE_DOWN || st.state == SITE_STATE_UNKNOWN) {
		strbuf_addf(why, "is %s: ", st.state == SITE_STATE_DOWN ? "down" : "not known to be up");
		add_reason(&st, "not checked yet", why);
	} else if (st.circuit == CIRCUIT_OPEN) {
		strbuf_adds(why, "has its circuit open: ");
		add_reason(&st, "failed too often", why);
	} else if (max_lag_ms >= 0 && (!repld_client_is_up(w->repld) || stats_total(w->stats, STAT_REPL_USABLE) == 0)) {
		strbuf_adds(why, "may lag: repld does not tell");
	} else if (max_lag_ms >= 0 && lag_ms > max_lag_ms) {
		conf_format_duration(max_lag_ms, limit);
		strbuf_addf(why, "lags %.1f s, more than %s", (double)lag_ms / 1000, limit);
	} else {
		return false;
	}
	return true;
}

static void answer_site(struct request *req, struct slice name, int64_t max_lag_ms)
{
	const struct worker *w = req->worker;
	const struct site_conf *conf = NULL;
	struct strbuf why = STRBUF_INIT;

	for (size_t i = 0; i < w->n_sites && !conf; i++)
		if (slice_eq_str(name, w->sites[i].conf->name))
			conf = w->sites[i].conf;
	if (!conf) {
		response_text(req, 404, "there is no such site\n");
		return;
	}
	if (site_unready(w, conf, max_lag_ms, &why)) {
		strbuf_addc(&why, '\n');
		response_text(req, 503, strbuf_str(&why));
	} else {
		response_text(req, 200, "OK\n");
	}
	strbuf_free(&why);
}

static void answer_suite(struct request *req)
{
	const char *why = suite_unready(req->worker);
	char text[128];

	snprintf(text, sizeof(text), "%s\n", why ? why : "OK");
	response_text(req, why ? 503 : 200, text);
}

void rest_readyz(struct request *req)
{
	enum { SITE, MAX_LAG };
	static const char *const names[] = {[SITE] = "site", [MAX_LAG] = "max_lag"};
	struct rest_query q;
	int64_t max_lag_ms = -1;
	bool site, lag;

	req->op_name = "readyz";
	if (!rest_query_read(req->head.query, names, 2, QUERY_VALUE_MAX, &q)) {
		response_error(req, GFS_ERR_INVALID, q.why);
		rest_query_free(&q);
		return;
	}
	site = q.given & 1u << SITE;
	lag = q.given & 1u << MAX_LAG;
	if (site && q.value[SITE].n == 0)
		response_error(req, GFS_ERR_INVALID, "site: empty");
	else if (lag && !site)
		response_error(req, GFS_ERR_INVALID, "max_lag: of which site? site is missing");
	else if (lag && conf_parse_duration(strbuf_slice(&q.value[MAX_LAG]), &max_lag_ms) != 0)
		response_error(req, GFS_ERR_INVALID, "max_lag: not a duration such as 30s");
	else if (site)
		answer_site(req, strbuf_slice(&q.value[SITE]), max_lag_ms);
	else
		answer_suite(req);
	rest_query_free(&q);
}
