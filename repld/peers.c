/* SPDX-License-Identifier: Apache-2.0 */
/* Connected peers: see peers.h. Owned by handlers.c, which adds and removes them as channels come and go. */
#include "config.h"

#include "peers.h"

#include <stdlib.h>

#include "common/xalloc.h"

struct peers {
	TAILQ_HEAD(, peer) list;
	uint64_t last_id;
};

struct peers *peers_create(void)
{
	struct peers *ps = xcalloc(1, sizeof(*ps));

	TAILQ_INIT(&ps->list);
	return ps;
}

void peers_clear(struct repld *r)
{
	struct peer *p;

	while ((p = TAILQ_FIRST(&r->peers->list)))
		peers_remove(r, p);
}

void peers_destroy(struct peers **ps)
{
	free(*ps);
	*ps = NULL;
}

struct peer *peers_add(struct repld *r, struct channel *ch)
{
	struct peer *p = xcalloc(1, sizeof(*p));

	p->id = ++r->peers->last_id;
	p->ch = ch;
	p->pid = (int)channel_peer_pid(ch);
	p->start = channel_peer_start(ch);
	p->role = channel_peer_role(ch);
	TAILQ_INSERT_TAIL(&r->peers->list, p, next);
	return p;
}

struct peer *peers_of(struct repld *r, const struct channel *ch)
{
	struct peer *p;

	TAILQ_FOREACH(p, &r->peers->list, next)
		if (p->ch == ch)
			return p;
	return NULL;
}

struct peer *peers_get(struct repld *r, uint64_t id)
{
	struct peer *p;

	TAILQ_FOREACH(p, &r->peers->list, next)
		if (p->id == id)
			return p;
	return NULL;
}

void peers_remove(struct repld *r, struct peer *p)
{
	TAILQ_REMOVE(&r->peers->list, p, next);
	free(p);
}

bool peers_has_process(struct repld *r, int pid, uint64_t start)
{
	struct peer *p;

	TAILQ_FOREACH(p, &r->peers->list, next)
		if (p->pid == pid && p->start == start && p->role == PEER_WORKER)
			return true;
	return false;
}

/* A send that fails closes the channel by itself, and handlers.c hears of it. */
void peer_reply(struct repld *r, uint64_t peer, uint64_t call, const struct msg *m)
{
	struct peer *p = peers_get(r, peer);

	if (p)
		(void)channel_reply(p->ch, call, m);
}

void peer_ok(struct repld *r, uint64_t peer, uint64_t call)
{
	struct peer *p = peers_get(r, peer);

	if (p)
		(void)channel_reply_ok(p->ch, call);
}

void peer_error(struct repld *r, uint64_t peer, uint64_t call, int err, const char *text)
{
	struct peer *p = peers_get(r, peer);

	if (p)
		(void)channel_reply_error(p->ch, call, err, text);
}
