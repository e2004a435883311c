/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a PUT (architecture 5.2 to 5.4): all sites prepared, FINALISE, the completing act at each of them, the cell's
 * clock, COMMIT, answer. From FINALISE on nothing stops it, not even the client's going away.
 */
#include "config.h"

#include <stdio.h>

#include "common/log.h"

#include "put.h"

/* repld knows which primary lacks the version: from now on no reader takes that one for current. */
static void on_commit_known(void *arg, int err)
{
	struct put *p = arg;

	if (err)
		put_answer_error(p, GFS_ERR_UNAVAILABLE, "repld does not answer; the write may take effect");
	else
		put_answer(p);
	put_end(p);
	put_release(p);
}

/* True when the PUT is over, false when on_commit_known() will end it. */
static bool put_committed(struct put *p)
{
	enum site_outcome outcomes[ROUTE_MAX];
	const struct put_site *bad = NULL;
	unsigned done = 0;
	size_t n = 0;
	bool good;
	char text[320];

	for (size_t i = 0; i < p->n_sites; i++) {
		const struct put_site *s = &p->sites[i];

		if (!s->finalised)
			continue;
		/* Done, and yet to be watched: an earlier attempt may surface. */
		outcomes[n++] = s->outcome == SITE_DONE && s->repeated ? SITE_UNKNOWN : s->outcome;
		if (s->outcome == SITE_DONE)
			done++;
		else
			bad = s;
	}
	good = done >= p->targets.write_min;
	/* Before the answer: whoever reads the clock after it must find that the key has changed. */
	keys_board_tick(&p->w->keys_board, keys_board_cell(put_key(p)));
	if (good && done < n) {
		put_hold(p);
		repld_commit(&p->write, outcomes, good, on_commit_known, p);
		return false;
	}
	repld_commit(&p->write, outcomes, good, NULL, NULL);
	if (good) {
		put_answer(p);
		return true;
	}
	snprintf(text, sizeof(text), "site %s: %s; the write may still take effect", bad->name, bad->why);
	put_answer_error(p, put_site_error(bad->err), text);
	return true;
}

static void check_completed(struct put *p)
{
	for (size_t i = 0; i < p->n_sites; i++) {
		if (p->sites[i].state == PUT_SITE_COMPLETING)
			return;
	}
	put_hold(p);
	if (put_committed(p))
		put_end(p);
	put_release(p);
}

void put_site_completed(struct put_site *s, const struct site_result *r)
{
	struct put *p = s->put;
	char q[LOG_QUOTE_MAX], more[WORKER_LOG_MORE];

	s->state = PUT_SITE_ENDED;
	s->outcome = r->outcome;
	s->repeated = r->repeated;
	s->err = r->err;
	if (r->outcome != SITE_DONE) {
		snprintf(s->why, sizeof(s->why), "%s", r->reason && r->reason[0] ? r->reason : gfs_err_text(r->err));
		if (worker_may_log(p->w, s->id, WORKER_LOG_PUT_FAULT, more))
			log_warn("event=put-site-failed request=%s site=%s outcome=%s why=%s%s", p->id, s->name,
			         r->outcome == SITE_FAILED ? "failed" : "unknown", log_quote(q, sizeof(q), slice_str(s->why)), more);
	}
	if (p->state == PUT_COMPLETING)
		check_completed(p);
}

static void on_finalised(void *arg, int err, const char *text)
{
	struct put *p = arg;

	if (err == GFS_ERR_SUPERSEDED) {
		/* Written, and at once overwritten by the newer version that is there already. */
		log_info("event=put-superseded request=%s", p->id);
		put_hold(p);
		put_answer(p);
		put_end(p);
		put_release(p);
		return;
	}
	if (err) {
		put_give_up(p, err, text && *text ? text : NULL);
		return;
	}
	put_set_state(p, PUT_COMPLETING);
	put_hold(p);
	for (size_t i = 0; i < p->n_sites; i++) {
		struct put_site *s = &p->sites[i];

		if (s->state != PUT_SITE_PREPARED)
			continue;
		s->state = PUT_SITE_COMPLETING;
		site_put_complete(s->h, p->etag, true, p->crc64);
	}
	check_completed(p);
	put_release(p);
}

static void put_finalise(struct put *p)
{
	uint64_t sync[ROUTE_MAX], async[ROUTE_MAX * 2];
	struct repld_version v = {
		.size = p->total,
		.part_size = p->part_size,
		.has_crc64 = true,
		.crc64 = p->crc64,
		.sync_sites = sync,
		.async_sites = async,
		.write_min = p->targets.write_min,
		.conditional = p->conditional,
	};

	memcpy(v.etag, p->etag, sizeof(v.etag));
	for (size_t i = 0; i < p->targets.n_async; i++)
		async[v.n_async++] = p->targets.async[i];
	for (size_t i = 0; i < p->n_sites; i++) {
		struct put_site *s = &p->sites[i];

		s->finalised = s->state == PUT_SITE_PREPARED;
		if (s->finalised)
			sync[v.n_sync++] = s->id;
		else
			async[v.n_async++] = s->id;
	}
	put_set_state(p, PUT_FINALISING);
	repld_finalise(p->write, &v, on_finalised, p);
}

void put_check_prepared(struct put *p)
{
	if (p->dead || p->state != PUT_PREPARING)
		return;
	for (size_t i = 0; i < p->n_sites; i++) {
		if (p->sites[i].state != PUT_SITE_PREPARED && p->sites[i].state != PUT_SITE_ENDED)
			return;
	}
	put_finalise(p);
}

void put_prepare(struct put *p)
{
	put_set_state(p, PUT_PREPARING);
	put_hold(p);
	for (size_t i = 0; i < p->n_sites; i++) {
		struct put_site *s = &p->sites[i];

		if (s->state != PUT_SITE_READY)
			continue;
		s->state = PUT_SITE_PREPARING;
		site_put_end(s->h);
	}
	put_release(p);
}
