/* SPDX-License-Identifier: Apache-2.0 */
/* See list_json.h. */
#include "config.h"

#include "list_json.h"

#include "common/http/fields.h"

static void add_u64(struct strbuf *out, uint64_t v)
{
	char text[20], *p = text + sizeof(text);

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	strbuf_add(out, p, (size_t)(text + sizeof(text) - p));
}

void list_json_object(struct list_json *j, struct slice key, const struct list_row *row, struct strbuf *out)
{
	int64_t second = row->mtime_ms >= 0 ? row->mtime_ms / 1000 : (row->mtime_ms - 999) / 1000;

	if (!j->date[0] || j->second != second) {
		http_rfc3339_format(row->mtime_ms, false, j->date);
		j->second = second;
	}
	strbuf_add_slice(out, SLICE_LIT("{\"key\":"));
	strbuf_add_json(out, key);
	strbuf_add_slice(out, SLICE_LIT(",\"size\":"));
	add_u64(out, row->size);
	strbuf_add_slice(out, SLICE_LIT(",\"last_modified\":\""));
	strbuf_adds(out, j->date);
	strbuf_add_slice(out, SLICE_LIT("\",\"etag\":"));
	strbuf_add_json(out, slice_str(row->etag));
	strbuf_addc(out, '}');
}
