/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of sites for a read and the targets of a write: pure, see route.h. A read ranks every routed site by what it would
 * cost to be wrong about it: currency first, then administrative state, health, and only then role or nearness.
 */
#include "config.h"

#include "route.h"

#include <stdlib.h>
#include <string.h>

bool route_site_is_down(const struct route_site *s)
{
	return s->state == SITE_STATE_DOWN || s->circuit == CIRCUIT_OPEN;
}

bool route_site_rests(const struct route_site *s)
{
	return s->conf->drained || (s->conf->runtime && !s->conf->claimed);
}

static bool rule_selects(const struct policy_rule *rule, const struct site_conf *conf)
{
	bool any_role = true;

	if (!rule)
		return true;
	for (int r = 0; r < ROLE_COUNT; r++)
		any_role = any_role && !rule->roles[r];
	if (!any_role && !rule->roles[conf->role])
		return false;
	if (!rule->target_sites || !rule->target_sites[0])
		return true;
	for (char **name = rule->target_sites; *name; name++) {
		if (strcmp(*name, conf->name) == 0)
			return true;
	}
	return false;
}

struct rank {
	unsigned group;  /* 0 current, 1 current but drained, 2 lagging */
	unsigned health; /* 0 up or unknown, 1 degraded, 2 down */
	uint32_t far; /* 0 unless the order is by latency */
	unsigned role;
	uint16_t index;
};

static int rank_cmp(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	if (x->health != y->health)
		return x->health < y->health ? -1 : 1;
	if (x->far != y->far)
		return x->far < y->far ? -1 : 1;
	if (x->role != y->role)
		return x->role < y->role ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static struct rank rank_of(const struct route_site *s, uint16_t index, enum route_order order)
{
	struct rank r = {.role = s->conf->role, .index = index};

	r.group = s->stale ? 2 : route_site_rests(s) ? 1 : 0;
	if (route_site_is_down(s))
		r.health = 2;
	else if (s->state == SITE_STATE_DEGRADED || s->circuit == CIRCUIT_HALF_OPEN)
		r.health = 1;
	/* A site that was never measured is not called fast. */
	if (order == ORDER_LATENCY)
		r.far = s->nearness > 0 ? s->nearness : UINT32_MAX;
	return r;
}

void route_read(const struct route_site *v, size_t n, const struct policy_rule *rule, enum route_order order,
                struct route_read *out)
{
	struct rank ranks[ROUTE_MAX];

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < n && out->n < ROUTE_MAX; i++) {
		if (rule_selects(rule, v[i].conf))
			ranks[out->n++] = rank_of(&v[i], (uint16_t)i, order);
	}
	qsort(ranks, out->n, sizeof(ranks[0]), rank_cmp);
	for (size_t i = 0; i < out->n; i++) {
		out->order[i] = ranks[i].index;
		out->n_current += ranks[i].group < 2;
	}
}

/* The site that takes a write at once when no primary is routed: the first by role, one that is not drained if there is one. */
static size_t promoted(const struct route_site *v, const uint16_t *routed, size_t n)
{
	size_t best = 0;

	for (size_t i = 1; i < n; i++) {
		const struct route_site *a = &v[routed[i]], *b = &v[routed[best]];
		bool rests = route_site_rests(b);

		if (route_site_rests(a) != rests ? rests : a->conf->role < b->conf->role)
			best = i;
	}
	return best;
}

static void add_async(struct route_write *out, uint16_t index, bool would_be_sync)
{
	size_t at = out->n_async++;

	if (would_be_sync) {
		memmove(&out->async[out->n_resting + 1], &out->async[out->n_resting],
		        (at - out->n_resting) * sizeof(out->async[0]));
		at = out->n_resting++;
	}
	out->async[at] = index;
}

void route_write(const struct route_site *v, size_t n, const struct policy_rule *rule, unsigned write_min, struct route_write *out)
{
	uint16_t routed[ROUTE_MAX];
	size_t n_routed = 0, n_primary = 0, only = 0, most;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < n && n_routed < ROUTE_MAX; i++) {
		if (!rule_selects(rule, v[i].conf))
			continue;
		routed[n_routed++] = (uint16_t)i;
		n_primary += v[i].conf->role == ROLE_PRIMARY;
	}
	if (n_primary == 0)
		only = promoted(v, routed, n_routed);
	for (size_t i = 0; i < n_routed; i++) {
		const struct route_site *s = &v[routed[i]];
		bool sync = n_primary == 0 ? i == only : s->conf->role == ROLE_PRIMARY;

		if (!sync || route_site_rests(s)) {
			add_async(out, routed[i], sync);
			continue;
		}
		out->sync[out->n_sync++] = routed[i];
		out->sync_down += route_site_is_down(s);
	}
	/* "All" means all that are not drained; a number that somebody chose is not made smaller by a drain. */
	most = out->n_sync + out->n_resting;
	out->write_min = write_min == 0 ? (unsigned)out->n_sync : write_min < most ? write_min : (unsigned)most;
}

static bool reads(const struct route_read *read, uint16_t index)
{
	for (size_t i = 0; i < read->n; i++)
		if (read->order[i] == index)
			return true;
	return false;
}

/* True when what the rule sends to the site is on another that is read, in use, and waited for by every write. */
static bool rule_spares(const struct route_site *v, size_t n, const struct policy_rule *rule, uint16_t index,
                        const struct route_read *read)
{
	struct route_write write;

	if (!rule_selects(rule, v[index].conf))
		return true;
	route_write(v, n, rule, 0, &write);
	for (size_t i = 0; i < write.n_sync; i++)
		if (!route_site_is_down(&v[write.sync[i]]) && reads(read, write.sync[i]))
			return true;
	return false;
}

void route_spare_resting(const struct route_site *v, size_t n, const struct policy_rule *rules, size_t n_rules,
                         struct route_read *read)
{
	const struct route_read all = *read;

	read->n = 0;
	for (size_t i = 0; i < all.n; i++) {
		uint16_t index = all.order[i];
		bool spare = route_site_rests(&v[index]) && rule_spares(v, n, NULL, index, &all);

		for (size_t r = 0; spare && r < n_rules; r++)
			spare = !policy_rule_has_op(&rules[r], OP_WRITE) || rule_spares(v, n, &rules[r], index, &all);
		if (!spare)
			read->order[read->n++] = index;
	}
}
