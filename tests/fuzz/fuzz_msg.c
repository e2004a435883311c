/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a frame: refused, or a message that packs again into a frame that says the same. Seeds come from the table. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/ipc/msg.h"
#include "common/ipc/msg_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
uint8_t *fuzz_seed(size_t i, size_t *n_out);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct strbuf frame = STRBUF_INIT, said = STRBUF_INIT, again = STRBUF_INIT;
	struct msg m, back;

	if (msg_unpack(data, size, &m))
		return 0;
	msg_dump(&m, &said);
	if (msg_pack(&m, &frame) || msg_unpack(frame.p, frame.n, &back))
		abort();
	msg_dump(&back, &again);
	if (!slice_eq(strbuf_slice(&said), strbuf_slice(&again)))
		abort();
	msg_free(&back);
	msg_free(&m);
	strbuf_free(&frame);
	strbuf_free(&said);
	strbuf_free(&again);
	return 0;
}

static void fill(struct msg *m, const struct msg_field *f)
{
	static const uint64_t ids[] = {1, 300, 70000};
	static const struct slice texts[] = {{"a", 1}, {"bc", 2}};
	const struct msg_u64s u64s = {ids, 3};
	const struct msg_strs strs = {texts, 2};
	const struct slice text = SLICE_LIT("some/key");
	char *v = (char *)m + f->off;
	const int64_t negative = -7;
	const bool yes = true;

	if (!f->required)
		memcpy((char *)m + f->has_off, &yes, sizeof(yes));
	switch (f->type) {
	case MSG_F_U64:
		memcpy(v, &ids[2], sizeof(ids[2]));
		return;
	case MSG_F_I64:
		memcpy(v, &negative, sizeof(negative));
		return;
	case MSG_F_BOOL:
		memcpy(v, &yes, sizeof(yes));
		return;
	case MSG_F_STR:
		memcpy(v, &text, sizeof(text));
		return;
	case MSG_F_U64S:
		memcpy(v, &u64s, sizeof(u64s));
		return;
	case MSG_F_STRS:
		memcpy(v, &strs, sizeof(strs));
		return;
	}
}

/* Two of each row: with every field, and with the required ones. */
uint8_t *fuzz_seed(size_t i, size_t *n_out)
{
	const struct msg_row *row = NULL;
	const struct msg_field *f;
	struct strbuf sb = STRBUF_INIT;
	struct msg m = {.id = 9};
	size_t n;

	for (size_t k = 0; k <= i / 2; k++) {
		row = msg_table_next(row);
		if (!row)
			return NULL;
	}
	m.type = (enum msg_type)row->type;
	f = row->fields(&n);
	for (size_t k = 0; k < n; k++) {
		if (f[k].required || i % 2)
			fill(&m, &f[k]);
	}
	if (msg_pack(&m, &sb))
		abort();
	*n_out = sb.n;
	return (uint8_t *)strbuf_steal(&sb);
}
