/* SPDX-License-Identifier: Apache-2.0 */
/* The fan-out of site events in a process, and what is counted of them per site: see site_watchers.h. */
#include "config.h"

#include "site_watchers.h"

#include "stats.h"

struct op_stats {
	enum site_stat_id ok, error, cancelled;
	int first; /* enum site_stat_id, or -1 */
};

static const struct op_stats op_stats[SITE_OP_KINDS] = {
	[SITE_OP_GET] = {SITE_STAT_GET_OK, SITE_STAT_GET_ERR, SITE_STAT_GET_CANCELLED, SITE_STAT_GET_FIRST},
	[SITE_OP_HEAD] = {SITE_STAT_HEAD_OK, SITE_STAT_HEAD_ERR, SITE_STAT_HEAD_CANCELLED, SITE_STAT_HEAD_FIRST},
	[SITE_OP_LIST] = {SITE_STAT_LIST_OK, SITE_STAT_LIST_ERR, SITE_STAT_LIST_CANCELLED, SITE_STAT_LIST_FIRST},
	[SITE_OP_PUT] = {SITE_STAT_PUT_OK, SITE_STAT_PUT_ERR, SITE_STAT_PUT_CANCELLED, -1},
	[SITE_OP_DELETE] = {SITE_STAT_DELETE_OK, SITE_STAT_DELETE_ERR, SITE_STAT_DELETE_CANCELLED, -1},
	[SITE_OP_PROBE] = {SITE_STAT_PROBE_OK, SITE_STAT_PROBE_ERR, SITE_STAT_PROBE_CANCELLED, SITE_STAT_PROBE_FIRST},
};

static void count(struct stats *stats, uint32_t id, const struct site_event *e)
{
	const struct op_stats *op = &op_stats[e->op];
	enum site_stat_id outcome = !e->result ? op->cancelled : site_result_is_fault(e->result) ? op->error : op->ok;

	stats_site_add(stats, id, outcome, 1);
	if (op->first >= 0 && e->first_us >= 0)
		stats_site_time(stats, id, (enum site_stat_id)op->first, e->first_us);
	if (e->bytes_read)
		stats_site_add(stats, id, SITE_STAT_READ_BYTES, e->bytes_read);
	if (e->bytes_written)
		stats_site_add(stats, id, SITE_STAT_WRITTEN_BYTES, e->bytes_written);
}

static void watchers_ended(void *arg, const struct site *site, const struct site_event *e)
{
	struct site_watchers *w = arg;

	count(w->stats, site_id(site), e);
	if (w->outcomes)
		w->outcomes->ended(w->outcomes->arg, site, e);
}

void site_watchers_init(struct site_watchers *w, struct stats *stats)
{
	*w = (struct site_watchers){.observer = {.ended = watchers_ended, .arg = w}, .stats = stats};
}
