/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: every row of messages.def goes out and comes back; nothing that is malformed comes in. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/ipc/mp.h"
#include "common/ipc/msg.h"
#include "common/ipc/msg_table.h"

static const uint64_t numbers[] = {0, 1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX};
static const struct slice texts[] = {{"", 0}, {"a", 1}, {"\0\xff\n\"", 4}, {"key with spaces", 15}};

#define N(a) (sizeof(a) / sizeof(a[0]))

static char long_text[300];

/* Fills the field with its nth sample. */
static void fill(struct msg *m, const struct msg_field *f, size_t nth)
{
	char *v = (char *)m + f->off;
	struct slice s = nth % 5 == 4 ? slice_of(long_text, sizeof(long_text)) : texts[nth % 5 % N(texts)];
	int64_t i = (int64_t)numbers[nth % N(numbers)];
	bool yes = true;

	if (!f->required)
		memcpy((char *)m + f->has_off, &yes, sizeof(yes));
	switch (f->type) {
	case MSG_F_U64:
		memcpy(v, &numbers[nth % N(numbers)], sizeof(uint64_t));
		return;
	case MSG_F_I64:
		i = nth & 1 ? -i : i;
		memcpy(v, &i, sizeof(i));
		return;
	case MSG_F_BOOL:
		yes = nth & 1;
		memcpy(v, &yes, sizeof(yes));
		return;
	case MSG_F_STR:
		memcpy(v, &s, sizeof(s));
		return;
	case MSG_F_U64S:
		*(struct msg_u64s *)(void *)v = (struct msg_u64s){numbers, nth % (N(numbers) + 1)};
		return;
	case MSG_F_STRS:
		*(struct msg_strs *)(void *)v = (struct msg_strs){texts, nth % (N(texts) + 1)};
		return;
	}
}

static void check_same(const struct msg *a, const struct msg *b, const struct msg_field *f)
{
	const char *x = (const char *)a + f->off, *y = (const char *)b + f->off;
	const struct msg_u64s *u = (const void *)x, *w = (const void *)y;
	bool has_a = true, has_b = true;

	if (!f->required) {
		memcpy(&has_a, (const char *)a + f->has_off, sizeof(has_a));
		memcpy(&has_b, (const char *)b + f->has_off, sizeof(has_b));
		cr_assert_eq(has_a, has_b, "%s", f->name);
		if (!has_a)
			return;
	}
	switch (f->type) {
	case MSG_F_U64:
	case MSG_F_I64:
		cr_assert(memcmp(x, y, 8) == 0, "%s", f->name);
		return;
	case MSG_F_BOOL:
		cr_assert_eq(*(const bool *)x, *(const bool *)y, "%s", f->name);
		return;
	case MSG_F_STR:
		cr_assert(slice_eq(*(const struct slice *)(const void *)x, *(const struct slice *)(const void *)y), "%s", f->name);
		return;
	case MSG_F_U64S:
		cr_assert_eq(u->n, w->n);
		cr_assert(u->n == 0 || memcmp(u->v, w->v, u->n * sizeof(*u->v)) == 0, "%s", f->name);
		return;
	case MSG_F_STRS:
		cr_assert_eq(u->n, w->n);
		for (size_t i = 0; i < u->n; i++)
			cr_assert(slice_eq(((const struct msg_strs *)(const void *)x)->v[i],
			                   ((const struct msg_strs *)(const void *)y)->v[i]));
		return;
	}
}

/* A message of that row: round 0 has the required fields only. */
static struct msg sample(const struct msg_row *row, size_t round)
{
	struct msg m = {.type = (enum msg_type)row->type, .id = round * 77};
	const struct msg_field *f;
	size_t n;

	memset(long_text, 'x', sizeof(long_text));
	f = row->fields(&n);
	for (size_t i = 0; i < n; i++) {
		if (f[i].required || round > 0)
			fill(&m, &f[i], round + i);
	}
	return m;
}

Test(msg, every_message_comes_back_as_it_went)
{
	for (const struct msg_row *row = NULL; (row = msg_table_next(row));) {
		for (size_t round = 0; round < 24; round++) {
			struct msg m = sample(row, round), back;
			struct strbuf sb = STRBUF_INIT;
			const struct msg_field *f;
			size_t n;

			cr_assert_eq(msg_pack(&m, &sb), 0, "%s", row->name);
			cr_assert_eq(msg_unpack(sb.p, sb.n, &back), 0, "%s round %zu", row->name, round);
			cr_assert_eq(back.type, m.type);
			cr_assert_eq(back.id, m.id);
			f = row->fields(&n);
			for (size_t i = 0; i < n; i++)
				check_same(&m, &back, &f[i]);
			msg_free(&back);
			strbuf_free(&sb);
		}
	}
}

