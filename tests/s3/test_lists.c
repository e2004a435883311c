/* SPDX-License-Identifier: Apache-2.0 */
/* Lists, deletes and the marker of an S3 site, with every odd key, with and without a prefix. */
#include "config.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "exercise.h"

/* In byte order. */
static const char *const odd[] = {
	" leading", "!x", "\"quoted\"", "#hash", "%41", "%zz", "&amp;", "'a'", "(b)", "*star", "+plus", ",c", "/lead/slash", "0",
	     "a",
	"a b", "a+b", "a/", "a//b", "a/b", "a/b//", "a?b=c&d", "b<>", "c\\d", "e;f", "g=h", "k:l", "m@n", "p|q", "r{s}", "t~",
	     "u^v", "w`x",
	"x[1]", "y$z", "z\001ctl", "z\ttab", "\xc3\xa4\xc3\xb6", "\xe2\x82\xac/\xf0\x9f\x98\x80",
};
enum { N_ODD = sizeof(odd) / sizeof(odd[0]) };

static int by_bytes(const void *a, const void *b)
{
	return slice_cmp(slice_str(*(const char *const *)a), slice_str(*(const char *const *)b));
}

static void all_keys(const char *const *v, size_t n, const char *prefix, struct strbuf *out)
{
	for (size_t i = 0; i < n; i++)
		if (slice_starts_with(slice_str(v[i]), slice_str(prefix)))
			strbuf_addf(out, "%s\n", v[i]);
}

/* Every page of a list by pages of limit must add up to want. */
static void list_whole(struct exercise *x, const char *prefix, unsigned limit, const char *want)
{
	struct strbuf got = STRBUF_INIT;
	char after[2048];
	size_t after_n = 0, pages = 0;

	do {
		CHECK(do_list(x, prefix, slice_of(after, after_n), limit) == 0, "%s", x->last.reason);
		CHECK(x->last.n_keys <= limit, "%zu entries", x->last.n_keys);
		strbuf_add_slice(&got, strbuf_slice(&x->last.keys));
		memcpy(after, x->last.next, after_n = x->last.next_n);
	} while (!x->last.err && x->last.more && ++pages < 200);
	CHECK(strcmp(strbuf_str(&got), want) == 0, "prefix \"%s\" limit %u:\n%s\nnot\n%s", prefix, limit, strbuf_str(&got), want);
	strbuf_free(&got);
}

static void odd_keys(struct exercise *x)
{
	const char *sorted[N_ODD];
	struct strbuf want = STRBUF_INIT;
	static const char *const prefixes[] = {"", "a", "a/", "a//", "%", "none", "\xe2"};
	static const unsigned limits[] = {1, 2, 7, 1000};

	memcpy(sorted, odd, sizeof(odd));
	qsort(sorted, N_ODD, sizeof(*sorted), by_bytes);
	for (size_t i = 0; i < N_ODD; i++)
		CHECK(do_put(x, odd[i], i, true, 5 * MIB, 1000, (unsigned)i) == 0, "put %s: %s", odd[i], x->last.reason);
	for (size_t i = 0; i < N_ODD; i++) {
		CHECK(do_head(x, odd[i]) == 0 && x->last.info.size == i && x->last.info.gen_tagged, "head %s: %s", odd[i],
		     x->last.reason);
		CHECK(do_get(x, odd[i], RANGE_ALL, 0, 0, NULL, 5 * MIB) == 0 && x->last.got == i, "get %s: %s", odd[i], x->last.reason);
	}
	for (size_t p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++) {
		strbuf_reset(&want);
		all_keys(sorted, N_ODD, prefixes[p], &want);
		for (size_t l = 0; l < sizeof(limits) / sizeof(limits[0]); l++)
			list_whole(x, prefixes[p], limits[l], strbuf_str(&want));
	}
	CHECK(do_list(x, "", SLICE_LIT("a/"), 2) == 0 && strcmp(strbuf_str(&x->last.keys), "a//b\na/b\n") == 0, "%s",
	      strbuf_str(&x->last.keys));
	for (size_t i = 0; i < N_ODD; i++)
		CHECK(do_delete(x, odd[i]) == 0, "delete %s: %s", odd[i], x->last.reason);
	list_whole(x, "", 1000, "");
	CHECK(do_delete(x, "a") == 0 && x->last.outcome == SITE_DONE, "absent key: %s", x->last.reason);
	CHECK(do_head(x, "a") == GFS_ERR_NO_SUCH_KEY && !site_result_is_fault(&(struct site_result){.err = x->last.err}), "%s",
	      x->last.reason);
	CHECK(do_get(x, "a", RANGE_ALL, 0, 0, NULL, 1) == GFS_ERR_NO_SUCH_KEY, "%s", x->last.reason);
	strbuf_free(&want);
}

static void refused_keys(struct exercise *x)
{
	static const char *const bad[] = {".globalfs/site", "a/../b", ".gfs-x/y", ""};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK(do_head(x, bad[i]) == GFS_ERR_KEY_INVALID, "head %s: %s", bad[i], x->last.reason);
		CHECK(do_get(x, bad[i], RANGE_ALL, 0, 0, NULL, 1) == GFS_ERR_KEY_INVALID, "get %s: %s", bad[i], x->last.reason);
		CHECK(do_delete(x, bad[i]) == GFS_ERR_KEY_INVALID && x->last.outcome == SITE_FAILED, "delete %s: %s", bad[i],
		     x->last.reason);
		CHECK(do_put(x, bad[i], 10, true, 5 * MIB, 10, 1) == GFS_ERR_KEY_INVALID, "put %s: %s", bad[i], x->last.reason);
	}
}

static void marker(struct exercise *x)
{
	CHECK(do_probe(x) == GFS_ERR_SITE_MARKER, "%s", x->last.reason);
	CHECK(do_claim(x) == 0, "%s", x->last.reason);
	CHECK(do_probe(x) == 0, "%s", x->last.reason);
	CHECK(do_claim(x) == 0, "again: %s", x->last.reason);
	x->conf.id = 8;
	exercise_reopen(x);
	CHECK(do_probe(x) == GFS_ERR_SITE_FOREIGN, "%s", x->last.reason);
	CHECK(do_claim(x) == GFS_ERR_SITE_FOREIGN, "%s", x->last.reason);
	x->conf.id = 7;
	exercise_reopen(x);
	CHECK(do_probe(x) == 0, "%s", x->last.reason);
	list_whole(x, "", 1, "");
}

/* Two claims at once: one wins, the other sees whose it is. */
static void two_claims(void)
{
	struct exercise x;
	struct site *other;
	char why[256];

	exercise_begin(&x, "");
	x.conf.id = 9;
	CHECK(site_open(&x.env, &x.conf, &other, why, sizeof(why)) == 0, "%s", why);
	for (int i = 0; i < 2; i++) {
		struct site *first = x.site;

		(void)do_claim(&x);
		x.site = other;
		other = first;
	}
	CHECK(do_probe(&x) == 0 || do_probe(&x) == GFS_ERR_SITE_FOREIGN, "%s", x.last.reason);
	site_close(&other);
	exercise_end(&x);
}

void test_lists(void)
{
	static const char *const prefixes[] = {"", "pre fix/+%/", "p"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		struct exercise x;

		exercise_begin(&x, prefixes[i]);
		marker(&x);
		odd_keys(&x);
		refused_keys(&x);
		exercise_end(&x);
	}
	two_claims();
}
