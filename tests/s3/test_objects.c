/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of every size and shape through an S3 site: what is put comes back, with the ETag, layout and metadata of
 * its version. */
#include "config.h"

#include "exercise.h"

#define PART (5 * MIB) /* S3's least */

static void read_back(struct exercise *x, const char *key, uint64_t size, unsigned seed)
{
	char want[ETAG_MAX];

	body_etag(size, PART, seed, want);
	CHECK(do_head(x, key) == 0, "%s", x->last.reason);
	CHECK(x->last.info.size == size && strcmp(x->last.info.etag, want) == 0, "head of %ju: %ju %s, not %s", (uintmax_t)size,
	      (uintmax_t)x->last.info.size, x->last.info.etag, want);
	CHECK(x->last.info.gen_tagged && x->last.info.gen.hlc == 0x0193a5c4e2f00001 && strcmp(x->last.info.gen.node,
	     "node1") == 0, "gen");
	CHECK(x->last.info.part_size == PART, "layout %ju", (uintmax_t)x->last.info.part_size);
	CHECK(x->last.info.content_type && strcmp(x->last.info.content_type, "text/x-test") == 0, "type %s",
	     x->last.info.content_type);
	CHECK(meta_get(&x->last.info.meta, "color") && strcmp(meta_get(&x->last.info.meta, "color"), "light  blue") == 0,
	     "metadata: %s",
	      meta_get(&x->last.info.meta, "color"));
	CHECK(!meta_get(&x->last.info.meta, "gfs-gen"), "our tag among the user's metadata");
	CHECK(x->last.info.mtime_ms > 0, "no time");
	CHECK(do_get(x, key, RANGE_ALL, 0, 0, NULL, PART) == 0, "%s", x->last.reason);
	CHECK(x->last.off == 0 && x->last.len == size && strcmp(x->last.got_etag, want) == 0, "get of %ju", (uintmax_t)size);
	CHECK(x->last.info.size == size && x->last.info.gen_tagged, "info of a get");
}

static void sizes(struct exercise *x)
{
	static const uint64_t v[] = {0, 1, 2, 100, 65536, 131072, 131073, PART - 1, PART, PART + 1, 2 * PART - 1, 2 * PART,
	     2 * PART + 1,
	                             3 * PART + 70001};
	static const size_t steps[] = {70001, 131072, MIB, 6 * MIB};
	unsigned k = 0;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		for (int known = 0; known < 2; known++) {
			size_t step = v[i] < 1000 && known ? 1 : steps[k++ % 4];
			char key[64];

			snprintf(key, sizeof(key), "sizes/%ju-%d", (uintmax_t)v[i], known);
			CHECK(do_put(x, key, v[i], known, PART, step, k) == 0, "put of %ju, %s length: %s", (uintmax_t)v[i],
			      known ? "known" : "unknown", x->last.reason);
			CHECK(x->last.etag[0], "no ETag");
			read_back(x, key, v[i], k);
		}
	}
	CHECK(count_uploads(x) == 0, "uploads left");
}

static void ranges(struct exercise *x)
{
	static const struct {
		enum range_kind kind;
		uint64_t off, len, want_off, want_len;
		int err;
	} v[] = {
		{RANGE_FROM, 0, 0, 0, 1000, 0},         {RANGE_FROM, 999, 0, 999, 1, 0},    {RANGE_FROM, 1000, 0, 0, 0, GFS_ERR_RANGE},
		{RANGE_SPAN, 0, 1, 0, 1, 0},            {RANGE_SPAN, 10, 20, 10, 20, 0},    {RANGE_SPAN, 990, 100, 990, 10, 0},
		{RANGE_SPAN, 0, 5000, 0, 1000, 0},      {RANGE_SPAN, 2000, 5, 0, 0, GFS_ERR_RANGE},
		{RANGE_SPAN, 1, UINT64_MAX / 2, 1, 999, 0},
		{RANGE_SUFFIX, 0, 1, 999, 1, 0},        {RANGE_SUFFIX, 0, 5000, 0, 1000, 0}, {RANGE_SUFFIX, 0, 1000, 0, 1000, 0},
	};
	char all[1000], want[ETAG_MAX];
	uint64_t crc;

	body_fill(all, sizeof(all), 0, 3);
	CHECK(do_put(x, "ranges", 1000, true, PART, 300, 3) == 0, "%s", x->last.reason);
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		int err = do_get(x, "ranges", v[i].kind, v[i].off, v[i].len, NULL, PART);
		struct etag_calc *calc;

		CHECK(err == v[i].err, "range %zu: %s", i, x->last.reason);
		if (v[i].err) {
			CHECK(x->last.n_head == 0, "a head for 416");
			CHECK(x->last.object_size == 1000, "range %zu: object size %ju", i, (uintmax_t)x->last.object_size);
			continue;
		}
		calc = etag_calc_create(PART);
		etag_calc_update(calc, all + v[i].want_off, v[i].want_len);
		etag_calc_finish(calc, want, &crc);
		etag_calc_destroy(&calc);
		CHECK(x->last.off == v[i].want_off && x->last.len == v[i].want_len && x->last.info.size == 1000 &&
		      strcmp(x->last.got_etag, want) == 0, "range %zu: %ju+%ju", i, (uintmax_t)x->last.off, (uintmax_t)x->last.len);
	}
	CHECK(do_put(x, "ranges0", 0, true, PART, 1, 3) == 0, "%s", x->last.reason);
	CHECK(do_get(x, "ranges0", RANGE_FROM, 0, 0, NULL, PART) == 0 && x->last.len == 0, "%s", x->last.reason);
	CHECK(do_get(x, "ranges0", RANGE_SUFFIX, 0, 5, NULL, PART) == GFS_ERR_RANGE, "%s", x->last.reason);
}

