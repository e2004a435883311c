/* SPDX-License-Identifier: Apache-2.0 */
/* Answers LOOKUP and LOOKUP_MANY from the entry or the journal: see lookup.h and architecture 4.2. */
#include "config.h"

#include "lookup.h"

#include <stdlib.h>

#include "common/stubs/repld_client.h"
#include "common/xalloc.h"
#include "keys.h"
#include "queue.h"

struct lookup {
	struct repld *r;
	uint64_t peer, call;
	struct key_entry *e; /* referenced */
	struct key_wait wait;
};

static bool lists(const uint64_t *v, size_t n, uint64_t site)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == site)
			return true;
	return false;
}

/* Under an intent the sites that it reaches later lag behind what its client may have been told: its COMMIT is on the way. */
static size_t add_async_sites(const struct version *intent, uint64_t *out, size_t n)
{
	for (size_t i = intent ? intent->n_sync : 0; intent && i < intent->n_sites; i++)
		if (!lists(out, n, intent->sites[i]))
			out[n++] = intent->sites[i];
	return n;
}

static size_t stale_sites(struct repld *r, const struct key_entry *e, uint64_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n_rows; i++) {
		const struct site_row *row = &e->rows[i];
		const struct repl_site *rs = queue_site(r, row->site);

		if (!row->gone && row->unconfirmed && row->site != ROW_KEEPER && rs && rs->present)
			out[n++] = row->site;
	}
	n = add_async_sites(e->intent, out, n);
	return add_async_sites(e->folded, out, n);
}

static void on_loaded(void *arg, int err)
{
	struct lookup *l = arg;
	const struct key_entry *e = l->e;
	const struct version *v = e->decided;
	struct msg m = {.type = MSG_LOCATED};
	char gen[GEN_TEXT_MAX], pending[GEN_TEXT_MAX];
	uint64_t *stale = NULL;

	if (err) {
		peer_error(l->r, l->peer, l->call, GFS_ERR_UNAVAILABLE, "the journal could not be read");
	} else {
		m.located.known = v || e->intent;
		/* Under an intent readers may get what was before it or what comes, but nothing older than what was decided. */
		m.located.has_decided = m.located.known;
		m.located.decided = !e->intent;
		if (e->intent) {
			m.located.has_pending_gen = true;
			m.located.pending_gen = slice_str(gen_format(&e->intent->gen, pending));
		}
		if (m.located.known) {
			stale = xcalloc(e->n_rows + 2 * VERSION_SITES_MAX, sizeof(*stale));
			m.located.has_stale_sites = true;
			m.located.stale_sites = (struct msg_u64s){stale, stale_sites(l->r, e, stale)};
		}
		if (v) {
			m.located.has_gen = m.located.has_deleted = m.located.has_etag = m.located.has_size = true;
			m.located.gen = slice_str(gen_format(&v->gen, gen));
			m.located.deleted = v->deleted;
			m.located.etag = slice_str(v->etag);
			m.located.size = v->size;
		}
		peer_reply(l->r, l->peer, l->call, &m);
		free(stale);
	}
	keys_release(l->r, &l->e);
	free(l);
}

void lookup_answer(struct repld *r, const struct peer *p, uint64_t call, struct slice key)
{
	struct lookup *l = xcalloc(1, sizeof(*l));

	l->r = r;
	l->peer = p->id;
	l->call = call;
	l->e = keys_hold(r, key);
	l->wait.cb = on_loaded;
	l->wait.arg = l;
	if (keys_load(r, l->e, &l->wait))
		on_loaded(l, GFS_OK);
}

/* ---- many ---- */

#define MANY_BYTES (48u << 10) /* of an answer: a frame holds 64 KiB */

struct lookup_many_key {
	struct lookup_many *l;
	struct key_entry *e; /* referenced */
	struct key_wait wait;
};

struct lookup_many {
	struct repld *r;
	uint64_t peer, call;
	size_t n, loading;
	int err;
	struct lookup_many_key v[];
};

