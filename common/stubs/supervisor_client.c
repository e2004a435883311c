/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child's side of its channel to the supervisor, see supervisor_client.h: the only code that builds SITES_TAKEN, READY,
 * SITE_ADD, SITE_REMOVE, SITE_DRAIN and SITE_CLAIMED. Made by proc.c; owns its link, and the changes and claims that are not
 * answered yet.
 */
#include "config.h"

#include "supervisor_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>

#include "../ipc/link.h"
#include "../log.h"
#include "../xalloc.h"

#define CHANGE_DEADLINE_MS 10000
#define CLAIM_RETRY_S 1

/* A request that changes the registry. */
struct change {
	TAILQ_ENTRY(change) next;
	struct supervisor_client *client;
	uint64_t id;
	supervisor_change_cb *cb;
	void *arg;
};

struct claim {
	TAILQ_ENTRY(claim) next;
	struct supervisor_client *client;
	uint32_t site_id;
	struct event *timer;
};

struct supervisor_client {
	struct event_base *base;
	struct link *link;
	supervisor_table_cb *cb;
	void *arg;
	bool ready, has_table;
	uint64_t epoch;
	TAILQ_HEAD(, change) changes;
	TAILQ_HEAD(, claim) claims;
};

/* ---- tables ---- */

static void send_epoch(struct supervisor_client *c, enum msg_type type)
{
	struct msg m = {.type = type};

	if (type == MSG_READY)
		m.ready.epoch = c->epoch;
	else
		m.sites_taken.epoch = c->epoch;
	(void)link_send(c->link, &m); /* a link that is down tells it again when it is up */
}

static void on_up(void *arg)
{
	struct supervisor_client *c = arg;

	if (c->ready)
		send_epoch(c, MSG_READY);
}

static void take_table(struct supervisor_client *c, uint64_t epoch, int fd)
{
	struct site_table *t;
	int err;

	if (c->has_table && epoch <= c->epoch) {
		if (epoch < c->epoch)
			log_warn("event=sites epoch=%" PRIu64 " refused=\"older than the one in use\" in_use=%" PRIu64, epoch, c->epoch);
		else
			send_epoch(c, MSG_SITES_TAKEN);
		return;
	}
	err = site_table_from_fd(fd, &t);
	if (!err && t->epoch != epoch) {
		site_table_destroy(&t);
		err = GFS_ERR_INVALID;
	}
	if (err) {
		log_error("event=sites epoch=%" PRIu64 " err=\"the site table cannot be used: %s\"", epoch, gfs_err_text(err));
		return;
	}
	c->epoch = epoch;
	c->has_table = true;
	log_debug("event=sites epoch=%" PRIu64 " sites=%zu", epoch, t->n);
	c->cb(c->arg, t);
	send_epoch(c, MSG_SITES_TAKEN);
}

static void on_message(void *arg, const struct msg *m, int fd)
{
	if (m->type == MSG_SITES && fd >= 0)
		take_table(arg, m->sites.epoch, fd);
	else
		log_debug("event=message ignored=%s", msg_name((int)m->type));
	if (fd >= 0)
		close(fd);
}

struct supervisor_client *supervisor_client_create(struct event_base *base, const char *run_dir, enum peer_role self,
                                                   supervisor_table_cb *cb, void *arg)
{
	static const struct link_cbs cbs = {on_up, NULL, on_message};
	struct supervisor_client *c = xcalloc(1, sizeof(*c));

	c->base = base;
	c->cb = cb;
	c->arg = arg;
	TAILQ_INIT(&c->changes);
	TAILQ_INIT(&c->claims);
	c->link = link_create(base, run_dir, "routerd", self, &cbs, c);
	return c;
}

static void claim_free(struct claim *claim)
{
	TAILQ_REMOVE(&claim->client->claims, claim, next);
	event_free(claim->timer);
	free(claim);
}

void supervisor_client_destroy(struct supervisor_client **c_io)
{
	struct supervisor_client *c = *c_io;
	struct change *change;
	struct claim *claim;

	*c_io = NULL;
	if (!c)
		return;
	link_destroy(&c->link);
	while ((change = TAILQ_FIRST(&c->changes))) {
		TAILQ_REMOVE(&c->changes, change, next);
		free(change);
	}
	while ((claim = TAILQ_FIRST(&c->claims)))
		claim_free(claim);
	free(c);
}

bool supervisor_client_is_up(const struct supervisor_client *c)
{
	return link_is_up(c->link);
}