Test(msg, a_frame_cut_anywhere_is_refused)
{
	for (const struct msg_row *row = NULL; (row = msg_table_next(row));) {
		struct msg m = sample(row, 10), back;
		struct strbuf sb = STRBUF_INIT;

		cr_assert_eq(msg_pack(&m, &sb), 0);
		for (size_t n = 0; n < sb.n; n++) {
			/* in memory of its own, so that a read past the end is seen by ASan */
			char *cut = malloc(n + 1);

			memcpy(cut, sb.p, n);
			cut = realloc(cut, n ? n : 1);
			cr_assert_eq(msg_unpack(cut, n, &back), GFS_ERR_PROTOCOL, "%s cut at %zu", row->name, n);
			free(cut);
		}
		strbuf_addc(&sb, '\0');
		cr_assert_eq(msg_unpack(sb.p, sb.n, &back), GFS_ERR_PROTOCOL, "%s with a byte too many", row->name);
		strbuf_free(&sb);
	}
}

struct raw {
	const char *what, *bytes;
	size_t n;
	int err;
};
#define RAW(what, bytes, err) {what, bytes, sizeof(bytes) - 1, err}

Test(msg, frames_by_hand)
{
	static const struct raw cases[] = {
		RAW("ok", "\x93\x02\x00\x80", 0),
		RAW("ok with text", "\x93\x02\x00\x81\xa4" "text\xa1x", 0),
		RAW("text as bin", "\x93\x02\x00\x81\xa4" "text\xc4\x01x", 0),
		RAW("numbers in long form", "\x93\xcf\0\0\0\0\0\0\0\x02\xd3\0\0\0\0\0\0\0\x05\xde\0\0", 0),
		RAW("unknown field", "\x93\x02\x00\x82\xa3new\x93\x01\x81\x01\x02\xc0\xa4" "text\xa1x", 0),
		RAW("unknown field, float and ext", "\x93\x02\x00\x82\xa1" "a\xcb\0\0\0\0\0\0\0\0\xa1" "b\xd4\x01\x00", 0),
		RAW("empty", "", GFS_ERR_PROTOCOL),
		RAW("not an array", "\x02", GFS_ERR_PROTOCOL),
		RAW("two elements", "\x92\x02\x00", GFS_ERR_PROTOCOL),
		RAW("four elements", "\x94\x02\x00\x80\x00", GFS_ERR_PROTOCOL),
		RAW("unknown type", "\x93\x09\x00\x80", GFS_ERR_PROTOCOL),
		RAW("huge type", "\x93\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x00\x80", GFS_ERR_PROTOCOL),
		RAW("negative type", "\x93\xff\x00\x80", GFS_ERR_PROTOCOL),
		RAW("negative id", "\x93\x02\xff\x80", GFS_ERR_PROTOCOL),
		RAW("no map", "\x93\x02\x00\x90", GFS_ERR_PROTOCOL),
		RAW("wrong type of field", "\x93\x02\x00\x81\xa4" "text\x01", GFS_ERR_PROTOCOL),
		RAW("field twice", "\x93\x02\x00\x82\xa4" "text\xa1x\xa4" "text\xa1y", GFS_ERR_PROTOCOL),
		RAW("field name is a number", "\x93\x02\x00\x81\x01\xa1x", GFS_ERR_PROTOCOL),
		RAW("required field missing", "\x93\x03\x00\x80", GFS_ERR_PROTOCOL),
		RAW("2^28-1 map entries", "\x93\x02\x00\xdf\x0f\xff\xff\xff", GFS_ERR_PROTOCOL),
		RAW("2^32-1 array elements", "\x93\x02\x00\x81\xa1x\xdd\xff\xff\xff\xff", GFS_ERR_PROTOCOL),
		RAW("2^32-1 bytes", "\x93\x02\x00\x81\xa4" "text\xdb\xff\xff\xff\xff", GFS_ERR_PROTOCOL),
		RAW("reserved byte", "\x93\x02\x00\x81\xa1x\xc1", GFS_ERR_PROTOCOL),
	};

	for (size_t i = 0; i < N(cases); i++) {
		struct msg m;

		cr_assert_eq(msg_unpack(cases[i].bytes, cases[i].n, &m), cases[i].err, "%s", cases[i].what);
		if (!cases[i].err)
			msg_free(&m);
	}
}

Test(msg, nesting_has_an_end)
{
	char deep[1000];
	struct msg m;

	memset(deep, 0x91, sizeof(deep));
	memcpy(deep, "\x93\x02\x00\x81\xa1x", 6);
	cr_assert_eq(msg_unpack(deep, sizeof(deep), &m), GFS_ERR_PROTOCOL);
}

Test(msg, a_list_must_fit_its_frame_and_its_type)
{
	struct msg m = {.type = MSG_LOCATED}, back;
	struct strbuf sb = STRBUF_INIT;
	uint64_t ids[3] = {1, 2, 3};
	char *p;

	m.located.known = true;
	m.located.has_stale_sites = true;
	m.located.stale_sites = (struct msg_u64s){ids, 3};
	cr_assert_eq(msg_pack(&m, &sb), 0);
	p = memchr(sb.p, '\x93', sb.n);
	p = memchr(p + 1, '\x93', sb.n - 1); /* the list's head */
	p[1] = '\xa0';                       /* an empty string among the numbers */
	cr_assert_eq(msg_unpack(sb.p, sb.n, &back), GFS_ERR_PROTOCOL);
	strbuf_free(&sb);
}

