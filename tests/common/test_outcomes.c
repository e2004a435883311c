/* SPDX-License-Identifier: Apache-2.0 */
/* What counts as a fault of a site, and how a process adds up what happened between two batches. */
#include "config.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/outcomes.h"

static const struct {
	const char *name;
	int err, http;
	enum outcome_class want;
} results[] = {
	{"done", GFS_OK, 200, OUTCOME_GOOD},
	{"absent", GFS_ERR_NO_SUCH_KEY, 404, OUTCOME_GOOD},
	{"denied", GFS_ERR_FORBIDDEN, 403, OUTCOME_GOOD},
	{"precondition", GFS_ERR_PRECONDITION, 412, OUTCOME_GOOD},
	{"range", GFS_ERR_RANGE, 416, OUTCOME_GOOD},
	{"conflict", GFS_ERR_CONFLICT, 409, OUTCOME_GOOD},
	{"refused", GFS_ERR_CONNECT, 0, OUTCOME_FAULT},
	{"lost", GFS_ERR_SITE_ERROR, 200, OUTCOME_FAULT},
	{"time-out", GFS_ERR_TIMEOUT, 0, OUTCOME_FAULT},
	{"500", GFS_ERR_SITE_ERROR, 500, OUTCOME_FAULT},
	{"503 that asks to slow down", GFS_ERR_SITE_BUSY, 503, OUTCOME_FAULT},
	{"429", GFS_ERR_SITE_BUSY, 429, OUTCOME_NONE},
	{"400 RequestTimeout: our client was slow", GFS_ERR_TIMEOUT, 400, OUTCOME_NONE},
	{"a directory that is away", GFS_ERR_SITE_DOWN, 0, OUTCOME_FAULT},
	{"input/output error", GFS_ERR_IO, 0, OUTCOME_FAULT},
	{"full, for writes", GFS_ERR_SITE_FULL, 507, OUTCOME_NONE},
	{"one object is damaged", GFS_ERR_SITE_CORRUPT, 200, OUTCOME_NONE},
	{"our spool is full", GFS_ERR_BUSY, 0, OUTCOME_NONE},
	{"our own size limit", GFS_ERR_TOO_LARGE, 0, OUTCOME_NONE},
	{"cancelled", GFS_ERR_CANCELLED, 0, OUTCOME_NONE},
	{"not implemented", GFS_ERR_UNSUPPORTED, 501, OUTCOME_NONE},
};

static const struct outcomes_row *add(struct outcomes *o, enum site_op_kind op, int err, int64_t first_us)
{
	struct site_result r = {.outcome = err ? SITE_FAILED : SITE_DONE, .err = err, .reason = err ? "because" : ""};
	struct site_event e = {.op = op, .result = &r, .first_us = first_us, .took_us = 7000};

	return outcomes_add(o, 5, &e, 9);
}

static const struct outcomes_row *give_up(struct outcomes *o, int64_t first_us, int64_t took_us)
{
	struct site_event e = {.op = SITE_OP_GET, .first_us = first_us, .took_us = took_us};

	return outcomes_add(o, 5, &e, 9);
}

Test(outcomes, classifies)
{
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		struct site_result r = {.outcome = SITE_FAILED, .err = results[i].err, .http_status = results[i].http};
		struct site_event e = {.op = SITE_OP_GET, .result = &r};

		cr_assert_eq(outcome_classify(&e), results[i].want, "%s", results[i].name);
		/* never a fault that does not drive fall-back either */
		if (results[i].want == OUTCOME_FAULT)
			cr_assert(site_result_is_fault(&r), "%s", results[i].name);
		e.op = SITE_OP_PROBE;
		cr_assert_eq(outcome_classify(&e), OUTCOME_NONE);
	}
	cr_assert_eq(outcome_classify(&(struct site_event){.op = SITE_OP_PUT}), OUTCOME_NONE, "a client that went away");
}

Test(outcomes, counts_faults_in_a_row)
{
	struct outcomes *o = outcomes_create();
	const struct outcomes_row *row;

	add(o, SITE_OP_GET, GFS_ERR_CONNECT, -1);
	add(o, SITE_OP_PUT, GFS_OK, -1);
	add(o, SITE_OP_GET, GFS_ERR_TIMEOUT, -1);
	give_up(o, -1, 10);
	row = add(o, SITE_OP_PUT, GFS_ERR_SITE_ERROR, -1);
	cr_assert(row->goods == 1 && row->faults == 3 && row->run == 2 && row->timeouts == 1 && row->in_a_row == 2);
	cr_assert_eq(row->err, GFS_ERR_SITE_ERROR);
	cr_assert(row->good_at_us == 9 && row->run_from_us == 9);
	cr_assert_str_eq(row->reason, "because");
	cr_assert(row->n_late == 1 && row->late_us[0] == 7000);
	outcomes_took(o, 5);
	cr_assert_null(outcomes_next(o, 0));
	row = add(o, SITE_OP_GET, GFS_ERR_CONNECT, -1);
	cr_assert(row->run == 1 && row->in_a_row == 3 && row->timeouts == 0);
	row = add(o, SITE_OP_GET, GFS_ERR_NO_SUCH_KEY, 100);
	cr_assert(row->run == 0 && row->in_a_row == 0 && row->faults == 1 && row->goods == 1);
	outcomes_destroy(&o);
}

Test(outcomes, tells_who_waited_in_vain)
{
	struct outcomes *o = outcomes_create();
	const struct outcomes_row *row;

	cr_assert_null(give_up(o, 50, 9000), "it had its first byte");
	give_up(o, -1, 300);
	row = give_up(o, -1, 200);
	cr_assert(row->given_up == 2 && row->waited_us == 300 && row->faults == 0);
	outcomes_destroy(&o);
}

Test(outcomes, is_bounded_and_fair)
{
	struct outcomes *o = outcomes_create();
	const struct outcomes_row *row = NULL;
	unsigned late_half = 0;

	for (int i = 0; i < 10000; i++)
		row = add(o, SITE_OP_GET, GFS_OK, i);
	cr_assert(row->n_first == OUTCOMES_SAMPLES && row->goods == 10000);
	for (size_t i = 0; i < row->n_first; i++)
		late_half += row->first_us[i] >= 5000;
	cr_assert(late_half > 4 && late_half < OUTCOMES_SAMPLES - 4, "%u", late_half);
	for (int i = 0; i < 100; i++)
		row = add(o, SITE_OP_HEAD, GFS_ERR_TIMEOUT, -1);
	cr_assert_eq(row->n_late, OUTCOMES_LATE);
	outcomes_destroy(&o);
}

Test(outcomes, walks_rows_with_news)
{
	struct site_result r = {.outcome = SITE_DONE, .reason = ""};
	struct site_event e = {.op = SITE_OP_LIST, .result = &r, .first_us = 3};
	struct outcomes *o = outcomes_create();

	cr_assert_null(outcomes_add(o, 0, &e, 9));
	cr_assert_null(outcomes_add(o, SITES_BOARD_MAX, &e, 9));
	cr_assert_not_null(outcomes_add(o, 9, &e, 9));
	cr_assert_not_null(outcomes_add(o, SITES_BOARD_MAX - 1, &e, 9));
	cr_assert_eq(outcomes_next(o, 0)->site_id, 9);
	cr_assert_eq(outcomes_next(o, 9)->site_id, SITES_BOARD_MAX - 1);
	cr_assert_null(outcomes_next(o, SITES_BOARD_MAX - 1));
	cr_assert_eq(outcomes_next(o, 0)->n_first, 0, "a list is not a read");
	outcomes_destroy(&o);
}
