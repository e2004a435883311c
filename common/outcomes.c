/* SPDX-License-Identifier: Apache-2.0 */
/* What a process learns about its sites, added up per site: see outcomes.h. */
#include "config.h"

#include "outcomes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "xalloc.h"

static enum outcome_class classify_answer(const struct site_result *r)
{
	switch (r->err) {
	case GFS_OK:
	case GFS_ERR_NO_SUCH_KEY:
	case GFS_ERR_PRECONDITION:
	case GFS_ERR_RANGE:
	case GFS_ERR_CONFLICT:
	case GFS_ERR_FORBIDDEN:
		return OUTCOME_GOOD;
	case GFS_ERR_CONNECT:
	case GFS_ERR_SITE_DOWN:
	case GFS_ERR_SITE_MARKER:
	case GFS_ERR_SITE_FOREIGN:
	case GFS_ERR_IO:
		return OUTCOME_FAULT;
	case GFS_ERR_TIMEOUT:
	case GFS_ERR_SITE_BUSY:
	case GFS_ERR_SITE_ERROR:
	case GFS_ERR_PROTOCOL:
		/* A 4xx (408, 429, RequestTimeout) is about us. */
		return r->http_status >= 400 && r->http_status < 500 ? OUTCOME_NONE : OUTCOME_FAULT;
	default:
		return OUTCOME_NONE;
	}
}

enum outcome_class outcome_classify(const struct site_event *e)
{
	/* A probe has its own way into the verdict. */
	return e->result && e->op != SITE_OP_PROBE ? classify_answer(e->result) : OUTCOME_NONE;
}

struct outcomes *outcomes_create(void)
{
	struct outcomes *o = xcalloc(1, sizeof(*o));

	o->chance = 1;
	return o;
}

void outcomes_destroy(struct outcomes **o_io)
{
	struct outcomes *o = *o_io;

	*o_io = NULL;
	if (!o)
		return;
	for (size_t i = 0; i < SITES_BOARD_MAX; i++)
		free(o->rows[i]);
	free(o);
}

/* Every sample of the batch has the same chance to stay (algorithm R). */
static void add_first(struct outcomes *o, struct outcomes_row *row, int64_t us)
{
	uint64_t at = row->n_read++;

	if (row->n_first < OUTCOMES_SAMPLES) {
		row->first_us[row->n_first++] = (uint64_t)us;
		return;
	}
	o->chance = o->chance * 6364136223846793005u + 1442695040888963407u;
	at = (o->chance >> 33) % (at + 1);
	if (at < OUTCOMES_SAMPLES)
		row->first_us[at] = (uint64_t)us;
}

static void add_good(struct outcomes *o, struct outcomes_row *row, const struct site_event *e)
{
	row->goods++;
	row->run = row->timeouts = row->in_a_row = 0;
	if ((e->op == SITE_OP_GET || e->op == SITE_OP_HEAD) && e->first_us >= 0)
		add_first(o, row, e->first_us);
}

static void add_fault(struct outcomes_row *row, const struct site_event *e)
{
	const struct site_result *r = e->result;

	row->faults++;
	row->run++;
	row->in_a_row++;
	row->err = r->err;
	snprintf(row->reason, sizeof(row->reason), "%s", r->reason && r->reason[0] ? r->reason : gfs_err_text(r->err));
	if (r->err != GFS_ERR_TIMEOUT)
		return;
	row->timeouts++;
	if (e->op != SITE_OP_PUT && e->first_us < 0 && row->n_late < OUTCOMES_LATE)
		row->late_us[row->n_late++] = e->took_us > 0 ? (uint64_t)e->took_us : 0;
}

/* Nobody waits for nothing: who went elsewhere before the first byte may have found the site hanging. */
static void add_given_up(struct outcomes_row *row, const struct site_event *e)
{
	if ((e->op != SITE_OP_GET && e->op != SITE_OP_HEAD) || e->first_us >= 0)
		return;
	row->given_up++;
	if (e->took_us > (int64_t)row->waited_us)
		row->waited_us = (uint64_t)e->took_us;
}

static struct outcomes_row *row_of(struct outcomes *o, uint32_t site_id)
{
	if (!o->rows[site_id]) {
		o->rows[site_id] = xcalloc(1, sizeof(*o->rows[0]));
		o->rows[site_id]->site_id = site_id;
	}
	return o->rows[site_id];
}

const struct outcomes_row *outcomes_add(struct outcomes *o, uint32_t site_id, const struct site_event *e, int64_t now_us)
{
	enum outcome_class class = outcome_classify(e);
	struct outcomes_row *row;

	if (site_id == 0 || site_id >= SITES_BOARD_MAX || e->op == SITE_OP_PROBE)
		return NULL; /* a site that is only being tried out */
	row = row_of(o, site_id);
	if (class == OUTCOME_GOOD) {
		row->good_at_us = now_us;
		add_good(o, row, e);
	} else if (class == OUTCOME_FAULT) {
		row->run_from_us = row->run ? row->run_from_us : now_us;
		add_fault(row, e);
	} else if (!e->result) {
		add_given_up(row, e);
	}
	row->news = row->goods || row->faults || row->given_up;
	return row->news ? row : NULL;
}

const struct outcomes_row *outcomes_next(const struct outcomes *o, uint32_t after_id)
{
	for (uint32_t id = after_id + 1; id < SITES_BOARD_MAX; id++)
		if (o->rows[id] && o->rows[id]->news)
			return o->rows[id];
	return NULL;
}

void outcomes_took(struct outcomes *o, uint32_t site_id)
{
	struct outcomes_row *row = o->rows[site_id];

	gfs_assert(row);
	*row = (struct outcomes_row){.site_id = site_id, .in_a_row = row->in_a_row};
}
