/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages: checked and unpacked here, answered by writes.c, lookup.c, replicate.c and control.c. What a worker sends is not
 * trusted to be well formed: a bad key, generation or site list is refused with a sentence.
 */
#include "config.h"

#include "handlers.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/key.h"
#include "common/log.h"
#include "common/stubs/repld_client.h"
#include "control.h"
#include "lookup.h"
#include "writes.h"

/* ---- what FINALISE, COMMIT and ANNOUNCE have in common ---- */

static bool take_sites(struct version *v, const struct msg_u64s *list)
{
	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i] == ROW_KEEPER || list->v[i] > UINT32_MAX || v->n_sites == VERSION_SITES_MAX ||
		    version_targets(v, (uint32_t)list->v[i]))
			return false;
		v->sites[v->n_sites++] = (uint32_t)list->v[i];
	}
	return true;
}

static const char *take_key(struct slice key)
{
	const char *why = NULL;

	/* Bucket markers live under the reserved directory and are written like data. */
	if (slice_starts_with(key, SLICE_LIT(KEY_RESERVED_DIR "/")))
		return key.n <= KEY_MAX && !memchr(key.p, '\0', key.n) ? NULL : "key is not allowed";
	return key_check(key, &why) == GFS_OK ? NULL : why;
}

/* FINALISE, COMMIT and ANNOUNCE begin with the same fields, so that they are read as one (C11 6.5.2.3, paragraph 6). NULL, or
 * the sentence that refuses the message. */
static const char *take_write(const struct msg *msg, struct write_req *req)
{
	const struct msg_finalise *m = &msg->finalise;
	struct version *v = &req->v;
	const char *why = take_key(m->key);

	memset(req, 0, sizeof(*req));
	req->key = m->key;
	req->conditional = m->conditional;
	v->deleted = m->op == OP_DELETE;
	v->size = v->deleted ? 0 : m->size;
	v->part_size = m->part_size;
	v->has_crc64 = m->has_crc64;
	v->crc64 = m->has_crc64 ? m->crc64 : 0;
	v->write_min = (unsigned)(m->write_min > VERSION_SITES_MAX ? VERSION_SITES_MAX : m->write_min);
	if (why)
		return why;
	if (gen_parse(m->gen, &v->gen) != GFS_OK || gen_is_none(&v->gen))
		return "generation is malformed";
	if (m->op != OP_WRITE && m->op != OP_DELETE)
		return "operation is neither a write nor a delete";
	if (m->etag.n >= sizeof(v->etag))
		return "ETag is too long";
	memcpy(v->etag, m->etag.p, m->etag.n);
	if (m->size > INT64_MAX || m->part_size > INT64_MAX)
		return "size is out of range";
	if (!take_sites(v, &m->sync_sites))
		return "list of sites is not allowed";
	v->n_sync = v->n_sites;
	if (!take_sites(v, &m->async_sites))
		return "list of sites is not allowed";
	return v->n_sync == 0 ? "a write needs at least one site" : NULL;
}

static bool refused(struct repld *r, const struct peer *p, uint64_t id, const char *why)
{
	if (why)
		peer_error(r, p->id, id, GFS_ERR_INVALID, why);
	else if ((why = repld_refusal(r)))
		peer_error(r, p->id, id, GFS_ERR_UNAVAILABLE, why);
	return why != NULL;
}

static void handle_begin(struct repld *r, struct peer *p, const struct msg *m)
{
	const char *why = take_key(m->begin.key);

	if (!why && m->begin.op != OP_WRITE && m->begin.op != OP_DELETE)
		why = "operation is neither a write nor a delete";
	if (!refused(r, p, m->id, why))
		writes_begin(r, p, m->id, &m->begin);
}

static void handle_abandon(struct repld *r, struct peer *p, const struct msg *m)
{
	struct gen gen;

	if (gen_parse(m->abandon.gen, &gen) == GFS_OK && r->journal)
		writes_abandon(r, p, m->abandon.key, &gen);
}

static void handle_finalise(struct repld *r, struct peer *p, const struct msg *m)
{
	struct write_req req;
	const char *why = take_write(m, &req);

	if (!refused(r, p, m->id, why))
		writes_finalise(r, p, m->id, &req);
}