static void conditions(struct exercise *x)
{
	char etag[ETAG_MAX];

	CHECK(do_put(x, "cond", 5000, true, PART, 300, 4) == 0, "%s", x->last.reason);
	body_etag(5000, PART, 4, etag);
	CHECK(do_get(x, "cond", RANGE_SPAN, 5, 10, etag, PART) == 0 && x->last.got == 10, "%s", x->last.reason);
	CHECK(do_get(x, "cond", RANGE_ALL, 0, 0, "0123456789abcdef0123456789abcdef", PART) == GFS_ERR_PRECONDITION, "%s",
	     x->last.reason);
	CHECK(x->last.n_head == 0 && x->last.outcome == SITE_FAILED, "a head for 412");
}

static void pauses_and_cancels(struct exercise *x)
{
	char want[ETAG_MAX];

	CHECK(do_put(x, "pause", 2 * MIB, true, PART, MIB, 5) == 0, "%s", x->last.reason);
	body_etag(2 * MIB, PART, 5, want);
	x->pause_every = 1;
	CHECK(do_get(x, "pause", RANGE_ALL, 0, 0, NULL, PART) == 0 && strcmp(x->last.got_etag, want) == 0, "%s", x->last.reason);
	x->pause_every = 7;
	CHECK(do_get(x, "pause", RANGE_ALL, 0, 0, NULL, PART) == 0 && strcmp(x->last.got_etag, want) == 0, "%s", x->last.reason);
	x->pause_every = 0;
	x->cancel_after = 1;
	do_get(x, "pause", RANGE_ALL, 0, 0, NULL, PART);
	x->cancel_after = 3;
	do_get(x, "pause", RANGE_ALL, 0, 0, NULL, PART);
	x->cancel_after = 0;
	run_idle(x);
	CHECK(do_get(x, "pause", RANGE_ALL, 0, 0, NULL, PART) == 0 && strcmp(x->last.got_etag, want) == 0, "%s", x->last.reason);
}

/* The completing act: nothing is to be seen before it, everything after. */
static void held_back(struct exercise *x)
{
	static const struct {
		int64_t size;
		uint64_t body;
	} v[] = {{0, 0}, {1, 1}, {70000, 70000}, {2 * PART, 2 * PART}, {-1, 0}, {-1, 70000}, {-1, 2 * PART}};
	struct outcome saved;

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct site_put *put;
		char etag[ETAG_MAX];

		CHECK(do_delete(x, "held") == 0, "%s", x->last.reason);
		put_open(x, "held", v[i].size, PART);
		CHECK(put_body(x, 0, v[i].body, 70001, 6) && put_close(x), "case %zu: %s", i, x->last.reason);
		put = x->put;
		run_ms(x, 300);
		CHECK(!x->last.done, "ended by itself: %s", x->last.reason);
		saved = x->last;
		memset(&x->last, 0, sizeof(x->last));
		CHECK(do_get(x, "held", RANGE_ALL, 0, 0, NULL, PART) == GFS_ERR_NO_SUCH_KEY, "case %zu is visible: %s", i,
		     x->last.reason);
		CHECK(do_head(x, "held") == GFS_ERR_NO_SUCH_KEY, "case %zu is visible: %s", i, x->last.reason);
		x->last = saved;
		x->put = put;
		body_etag(v[i].body, PART, 6, etag);
		CHECK(put_finish_with(x, etag) == 0, "case %zu: %s", i, x->last.reason);
		read_back(x, "held", v[i].body, 6);
	}
}

