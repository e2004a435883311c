/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COMMIT and ANNOUNCE: see writes.h. Both are self-contained: they may come after a restart, for an intent that the
 * journal has, for
 * one that was resolved meanwhile, or twice.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "decide.h"
#include "open_write.h"
#include "queue.h"
#include "resolve.h"

struct commit_job {
	struct repld *r;
	uint64_t peer, call;
	struct key_entry *e; /* referenced */
	struct write_req req;
	enum site_outcome outcomes[VERSION_SITES_MAX];
	struct key_wait wait;
};

static void commit_free(struct commit_job *job)
{
	keys_wait_cancel(&job->wait);
	keys_release(job->r, &job->e);
	free(job);
}

static void on_commit_saved(void *arg, int err)
{
	struct commit_job *job = arg;

	if (err)
		peer_error(job->r, job->peer, job->call, GFS_ERR_UNAVAILABLE, repld_unwritten(job->r));
	else
		peer_ok(job->r, job->peer, job->call);
	commit_free(job);
}

static void count_outcomes(const struct commit_job *job, size_t n_out[3])
{
	n_out[SITE_DONE] = n_out[SITE_FAILED] = n_out[SITE_UNKNOWN] = 0;
	for (size_t i = 0; i < job->req.v.n_sync; i++)
		n_out[job->outcomes[i]]++;
}

/* The intent is there: the ordinary end of a write. */
static void commit_intent(struct commit_job *job)
{
	struct repld *r = job->r;
	struct key_entry *e = job->e;
	struct version v = *e->intent;
	size_t n[3];

	count_outcomes(job, n);
	if (v.deleted || n[SITE_DONE] > 0) {
		decide_forward(r, e, &v, job->outcomes, on_commit_saved, job);
		return;
	}
	if (n[SITE_UNKNOWN] == 0) {
		decide_withdraw(r, e, on_commit_saved, job);
		return;
	}
	/* No site is known to have it, some may: they are asked until it is clear. The worker's own acts are over. */
	e->intent->owner_pid = 0;
	keys_touch_intent(e);
	keys_save(r, e, on_commit_saved, job);
	resolve_start(r, e);
}

/* No intent of that generation: a repetition, or one that was resolved meanwhile. */
static void commit_other(struct commit_job *job)
{
	struct repld *r = job->r;
	struct key_entry *e = job->e;
	const struct version *v = e->decided ? e->decided : e->intent;
	int64_t now_ms = clock_real_ms();
	size_t n[3];

	count_outcomes(job, n);
	if (v && gen_cmp(&v->gen, &job->req.v.gen) > 0) {
		/* Newer things were decided; these acts must not lie over them. */
		for (size_t i = 0; i < job->req.v.n_sync; i++)
			if (job->outcomes[i] != SITE_FAILED)
				decide_watch(row_need(e, job->req.v.sites[i], now_ms), now_ms);
		queue_offer_all(r, e);
		keys_save(r, e, on_commit_saved, job);
		return;
	}
	bool all_done = n[SITE_DONE] == job->req.v.n_sync && job->req.v.n_sites == job->req.v.n_sync;

	if (!e->intent && !all_done && n[SITE_FAILED] < job->req.v.n_sync && (!v || gen_cmp(&v->gen, &job->req.v.gen) < 0)) {
		/* The journal does not know it: the sites decide whether it is still what counts. */
		e->intent = version_copy(&job->req.v);
		e->intent->stamp_ms = now_ms;
		e->intent->owner_pid = 0;
		keys_save(r, e, on_commit_saved, job);
		resolve_start(r, e);
		return;
	}
	on_commit_saved(job, GFS_OK);
}

static void on_commit_loaded(void *arg, int err)
{
	struct commit_job *job = arg;
	struct key_entry *e = job->e;
	struct repld *r = job->r;
	struct open_write *ow;

	if (err) {
		on_commit_saved(job, err);
		return;
	}
	ow = write_find(e, &job->req.v.gen);
	keys_ref(e);
	if (e->intent && gen_cmp(&e->intent->gen, &job->req.v.gen) == 0)
		commit_intent(job);
	else
		commit_other(job);
	/* The slot is free only now: the next writer finds the decision. A worker that lost patience may commit (nothing done)
	 * before its intent is on disk: on_intent_saved() ends that one. */
	if (ow && ow->state == WRITE_GRANTING)
		ow->dropped = true;
	else if (ow)
		write_free(ow);
	keys_release(r, &e);
}

static struct commit_job *commit_job_new(struct repld *r, const struct peer *p, uint64_t call, const struct write_req *req)
{
	struct commit_job *job = xcalloc(1, sizeof(*job));

	job->r = r;
	job->peer = p->id;
	job->call = call;
	job->e = keys_hold(r, req->key);
	job->req = *req;
	job->req.key = key_name(job->e);
	job->req.v.owner_pid = p->pid;
	job->req.v.owner_start = p->start;
	job->wait.arg = job;
	return job;
}

void writes_commit(struct repld *r, const struct peer *p, uint64_t call, const struct write_req *req,
		   const enum site_outcome *outcomes)
{
	struct commit_job *job = commit_job_new(r, p, call, req);

	memcpy(job->outcomes, outcomes, req->v.n_sync * sizeof(*outcomes));
	job->wait.cb = on_commit_loaded;
	if (keys_load(r, job->e, &job->wait))
		on_commit_loaded(job, GFS_OK);
}

/* The worker's acts may be running: the intent must be on disk and the slot held, whatever the journal knew. */
static void on_announce_loaded(void *arg, int err)
{
	struct commit_job *job = arg;
	struct repld *r = job->r;
	struct key_entry *e = job->e;
	const struct gen *gen = &job->req.v.gen;
	struct open_write *ow = write_find(e, gen);
	const struct peer *p = peers_get(r, job->peer);

	if (err || !p || (e->decided && gen_cmp(&e->decided->gen, gen) >= 0)) {
		on_commit_saved(job, err);
		return;
	}
	if (!ow)
		ow = write_add(r, e, gen, p);
	write_bind(ow, p);
	if (!ow->v)
		ow->v = version_copy(&job->req.v);
	ow->state = WRITE_GRANTED;
	ow->claim.client = true;
	ow->claim.sites = ow->v->sites;
	ow->claim.n_sites = ow->v->n_sync;
	if (ow->claim.state == SLOT_IDLE)
		slots_hold(r->slots, key_name(e), &ow->claim);
	if (e->intent && gen_cmp(&e->intent->gen, gen) == 0)
		resolve_drop(r, e); /* its owner is back */
	if (!e->intent)
		e->intent = version_copy(&job->req.v);
	keys_save(r, e, on_commit_saved, job);
}

void writes_announce(struct repld *r, const struct peer *p, uint64_t call, const struct write_req *req, bool granted)
{
	struct commit_job *job;

	if (!granted) {
		struct key_entry *e = keys_hold(r, req->key);
		struct open_write *ow = write_find(e, &req->v.gen);

		if (!ow)
			ow = write_add_known(r, e, &req->v.gen, p);
		write_bind(ow, p);
		keys_release(r, &e);
		peer_ok(r, p->id, call);
		return;
	}
	job = commit_job_new(r, p, call, req);
	job->wait.cb = on_announce_loaded;
	if (keys_load(r, job->e, &job->wait))
		on_announce_loaded(job, GFS_OK);
}
