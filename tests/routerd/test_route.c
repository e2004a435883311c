/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of cases for route.c. */
#include "config.h"

#include <criterion/criterion.h>

#include "routerd/route.h"
#include "routerd/where.h"

/* A site as "role health flags": role p, b (backup) or u (burst); health . (up) ? + (degraded) - (down) o (open) h (half-open);
 * then s (stale), d (drained), n (added at run time, new). */
struct read_case {
	const char *sites[6];
	const char *want; /* indexes in order */
	unsigned n_current;
};

static const struct read_case reads[] = {
	{{"u.", "b.", "p.", "p."}, "2310", 4},
	{{"p+", "b.", "u?"}, "120", 3},
	{{"p-", "b+", "u."}, "210", 3},
	{{"po", "b."}, "10", 2},
	{{"ph", "b.", "p-"}, "102", 3},
	{{"p.s", "u-"}, "10", 1},
	{{"p.d", "p-", "b.d"}, "102", 3},
	{{"p.ds", "b.d", "u.s"}, "102", 1},
	{{"p.d", "u-", "b.s"}, "102", 2},
	{{"p.n", "b.", "b.s"}, "102", 2},
	{{"p.s", "b.s"}, "01", 0},
	{{"p-s", "b.s"}, "10", 0},
	{{"p?", "p."}, "01", 2},
};

static char names[6][2] = {"0", "1", "2", "3", "4", "5"};

static size_t make_sites(const char *const *text, struct route_site *v, struct site_conf *confs)
{
	size_t n = 0;

	for (; n < 6 && text[n]; n++) {
		const char *t = text[n];

		confs[n] = (struct site_conf){
			.id = (uint32_t)n + 1,
			.name = names[n],
			.role = t[0] == 'p' ? ROLE_PRIMARY : t[0] == 'b' ? ROLE_BACKUP : ROLE_BURST,
			.drained = strchr(t, 'd') != NULL,
			.runtime = strchr(t, 'n') != NULL,
		};
		v[n] = (struct route_site){
			.conf = &confs[n],
			.state = t[1] == '?' ? SITE_STATE_UNKNOWN : t[1] == '+' ? SITE_STATE_DEGRADED
			         : t[1] == '-' ? SITE_STATE_DOWN : SITE_STATE_UP,
			.circuit = t[1] == 'o' ? CIRCUIT_OPEN : t[1] == 'h' ? CIRCUIT_HALF_OPEN : CIRCUIT_CLOSED,
			.stale = strchr(t, 's') != NULL,
		};
	}
	return n;
}

Test(route, read_order)
{
	for (size_t c = 0; c < sizeof(reads) / sizeof(reads[0]); c++) {
		struct route_site v[6];
		struct site_conf confs[6];
		struct route_read out;
		size_t n = make_sites(reads[c].sites, v, confs);
		char got[8] = "";

		route_read(v, n, NULL, ORDER_ROLE, &out);
		for (size_t i = 0; i < out.n; i++)
			got[i] = (char)('0' + out.order[i]);
		cr_assert_str_eq(got, reads[c].want, "case %zu: %s", c, got);
		cr_assert_eq(out.n_current, reads[c].n_current, "case %zu", c);
	}
}

Test(route, read_by_latency_measures_only_equally_well_sites)
{
	static const char *const text[6] = {"p.", "b.", "u.", "b+"};
	struct route_site v[6];
	struct site_conf confs[6];
	struct route_read out;
	size_t n = make_sites(text, v, confs);

	v[0].nearness = 3, v[2].nearness = 2, v[3].nearness = 1;
	route_read(v, n, NULL, ORDER_LATENCY, &out);
	cr_assert_eq(out.order[0], 2);
	cr_assert_eq(out.order[1], 0);
	cr_assert_eq(out.order[2], 1);
	cr_assert_eq(out.order[3], 3);
}

Test(route, rule_selects_roles_and_names)
{
	static const char *const text[6] = {"p.", "b.", "u.", "u."};
	static char *only[] = {names[3], NULL};
	struct policy_rule rule = {.roles = {[ROLE_BURST] = true}};
	struct route_site v[6];
	struct site_conf confs[6];
	struct route_read out;
	struct route_write w;
	size_t n = make_sites(text, v, confs);

	route_read(v, n, &rule, ORDER_ROLE, &out);
	cr_assert_eq(out.n, 2);
	rule.target_sites = only;
	route_read(v, n, &rule, ORDER_ROLE, &out);
	cr_assert_eq(out.n, 1);
	cr_assert_eq(out.order[0], 3);
	rule.roles[ROLE_BURST] = false, rule.roles[ROLE_BACKUP] = true;
	route_read(v, n, &rule, ORDER_ROLE, &out);
	cr_assert_eq(out.n, 0);
	route_write(v, n, &rule, 0, &w);
	cr_assert_eq(w.n_sync, 0);
	cr_assert_eq(w.write_min, 0);
}

struct write_case {
	const char *sites[6];
	unsigned write_min;
	const char *sync, *async;
	unsigned want_min, down, drained;
};

