/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of an S3 site as calls that wait, see exercise.h. */
#include "config.h"

#include "exercise.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/curl_loop.h"
#include "common/log.h"
#include "common/pool.h"
#include "common/xalloc.h"

unsigned n_checks, n_failed;

/* ---- the loop ---- */

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

void run_until(struct exercise *x, const bool *flag)
{
	struct timeval limit = {.tv_sec = 120};
	bool late = false;
	struct event *ev = evtimer_new(x->base, on_late, &late);

	evtimer_add(ev, &limit);
	while (!*flag && !late)
		event_base_loop(x->base, EVLOOP_ONCE);
	event_free(ev);
	if (late) {
		fprintf(stderr, "an operation never ended\n");
		abort();
	}
}

void run_ms(struct exercise *x, int ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};
	bool late = false;
	struct event *ev = evtimer_new(x->base, on_late, &late);

	evtimer_add(ev, &tv);
	while (!late)
		event_base_loop(x->base, EVLOOP_ONCE);
	event_free(ev);
}

void run_idle(struct exercise *x)
{
	while (x->site->open_ops > 0 || pool_pending(x->pool) > 0)
		run_ms(x, 5);
}

/* ---- outcomes ---- */

static void forget(struct outcome *o)
{
	if (o->have_info)
		object_info_free(&o->info);
	if (o->calc)
		etag_calc_destroy(&o->calc);
	strbuf_free(&o->keys);
	*o = (struct outcome){0};
}

static void keep(struct outcome *o, const struct site_result *r)
{
	CHECK(!o->done, "ended twice");
	CHECK((r->outcome == SITE_DONE) == (r->err == 0), "outcome %d err %d", r->outcome, r->err);
	CHECK(r->reason && (r->err ? r->reason[0] : !r->reason[0]), "reason \"%s\"", r->reason);
	o->done = true;
	o->outcome = r->outcome;
	o->err = r->err;
	o->http_status = r->http_status;
	o->connected = r->connected;
	o->retry_after_s = r->retry_after_s;
	snprintf(o->reason, sizeof(o->reason), "%s", r->reason);
}

static void keep_info(struct outcome *o, const struct object_info *info)
{
	object_info_copy(&o->info, info);
	o->have_info = true;
}

/* ---- bodies ---- */

void body_fill(char *p, size_t n, uint64_t off, unsigned seed)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t at = off + i;

		p[i] = (char)((at * 31 + (at >> 8) * 7 + (at >> 20) * 13 + seed) & 0xff);
	}
}

void body_etag(uint64_t size, uint64_t part_size, unsigned seed, char etag[ETAG_MAX])
{
	struct etag_calc *calc = etag_calc_create(part_size);
	uint64_t crc;
	char *buf = malloc(MIB);

	for (uint64_t off = 0; off < size;) {
		size_t n = size - off < MIB ? (size_t)(size - off) : MIB;

		body_fill(buf, n, off, seed);
		etag_calc_update(calc, buf, n);
		off += n;
	}
	etag_calc_finish(calc, etag, &crc);
	etag_calc_destroy(&calc);
	free(buf);
}

/* ---- put ---- */

static void put_on_ready(void *arg)
{
	struct exercise *x = arg;

	CHECK(!x->ready, "ready twice");
	x->ready = true;
}

static void put_on_prepared(void *arg)
{
	((struct exercise *)arg)->prepared = true;
}

static void put_on_done(void *arg, const struct site_result *r, const char *etag)
{
	struct exercise *x = arg;

	keep(&x->last, r);
	snprintf(x->last.etag, sizeof(x->last.etag), "%s", etag);
	x->put = NULL;
	x->ready = x->prepared = true; /* wakes who waits */
}

void put_open(struct exercise *x, const char *key, int64_t size, uint64_t part_size)
{
	static const struct site_put_cbs cbs = {put_on_ready, put_on_prepared, put_on_done};
	struct site_put_req req = {.key = slice_str(key), .size = size, .part_size = part_size, .content_type = "text/x-test"};
	struct meta meta = {0};

	forget(&x->last);
	x->ready = x->prepared = false;
	req.gen = (struct gen){.hlc = 0x0193a5c4e2f00001, .node = "node1"};
	if (meta_add(&meta, SLICE_LIT("Color"), SLICE_LIT("light  blue")) || meta_add(&meta, SLICE_LIT("empty"), SLICE_LIT("")))
		abort();
	req.meta = &meta;
	x->put = site_put(x->site, &req, &cbs, x);
	meta_free(&meta);
	CHECK(!x->last.done && !x->ready, "called back before it returned");
}

bool put_body(struct exercise *x, uint64_t off, uint64_t n, size_t step, unsigned seed)
{
	char *buf = malloc(step);

	while (n > 0) {
		size_t k = n < step ? (size_t)n : step;

		run_until(x, &x->ready);
		if (x->last.done)
			break;
		x->ready = false;
		body_fill(buf, k, off, seed);
		site_put_write(x->put, buf, k);
		off += k;
		n -= k;
		run_until(x, &x->ready);
		/* what was borrowed is ours again */
		memset(buf, 0xee, step);
	}
	if (!x->last.done)
		run_until(x, &x->ready);
	free(buf);
	return !x->last.done;
}