/* The lists of an answer in the making. */
struct located_many {
	uint64_t flags[REPLD_LOOKUP_MANY], sizes[REPLD_LOOKUP_MANY], stale_counts[REPLD_LOOKUP_MANY];
	struct slice gens[REPLD_LOOKUP_MANY], etags[REPLD_LOOKUP_MANY];
	char gen_text[REPLD_LOOKUP_MANY][GEN_TEXT_MAX];
	uint64_t *stale; /* owned */
	size_t n, n_stale, bytes;
};

/* False when it would not fit any more. */
static bool many_add(struct repld *r, const struct key_entry *e, struct located_many *out)
{
	const struct version *v = e->decided;
	size_t i = out->n, stale = 0;

	out->stale = xreallocarray(out->stale, out->n_stale + e->n_rows + 2 * VERSION_SITES_MAX, sizeof(*out->stale));
	out->flags[i] = v || e->intent ? MSG_LOCATED_KNOWN : 0;
	if (out->flags[i])
		stale = stale_sites(r, e, out->stale + out->n_stale);
	out->flags[i] |= (v && v->deleted ? MSG_LOCATED_DELETED : 0) | (e->intent ? 0 : MSG_LOCATED_DECIDED);
	out->gens[i] = slice_str(v ? gen_format(&v->gen, out->gen_text[i]) : "");
	out->etags[i] = slice_str(v ? v->etag : "");
	out->sizes[i] = v ? v->size : 0;
	out->stale_counts[i] = stale;
	out->bytes += out->gens[i].n + out->etags[i].n + 5 * stale + 20; /* as packed, at most */
	if (out->bytes > MANY_BYTES && i > 0)
		return false;
	out->n_stale += stale;
	out->n++;
	return true;
}

static void many_reply(struct lookup_many *l)
{
	struct located_many *out = xcalloc(1, sizeof(*out));
	struct msg m = {.type = MSG_LOCATED_MANY};

	for (size_t i = 0; i < l->n && many_add(l->r, l->v[i].e, out); i++)
		;
	m.located_many.flags = (struct msg_u64s){out->flags, out->n};
	m.located_many.gens = (struct msg_strs){out->gens, out->n};
	m.located_many.etags = (struct msg_strs){out->etags, out->n};
	m.located_many.sizes = (struct msg_u64s){out->sizes, out->n};
	m.located_many.stale_counts = (struct msg_u64s){out->stale_counts, out->n};
	m.located_many.stale_sites = (struct msg_u64s){out->stale, out->n_stale};
	peer_reply(l->r, l->peer, l->call, &m);
	free(out->stale);
	free(out);
}

static void many_end(struct lookup_many *l)
{
	if (l->err)
		peer_error(l->r, l->peer, l->call, GFS_ERR_UNAVAILABLE, "the journal could not be read");
	else
		many_reply(l);
	for (size_t i = 0; i < l->n; i++)
		keys_release(l->r, &l->v[i].e);
	free(l);
}

static void on_one_loaded(void *arg, int err)
{
	struct lookup_many_key *k = arg;

	if (err)
		k->l->err = err;
	if (--k->l->loading == 0)
		many_end(k->l);
}

void lookup_answer_many(struct repld *r, const struct peer *p, uint64_t call, const struct msg_strs *keys)
{
	struct lookup_many *l = xcalloc(1, sizeof(*l) + keys->n * sizeof(l->v[0]));

	l->r = r;
	l->peer = p->id;
	l->call = call;
	l->n = keys->n;
	l->loading = 1;
	for (size_t i = 0; i < l->n; i++) {
		struct lookup_many_key *k = &l->v[i];

		k->l = l;
		k->e = keys_hold(r, keys->v[i]);
		k->wait.cb = on_one_loaded;
		k->wait.arg = k;
		/* What has to be read is queued for the journal's thread, which reads all of it in one turn. */
		l->loading += !keys_load(r, k->e, &k->wait);
	}
	if (--l->loading == 0)
		many_end(l);
}
