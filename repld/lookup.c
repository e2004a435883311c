/* SPDX-License-Identifier: Apache-2.0 */
/* Answers LOOKUP from the entry or the journal: see lookup.h and architecture 4.2. */
#include "config.h"

#include "lookup.h"

#include <stdlib.h>

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
