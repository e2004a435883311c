/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of a request's query, each known and given once: see rest.h. */
#include "config.h"

#include <stdio.h>

#include "common/http/fields.h"
#include "common/key.h"
#include "common/log.h"

#include "rest.h"

/* One "name=value". False: q->why. */
static bool take_pair(struct rest_query *q, const char *const names[], unsigned n, struct slice pair)
{
	const char *eq = memchr(pair.p, '=', pair.n);
	struct slice name = slice_of(pair.p, eq ? (size_t)(eq - pair.p) : pair.n);
	const struct strbuf *value;
	unsigned i = 0;

	while (i < n && !url_query_get(pair, names[i], &q->value[i]))
		i++;
	if (i == n || q->given & 1u << i) {
		snprintf(q->why, sizeof(q->why), "%.*s: %s", (int)(name.n < 100 ? name.n : 100), name.p,
		         i == n ? "no such parameter" : "given twice");
		return false;
	}
	q->given |= 1u << i;
	value = &q->value[i];
	if (!strbuf_failed(value) && utf8_valid(strbuf_slice(value)) && !memchr(strbuf_str(value), '\0', value->n))
		return true;
	snprintf(q->why, sizeof(q->why), "%s: too long or not UTF-8", names[i]);
	return false;
}

bool rest_query_read(struct slice query, const char *const names[], unsigned n, size_t value_max, struct rest_query *q)
{
	gfs_assert(n <= REST_QUERY_MAX);
	q->given = 0;
	q->why[0] = '\0';
	for (unsigned i = 0; i < REST_QUERY_MAX; i++)
		strbuf_init(&q->value[i], value_max);
	while (query.n > 0) {
		const char *amp = memchr(query.p, '&', query.n);
		struct slice pair = slice_of(query.p, amp ? (size_t)(amp - query.p) : query.n);

		query = amp ? slice_of(amp + 1, query.n - pair.n - 1) : slice_of(NULL, 0);
		if (pair.n > 0 && !take_pair(q, names, n, pair))
			return false;
	}
	return true;
}

void rest_query_free(struct rest_query *q)
{
	for (unsigned i = 0; i < REST_QUERY_MAX; i++)
		strbuf_free(&q->value[i]);
}
