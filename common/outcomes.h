/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one process learns about its sites from working with them, added up per site until it is told to healthd: pure. Memory is
 * bounded by SITES_BOARD_MAX rows. Filled by common/stubs/healthd_client.c from site events.
 *
 * What counts as a fault: connection errors, time-outs and 5xx, those that throttle among them: one that comes between good
 * answers does no harm, a burst of them is a site that does not serve. 429 is neither good nor bad, like everything that is our
 * own doing (a full spool, a broken configuration) or that says something about one object or about space only. Any other answer,
 * 404, 403 and a failed precondition too, is one of a site that is well.
 */
#ifndef GFS_OUTCOMES_H
#define GFS_OUTCOMES_H

#include "board/sites_board.h"
#include "site.h"

#define OUTCOMES_SAMPLES 32 /* per site and batch; a fair choice of all */
#define OUTCOMES_LATE 8

enum outcome_class { OUTCOME_NONE, OUTCOME_GOOD, OUTCOME_FAULT };

enum outcome_class outcome_classify(const struct site_event *e);

/* One site's batch; the strings and lists of MSG_OUTCOMES. */
struct outcomes_row {
	uint32_t site_id;
	uint64_t goods, faults, run, timeouts, given_up, waited_us;
	int64_t good_at_us, run_from_us; /* monotonic: of the last good one, of the first of run */
	uint64_t in_a_row; /* faults since the last good one, over all batches */
	int err;
	char reason[sizeof(((struct site_status *)0)->reason)];
	uint64_t first_us[OUTCOMES_SAMPLES], late_us[OUTCOMES_LATE];
	uint64_t n_read;   /* of which first_us is a choice */
	size_t n_first, n_late;
	bool news;
};

struct outcomes {
	struct outcomes_row *rows[SITES_BOARD_MAX]; /* by id; made when a site is first heard of */
	uint64_t chance;
};

struct outcomes *outcomes_create(void);
void outcomes_destroy(struct outcomes **o);
/* now_us: monotonic. Returns the row when it has news now, or NULL. */
const struct outcomes_row *outcomes_add(struct outcomes *o, uint32_t site_id, const struct site_event *e, int64_t now_us);
/* The first row with news whose id is greater than after_id, or NULL. */
const struct outcomes_row *outcomes_next(const struct outcomes *o, uint32_t after_id);
/* The row's batch was told or is given up: it begins anew. */
void outcomes_took(struct outcomes *o, uint32_t site_id);

#endif