static const struct write_case writes[] = {
	{{"p.", "b.", "p.", "u."}, 0, "02", "13", 2, 0, 0},
	{{"p.", "b.", "p-", "u-"}, 1, "02", "13", 1, 1, 0},
	{{"p.", "b."}, 5, "0", "1", 1, 0, 0},
	{{"u.", "b.", "b."}, 0, "1", "02", 1, 0, 0},
	/* no primary is routed: one that is drained is not promoted while there is another */
	{{"u.", "b.d", "u."}, 0, "0", "12", 1, 0, 0},
	{{"b.d"}, 0, "", "0", 0, 0, 1},
	{{"b.d", "u.d"}, 0, "", "01", 0, 0, 1},
	/* a drained primary is brought up to date later, and a backup does not take its place */
	{{"p.d", "po"}, 0, "1", "0", 1, 1, 1},
	{{"b.", "p.", "p.d"}, 0, "1", "20", 1, 0, 1},
	{{"p.d", "b.", "p.d"}, 0, "", "021", 0, 0, 2},
	/* one that was added, and has no marker yet, gets its copies when it has */
	{{"p.", "p.n", "b."}, 0, "0", "12", 1, 0, 1},
	/* a number that was chosen holds: two are wanted, one is in use */
	{{"p.", "p.d", "b."}, 2, "0", "12", 2, 0, 1},
	{{"p.", "p.d"}, 9, "0", "1", 2, 0, 1},
	{{"p.", "p.d"}, 1, "0", "1", 1, 0, 1},
};

Test(route, write_targets)
{
	for (size_t c = 0; c < sizeof(writes) / sizeof(writes[0]); c++) {
		struct route_site v[6];
		struct site_conf confs[6];
		struct route_write out;
		size_t n = make_sites(writes[c].sites, v, confs);
		char sync[8] = "", async[8] = "";

		route_write(v, n, NULL, writes[c].write_min, &out);
		for (size_t i = 0; i < out.n_sync; i++)
			sync[i] = (char)('0' + out.sync[i]);
		for (size_t i = 0; i < out.n_async; i++)
			async[i] = (char)('0' + out.async[i]);
		cr_assert_str_eq(sync, writes[c].sync, "case %zu", c);
		cr_assert_str_eq(async, writes[c].async, "case %zu: %s", c, async);
		cr_assert_eq(out.write_min, writes[c].want_min, "case %zu", c);
		cr_assert_eq(out.sync_down, writes[c].down, "case %zu", c);
		cr_assert_eq(out.n_resting, writes[c].drained, "case %zu", c);
	}
}

struct spare_case {
	const char *sites[6];
	struct policy_rule rule; /* one, when it has a name */
	const char *want;
};

static const struct spare_case spares[] = {
	{{"p.", "p.", "b."}, {0}, "012"},
	{{"p.d", "p.", "b."}, {0}, "12"},
	{{"p.", "b.d", "u."}, {0}, "02"},
	/* nobody else in use has it all */
	{{"p.d", "b."}, {0}, "10"},
	{{"p.d", "p-"}, {0}, "10"},
	{{"p.d", "p.d", "b."}, {0}, "201"},
	/* a rule writes to it alone */
	{{"p.", "u.d"}, {.name = names[0], .ops = {[OP_WRITE] = true}, .roles = {[ROLE_BURST] = true}}, "01"},
	{{"p.", "u.d"}, {.name = names[0], .ops = {[OP_READ] = true}, .roles = {[ROLE_BURST] = true}}, "0"},
	{{"p.", "u.d", "u."}, {.name = names[0], .ops = {[OP_WRITE] = true}, .roles = {[ROLE_BURST] = true}}, "02"},
	{{"p.", "b.d", "u."}, {.name = names[0], .ops = {[OP_WRITE] = true}, .roles = {[ROLE_BURST] = true}}, "02"},
};

Test(route, lists_spare_drained_sites_that_hold_nothing_of_their_own)
{
	for (size_t c = 0; c < sizeof(spares) / sizeof(spares[0]); c++) {
		struct route_site v[6];
		struct site_conf confs[6];
		struct route_read out;
		size_t n = make_sites(spares[c].sites, v, confs);
		char got[8] = "";

		route_read(v, n, NULL, ORDER_ROLE, &out);
		route_spare_resting(v, n, &spares[c].rule, spares[c].rule.name != NULL, &out);
		for (size_t i = 0; i < out.n; i++)
			got[i] = (char)('0' + out.order[i]);
		cr_assert_str_eq(got, spares[c].want, "case %zu: %s", c, got);
	}
}

static char *some_sites[] = {(char []){"a"}, (char []){"b"}, NULL};
static const struct policy_rule rules[] = {
	{.name = (char []){"r1"}, .roles = {[ROLE_BURST] = true}},
	{.name = (char []){"r2"}, .roles = {[ROLE_BACKUP] = true, [ROLE_BURST] = true}, .target_sites = some_sites},
	{.name = (char []){"r3"}, .target_sites = some_sites},
};

struct explain_case {
	const char *site; /* as above */
	struct route_case c;
	const char *want;
};