static void handle_commit(struct repld *r, struct peer *p, const struct msg *m)
{
	enum site_outcome outcomes[VERSION_SITES_MAX];
	struct write_req req;
	const char *why = take_write(m, &req);

	if (!why && m->commit.outcomes.n != req.v.n_sync)
		why = "one outcome is needed for each site";
	for (size_t i = 0; !why && i < req.v.n_sync; i++) {
		if (m->commit.outcomes.v[i] > SITE_UNKNOWN)
			why = "outcome is unknown";
		else
			outcomes[i] = (enum site_outcome)m->commit.outcomes.v[i];
	}
	if (!refused(r, p, m->id, why))
		writes_commit(r, p, m->id, &req, outcomes);
}

static void handle_announce(struct repld *r, struct peer *p, const struct msg *m)
{
	struct write_req req;
	const char *why = take_write(m, &req);

	/* A write that was only begun has no sites yet. */
	if (why && !m->announce.granted && m->announce.sync_sites.n == 0 && !take_key(m->announce.key) && req.v.gen.hlc)
		why = NULL;
	if (!refused(r, p, m->id, why))
		writes_announce(r, p, m->id, &req, m->announce.granted);
}

static void handle_lookup(struct repld *r, struct peer *p, const struct msg *m)
{
	if (!refused(r, p, m->id, m->lookup.key.n == 0 || m->lookup.key.n > KEY_MAX ? "key is not allowed" : NULL))
		lookup_answer(r, p, m->id, m->lookup.key);
}

static const char *take_keys(const struct msg_strs *keys)
{
	if (keys->n == 0 || keys->n > REPLD_LOOKUP_MANY)
		return "number of keys is not allowed";
	for (size_t i = 0; i < keys->n; i++)
		if (keys->v[i].n == 0 || keys->v[i].n > KEY_MAX)
			return "key is not allowed";
	return NULL;
}

static void handle_lookup_many(struct repld *r, struct peer *p, const struct msg *m)
{
	if (!refused(r, p, m->id, take_keys(&m->lookup_many.keys)))
		lookup_answer_many(r, p, m->id, &m->lookup_many.keys);
}

static void handle_replicate(struct repld *r, struct peer *p, const struct msg *m)
{
	if (!refused(r, p, m->id, take_key(m->replicate.key)))
		replicate_start(r, p, m->id, &m->replicate);
}

static void handle_show(struct repld *r, struct peer *p, const struct msg *m)
{
	control_show(r, p, m);
}

static const struct {
	enum msg_type type;
	void (*handle)(struct repld *r, struct peer *p, const struct msg *m);
} table[] = {
	{MSG_BEGIN, handle_begin},     {MSG_ABANDON, handle_abandon}, {MSG_FINALISE, handle_finalise},
	{MSG_COMMIT, handle_commit},   {MSG_ANNOUNCE, handle_announce}, {MSG_LOOKUP, handle_lookup},
	{MSG_LOOKUP_MANY, handle_lookup_many}, {MSG_REPLICATE, handle_replicate}, {MSG_SHOW, handle_show},
};

/* ---- the channel ---- */

static void on_up(void *arg, struct channel *ch)
{
	struct repld *r = arg;
	struct peer *p = peers_add(r, ch);

	log_debug("event=peer-up peer=%llu role=%s pid=%d", (unsigned long long)p->id, peer_role_name(p->role), p->pid);
}

static void on_message(void *arg, struct channel *ch, const struct msg *m, int fd)
{
	struct repld *r = arg;
	struct peer *p = peers_of(r, ch);

	if (fd >= 0)
		close(fd); /* no message of ours carries one */
	if (!p)
		return;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].type == m->type) {
			table[i].handle(r, p, m);
			return;
		}
	peer_error(r, p->id, m->id, GFS_ERR_UNSUPPORTED, "the replicator does not take this message");
}

static void on_closed(void *arg, struct channel *ch, const char *why)
{
	struct repld *r = arg;
	struct peer *p = peers_of(r, ch);

	if (!p)
		return;
	log_debug("event=peer-down peer=%llu pid=%d why=\"%s\"", (unsigned long long)p->id, p->pid, why);
	if (r->writes)
		writes_peer_lost(r, p);
	peers_remove(r, p);
}

const struct channel_cbs handlers_cbs = {on_up, on_message, on_closed};
