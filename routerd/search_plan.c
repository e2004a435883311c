/* SPDX-License-Identifier: Apache-2.0 */
/* The candidates of a search: who is asked, in which order, and whose 404 counts. Called by search.c once per read. */
#include "config.h"

#include <stdio.h>

#include "common/xalloc.h"

#include "search.h"

static bool lists(const uint64_t *ids, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++) {
		if (ids[i] == id)
			return true;
	}
	return false;
}

/* Whose 404 counts: the sites that every acknowledged write is on. Under a rule that keeps reads away from all of those, the
 * ones it routes reads to. A site that joined later says nothing about what was written before; when all of them joined one by
 * one, the first has seen the most. A resting site is not taken at its word as long as there is another. */
static void mark_authoritative(struct search *s)
{
	bool any_sync = false, any_founder = false, any_in_use = false;
	uint32_t first_id = UINT32_MAX;

	for (size_t i = 0; i < s->n; i++)
		any_sync = any_sync || s->v[i].sync;
	for (size_t i = 0; i < s->n; i++) {
		const struct search_site *c = &s->v[i];

		if (any_sync && !c->sync)
			continue;
		any_founder = any_founder || !c->joined;
		first_id = c->id < first_id ? c->id : first_id;
	}
	for (size_t i = 0; i < s->n; i++) {
		struct search_site *c = &s->v[i];

		c->authoritative = (c->sync || !any_sync) && !c->lagging && (any_founder ? !c->joined : c->id == first_id);
		any_in_use = any_in_use || (c->authoritative && !c->rests);
	}
	for (size_t i = 0; i < s->n; i++)
		s->v[i].authoritative = s->v[i].authoritative && !(s->v[i].rests && any_in_use);
}

/* Nothing speaks against sending it a hedge: a lagging site's answer would not be current, a resting one is to be spared, and one
 * that is not well will hardly be the faster. */
static bool is_well(const struct route_site *r)
{
	return !r->stale && !route_site_rests(r) && (r->state == SITE_STATE_UP || r->state == SITE_STATE_UNKNOWN) &&
	       r->circuit == CIRCUIT_CLOSED;
}

static void fill(struct search_site *c, const struct route_site *r)
{
	c->id = r->conf->id;
	snprintf(c->name, sizeof(c->name), "%s", r->conf->name);
	c->lagging = r->stale;
	c->joined = r->conf->runtime;
	c->rests = route_site_rests(r);
	c->down = route_site_is_down(r) || r->circuit == CIRCUIT_HALF_OPEN; /* which healthd tries, not clients */
	c->well = is_well(r);
	c->p95_us = r->p95_us;
	c->stuck_at = UINT64_MAX;
}

void search_plan(struct search *s, const struct repld_location *loc)
{
	const struct conf *conf = s->w->conf;
	struct route_site v[ROUTE_MAX];
	struct route_write write;
	struct route_read read;
	size_t n = candidates_build(s->w, v);

	for (size_t i = 0; loc && i < n; i++)
		v[i].stale = lists(loc->stale_sites, loc->n_stale, v[i].conf->id);
	route_write(v, n, policy_match(conf->rules, conf->n_rules, s->key, OP_WRITE), conf->routing.write_min, &write);
	route_read(v, n, policy_match(conf->rules, conf->n_rules, s->key, OP_READ), conf->routing.order, &read);
	s->n = read.n;
	s->v = xcalloc(s->n ? s->n : 1, sizeof(*s->v));
	for (size_t i = 0; i < s->n; i++) {
		fill(&s->v[i], &v[read.order[i]]);
		for (size_t k = 0; k < write.n_sync; k++)
			s->v[i].sync = s->v[i].sync || write.sync[k] == read.order[i];
		/* A resting one holds all that was acknowledged too: what it has missed since then, it is known to lag in. */
		for (size_t k = 0; k < write.n_resting; k++)
			s->v[i].sync = s->v[i].sync || write.async[k] == read.order[i];
	}
	mark_authoritative(s);
	s->at = SIZE_MAX;
}
