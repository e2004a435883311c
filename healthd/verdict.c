/* SPDX-License-Identifier: Apache-2.0 */
/* From probes to a state: see verdict.h. */
#include "config.h"

#include "verdict.h"

bool verdict_err_is_definite(int err)
{
	return err == GFS_ERR_SITE_DOWN || err == GFS_ERR_SITE_MARKER || err == GFS_ERR_SITE_FOREIGN || err == GFS_ERR_FORBIDDEN ||
	       err == GFS_ERR_CONFIG;
}

static struct verdict verdict_after_failure(struct verdict v, int err)
{
	v.goods = 0;
	v.fails++;
	if (v.state == SITE_STATE_DOWN || v.fails >= VERDICT_DOWN_FAILS || verdict_err_is_definite(err))
		v.state = SITE_STATE_DOWN;
	else if (v.state != SITE_STATE_UNKNOWN)
		v.state = SITE_STATE_DEGRADED;
	return v;
}

struct verdict verdict_after(struct verdict before, const struct verdict_probe *p)
{
	struct verdict v = before;
	bool slow = p->latency_us >= p->slow_us;

	if (p->err)
		return verdict_after_failure(v, p->err);
	v.fails = 0;
	v.goods++;
	switch (before.state) {
	case SITE_STATE_UNKNOWN:
	case SITE_STATE_UP:
		v.state = slow ? SITE_STATE_DEGRADED : SITE_STATE_UP;
		if (slow)
			v.goods = 0;
		break;
	case SITE_STATE_DEGRADED:
	case SITE_STATE_DOWN:
		if (v.goods >= VERDICT_UP_GOODS)
			v.state = slow ? SITE_STATE_DEGRADED : SITE_STATE_UP;
		break;
	}
	return v;
}
