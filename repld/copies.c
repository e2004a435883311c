/* SPDX-License-Identifier: Apache-2.0 */
/* The last copies: see copies.h. Filled by tasks.c, shown by control.c. */
#include "config.h"

#include "copies.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/http/fields.h"
#include "common/xalloc.h"
#include "queue.h"

struct copy {
	char *key; /* owned; NULL: not used yet */
	size_t key_n;
	uint32_t site;
	struct gen gen;
	uint64_t bytes, crc64;
	char etag[ETAG_MAX];
	enum proof proof;
	int64_t at_ms;
};

struct copies {
	struct copy v[COPIES_KEPT];
	size_t next;
};

struct copies *copies_create(void)
{
	return xcalloc(1, sizeof(struct copies));
}

void copies_destroy(struct copies **copies_io)
{
	struct copies *c = *copies_io;

	*copies_io = NULL;
	for (size_t i = 0; c && i < COPIES_KEPT; i++)
		free(c->v[i].key);
	free(c);
}

void copies_add(struct repld *r, struct slice key, const struct version *v, uint32_t site, const struct transfer_end *end)
{
	struct copy *c = &r->copies->v[r->copies->next];

	r->copies->next = (r->copies->next + 1) % COPIES_KEPT;
	free(c->key);
	*c = (struct copy){
		.key = xmemdup(key.p, key.n),
		.key_n = key.n,
		.site = site,
		.gen = v->gen,
		.bytes = v->size,
		.crc64 = end->crc64,
		.proof = end->proof,
		.at_ms = clock_real_ms(),
	};
	memcpy(c->etag, end->etag, sizeof(c->etag));
}

static void print_copy(struct repld *r, const struct copy *c, struct strbuf *out)
{
	static const char *const proofs[] = {[PROOF_HASH] = "hash", [PROOF_ETAG] = "etag", [PROOF_SIZE] = "size"};
	const struct repl_site *rs = queue_site(r, c->site);
	char gen[GEN_TEXT_MAX], date[32];

	http_rfc3339_format(c->at_ms, true, date);
	strbuf_adds(out, "{\"key\":");
	strbuf_add_json(out, slice_of(c->key, c->key_n));
	strbuf_adds(out, ",\"site\":");
	strbuf_add_json(out, slice_str(rs && rs->name ? rs->name : ""));
	strbuf_addf(out, ",\"generation\":\"%s\",\"bytes\":%" PRIu64 ",\"etag\":", gen_format(&c->gen, gen), c->bytes);
	strbuf_add_json(out, slice_str(c->etag));
	strbuf_addf(out, ",\"checksum\":\"%016" PRIx64 "\",\"proof\":\"%s\",\"at\":\"%s\"}", c->crc64, proofs[c->proof], date);
}

void copies_print(struct repld *r, struct strbuf *out)
{
	const char *sep = "\n";

	strbuf_adds(out, "{\"copies\":[");
	for (size_t i = 1; i <= COPIES_KEPT; i++) {
		const struct copy *c = &r->copies->v[(r->copies->next + COPIES_KEPT - i) % COPIES_KEPT];

		if (!c->key)
			break;
		strbuf_adds(out, sep);
		sep = ",\n";
		print_copy(r, c, out);
	}
	strbuf_adds(out, "]}\n");
}
