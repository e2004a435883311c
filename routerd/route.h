/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which sites, in which order, for one operation: pure. Combines policy (rules of the configuration), administrative state,
 * health (board "sites") and currency (repld's answer). Table-tested.
 */
#ifndef GFS_ROUTE_H
#define GFS_ROUTE_H

#include "common/board/sites_board.h"
#include "common/conf/conf.h"
#include "common/strbuf.h"

#define ROUTE_MAX CONF_SITES_MAX /* sites considered for one operation: all there can be */

struct route_site {
	const struct site_conf *conf;
	enum site_state state; /* UNKNOWN when the board is stale or has no row */
	enum circuit_state circuit;
	bool stale;            /* does not hold the current version of the key */
	uint32_t nearness;     /* of the board: 1 is the nearest, 0 when never measured */
	int64_t latency_us, p95_us; /* of the board, for those who wait for an answer; no order follows from them */
};

struct route_read {
	size_t n;
	uint16_t order[ROUTE_MAX]; /* indexes into the sites: best first. Lagging sites come last, resting and ill ones before them */
	uint16_t n_current;        /* how many of them are current */
};

/* True when operations on the site would most likely fail: down, or its circuit is open. */
bool route_site_is_down(const struct route_site *s);
/* True while clients are kept away from it as far as others can serve: drained, or added at run time and not taken into use yet. */
bool route_site_rests(const struct route_site *s);
/* rule: what policy_match() found, or NULL. order: by role, or by nearness among sites that are equally well. */
void route_read(const struct route_site *v, size_t n, const struct policy_rule *rule, enum route_order order,
                struct route_read *out);

/* For a list: takes the resting sites out of what route_read() said that can be spared, because whatever is written to them is
 * written to a site in use too, by every one of the rules. */
void route_spare_resting(const struct route_site *v, size_t n, const struct policy_rule *rules, size_t n_rules,
                         struct route_read *read);

struct route_write {
	size_t n_sync, n_async;
	size_t n_resting;            /* of async: how many would be sync did they not rest; the first ones */
	uint16_t sync[ROUTE_MAX];    /* to complete before the answer: the primaries, or the first routed site when there is none */
	uint16_t async[ROUTE_MAX];   /* afterwards, by repld; a drained one when it is undrained */
	unsigned write_min;          /* all of sync when the configuration says 0; never more than sync and resting together */
	unsigned sync_down;          /* how many of sync are down: write_min may be out of reach */
};
/* n_sync is 0 when no site is routed, or when every primary that is routed rests. */
void route_write(const struct route_site *v, size_t n, const struct policy_rule *rule, unsigned write_min, struct route_write *out);

/* What routing to one site looked like, in words: "first: primary, up, current", "rule r1 sends reads to burst sites only".
 * place: 1 for the first that a read would try, 0 for a site that reads are not routed to. */
struct route_case {
	const struct route_site *site;
	const struct policy_rule *rule;
	enum route_order order;
	unsigned place;
	const char *reason;  /* healthd's sentence, or "" */
	int64_t retry_ms;    /* of an open circuit, real time; 0: not known */
	const char *lacks;   /* the generation that a stale site has not got, or "" */
	bool currency_known; /* false: nobody could tell whether it is stale */
};
void route_explain(const struct route_case *c, struct strbuf *out);

/* First rule that matches by priority, then file order; for its patterns see common/conf/pattern.h. NULL when none matches. */
const struct policy_rule *policy_match(const struct policy_rule *rules, size_t n, struct slice key, enum op_kind op);
bool policy_rule_has_op(const struct policy_rule *rule, enum op_kind op);

#endif
