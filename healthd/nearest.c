/* SPDX-License-Identifier: Apache-2.0 */
/* The order of the sites by measured latency: see nearest.h. */
#include "config.h"

#include "nearest.h"

#include <string.h>

static bool clearly_faster(int64_t a_us, int64_t b_us)
{
	return b_us - a_us >= NEAREST_CLEAR_US && a_us * 5 <= b_us * 4;
}

static const struct nearest_site *find(const struct nearest_site *v, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].id == id)
			return &v[i];
	return NULL;
}

static void put(struct nearest *order, size_t at, struct nearest_site site)
{
	memmove(&order->v[at + 1], &order->v[at], (order->n - at) * sizeof(order->v[0]));
	order->v[at] = site;
	order->n++;
}

static void take(struct nearest *order, size_t at)
{
	order->n--;
	memmove(&order->v[at], &order->v[at + 1], (order->n - at) * sizeof(order->v[0]));
}

/* Takes what is known of the sites: those that left go, new ones stand where their first latency puts them. */
static bool refresh(struct nearest *order, const struct nearest_site *v, size_t n)
{
	bool changed = false;

	for (size_t i = order->n; i-- > 0;) {
		const struct nearest_site *now = find(v, n, order->v[i].id);

		if (now && now->latency_us > 0) {
			order->v[i].latency_us = now->latency_us;
			continue;
		}
		take(order, i);
		changed = true;
	}
	for (size_t i = 0; i < n && order->n < SITES_BOARD_MAX; i++) {
		size_t at = 0;

		if (v[i].latency_us <= 0 || find(order->v, order->n, v[i].id))
			continue;
		while (at < order->n && order->v[at].latency_us <= v[i].latency_us)
			at++;
		put(order, at, (struct nearest_site){.id = v[i].id, .latency_us = v[i].latency_us});
		changed = true;
	}
	return changed;
}

/* The first place whose site this one clearly beats; its own when there is none. */
static size_t place_for(const struct nearest *order, size_t i)
{
	for (size_t at = 0; at < i; at++)
		if (clearly_faster(order->v[i].latency_us, order->v[at].latency_us))
			return at;
	return i;
}

bool nearest_round(struct nearest *order, const struct nearest_site *v, size_t n)
{
	bool changed = refresh(order, v, n);

	for (size_t i = 1; i < order->n; i++) {
		size_t at = place_for(order, i);
		struct nearest_site site = order->v[i];

		site.wins = at < i ? site.wins + 1 : 0;
		order->v[i].wins = site.wins;
		if (site.wins < NEAREST_WINS)
			continue;
		site.wins = 0;
		take(order, i);
		put(order, at, site);
		changed = true;
	}
	if (order->n > 0)
		order->v[0].wins = 0;
	return changed;
}

uint32_t nearest_place(const struct nearest *order, uint32_t id)
{
	for (size_t i = 0; i < order->n; i++)
		if (order->v[i].id == id)
			return (uint32_t)i + 1;
	return 0;
}

bool nearest_challenges(const struct nearest *order, uint32_t id)
{
	const struct nearest_site *site = find(order->v, order->n, id);

	return site && site->wins > 0;
}
