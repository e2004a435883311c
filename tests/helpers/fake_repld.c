/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted repld client, see fake_repld.h. */
#include "config.h"

#include "fake_repld.h"

#include <event2/event.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/xalloc.h"

struct fake_repld fake_repld;

struct repld_write {
	repld_begin_cb *begin_cb;
	repld_finalise_cb *finalise_cb;
	void *arg;
	struct event *ev;
	struct gen gen;
};

struct lookup {
	repld_lookup_cb *cb;
	repld_lookup_many_cb *many_cb;
	void *arg;
	char key[REPLD_LOOKUP_MANY][64];
	size_t n;
	struct event *ev;
};

static struct lookup *open_lookup;
static struct repld_write *held;

static struct event *soon(event_callback_fn fn, void *arg)
{
	struct event *ev = event_new(fake_repld.base, -1, 0, fn, arg);

	gfs_assert(ev);
	event_active(ev, EV_TIMEOUT, 0);
	return ev;
}

static void write_step(evutil_socket_t fd, short what, void *arg)
{
	struct repld_write *w = arg;
	repld_begin_cb *begin = w->begin_cb;
	repld_finalise_cb *finalise = w->finalise_cb;

	(void)fd, (void)what;
	w->begin_cb = NULL;
	w->finalise_cb = NULL;
	if (begin)
		begin(w->arg, fake_repld.begin_err, fake_repld.begin_err ? NULL : &w->gen, fake_repld.begin_err ? "scripted" : "");
	else if (finalise)
		finalise(w->arg, fake_repld.finalise_err, fake_repld.finalise_err ? "scripted" : "");
}

struct repld_write *repld_begin(struct repld_client *c, struct slice key, enum op_kind op, const char *request_id,
                                repld_begin_cb *cb, void *arg)
{
	struct repld_write *w = xcalloc(1, sizeof(*w));

	(void)c, (void)key, (void)op, (void)request_id;
	fake_repld.begins++;
	w->begin_cb = cb;
	w->arg = arg;
	w->gen = (struct gen){.hlc = 0x1000, .node = "n"};
	w->ev = soon(write_step, w);
	return w;
}

static void write_free(struct repld_write **w)
{
	event_free((*w)->ev);
	free(*w);
	*w = NULL;
}

void repld_write_abandon(struct repld_write **w)
{
	if (!*w)
		return;
	fake_repld.abandons++;
	write_free(w);
}

void repld_finalise(struct repld_write *w, const struct repld_version *v, repld_finalise_cb *cb, void *arg)
{
	fake_repld.finalises++;
	fake_repld.version = *v;
	for (size_t i = 0; i < v->n_sync; i++)
		fake_repld.sync[i] = v->sync_sites[i];
	for (size_t i = 0; i < v->n_async; i++)
		fake_repld.async[i] = v->async_sites[i];
	w->finalise_cb = cb;
	w->arg = arg;
	if (fake_repld.hold_finalise)
		held = w;
	else
		event_active(w->ev, EV_TIMEOUT, 0);
}

void fake_repld_release(void)
{
	event_active(held->ev, EV_TIMEOUT, 0);
}

static void commit_step(evutil_socket_t fd, short what, void *arg)
{
	repld_commit_cb *cb = fake_repld.commit_cb;

	(void)fd, (void)what;
	fake_repld.commit_cb = NULL;
	cb(arg, fake_repld.commit_err);
}

void repld_commit(struct repld_write **w, const enum site_outcome *outcomes, bool acknowledged, repld_commit_cb *cb, void *arg)
{
	static const struct timeval now = {0};

	fake_repld.commits++;
	fake_repld.commit_cb = cb;
	if (cb)
		event_base_once(fake_repld.base, -1, EV_TIMEOUT, commit_step, arg, &now);
	fake_repld.acknowledged = acknowledged;
	for (size_t i = 0; i < fake_repld.version.n_sync; i++)
		fake_repld.outcomes[i] = outcomes[i];
	write_free(w);
}

static struct repld_location location_of(const char *key)
{
	static const struct repld_location nothing;
	struct repld_location loc = fake_repld.location;

	loc.stale_sites = fake_repld.stale;
	return fake_repld.deleted_key && strcmp(fake_repld.deleted_key, key) != 0 ? nothing : loc;
}

static void lookup_step(evutil_socket_t fd, short what, void *arg)
{
	struct lookup *l = arg;
	struct repld_location v[REPLD_LOOKUP_MANY];

	(void)fd, (void)what;
	open_lookup = NULL;
	for (size_t i = 0; i < l->n; i++)
		v[i] = location_of(l->key[i]);
	if (l->many_cb)
		l->many_cb(l->arg, fake_repld.lookup_err, fake_repld.lookup_err ? NULL : v, fake_repld.lookup_err ? 0 : l->n);
	else
		l->cb(l->arg, fake_repld.lookup_err, fake_repld.lookup_err ? NULL : v);
	event_free(l->ev);
	free(l);
}

static struct lookup *lookup_new(const struct slice *keys, size_t n, void *arg)
{
	struct lookup *l = xcalloc(1, sizeof(*l));

	fake_repld.lookups++;
	for (size_t i = 0; i < n; i++)
		memcpy(l->key[i], keys[i].p, keys[i].n < sizeof(l->key[i]) ? keys[i].n : sizeof(l->key[i]) - 1);
	l->n = n;
	l->arg = arg;
	l->ev = soon(lookup_step, l);
	open_lookup = l;
	return l;
}

uint64_t repld_lookup(struct repld_client *c, struct slice key, repld_lookup_cb *cb, void *arg)
{
	(void)c;
	lookup_new(&key, 1, arg)->cb = cb;
	return 1;
}

/* Answers at most as many as the script says. */
uint64_t repld_lookup_many(struct repld_client *c, const struct slice *keys, size_t n, repld_lookup_many_cb *cb, void *arg)
{
	(void)c;
	lookup_new(keys, fake_repld.lookup_max && n > fake_repld.lookup_max ? fake_repld.lookup_max : n, arg)->many_cb = cb;
	return 1;
}

void repld_lookup_cancel(struct repld_client *c, uint64_t id)
{
	(void)c, (void)id;
	if (!open_lookup)
		return;
	event_free(open_lookup->ev);
	free(open_lookup);
	open_lookup = NULL;
}

uint64_t repld_replicate(struct repld_client *c, struct slice key, uint32_t from, uint32_t to, repld_replicate_cb *cb, void *arg)
{
	(void)c, (void)key, (void)from, (void)to, (void)cb, (void)arg;
	return 1;
}

void repld_replicate_cancel(struct repld_client *c, uint64_t id)
{
	(void)c, (void)id;
}

struct repld_client *repld_client_create(struct event_base *base, const char *run_dir)
{
	(void)base, (void)run_dir;
	return NULL;
}

void repld_client_destroy(struct repld_client **c)
{
	*c = NULL;
}

bool repld_client_is_up(const struct repld_client *c)
{
	(void)c;
	return true;
}

size_t repld_client_open_writes(const struct repld_client *c)
{
	(void)c;
	return 0;
}
