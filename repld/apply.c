/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes at sites that the worker did not reach itself. The site was asked first: what it has is older than the tombstone. */
#include "config.h"

#include "apply.h"

#include "common/stats.h"
#include "decide.h"

static void on_deleted(void *arg, const struct site_result *res)
{
	struct task *t = arg;
	struct site_row *row;

	t->acting = false;
	if (res->outcome != SITE_DONE) {
		task_failed(t, res->outcome, res->err, res->reason);
		return;
	}
	stats_add(t->r->stats, STAT_REPL_COMPLETED, 1);
	row = row_find(t->e, t->site);
	if (row && t->e->decided && gen_cmp(&t->e->decided->gen, &t->v.gen) == 0)
		decide_confirm(t->r, t->e, row);
	task_end(t);
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
