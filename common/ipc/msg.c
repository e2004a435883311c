/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages by table: one field table per message, filled from messages.def, and one generic pack, unpack, dump and free that
 * run on it. A frame is walked to its end with mp.c before anything is allocated, so a frame costs at most a small multiple of
 * the bytes it has. Used by channels, stubs and gfsctl; owns nothing.
 */
#include "config.h"

#include "msg.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#include "../log.h"
#include "mp.h"
#include "msg_table.h"

/* Each message's fields, in a scope where `this_msg` is its struct: the field macros know the field's name only. */
#define ROW_REQ(f, ftype, text) {#f, MSG_F_##ftype, true, offsetof(struct msg, hello) + offsetof(this_msg, f), 0, text},
#define ROW_OPT(f, ftype, text) \
	{#f, MSG_F_##ftype, false, offsetof(struct msg, hello) + offsetof(this_msg, f), \
	 offsetof(struct msg, hello) + offsetof(this_msg, has_##f), text},
#define ROW(f, ftype, need, text) ROW_##need(f, ftype, text)
#define MESSAGE(name, NAME, number, senders, prose) \
	static const struct msg_field *fields_##name(size_t *n_out) \
	{ \
		typedef struct msg_##name this_msg; \
		static const struct msg_field v[] = {MSG_FIELDS_##name(ROW)}; \
\
		_Static_assert(sizeof(v) / sizeof(v[0]) <= MSG_FIELDS_MAX, "too many fields"); \
		*n_out = sizeof(v) / sizeof(v[0]); \
		return v; \
	}
#include "messages.def"
#undef MESSAGE

static const struct msg_row rows[] = {
#define MESSAGE(name, NAME, number, senders, prose) [number] = {number, #NAME, senders, prose, fields_##name},
#include "messages.def"
#undef MESSAGE
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

const struct msg_row *msg_table_row(int type)
{
	return type >= 0 && (size_t)type < ROWS && rows[type].name ? &rows[type] : NULL;
}

const struct msg_row *msg_table_next(const struct msg_row *after)
{
	for (size_t i = after ? (size_t)after->type + 1 : 0; i < ROWS; i++) {
		if (rows[i].name)
			return &rows[i];
	}
	return NULL;
}

const char *msg_field_type_name(enum msg_field_type type)
{
	static const char *const names[] = {
		[MSG_F_U64] = "unsigned integer", [MSG_F_I64] = "integer", [MSG_F_BOOL] = "boolean",
		[MSG_F_STR] = "string", [MSG_F_U64S] = "list of unsigned integers", [MSG_F_STRS] = "list of strings",
	};

	return names[type];
}

const char *msg_name(int type)
{
	const struct msg_row *row = msg_table_row(type);

	return row ? row->name : "unknown";
}

unsigned msg_senders(int type)
{
	const struct msg_row *row = msg_table_row(type);

	return row ? row->senders : 0;
}

const char *peer_role_name(unsigned role)
{
	switch (role) {
	case PEER_SUPERVISOR:
		return "supervisor";
	case PEER_WORKER:
		return "worker";
	case PEER_HEALTHD:
		return "healthd";
	case PEER_REPLD:
		return "repld";
	case PEER_CACHED:
		return "cached";
	case PEER_CTL:
		return "gfsctl";
	case PEER_MONITOR:
		return "monitor";
	default:
		return "nobody";
	}
}

static const void *field_of(const struct msg *m, const struct msg_field *f)
{
	return (const char *)m + f->off;
}

static bool field_present(const struct msg *m, const struct msg_field *f)
{
	bool has = true;

	if (!f->required)
		memcpy(&has, (const char *)m + f->has_off, sizeof(has));
	return has;
}

/* ---- pack ---- */

static int pack_write(void *data, const char *p, size_t n)
{
	struct strbuf *out = data;

	strbuf_add(out, p, n);
	return strbuf_failed(out) ? -1 : 0;
}

/* msgpack's counts are 32 bits; more than a frame holds fails on the frame's limit anyway, so the cut is harmless. */
static void pack_str(msgpack_packer *pk, struct slice s)
{
	size_t n = s.n > MSG_MAX_BYTES ? MSG_MAX_BYTES + 1 : s.n;

	msgpack_pack_str(pk, n);
	if (n)
		msgpack_pack_str_body(pk, s.p, n);
}

static void pack_field(msgpack_packer *pk, const struct msg_field *f, const void *v)
{
	const struct msg_u64s *u64s = v;
	const struct msg_strs *strs = v;

	switch (f->type) {
	case MSG_F_U64:
		msgpack_pack_uint64(pk, *(const uint64_t *)v);
		return;
	case MSG_F_I64:
		msgpack_pack_int64(pk, *(const int64_t *)v);
		return;
	case MSG_F_BOOL:
		if (*(const bool *)v)
			msgpack_pack_true(pk);
		else
			msgpack_pack_false(pk);
		return;
	case MSG_F_STR:
		pack_str(pk, *(const struct slice *)v);
		return;
	case MSG_F_U64S:
		msgpack_pack_array(pk, u64s->n);
		for (size_t i = 0; i < u64s->n && i <= MSG_MAX_BYTES; i++)
			msgpack_pack_uint64(pk, u64s->v[i]);
		return;
	case MSG_F_STRS:
		msgpack_pack_array(pk, strs->n);
		for (size_t i = 0; i < strs->n && i <= MSG_MAX_BYTES; i++)
			pack_str(pk, strs->v[i]);
		return;
	}
}

int msg_pack(const struct msg *m, struct strbuf *out)
{
	const struct msg_row *row = msg_table_row((int)m->type);
	const struct msg_field *v;
	size_t start = out->n, n, present = 0;
	msgpack_packer pk;

	if (!row)
		return GFS_ERR_INVALID;
	v = row->fields(&n);
	for (size_t i = 0; i < n; i++)
		present += field_present(m, &v[i]);
	msgpack_packer_init(&pk, out, pack_write);
	msgpack_pack_array(&pk, 3);
	msgpack_pack_uint64(&pk, m->type);
	msgpack_pack_uint64(&pk, m->id);
	msgpack_pack_map(&pk, present);
	for (size_t i = 0; i < n; i++) {
		if (!field_present(m, &v[i]))
			continue;
		pack_str(&pk, slice_str(v[i].name));
		pack_field(&pk, &v[i], field_of(m, &v[i]));
		if (out->n - start > MSG_MAX_BYTES)
			break;
	}
	if (out->n - start > MSG_MAX_BYTES || (strbuf_failed(out) && out->max)) {
		strbuf_truncate(out, start);
		return GFS_ERR_TOO_LARGE;
	}
	return strbuf_failed(out) ? GFS_ERR_NOMEM : GFS_OK;
}

/* ---- unpack ---- */

/* A list of at most as many elements as the frame has bytes. */
static int unpack_list(struct mp *r, const struct msg_field *f, void *v)
{
	struct msg_u64s u64s = {0};
	struct msg_strs strs = {0};
	uint64_t *numbers;
	struct slice *texts;
	size_t n;

	if (!mp_array(r, &n))
		return GFS_ERR_PROTOCOL;
	if (n == 0)
		return GFS_OK; /* the list in *out is empty already */
	if (f->type == MSG_F_U64S) {
		numbers = calloc(n, sizeof(*numbers));
		if (!numbers)
			return GFS_ERR_NOMEM;
		u64s = (struct msg_u64s){numbers, n};
		memcpy(v, &u64s, sizeof(u64s)); /* from here on msg_free() has it */
		for (size_t i = 0; i < n; i++) {
			if (!mp_u64(r, &numbers[i]))
				return GFS_ERR_PROTOCOL;
		}
		return GFS_OK;
	}
	texts = calloc(n, sizeof(*texts));
	if (!texts)
		return GFS_ERR_NOMEM;
	strs = (struct msg_strs){texts, n};
	memcpy(v, &strs, sizeof(strs));
	for (size_t i = 0; i < n; i++) {
		if (!mp_str(r, &texts[i]))
			return GFS_ERR_PROTOCOL;
	}
	return GFS_OK;
}

static int unpack_field(struct mp *r, const struct msg_field *f, struct msg *out)
{
	void *v = (char *)out + f->off;
	const bool yes = true;
	bool ok = false;
	int err;

	switch (f->type) {
	case MSG_F_U64:
		ok = mp_u64(r, v);
		break;
	case MSG_F_I64:
		ok = mp_i64(r, v);
		break;
	case MSG_F_BOOL:
		ok = mp_bool(r, v);
		break;
	case MSG_F_STR:
		ok = mp_str(r, v);
		break;
	case MSG_F_U64S:
	case MSG_F_STRS:
		err = unpack_list(r, f, v);
		if (err)
			return err;
		ok = true;
		break;
	}
	if (ok && !f->required)
		memcpy((char *)out + f->has_off, &yes, sizeof(yes));
	return ok ? GFS_OK : GFS_ERR_PROTOCOL;
}

static int unpack_fields(struct mp *r, const struct msg_row *row, size_t pairs, struct msg *out)
{
	const struct msg_field *v;
	uint32_t seen = 0;
	size_t n;

	v = row->fields(&n);
	for (size_t p = 0; p < pairs; p++) {
		struct slice name;
		size_t i = 0;
		int err;

		if (!mp_str(r, &name))
			return GFS_ERR_PROTOCOL;
		while (i < n && !slice_eq_str(name, v[i].name))
			i++;
		if (i == n) {
			if (!mp_skip(r))
				return GFS_ERR_PROTOCOL;
			continue;
		}
		if (seen & 1u << i) /* twice: whose word is it? */
			return GFS_ERR_PROTOCOL;
		seen |= 1u << i;
		err = unpack_field(r, &v[i], out);
		if (err)
			return err;
	}
	for (size_t i = 0; i < n; i++) {
		if (v[i].required && !(seen & 1u << i))
			return GFS_ERR_PROTOCOL;
	}
	return GFS_OK;
}

int msg_unpack(const void *p, size_t n, struct msg *out)
{
	struct mp walk = mp_init(p, n), r = walk;
	const struct msg_row *row;
	uint64_t type;
	size_t len, pairs;
	int err;

	memset(out, 0, sizeof(*out));
	if (n > MSG_MAX_BYTES || !mp_skip(&walk) || walk.p != walk.end)
		return GFS_ERR_PROTOCOL;
	if (!mp_array(&r, &len) || len != 3 || !mp_u64(&r, &type) || type >= ROWS || !mp_u64(&r, &out->id) || !mp_map(&r, &pairs))
		return GFS_ERR_PROTOCOL;
	row = msg_table_row((int)type);
	if (!row)
		return GFS_ERR_PROTOCOL;
	out->type = (enum msg_type)type;
	err = unpack_fields(&r, row, pairs, out);
	if (err)
		msg_free(out);
	return err;
}

void msg_free(struct msg *m)
{
	const struct msg_row *row = msg_table_row((int)m->type);
	const struct msg_field *v;
	size_t n = 0;

	v = row ? row->fields(&n) : NULL;
	for (size_t i = 0; i < n; i++) {
		void *list;

		if (v[i].type != MSG_F_U64S && v[i].type != MSG_F_STRS)
			continue;
		/* both list structs begin with their pointer, which is const for readers but ours to free */
		memcpy(&list, field_of(m, &v[i]), sizeof(list));
		free(list);
	}
	memset(m, 0, sizeof(*m));
}

/* ---- dump ---- */

#define DUMP_STR_MAX 128
#define DUMP_LIST_MAX 16

static void dump_str(struct slice s, struct strbuf *out)
{
	char q[LOG_QUOTE_MAX];

	strbuf_adds(out, log_quote(q, sizeof(q), slice_of(s.p, s.n < DUMP_STR_MAX ? s.n : DUMP_STR_MAX)));
	if (s.n > DUMP_STR_MAX)
		strbuf_addf(out, "...(%zu)", s.n);
}

static void dump_field(const struct msg_field *f, const void *v, struct strbuf *out)
{
	const struct msg_u64s *u64s = v;
	const struct msg_strs *strs = v;

	switch (f->type) {
	case MSG_F_U64:
		strbuf_addf(out, "%" PRIu64, *(const uint64_t *)v);
		return;
	case MSG_F_I64:
		strbuf_addf(out, "%" PRId64, *(const int64_t *)v);
		return;
	case MSG_F_BOOL:
		strbuf_adds(out, *(const bool *)v ? "true" : "false");
		return;
	case MSG_F_STR:
		dump_str(*(const struct slice *)v, out);
		return;
	case MSG_F_U64S:
		for (size_t i = 0; i < u64s->n && i < DUMP_LIST_MAX; i++)
			strbuf_addf(out, "%s%" PRIu64, i ? "," : "", u64s->v[i]);
		strbuf_adds(out, u64s->n > DUMP_LIST_MAX ? ",..." : "");
		return;
	case MSG_F_STRS:
		for (size_t i = 0; i < strs->n && i < DUMP_LIST_MAX; i++) {
			strbuf_adds(out, i ? "," : "");
			dump_str(strs->v[i], out);
		}
		strbuf_adds(out, strs->n > DUMP_LIST_MAX ? ",..." : "");
		return;
	}
}

void msg_dump(const struct msg *m, struct strbuf *out)
{
	const struct msg_row *row = msg_table_row((int)m->type);
	const struct msg_field *v;
	size_t n = 0;

	strbuf_addf(out, "%s id=%" PRIu64, msg_name((int)m->type), m->id);
	v = row ? row->fields(&n) : NULL;
	for (size_t i = 0; i < n; i++) {
		if (!field_present(m, &v[i]))
			continue;
		strbuf_addf(out, " %s=", v[i].name);
		dump_field(&v[i], field_of(m, &v[i]), out);
	}
}
