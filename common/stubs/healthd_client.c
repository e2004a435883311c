/* SPDX-License-Identifier: Apache-2.0 */
/* What a process sees of the sites, told to healthd in batches: see healthd_client.h. Owns its link and what is not told yet. */
#include "config.h"

#include "healthd_client.h"

#include <stdlib.h>

#include <event2/event.h>

#include "../clock.h"
#include "../ipc/link.h"
#include "../log.h"
#include "../outcomes.h"
#include "../stats.h"
#include "../xalloc.h"

#define TELL_MS 100

struct healthd_client {
	struct link *link;
	struct outcomes *outcomes;
	struct event *tell;
	bool pending, at_once;
	unsigned threshold;
	struct stats *stats;
	struct site_observer observer;
};

static int tell_row(struct healthd_client *c, const struct outcomes_row *row)
{
	struct msg m = {.type = MSG_OUTCOMES};

	m.outcomes = (struct msg_outcomes){
		.site = row->site_id,
		.goods = row->goods,
		.faults = row->faults,
		.has_good_at_us = row->goods > 0,
		.good_at_us = (uint64_t)row->good_at_us,
		.run = row->run,
		.has_run_from_us = row->run > 0,
		.run_from_us = (uint64_t)row->run_from_us,
		.timeouts = row->timeouts,
		.has_err = row->faults > 0,
		.err = row->err,
		.has_reason = row->faults > 0,
		.reason = slice_str(row->reason),
		.has_first_us = row->n_first > 0,
		.first_us = {row->first_us, row->n_first},
		.has_late_us = row->n_late > 0,
		.late_us = {row->late_us, row->n_late},
		.has_given_up = row->given_up > 0,
		.given_up = row->given_up,
		.has_waited_us = row->given_up > 0,
		.waited_us = row->waited_us,
	};
	return link_send(c->link, &m);
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
	struct healthd_client *c = arg;
	const struct outcomes_row *row;
	uint32_t id = 0;

	(void)fd;
	(void)what;
	c->pending = c->at_once = false;
	while ((row = outcomes_next(c->outcomes, id))) {
		int err = tell_row(c, row);

		id = row->site_id;
		if (c->stats)
			stats_add(c->stats, err ? STAT_OUTCOMES_LOST : STAT_OUTCOMES_SENT, row->goods + row->faults);
		outcomes_took(c->outcomes, id);
	}
}

/* Sent from the loop, never from here: we are inside an operation of the site. */
static void on_event(void *arg, const struct site *site, const struct site_event *e)
{
	static const struct timeval later = {.tv_usec = TELL_MS * 1000}, now = {0};
	struct healthd_client *c = arg;
	const struct outcomes_row *row = outcomes_add(c->outcomes, site_id(site), e, clock_mono_us());
	bool at_once = row && row->run > 0 && row->in_a_row == c->threshold;

	if (!row || (c->pending && (c->at_once || !at_once)))
		return;
	c->pending = true;
	c->at_once = at_once;
	event_add(c->tell, at_once ? &now : &later);
}

struct healthd_client *healthd_client_create(struct event_base *base, const char *run_dir, enum peer_role self, unsigned threshold,
                                             struct stats *stats)
{
	static const struct link_cbs cbs = {0};
	struct healthd_client *c = xcalloc(1, sizeof(*c));

	c->outcomes = outcomes_create();
	c->threshold = threshold;
	c->stats = stats;
	c->observer = (struct site_observer){.ended = on_event, .arg = c};
	c->tell = evtimer_new(base, on_tell, c);
	gfs_assert(c->tell);
	c->link = link_create(base, run_dir, "healthd", self, &cbs, c);
	return c;
}

void healthd_client_destroy(struct healthd_client **c_io)
{
	struct healthd_client *c = *c_io;

	*c_io = NULL;
	if (!c)
		return;
	link_destroy(&c->link);
	event_free(c->tell);
	outcomes_destroy(&c->outcomes);
	free(c);
}

const struct site_observer *healthd_client_observer(const struct healthd_client *c)
{
	return &c->observer;
}
