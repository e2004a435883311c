/* SPDX-License-Identifier: Apache-2.0 */
/* SHOW in pieces, see show.h. */
#include "config.h"

#include "show.h"

#include "../map.h"
#include "channel_impl.h"

#define PIECE_BYTES 49152

static void show_send(struct channel *ch, const struct msg *m)
{
	struct channel_show *s = channel_show(ch);
	size_t off = m->show.offset < s->json.n ? (size_t)m->show.offset : s->json.n;
	size_t n = s->json.n - off;
	struct msg r = {.type = MSG_SHOWN};

	if (n > PIECE_BYTES)
		n = PIECE_BYTES;
	r.shown.json = slice_of(s->json.n ? s->json.p + off : "", n);
	r.shown.more = off + n < s->json.n;
	(void)channel_reply(ch, m->id, &r);
	if (!r.shown.more)
		strbuf_free(&s->json);
}

static uint64_t what_hash(const struct msg *m)
{
	return hash64(m->show.what.p, m->show.what.n);
}

bool show_resume(struct channel *ch, const struct msg *m)
{
	struct channel_show *s = channel_show(ch);

	if (m->show.offset == 0 || s->json.n == 0 || s->what_hash != what_hash(m))
		return false;
	show_send(ch, m);
	return true;
}

void show_reply(struct channel *ch, const struct msg *m, struct strbuf *json)
{
	struct channel_show *s = channel_show(ch);

	strbuf_free(&s->json);
	if (strbuf_failed(json)) {
		(void)channel_reply_error(ch, m->id, GFS_ERR_NOMEM, NULL);
		strbuf_free(json);
		return;
	}
	s->json = *json;
	strbuf_init(json, 0);
	s->what_hash = what_hash(m);
	show_send(ch, m);
}