static void wrong_etag(struct exercise *x)
{
	static const uint64_t sizes_[] = {10, 2 * PART};

	for (int i = 0; i < 2; i++) {
		put_open(x, "wrong", (int64_t)sizes_[i], PART);
		CHECK(put_body(x, 0, sizes_[i], MIB, 1) && put_close(x), "%s", x->last.reason);
		CHECK(put_finish_with(x, "0123456789abcdef0123456789abcdef") == GFS_ERR_SITE_CORRUPT, "%s", x->last.reason);
		CHECK(x->last.outcome == SITE_UNKNOWN, "outcome %d", x->last.outcome);
	}
}

/* Given up at each stage: nothing visible, no upload left. */
static void aborts(struct exercise *x)
{
	static const struct {
		int64_t size;
		uint64_t part, body;
	} v[] = {
		{0, PART, 0}, {1, PART, 0}, {1, PART, 1}, {70000, PART, 0}, {70000, PART, 69999}, {70000, PART, 70000}, {3 * PART,
		     PART, 0},
		{3 * PART, PART, 100}, {3 * PART, PART, PART}, {3 * PART, PART, PART + 1}, {3 * PART, PART, 3 * PART}, {-1, PART, 0},
		{-1, PART, 70000}, {-1, PART, PART + 1}, {-1, PART, 2 * PART + 5},
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		for (int ended = 0; ended < 2; ended++) {
			put_open(x, "aborted", v[i].size, v[i].part);
			if (v[i].body > 0)
				CHECK(put_body(x, 0, v[i].body, 6 * MIB, 1), "%s", x->last.reason);
			if (ended && (v[i].size < 0 || v[i].body == (uint64_t)v[i].size)) {
				run_until(x, &x->ready);
				CHECK(put_close(x), "%s", x->last.reason);
			}
			site_put_abort(&x->put);
			run_idle(x);
			CHECK(do_head(x, "aborted") == GFS_ERR_NO_SUCH_KEY, "case %zu: visible: %s", i, x->last.reason);
			CHECK(count_uploads(x) == 0, "case %zu: an upload is left", i);
			CHECK(x->spool_used == 0, "case %zu: %ju bytes of spool", i, (uintmax_t)x->spool_used);
		}
	}
}

static void wrong_lengths(struct exercise *x)
{
	put_open(x, "short", 100, PART);
	CHECK(put_body(x, 0, 99, 99, 1), "%s", x->last.reason);
	CHECK(!put_close(x) && x->last.err == GFS_ERR_INVALID && x->last.outcome == SITE_FAILED, "%s", x->last.reason);
	put_open(x, "long", 100, PART);
	CHECK(!put_body(x, 0, 101, 101, 1) && x->last.err == GFS_ERR_INVALID, "%s", x->last.reason);
	put_open(x, "long", 2 * PART, PART);
	CHECK(!put_body(x, 0, 2 * PART + 1, MIB, 1) && x->last.err == GFS_ERR_INVALID, "%s", x->last.reason);
	run_idle(x);
	CHECK(do_head(x, "short") == GFS_ERR_NO_SUCH_KEY && do_head(x, "long") == GFS_ERR_NO_SUCH_KEY, "visible");
	CHECK(count_uploads(x) == 0, "an upload is left");
}

static void spool_bound(struct exercise *x)
{
	x->env.spool_max_bytes = 2 * MIB;
	put_open(x, "spooled", -1, PART);
	CHECK(!put_body(x, 0, 3 * MIB, 70001, 1), "no bound");
	CHECK(x->last.err == GFS_ERR_BUSY && x->last.outcome == SITE_FAILED, "%s", x->last.reason);
	run_idle(x);
	x->env.spool_max_bytes = 64 * MIB;
	CHECK(do_put(x, "spooled", 3 * MIB, false, PART, 70001, 1) == 0, "%s", x->last.reason);
}

void test_objects(void)
{
	struct exercise x;

	exercise_begin(&x, "");
	sizes(&x);
	ranges(&x);
	conditions(&x);
	pauses_and_cancels(&x);
	held_back(&x);
	wrong_etag(&x);
	aborts(&x);
	wrong_lengths(&x);
	spool_bound(&x);
	exercise_end(&x);
}
