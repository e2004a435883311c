/* SPDX-License-Identifier: Apache-2.0 */
/* Rows and age of the oldest, per site: see lag.h. Called by queue.c. */
#include "config.h"

#include "lag.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "journal.h"

struct oldest_job {
	struct repld *r;
	uint32_t site;
	int64_t since_ms;
};

/* Without a journal nothing is known: what was known last stays, and STAT_REPL_USABLE says that it is old. */
static void publish(struct repld *r, const struct repl_site *rs)
{
	if (!rs->present || repld_refusal(r))
		return;
	stats_site_set(r->stats, rs->id, SITE_STAT_REPL_QUEUE, rs->rows);
	stats_site_set(r->stats, rs->id, SITE_STAT_REPL_PARKED, rs->parked);
	stats_site_set(r->stats, rs->id, SITE_STAT_REPL_LAG, (uint64_t)rs->since_ms);
}

void lag_account(struct repld *r, struct repl_site *rs)
{
	if (rs->id == ROW_KEEPER)
		return;
	if (rs->rows == 0)
		rs->since_ms = 0;
	else if (rs->since_ms == 0)
		rs->since_ms = clock_real_ms();
	rs->since_stale = rs->rows > 0;
	publish(r, rs);
}

int lag_load(struct repld *r, struct repl_site *rs)
{
	return store_oldest(journal_store(r->journal), rs->id, &rs->since_ms);
}

static int oldest_run(struct store *st, void *arg)
{
	struct oldest_job *job = arg;

	return store_oldest(st, job->site, &job->since_ms);
}

static void oldest_done(void *arg, int err)
{
	struct oldest_job *job = arg;
	struct repl_site *rs = queue_site(job->r, job->site);

	rs->since_asked = false;
	if (err) {
		rs->since_stale = true;
	} else if (rs->rows > 0 && job->since_ms > 0) {
		rs->since_ms = job->since_ms;
		publish(job->r, rs);
	}
	free(job);
}

void lag_tick(struct repld *r)
{
	struct repl_site *rs;

	if (repld_refusal(r))
		return;
	for (size_t i = 0; (rs = queue_site_at(r, i)); i++) {
		if (!rs->since_stale || rs->since_asked)
			continue;
		struct oldest_job *job = xcalloc(1, sizeof(*job));

		rs->since_stale = false;
		rs->since_asked = true;
		job->r = r;
		job->site = rs->id;
		journal_submit(r->journal, oldest_run, oldest_done, job);
	}
}