static const struct explain_case explains[] = {
	{"p.", {.place = 1, .currency_known = true}, "first: primary, up, current"},
	{"b+", {.place = 2, .reason = "slow", .currency_known = true}, "second: backup, degraded: slow, current"},
	{"u-", {.place = 3, .reason = "connection refused", .currency_known = true}, "third: burst, down: connection refused, current"},
	{"p-", {.place = 11, .currency_known = true}, "11th: primary, down, current"},
	{"p.", {.place = 22, .currency_known = true}, "22nd: primary, up, current"},
	{"p?", {.place = 63}, "63rd: primary, health not known, whether it is current is not known"},
	{"p.d", {.place = 1, .currency_known = true}, "first: primary, up, drained: a last resort, current"},
	{"p.n", {.place = 2, .currency_known = true}, "second: primary, up, not in use yet: a last resort, current"},
	{"p.s", {.place = 1, .lacks = "0001@n", .currency_known = true}, "first: primary, up, lags: has not got generation 0001@n yet"},
	{"p.s", {.place = 1, .currency_known = true}, "first: primary, up, lags: a newer write may not have reached it yet"},
	{"po", {.place = 2, .reason = "connection refused", .retry_ms = 1767225605000, .currency_known = true},
	 "second: primary, up, circuit open until 00:00:05 UTC, site: connection refused, current"},
	{"po", {.place = 2, .currency_known = true}, "second: primary, up, circuit open, current"},
	{"ph", {.place = 2, .currency_known = true}, "second: primary, up, circuit half-open, current"},
	{"p.", {.rule = &rules[0]}, "rule r1 sends reads to burst sites only"},
	{"p.", {.rule = &rules[1]}, "rule r2 sends reads to backup and burst sites among a, b only"},
	{"p.", {.rule = &rules[2]}, "rule r3 sends reads to a, b only"},
	{"p.", {.place = 1, .order = ORDER_LATENCY, .currency_known = true}, "first: primary, never measured, up, current"},
};

Test(route, explains_itself)
{
	for (size_t i = 0; i < sizeof(explains) / sizeof(explains[0]); i++) {
		const char *text[6] = {explains[i].site};
		struct route_case c = explains[i].c;
		struct strbuf out = STRBUF_INIT;
		struct route_site v[6];
		struct site_conf confs[6];

		make_sites(text, v, confs);
		c.site = &v[0];
		c.reason = c.reason ? c.reason : "";
		c.lacks = c.lacks ? c.lacks : "";
		route_explain(&c, &out);
		cr_assert_str_eq(strbuf_str(&out), explains[i].want, "case %zu: %s", i, strbuf_str(&out));
		strbuf_free(&out);
	}
}

Test(route, explains_what_was_measured)
{
	const char *text[6] = {"p."};
	struct strbuf out = STRBUF_INIT;
	struct route_site v[6];
	struct site_conf confs[6];
	struct route_case c = {.site = v, .order = ORDER_LATENCY, .place = 1, .reason = "", .lacks = "", .currency_known = true};

	make_sites(text, v, confs);
	v[0].nearness = 2, v[0].latency_us = 4250;
	route_explain(&c, &out);
	cr_assert_str_eq(strbuf_str(&out), "first: primary, number 2 by latency (4.2 ms), up, current");
	strbuf_free(&out);
}

struct where_case {
	const char *known; /* - clean, ? no answer, d decided, x deleted, u nothing but an undecided write */
	int present;
	unsigned gen; /* of the copy; the decided one is 5 */
	const char *etag; /* the decided one is "e" */
	bool wanted;
	int want;
};

static const struct where_case wheres[] = {
	{"-", 1, 0, "", true, 1}, {"-", 0, 0, "", true, 0}, {"-", 0, 0, "", false, -1}, {"-", -1, 0, "", true, -1},
	{"?", 1, 5, "e", true, -1}, {"?", 0, 0, "", true, -1}, {"u", 1, 5, "e", true, -1},
	{"d", 1, 5, "e", true, 1}, {"d", 1, 6, "x", true, 1}, {"d", 1, 4, "x", true, 0}, {"d", 1, 4, "", true, 0},
	{"d", 1, 4, "e", true, 1}, {"d", 0, 0, "", true, 0}, {"d", 0, 0, "", false, -1}, {"d", -1, 0, "", true, -1},
	{"x", 0, 0, "", false, 1}, {"x", 1, 4, "e", true, 0}, {"x", 1, 6, "e", true, 1},
};

Test(where, which_copies_are_current)
{
	for (size_t i = 0; i < sizeof(wheres) / sizeof(wheres[0]); i++) {
		const struct where_case *w = &wheres[i];
		bool decided = *w->known == 'd' || *w->known == 'x';
		struct where_known k = {
			.err = *w->known == '?' ? GFS_ERR_TIMEOUT : 0, .known = decided || *w->known == 'u', .decided = decided,
			.deleted = *w->known == 'x', .gen = {.hlc = decided ? 5 : 0}, .etag = "e",
		};
		struct where_copy c = {.present = w->present, .gen = {.hlc = w->gen}};

		strcpy(c.etag, w->etag);
		cr_assert_eq(where_current(&k, &c, w->wanted), w->want, "case %zu", i);
	}
}
