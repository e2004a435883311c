/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of cases for route.c. */
#include "config.h"

#include <criterion/criterion.h>

#include "routerd/route.h"

/* A site as "role health flags": role p, b (backup) or u (burst); health . (up) ? + (degraded) - (down) o (open) h (half-open);
 * then s (stale) and d (drained). */
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
	{{"p.d", "u-", "b.s"}, "102", 2},
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
	unsigned want_min, down;
};

static const struct write_case writes[] = {
	{{"p.", "b.", "p.", "u."}, 0, "02", "13", 2, 0},
	{{"p.", "b.", "p-", "u-"}, 1, "02", "13", 1, 1},
	{{"p.", "b."}, 5, "0", "1", 1, 0},
	{{"u.", "b.", "b."}, 0, "1", "02", 1, 0},
	{{"u.", "b.d", "u."}, 0, "0", "12", 1, 0},
	{{"b.d"}, 0, "0", "", 1, 1},
	{{"p.d", "po"}, 0, "01", "", 2, 2},
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
		cr_assert_str_eq(async, writes[c].async, "case %zu", c);
		cr_assert_eq(out.write_min, writes[c].want_min, "case %zu", c);
		cr_assert_eq(out.sync_down, writes[c].down, "case %zu", c);
	}
}