Test(msg, frames_have_a_limit)
{
	struct msg m = {.type = MSG_SHOWN};
	struct strbuf sb = STRBUF_INIT;
	char *big = calloc(1, MSG_MAX_BYTES + 10);
	uint64_t *ids = calloc(MSG_MAX_BYTES + 10, sizeof(*ids));
	struct msg w = {.type = MSG_LOCATED}, back;

	strbuf_adds(&sb, "before");
	m.shown.json = slice_of(big, MSG_MAX_BYTES + 10);
	cr_assert_eq(msg_pack(&m, &sb), GFS_ERR_TOO_LARGE);
	cr_assert_str_eq(strbuf_str(&sb), "before");
	m.shown.json.n = MSG_MAX_BYTES - 100;
	cr_assert_eq(msg_pack(&m, &sb), 0);
	cr_assert_eq(msg_unpack(sb.p + 6, sb.n - 6, &back), 0);
	cr_assert_eq(back.shown.json.n, MSG_MAX_BYTES - 100);
	msg_free(&back);
	strbuf_reset(&sb);
	w.located.has_stale_sites = true;
	w.located.stale_sites = (struct msg_u64s){ids, MSG_MAX_BYTES + 10};
	cr_assert_eq(msg_pack(&w, &sb), GFS_ERR_TOO_LARGE);
	cr_assert_eq(msg_pack(&(struct msg){.type = 9}, &sb), GFS_ERR_INVALID);
	cr_assert_eq(msg_unpack(big, MSG_MAX_BYTES + 10, &back), GFS_ERR_PROTOCOL);
	free(big);
	free(ids);
	strbuf_free(&sb);
}

Test(msg, rows_have_names_senders_and_prose)
{
	size_t count = 0;

	for (const struct msg_row *row = NULL; (row = msg_table_next(row)); count++) {
		const struct msg_field *f;
		size_t n;

		cr_assert_str_eq(msg_name(row->type), row->name);
		cr_assert_eq(msg_senders(row->type), row->senders);
		cr_assert(row->senders && *row->prose);
		f = row->fields(&n);
		for (size_t i = 0; i < n; i++)
			cr_assert(*f[i].name && *f[i].prose, "%s", row->name);
	}
	cr_assert(count >= 20);
	cr_assert_str_eq(msg_name(9999), "unknown");
	cr_assert_str_eq(msg_name(-1), "unknown");
	cr_assert_eq(msg_senders(0), 0);
	cr_assert_str_eq(peer_role_name(PEER_REPLD), "repld");
}

Test(msg, dump_is_one_line_for_people)
{
	struct msg m = {.type = MSG_BEGIN, .id = 4};
	struct strbuf sb = STRBUF_INIT;

	m.begin.key = SLICE_LIT("a/b");
	m.begin.op = 1;
	m.begin.request_id = SLICE_LIT("x\ny");
	msg_dump(&m, &sb);
	cr_assert_str_eq(strbuf_str(&sb), "BEGIN id=4 key=a/b op=1 request_id=\"x\\x0ay\"");
	strbuf_free(&sb);
}

Test(mp, integers_of_every_width)
{
	static const struct {
		const char *bytes;
		size_t n;
		int64_t value;
	} cases[] = {
		{"\x7f", 1, 127}, {"\xe0", 1, -32}, {"\xff", 1, -1}, {"\xcc\xff", 2, 255}, {"\xcd\xff\xff", 3, 65535},
		{"\xce\xff\xff\xff\xff", 5, 4294967295}, {"\xd0\x80", 2, -128}, {"\xd1\x80\x00", 3, -32768},
		{"\xd2\x80\x00\x00\x00", 5, -2147483648LL}, {"\xd3\x80\0\0\0\0\0\0\0", 9, INT64_MIN},
		{"\xd3\x7f\xff\xff\xff\xff\xff\xff\xff", 9, INT64_MAX}, {"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9, INT64_MAX},
	};
	struct mp r;
	int64_t v;
	uint64_t u;

	for (size_t i = 0; i < N(cases); i++) {
		r = mp_init(cases[i].bytes, cases[i].n);
		cr_assert(mp_i64(&r, &v));
		cr_assert_eq(v, cases[i].value, "case %zu", i);
		cr_assert_eq(r.p, r.end);
		r = mp_init(cases[i].bytes, cases[i].n);
		cr_assert_eq(mp_u64(&r, &u), cases[i].value >= 0);
	}
	r = mp_init("\xcf\x80\0\0\0\0\0\0\0", 9);
	cr_assert_not(mp_i64(&r, &v));
}
