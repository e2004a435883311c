/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the taking apart of a list's answer in libglobalfs. Whatever the bytes: items and remainder stay within their bounds, and
 * do not depend on where the pieces end. Of a well-formed document nothing is lost: as many items as its arrays have.
 */
#include "config.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/globalfs.h"
#include "client/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
uint8_t *fuzz_seed(size_t i, size_t *n_out);

struct seen {
	size_t items[3], bytes;
	uint64_t sum;
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

static int on_item(void *arg, enum gfsc_array array, const char *p, size_t n)
{
	struct seen *seen = arg;

	must(n > 0 && n <= GFSC_ITEM_MAX && p[n] == '\0' && (array == GFSC_OBJECTS || array == GFSC_PREFIXES));
	seen->items[array]++;
	seen->bytes += n;
	for (size_t i = 0; i < n; i++)
		seen->sum = seen->sum * 31 + (unsigned char)p[i];
	return 0;
}

static int split(const char *p, size_t size, size_t piece, struct seen *seen)
{
	struct gfsc_split s;
	int err = 0;

	*seen = (struct seen){0};
	gfsc_split_init(&s, on_item, seen);
	for (size_t at = 0; at < size && !err; at += piece)
		err = gfsc_split_feed(&s, p + at, size - at < piece ? size - at : piece);
	must(s.rest.n <= GFSC_REST_MAX && s.one.n <= GFSC_ITEM_MAX);
	must(err == 0 || err == GLOBALFS_ERR_PROTOCOL || err == GLOBALFS_ERR_TOO_LARGE);
	gfsc_split_free(&s);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	json_t *doc = json_loadb(p, size, JSON_REJECT_DUPLICATES, NULL);
	struct seen whole, pieces;
	int err = split(p, size, size ? size : 1, &whole);

	must(split(p, size, 1, &pieces) == err && memcmp(&whole, &pieces, sizeof(whole)) == 0);
	must(split(p, size, 7, &pieces) == err && memcmp(&whole, &pieces, sizeof(whole)) == 0);
	if (json_is_object(doc) && size < GFSC_ITEM_MAX && !memchr(p, '\\', size)) { /* names are compared as they are written */
		must(!err);
		must(whole.items[GFSC_OBJECTS] == json_array_size(json_object_get(doc, "objects")));
		must(whole.items[GFSC_PREFIXES] == json_array_size(json_object_get(doc, "common_prefixes")));
	}
	json_decref(doc);
	return 0;
}

uint8_t *fuzz_seed(size_t i, size_t *n_out)
{
	static const char *const seeds[] = {
		"{\"prefix\":\"p\",\"objects\":[{\"key\":\"a\",\"size\":1},{\"key\":\"b[\\\"\",\"x\":[1,{}]}],"
		"\"count\":2,\"truncated\":false}\n",
		"{\"objects\":[ ],\"common_prefixes\":[\"a/\" , \"b,/\"],\"partial\":[\"x\"],\"n\":{\"objects\":[3]}}",
		"{\"objects\":[{\"key\":\"a\"}],\"truncated\":true,\"next_start_after\":\"a\"}",
	};
	uint8_t *copy;

	if (i >= sizeof(seeds) / sizeof(seeds[0]))
		return NULL;
	*n_out = strlen(seeds[i]);
	copy = malloc(*n_out + 1);
	if (copy)
		memcpy(copy, seeds[i], *n_out + 1);
	return copy;
}