void supervisor_client_ready(struct supervisor_client *c)
{
	c->ready = true;
	if (link_is_up(c->link))
		send_epoch(c, MSG_READY);
}

/* ---- changes ---- */

static void on_changed(void *arg, int err, const struct msg *reply)
{
	struct change *change = arg;
	char text[512];
	uint32_t id = 0;
	uint64_t epoch = 0;

	if (!err && (reply->type != MSG_SITE_CHANGED || reply->site_changed.id > UINT32_MAX))
		err = GFS_ERR_PROTOCOL;
	if (!err) {
		id = (uint32_t)reply->site_changed.id;
		epoch = reply->site_changed.epoch;
	}
	snprintf(text, sizeof(text), "%s", err ? gfs_err_text(err) : "");
	if (err && reply && reply->type == MSG_ERROR && reply->error.has_text && reply->error.text.n)
		snprintf(text, sizeof(text), "%.*s", (int)(reply->error.text.n < 500 ? reply->error.text.n : 500), reply->error.text.p);
	TAILQ_REMOVE(&change->client->changes, change, next);
	change->cb(change->arg, err, id, epoch, text);
	free(change);
}

static uint64_t change_start(struct supervisor_client *c, const struct msg *m, supervisor_change_cb *cb, void *arg)
{
	struct change *change = xcalloc(1, sizeof(*change));

	change->client = c;
	change->cb = cb;
	change->arg = arg;
	TAILQ_INSERT_TAIL(&c->changes, change, next);
	change->id = link_call(c->link, m, CHANGE_DEADLINE_MS, on_changed, change);
	return change->id;
}

uint64_t supervisor_site_add(struct supervisor_client *c, const struct site_conf *site, supervisor_change_cb *cb, void *arg)
{
	struct msg m = {.type = MSG_SITE_ADD};
	struct strbuf json = STRBUF_INIT;
	uint64_t id;

	site_json_print(site, true, &json);
	m.site_add.site = strbuf_slice(&json);
	id = change_start(c, &m, cb, arg);
	strbuf_free(&json);
	return id;
}

uint64_t supervisor_site_remove(struct supervisor_client *c, const char *name, supervisor_change_cb *cb, void *arg)
{
	struct msg m = {.type = MSG_SITE_REMOVE};

	m.site_remove.name = slice_str(name);
	return change_start(c, &m, cb, arg);
}

uint64_t supervisor_site_drain(struct supervisor_client *c, const char *name, bool drained, supervisor_change_cb *cb, void *arg)
{
	struct msg m = {.type = MSG_SITE_DRAIN};

	m.site_drain.name = slice_str(name);
	m.site_drain.drained = drained;
	return change_start(c, &m, cb, arg);
}

void supervisor_change_cancel(struct supervisor_client *c, uint64_t id)
{
	struct change *change;

	TAILQ_FOREACH(change, &c->changes, next) {
		if (change->id == id)
			break;
	}
	if (!change)
		return;
	link_call_cancel(c->link, id);
	TAILQ_REMOVE(&c->changes, change, next);
	free(change);
}

/* ---- claims ---- */

static void on_claim_answer(void *arg, int err, const struct msg *reply)
{
	struct claim *claim = arg;
	const struct timeval tv = {.tv_sec = CLAIM_RETRY_S};

	(void)reply;
	if (err && gfs_err_retryable(err)) {
		event_add(claim->timer, &tv);
		return;
	}
	if (err)
		log_warn("event=claim site_id=%" PRIu32 " err=\"%s\"", claim->site_id, gfs_err_text(err));
	claim_free(claim);
}

static void claim_send(evutil_socket_t fd, short what, void *arg)
{
	struct claim *claim = arg;
	struct msg m = {.type = MSG_SITE_CLAIMED};

	(void)fd;
	(void)what;
	m.site_claimed.id = claim->site_id;
	link_call(claim->client->link, &m, CHANGE_DEADLINE_MS, on_claim_answer, claim);
}

void supervisor_site_claimed(struct supervisor_client *c, uint32_t site_id)
{
	struct claim *claim;

	TAILQ_FOREACH(claim, &c->claims, next) {
		if (claim->site_id == site_id)
			return; /* being told already */
	}
	claim = xcalloc(1, sizeof(*claim));
	claim->client = c;
	claim->site_id = site_id;
	claim->timer = evtimer_new(c->base, claim_send, claim);
	gfs_assert(claim->timer);
	TAILQ_INSERT_TAIL(&c->claims, claim, next);
	claim_send(-1, 0, claim);
}
