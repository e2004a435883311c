/* SPDX-License-Identifier: Apache-2.0 */
/* From probes and traffic to a state: see verdict.h. */
#include "config.h"

#include "verdict.h"

#include <string.h>

/* Batches in which fewer than one in five failed are no reason to doubt good probes. */
#define VERDICT_NOTABLE_SHARE 5

bool verdict_err_is_definite(int err)
{
	return err == GFS_ERR_SITE_DOWN || err == GFS_ERR_SITE_MARKER || err == GFS_ERR_SITE_FOREIGN || err == GFS_ERR_FORBIDDEN ||
	       err == GFS_ERR_CONFIG;
}

unsigned verdict_falls(const struct verdict *v, int64_t now_ms)
{
	unsigned n = 0;

	for (unsigned i = 0; i < v->n_falls; i++)
		n += now_ms - v->falls_ms[i] < VERDICT_WINDOW_MS;
	return n;
}

unsigned verdict_goods_needed(const struct verdict *v, int64_t now_ms)
{
	unsigned falls = verdict_falls(v, now_ms), need = VERDICT_UP_GOODS;

	for (; falls > 2 && need < VERDICT_UP_GOODS_MAX; falls--)
		need *= 2;
	return need;
}

static struct verdict verdict_become(struct verdict v, enum site_state state, int64_t now_ms)
{
	if (v.state == SITE_STATE_UP && state != SITE_STATE_UP) {
		if (v.n_falls == VERDICT_FALLS_MAX) {
			memmove(v.falls_ms, v.falls_ms + 1, sizeof(v.falls_ms) - sizeof(v.falls_ms[0]));
			v.n_falls--;
		}
		v.falls_ms[v.n_falls++] = now_ms;
	}
	v.state = state;
	return v;
}

static struct verdict verdict_after_failure(struct verdict v, const struct verdict_probe *p)
{
	v.goods = 0;
	v.fails++;
	if (v.state == SITE_STATE_DOWN || v.fails >= VERDICT_DOWN_FAILS || verdict_err_is_definite(p->err))
		return verdict_become(v, SITE_STATE_DOWN, p->now_ms);
	if (v.state != SITE_STATE_UNKNOWN)
		return verdict_become(v, SITE_STATE_DEGRADED, p->now_ms);
	return v;
}

struct verdict verdict_after(struct verdict before, const struct verdict_probe *p)
{
	enum site_state good = p->latency_us >= p->slow_us ? SITE_STATE_DEGRADED : SITE_STATE_UP;
	struct verdict v = before;

	if (p->err)
		return verdict_after_failure(v, p);
	v.fails = 0;
	v.goods++;
	switch (before.state) {
	case SITE_STATE_UNKNOWN:
	case SITE_STATE_UP:
		if (good != SITE_STATE_UP)
			v.goods = 0;
		return verdict_become(v, good, p->now_ms);
	case SITE_STATE_DEGRADED:
	case SITE_STATE_DOWN:
		if (v.goods >= verdict_goods_needed(&v, p->now_ms))
			return verdict_become(v, good, p->now_ms);
		break;
	}
	return v;
}

struct verdict verdict_after_traffic(struct verdict before, const struct verdict_traffic *t)
{
	bool notable = t->faults > 0 && t->faults * VERDICT_NOTABLE_SHARE >= t->goods + t->faults;
	bool late = t->probe_late && (t->timeouts > 0 || t->gave_up);
	struct verdict v = before;

	if (!notable && !late)
		return v;
	v.goods = 0;
	if (v.state == SITE_STATE_DOWN || v.state == SITE_STATE_DEGRADED)
		return v;
	if (late || t->run >= VERDICT_TRAFFIC_FAULTS || t->timeouts >= VERDICT_TRAFFIC_TIMEOUTS)
		return verdict_become(v, SITE_STATE_DEGRADED, t->now_ms);
	return v;
}

bool verdict_wants_probe(const struct verdict *v, const struct verdict_traffic *t)
{
	if (v->state == SITE_STATE_DOWN)
		return false; /* nothing that traffic says is news */
	if (t->gave_up)
		return true;
	return t->faults > 0 && (t->run >= VERDICT_TRAFFIC_FAULTS || t->timeouts > 0 || t->connects_fail || t->definite);
}

bool verdict_in_question(const struct verdict *v, int last_err, int64_t now_ms)
{
	if (v->state == SITE_STATE_UP)
		return false;
	if (v->goods > 0)
		return v->goods < verdict_goods_needed(v, now_ms);
	return v->fails < VERDICT_DOWN_FAILS && !(v->state == SITE_STATE_DOWN && verdict_err_is_definite(last_err));
}