bool put_close(struct exercise *x)
{
	x->ready = false;
	site_put_end(x->put);
	run_until(x, &x->prepared);
	return !x->last.done;
}

int put_finish_with(struct exercise *x, const char *etag)
{
	site_put_complete(x->put, etag, false, 0);
	run_until(x, &x->last.done);
	return x->last.err;
}

int do_put(struct exercise *x, const char *key, uint64_t size, bool known, uint64_t part_size, size_t step, unsigned seed)
{
	char etag[ETAG_MAX];

	body_etag(size, part_size, seed, etag);
	put_open(x, key, known ? (int64_t)size : -1, part_size);
	if (!put_body(x, 0, size, step, seed) || !put_close(x))
		return x->last.err;
	return put_finish_with(x, etag);
}

/* ---- get ---- */

static void get_on_head(void *arg, const struct object_info *info, uint64_t off, uint64_t len, int fd)
{
	struct exercise *x = arg;

	CHECK(fd == -1, "a descriptor");
	x->last.n_head++;
	keep_info(&x->last, info);
	x->last.off = off;
	x->last.len = len;
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct exercise *x = arg;

	(void)fd;
	(void)what;
	if (x->cut)
		relay_set(x->cut, RELAY_CUT);
	if (x->get)
		site_get_resume(x->get);
}

static bool get_on_data(void *arg, const void *p, size_t n)
{
	static const struct timeval soon = {0, 1000};
	struct exercise *x = arg;

	CHECK(x->last.n_head == 1, "data before head");
	x->last.got += n;
	etag_calc_update(x->last.calc, p, n);
	x->last.n_data++;
	if (x->cancel_after && x->last.n_data == x->cancel_after) {
		site_get_cancel(&x->get);
		x->last.done = true;
		return true;
	}
	if (!x->pause_every || x->last.n_data % x->pause_every)
		return true;
	event_base_once(x->base, -1, EV_TIMEOUT, on_resume, x, &soon);
	return false;
}

static void get_on_done(void *arg, const struct site_result *r, uint64_t object_size)
{
	struct exercise *x = arg;

	keep(&x->last, r);
	x->last.object_size = object_size;
	x->get = NULL;
}

int do_get(struct exercise *x, const char *key, enum range_kind kind, uint64_t off, uint64_t len, const char *if_match,
     uint64_t part_size)
{
	static const struct site_get_cbs cbs = {get_on_head, get_on_data, get_on_done};
	struct site_get_req req = {.key = slice_str(key), .range = kind, .off = off, .len = len, .if_match = if_match};
	uint64_t crc;

	forget(&x->last);
	x->last.calc = etag_calc_create(part_size);
	x->get = site_get(x->site, &req, &cbs, x);
	run_until(x, &x->last.done);
	etag_calc_finish(x->last.calc, x->last.got_etag, &crc);
	if (!x->last.err && !x->cancel_after)
		CHECK(x->last.got == x->last.len && x->last.n_head == 1, "got %ju of %ju", (uintmax_t)x->last.got,
		     (uintmax_t)x->last.len);
	return x->last.err;
}

/* ---- the rest ---- */

static void on_head(void *arg, const struct site_result *r, const struct object_info *info)
{
	struct exercise *x = arg;

	CHECK((info != NULL) == (r->err == 0), "info and err %d", r->err);
	keep(&x->last, r);
	if (info)
		keep_info(&x->last, info);
}

int do_head(struct exercise *x, const char *key)
{
	forget(&x->last);
	site_head(x->site, slice_str(key), 0, on_head, x);
	run_until(x, &x->last.done);
	return x->last.err;
}

static void on_done(void *arg, const struct site_result *r)
{
	keep(&((struct exercise *)arg)->last, r);
}

int do_delete(struct exercise *x, const char *key)
{
	forget(&x->last);
	site_delete(x->site, slice_str(key), 0, on_done, x);
	run_until(x, &x->last.done);
	return x->last.err;
}

int do_claim(struct exercise *x)
{
	forget(&x->last);
	site_claim(x->site, on_done, x);
	run_until(x, &x->last.done);
	return x->last.err;
}

static void on_probe(void *arg, const struct site_result *r, int64_t latency_us)
{
	CHECK(latency_us > 0, "latency %jd", (intmax_t)latency_us);
	keep(&((struct exercise *)arg)->last, r);
}

int do_probe(struct exercise *x)
{
	forget(&x->last);
	site_probe(x->site, on_probe, x);
	run_until(x, &x->last.done);
	return x->last.err;
}

static void on_list(void *arg, const struct site_result *r, const struct site_list_entry *v, size_t n, bool more,
     struct slice next)
{
	struct outcome *o = &((struct exercise *)arg)->last;

