/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes at sites that the worker did not reach itself. The site was asked first: what it has is older than the tombstone. */
#include "config.h"

#include "apply.h"

#include "common/stats.h"
#include "decide.h"

static void on_deleted(void *arg, const struct site_result *res)
{
	struct task *t = arg;
	t->acting = false;
	if (res->outcome != SITE_DONE) {
		task_failed(t, res->outcome, res->err, res->reason);
		return;
	}
	stats_add(t->r->stats, STAT_REPL_COMPLETED, 1);
	task_acted(t, res->repeated);
}

static void act(struct task *t)
{
	struct repl_site *rs = queue_site(t->r, t->site);

	if (!rs || !rs->site) {
		task_failed(t, SITE_FAILED, GFS_ERR_NO_SUCH_SITE, "the site is gone");
		return;
	}
	t->acting = true;
	site_delete(rs->site, key_name(t->e), SITE_RESERVED, on_deleted, t);
}

void apply_delete(struct task *t)
{
	task_claim(t, act);
}
