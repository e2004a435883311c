/* SPDX-License-Identifier: Apache-2.0 */
/* Finds out how writes ended whose owner cannot tell: see resolve.h. */
#include "config.h"

#include "resolve.h"

#include <stdlib.h>

#include "backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/proc.h"
#include "common/xalloc.h"
#include "decide.h"
#include "queue.h"

#define ASKING_MAX 64       /* intents whose sites are being asked at once */
#define ASK_FIRST_MS 1000
#define ASK_MAX_MS 30000

enum answer { ANSWER_NONE, ANSWER_HOLDS, ANSWER_NOT_HERE, ANSWER_NEWER };

struct ask {
	struct orphan *o;
	size_t i;
	struct site_op *op;
};

struct orphan {
	struct repld *r;
	struct key_entry *e; /* referenced */
	int64_t began_ms, next_ms; /* monotonic */
	unsigned rounds;
	bool asking;
	size_t open;
	enum answer answers[VERSION_SITES_MAX];
	struct ask asks[VERSION_SITES_MAX];
	TAILQ_ENTRY(orphan) next;
};

struct resolver {
	TAILQ_HEAD(, orphan) orphans;
	size_t n, asking;
};

struct resolver *resolve_create(void)
{
	struct resolver *rv = xcalloc(1, sizeof(*rv));

	TAILQ_INIT(&rv->orphans);
	return rv;
}

void resolve_destroy(struct repld *r, struct resolver **rv_io)
{
	struct orphan *o;

	if (!*rv_io)
		return;
	while ((o = TAILQ_FIRST(&(*rv_io)->orphans)))
		resolve_drop(r, o->e);
	free(*rv_io);
	*rv_io = NULL;
}

size_t resolve_count(const struct resolver *rv)
{
	return rv->n;
}

void resolve_drop(struct repld *r, struct key_entry *e)
{
	struct orphan *o = e->orphan;

	if (!o)
		return;
	e->orphan = NULL;
	for (size_t i = 0; i < VERSION_SITES_MAX; i++)
		site_op_cancel(&o->asks[i].op);
	TAILQ_REMOVE(&r->resolver->orphans, o, next);
	r->resolver->n--;
	r->resolver->asking -= o->asking;
	keys_release(r, &o->e);
	free(o);
}

static bool owner_lives(const struct version *v)
{
	return v->owner_pid > 0 && proc_start_time(v->owner_pid) == v->owner_start;
}

static void forward(struct orphan *o)
{
	struct repld *r = o->r;
	struct key_entry *e = o->e;
	struct version v = *e->intent;
	enum site_outcome outcomes[VERSION_SITES_MAX];
	char q[LOG_QUOTE_MAX], gen[GEN_TEXT_MAX];

	/* What the owner began at a site that does not have it may still come. */
	for (size_t i = 0; i < v.n_sync; i++) {
		outcomes[i] = o->answers[i] == ANSWER_HOLDS ? SITE_DONE : SITE_UNKNOWN;
		/* It may have been sent twice, and what was sent first may surface over what comes after it. */
		if (outcomes[i] == SITE_DONE)
			decide_watch(row_need(e, v.sites[i], clock_real_ms()), clock_real_ms());
	}
	log_info("event=rolled-forward key=%s gen=%s deleted=%d", log_quote(q, sizeof(q), key_name(e)), gen_format(&v.gen, gen),
		 v.deleted);
	r->rolled_forward++;
	decide_forward(r, e, &v, outcomes, NULL, NULL); /* ends the orphan */
}

/* Every target was asked. */
static void conclude(struct orphan *o)
{
	struct repld *r = o->r;
	const struct version *v = o->e->intent;
	int64_t now_ms = clock_mono_ms();
	size_t holds = 0, silent = 0, newer = 0;

	o->asking = false;
	r->resolver->asking--;
	for (size_t i = 0; i < v->n_sync; i++) {
		holds += o->answers[i] == ANSWER_HOLDS;
		silent += o->answers[i] == ANSWER_NONE;
		newer += o->answers[i] == ANSWER_NEWER;
	}
	if (holds > 0 || (v->deleted && newer == 0)) {
		forward(o);
		return;
	}
	bool over = now_ms - o->began_ms >= r->conf->replication.in_doubt_ms;

	if (silent == 0 && over && !owner_lives(v)) {
		decide_withdraw(r, o->e, NULL, NULL);
		return;
	}
	int64_t wait_ms = ASK_FIRST_MS;

	for (unsigned i = 0; i < o->rounds && wait_ms < ASK_MAX_MS; i++)
		wait_ms *= 2;
	o->rounds++;
	/* Not before the in-doubt time is over, when that is all that is missing. */
	int64_t left_ms = o->began_ms + r->conf->replication.in_doubt_ms - now_ms;

	if (silent == 0 && left_ms > 0 && left_ms < wait_ms)
		wait_ms = left_ms;
	o->next_ms = now_ms + (wait_ms < ASK_MAX_MS ? wait_ms : ASK_MAX_MS);
}

static enum answer judge_answer(const struct version *v, const struct site_result *res, const struct object_info *info)
{
	if (res->err == GFS_ERR_NO_SUCH_KEY)
		return ANSWER_NOT_HERE;
	if (res->outcome != SITE_DONE || !info)
		return ANSWER_NONE;
	if (!info->gen_tagged)
		return ANSWER_NOT_HERE;
	int order = gen_cmp(&info->gen, &v->gen);

	return order == 0 ? ANSWER_HOLDS : order > 0 ? ANSWER_NEWER : ANSWER_NOT_HERE;
}

static void on_answer(void *arg, const struct site_result *res, const struct object_info *info)
{
	struct ask *ask = arg;
	struct orphan *o = ask->o;

	ask->op = NULL;
	o->answers[ask->i] = judge_answer(o->e->intent, res, info);
	if (--o->open == 0)
		conclude(o);
}

static void ask_all(struct orphan *o)
{
	struct repld *r = o->r;
	const struct version *v = o->e->intent;

	o->asking = true;
	r->resolver->asking++;
	o->open = 1; /* ours, so that it cannot end under us */
	for (size_t i = 0; i < v->n_sync; i++) {
		struct repl_site *rs = queue_site(r, v->sites[i]);

		o->answers[i] = rs && !rs->present ? ANSWER_NOT_HERE : ANSWER_NONE;
		if (!queue_site_usable(rs))
			continue;
		o->asks[i] = (struct ask){.o = o, .i = i};
		o->open++;
		o->asks[i].op = site_head(rs->site, key_name(o->e), SITE_RESERVED, on_answer, &o->asks[i]);
	}
	if (--o->open == 0)
		conclude(o);
}

void resolve_start(struct repld *r, struct key_entry *e)
{
	struct orphan *o;

	gfs_assert(e->intent);
	if (e->orphan)
		return;
	o = xcalloc(1, sizeof(*o));
	o->r = r;
	o->e = e;
	keys_ref(e);
	o->began_ms = o->next_ms = clock_mono_ms();
	e->orphan = o;
	TAILQ_INSERT_TAIL(&r->resolver->orphans, o, next);
	r->resolver->n++;
	if (r->resolver->asking < ASKING_MAX)
		ask_all(o);
}

void resolve_tick(struct repld *r)
{
	int64_t now_ms = clock_mono_ms();
	struct orphan *o = TAILQ_FIRST(&r->resolver->orphans);

	while (o && r->resolver->asking < ASKING_MAX) {
		struct orphan *following = TAILQ_NEXT(o, next);

		if (!o->asking && o->next_ms <= now_ms)
			ask_all(o); /* may end this one, no other */
		o = following;
	}
}
