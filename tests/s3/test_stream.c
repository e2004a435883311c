/* SPDX-License-Identifier: Apache-2.0 */
/* Large bodies with flat memory, and many operations at once through few connections. */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "exercise.h"

static size_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	size_t total = 0, pages = 0;

	if (!f || fscanf(f, "%zu %zu", &total, &pages) != 2)
		abort();
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void big(struct exercise *x, uint64_t size, uint64_t part, bool known)
{
	size_t before = resident(), after;
	int64_t t0 = clock_mono_ms(), t1;
	char etag[ETAG_MAX];

	body_etag(size, part, 1, etag);
	t1 = clock_mono_ms();
	CHECK(do_put(x, "big", size, known, part, 131072, 1) == 0, "%s", x->last.reason);
	printf("put %ju MiB in %lld ms (of them %lld to make it)\n", (uintmax_t)(size / MIB), (long long)(clock_mono_ms() - t1),
	       2 * (long long)(t1 - t0));
	t1 = clock_mono_ms();
	CHECK(do_get(x, "big", RANGE_ALL, 0, 0, NULL, part) == 0 && strcmp(x->last.got_etag, etag) == 0, "%s", x->last.reason);
	printf("got it in %lld ms\n", (long long)(clock_mono_ms() - t1));
	after = resident();
	CHECK(after < before + 8 * MIB, "grew from %zu to %zu", before, after);
	CHECK(do_delete(x, "big") == 0, "%s", x->last.reason);
}

struct one {
	struct exercise *x;
	struct site_put *put;
	char key[32], body[70000], etag[ETAG_MAX];
	unsigned n;
	bool wrote, ended;
	int err;
};

static void one_ready(void *arg)
{
	struct one *o = arg;

	if (o->wrote) {
		site_put_end(o->put);
		return;
	}
	o->wrote = true;
	site_put_write(o->put, o->body, sizeof(o->body));
}

static void one_prepared(void *arg)
{
	struct one *o = arg;

	site_put_complete(o->put, o->etag, false, 0);
}

static void one_done(void *arg, const struct site_result *r, const char *etag)
{
	struct one *o = arg;

	CHECK(r->err || strcmp(etag, o->etag) == 0, "etag %s", etag);
	CHECK(r->err == 0, "%s: %s", o->key, r->reason);
	o->err = r->err;
	o->ended = true;
}

static void many(struct exercise *x, unsigned n, uint64_t part)
{
	static const struct site_put_cbs cbs = {one_ready, one_prepared, one_done};
	struct one *v = calloc(n, sizeof(*v));
	int64_t t0 = clock_mono_ms();

	for (unsigned i = 0; i < n; i++) {
		struct site_put_req req = {.size = i % 2 ? 70000 : -1, .part_size = part};

		snprintf(v[i].key, sizeof(v[i].key), "many/%u", i);
		body_fill(v[i].body, sizeof(v[i].body), 0, i);
		body_etag(sizeof(v[i].body), part, i, v[i].etag);
		req.key = slice_str(v[i].key);
		v[i].put = site_put(x->site, &req, &cbs, &v[i]);
	}
	for (unsigned i = 0; i < n; i++)
		run_until(x, &v[i].ended);
	printf("%u puts of 70000 bytes in %lld ms\n", n, (long long)(clock_mono_ms() - t0));
	for (unsigned i = 0; i < n; i++)
		CHECK(do_head(x, v[i].key) == 0 && strcmp(x->last.info.etag, v[i].etag) == 0, "%s", x->last.reason);
	free(v);
}

void test_stream(void)
{
	uint64_t mib = getenv("GFS_TEST_S3_MIB") ? (uint64_t)atoi(getenv("GFS_TEST_S3_MIB")) : 128;
	struct exercise x;

	exercise_begin(&x, "");
	x.conf.max_connections = 4;
	exercise_reopen(&x);
	many(&x, 64, 5 * MIB);
	big(&x, mib * MIB, 64 * (uint64_t)MIB, true);
	big(&x, mib * MIB + 17, 2048 * (uint64_t)MIB, true);
	x.env.spool_max_bytes = 256 * (uint64_t)MIB;
	big(&x, mib * MIB, 16 * (uint64_t)MIB, false);
	exercise_end(&x);
}