	keep(o, r);
	for (size_t i = 0; i < n; i++) {
		strbuf_add_slice(&o->keys, v[i].key);
		strbuf_addc(&o->keys, '\n');
		CHECK(i == 0 || slice_cmp(v[i - 1].key, v[i].key) < 0, "not in order");
		CHECK(v[i].etag[0] && v[i].mtime_ms > 0, "an entry without ETag or time");
	}
	o->n_keys = n;
	o->more = more;
	o->next_n = next.n;
	memcpy(o->next, next.p ? next.p : "", next.n);
}

int do_list(struct exercise *x, const char *prefix, struct slice after, unsigned limit)
{
	struct site_list_req req = {.prefix = slice_str(prefix), .start_after = after, .limit = limit};

	forget(&x->last);
	site_list(x->site, &req, on_list, x);
	run_until(x, &x->last.done);
	return x->last.err;
}

/* ---- requests of the tests' own ---- */

struct raw {
	bool done;
	int err;
	char reason[S3_REASON_MAX];
	size_t n_uploads;
};

static void raw_done(void *arg, struct s3_req *rq)
{
	struct raw *raw = arg;
	const char *p = strbuf_str(&rq->body);

	raw->done = true;
	raw->err = rq->err;
	snprintf(raw->reason, sizeof(raw->reason), "%s", rq->reason);
	while ((p = strstr(p, "<UploadId>"))) {
		raw->n_uploads++;
		p++;
	}
}

static const struct s3_req_cbs raw_cbs = {.done = raw_done};

size_t count_uploads(struct exercise *x)
{
	struct raw raw = {0};
	struct s3_req *rq = s3_req_new(s3_site_of(x->site), "GET", NULL, &raw_cbs, &raw);

	s3_req_param(rq, "uploads", SLICE_LIT(""));
	s3_req_start(rq, false);
	run_until(x, &raw.done);
	CHECK(raw.err == 0, "list of uploads: %s", raw.reason);
	return raw.n_uploads;
}

static void make_bucket(struct exercise *x)
{
	struct raw raw = {0};

	s3_req_start(s3_req_new(s3_site_of(x->site), "PUT", NULL, &raw_cbs, &raw), false);
	run_until(x, &raw.done);
	CHECK(raw.err == 0, "bucket %s: %s", x->bucket, raw.reason);
}

static void set(char **at, const char *value)
{
	free(*at);
	*at = xstrdup(value);
}

void exercise_begin_bare(struct exercise *x)
{
	memset(x, 0, sizeof(*x));
	x->base = event_base_new();
	x->curl = curl_loop_create(x->base);
	x->pool = pool_create(x->base, 2);
	strcpy(x->spool_dir, "/tmp/gfs-s3-XXXXXX");
	if (!mkdtemp(x->spool_dir))
		abort();
	x->env = (struct site_env){.base = x->base, .curl = x->curl, .pool = x->pool, .namespace_id = NAMESPACE,
	     .spool_dir = x->spool_dir,
	                           .spool_max_bytes = 64 * MIB, .spool_used = &x->spool_used};
	site_conf_init(&x->conf);
	x->conf.id = 7;
	x->conf.kind = SITE_KIND_S3;
	set(&x->conf.name, "near");
	set(&x->conf.s3_bucket, "b");
	set(&x->conf.access_key, "AK");
	set(&x->conf.secret_key, "SK");
	x->conf.addressing = S3_PATH;
}

void exercise_begin(struct exercise *x, const char *prefix)
{
	static unsigned n;

	exercise_begin_bare(x);
	snprintf(x->bucket, sizeof(x->bucket), "exercise-%d-%u", (int)getpid(), n++);
	set(&x->conf.prefix, prefix);
	set(&x->conf.s3_bucket, x->bucket);
	set(&x->conf.s3_endpoint, getenv("GFS_TEST_S3_ENDPOINT"));
	set(&x->conf.access_key, getenv("GFS_TEST_S3_ACCESS_KEY"));
	set(&x->conf.secret_key, getenv("GFS_TEST_S3_SECRET_KEY"));
	exercise_reopen(x);
	make_bucket(x);
}

void exercise_reopen(struct exercise *x)
{
	char why[256];

	if (x->site) {
		run_idle(x);
		site_close(&x->site);
	}
	if (site_open(&x->env, &x->conf, &x->site, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		abort();
	}
}

void exercise_end(struct exercise *x)
{
	run_idle(x);
	CHECK(s3_site_of(x->site)->active == 0, "%u places still taken", s3_site_of(x->site)->active);
	site_close(&x->site);
	CHECK(x->spool_used == 0, "%ju bytes of spool still reserved", (uintmax_t)x->spool_used);
	forget(&x->last);
	curl_loop_destroy(&x->curl);
	pool_destroy(&x->pool);
	event_base_free(x->base);
	site_conf_free(&x->conf);
	CHECK(rmdir(x->spool_dir) == 0, "files left in the spool directory");
}
