/* SPDX-License-Identifier: Apache-2.0 */
/* What an S3 site says when things go wrong: FAILED before the completing act, UNKNOWN after it, never a lie about a key. */
#include "config.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "exercise.h"

#define PART (5 * MIB)

static void set(char **at, const char *value)
{
	free(*at);
	*at = xstrdup(value);
}

/* Every operation must end with this error as a failure of the whole site. */
static void all_fail(struct exercise *x, int err, bool connected, const char *part)
{
	CHECK(do_get(x, "k", RANGE_ALL, 0, 0, NULL, 1) == err && strstr(x->last.reason, part), "get: %d %s", x->last.err,
	     x->last.reason);
	CHECK(x->last.connected == connected, "connected %d", x->last.connected);
	CHECK(do_head(x, "k") == err, "head: %d %s", x->last.err, x->last.reason);
	CHECK(do_list(x, "", slice_of(NULL, 0), 10) == err && strstr(x->last.reason, part), "list: %d %s", x->last.err,
	     x->last.reason);
	CHECK(do_delete(x, "k") == err && x->last.outcome == SITE_FAILED, "delete: %d %s", x->last.err, x->last.reason);
	CHECK(do_probe(x) == err && strstr(x->last.reason, part), "probe: %d %s", x->last.err, x->last.reason);
	CHECK(do_claim(x) == err && x->last.outcome == SITE_FAILED, "claim: %d %s", x->last.err, x->last.reason);
	for (int known = 0; known < 2; known++) {
		static const uint64_t sizes[] = {0, 1, 70000, PART + 1};

		for (size_t i = 0; i < 4; i++) {
			CHECK(do_put(x, "k", sizes[i], known, PART, MIB, 1) == err, "put: %d %s", x->last.err, x->last.reason);
			CHECK(x->last.outcome == SITE_FAILED && strstr(x->last.reason, part), "put %ju: %s", (uintmax_t)sizes[i],
			     x->last.reason);
		}
	}
}

static void wrong_settings(struct exercise *x)
{
	char *endpoint = xstrdup(x->conf.s3_endpoint), *bucket = xstrdup(x->bucket);

	set(&x->conf.s3_bucket, "no-such-bucket-here");
	exercise_reopen(x);
	all_fail(x, GFS_ERR_SITE_ERROR, true, "no bucket");
	set(&x->conf.s3_bucket, bucket);
	set(&x->conf.secret_key, "wrong");
	exercise_reopen(x);
	all_fail(x, GFS_ERR_FORBIDDEN, true, "SignatureDoesNotMatch");
	set(&x->conf.access_key, "NOBODY");
	exercise_reopen(x);
	all_fail(x, GFS_ERR_FORBIDDEN, true, "InvalidAccessKeyId");
	set(&x->conf.access_key, "");
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
	unsetenv("AWS_ACCESS_KEY_ID");
	exercise_reopen(x);
	all_fail(x, GFS_ERR_FORBIDDEN, false, "no credentials");
	set(&x->conf.access_key, getenv("GFS_TEST_S3_ACCESS_KEY"));
	set(&x->conf.secret_key, getenv("GFS_TEST_S3_SECRET_KEY"));
	/* nobody listens there */
	set(&x->conf.s3_endpoint, "http://127.0.0.1:1");
	exercise_reopen(x);
	all_fail(x, GFS_ERR_CONNECT, false, "cannot connect");
	set(&x->conf.s3_endpoint, "http://no-such-host.invalid:80");
	exercise_reopen(x);
	CHECK(do_probe(x) == GFS_ERR_CONNECT && !x->last.connected, "%s", x->last.reason);
	set(&x->conf.s3_endpoint, endpoint);
	exercise_reopen(x);
	CHECK(do_claim(x) == 0 && do_probe(x) == 0, "%s", x->last.reason);
	free(endpoint);
	free(bucket);
}

static void clock_skew(struct exercise *x)
{
	static const int64_t skews[] = {3600 * 1000, -3600 * 1000};

	for (int i = 0; i < 2; i++) {
		s3_site_of(x->site)->skew_ms = skews[i];
		s3_site_of(x->site)->clock_known = false;
		CHECK(do_put(x, "skewed", 70000, true, PART, 70000, 1) == 0, "%s", x->last.reason);
		CHECK(llabs(s3_site_of(x->site)->skew_ms) < 5000, "skew %lld", (long long)s3_site_of(x->site)->skew_ms);
		s3_site_of(x->site)->skew_ms = skews[i];
		CHECK(do_put(x, "skewed", 2 * PART, true, PART, MIB, 1) == 0, "%s", x->last.reason);
		s3_site_of(x->site)->skew_ms = skews[i];
		s3_site_of(x->site)->clock_known = false;
		CHECK(do_put(x, "skewed", 70000, false, PART, 70000, 1) == 0, "%s", x->last.reason);
		s3_site_of(x->site)->skew_ms = skews[i];
		CHECK(do_head(x, "skewed") == 0, "%s", x->last.reason);
		s3_site_of(x->site)->skew_ms = skews[i];
		CHECK(do_get(x, "skewed", RANGE_ALL, 0, 0, NULL, 1) == 0, "%s", x->last.reason);
		s3_site_of(x->site)->skew_ms = skews[i];
		CHECK(do_delete(x, "skewed") == 0, "%s", x->last.reason);
	}
}

/* The answer to the completing act is lost: UNKNOWN, and the object is there. */
static void answer_lost(struct exercise *x, struct relay *r)
{
	static const struct {
		int64_t size;
		uint64_t body;
	} v[] = {{0, 0}, {1, 1}, {70000, 70000}, {2 * PART, 2 * PART}, {-1, 70000}, {-1, PART + 1}};
	char etag[ETAG_MAX];

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		relay_set(r, RELAY_PASS);
		CHECK(do_delete(x, "lost") == 0, "%s", x->last.reason);
		body_etag(v[i].body, PART, 2, etag);
		put_open(x, "lost", v[i].size, PART);
		CHECK(put_body(x, 0, v[i].body, MIB, 2) && put_close(x), "%s", x->last.reason);
		relay_set(r, RELAY_SWALLOW);
		CHECK(put_finish_with(x, etag) != 0 && x->last.outcome == SITE_UNKNOWN, "case %zu: outcome %d: %s", i, x->last.outcome,
		      x->last.reason);
		CHECK(x->last.connected, "connected");
		relay_set(r, RELAY_PASS);
		CHECK(do_head(x, "lost") == 0 && strcmp(x->last.info.etag, etag) == 0, "case %zu: %s", i, x->last.reason);
	}
	relay_set(r, RELAY_SWALLOW);
	CHECK(do_delete(x, "lost") != 0 && x->last.outcome == SITE_UNKNOWN, "%s", x->last.reason);
	relay_set(r, RELAY_PASS);
	CHECK(do_head(x, "lost") == GFS_ERR_NO_SUCH_KEY, "%s", x->last.reason);
}

/* The store goes away in the middle of a body: FAILED, nothing visible, no waiting. */
static void cut_in_body(struct exercise *x, struct relay *r)
{
	static const struct {
		int64_t size;
		uint64_t part, body, cut;
	} v[] = {{16 * MIB, 32 * MIB, 16 * MIB, MIB}, {3 * PART, PART, 3 * PART, MIB}, {3 * PART, PART, 3 * PART, PART + MIB},
	         {-1, 32 * MIB, 16 * MIB, MIB}, {-1, PART, 3 * PART, PART + MIB}};

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		int64_t began = clock_mono_ms();

		relay_set(r, RELAY_PASS);
		CHECK(do_delete(x, "cut") == 0, "%s", x->last.reason);
		relay_cut_up_after(r, v[i].cut);
		put_open(x, "cut", v[i].size, v[i].part);
		CHECK(!put_body(x, 0, v[i].body, 131072, 2) || !put_close(x), "case %zu: not cut", i);
		CHECK(x->last.outcome == SITE_FAILED && x->last.err && x->last.connected, "case %zu: %d %s", i, x->last.outcome,
		     x->last.reason);
		CHECK(clock_mono_ms() - began < 5000, "took %lld ms", (long long)(clock_mono_ms() - began));
		relay_set(r, RELAY_PASS);
		run_idle(x);
		CHECK(do_head(x, "cut") == GFS_ERR_NO_SUCH_KEY, "case %zu: %s", i, x->last.reason);
		CHECK(count_uploads(x) == 0, "case %zu: an upload is left", i);
	}
}

/* While the last byte is held back the connection goes: FAILED, known at once. */
static void cut_while_held(struct exercise *x, struct relay *r)
{
	relay_set(r, RELAY_PASS);
	CHECK(do_delete(x, "held") == 0, "%s", x->last.reason);
	put_open(x, "held", 70000, PART);
	CHECK(put_body(x, 0, 70000, 70000, 2) && put_close(x), "%s", x->last.reason);
	relay_set(r, RELAY_CUT);
	run_until(x, &x->last.done);
	CHECK(x->last.outcome == SITE_FAILED, "outcome %d", x->last.outcome);
	relay_set(r, RELAY_PASS);
	CHECK(do_head(x, "held") == GFS_ERR_NO_SUCH_KEY, "%s", x->last.reason);
}

static void times_out(struct exercise *x, struct relay *r)
{
	char etag[ETAG_MAX];
	int64_t began;

	relay_set(r, RELAY_PASS);
	CHECK(do_put(x, "slow", 70000, true, PART, 70000, 2) == 0, "%s", x->last.reason);
	x->conf.first_byte_timeout_ms = x->conf.stall_timeout_ms = 500;
	exercise_reopen(x);
	s3_site_of(x->site)->clock_known = true;
	body_etag(70000, PART, 2, etag);
	put_open(x, "slow", 70000, PART);
	CHECK(put_body(x, 0, 70000, 70000, 2) && put_close(x), "%s", x->last.reason);
	/* a caller that takes its time is not the store's fault */
	run_ms(x, 700);
	CHECK(!x->last.done, "%s", x->last.reason);
	relay_set(r, RELAY_STALL);
	began = clock_mono_ms();
	CHECK(put_finish_with(x, etag) == GFS_ERR_TIMEOUT && x->last.outcome == SITE_UNKNOWN, "%d %s", x->last.outcome,
	     x->last.reason);
	CHECK(clock_mono_ms() - began < 4000, "took %lld ms", (long long)(clock_mono_ms() - began));
	began = clock_mono_ms();
	CHECK(do_get(x, "slow", RANGE_ALL, 0, 0, NULL, 1) == GFS_ERR_TIMEOUT && x->last.connected, "%s", x->last.reason);
	CHECK(do_probe(x) == GFS_ERR_TIMEOUT, "%s", x->last.reason);
	CHECK(do_put(x, "slow", 16 * MIB, true, 32 * MIB, MIB, 2) == GFS_ERR_TIMEOUT && x->last.outcome == SITE_FAILED, "%s",
	     x->last.reason);
	CHECK(clock_mono_ms() - began < 10000, "took %lld ms", (long long)(clock_mono_ms() - began));
	relay_set(r, RELAY_PASS);
	x->conf.first_byte_timeout_ms = x->conf.stall_timeout_ms = 10000;
	exercise_reopen(x);
	CHECK(do_get(x, "slow", RANGE_ALL, 0, 0, NULL, 1) == 0, "%s", x->last.reason);
}

/* A kept connection that died while it was idle costs nothing. */
static void idle_connection_dies(struct exercise *x, struct relay *r)
{
	for (int i = 0; i < 20; i++) {
		CHECK(do_put(x, "idle", 70000, true, PART, 70000, 2) == 0, "%s", x->last.reason);
		relay_set(r, RELAY_PASS);
		CHECK(do_get(x, "idle", RANGE_ALL, 0, 0, NULL, 1) == 0, "%s", x->last.reason);
		relay_set(r, RELAY_PASS);
		CHECK(do_put(x, "idle", PART + 1, true, PART, MIB, 2) == 0, "%s", x->last.reason);
		relay_set(r, RELAY_PASS);
		CHECK(do_delete(x, "idle") == 0, "%s", x->last.reason);
		relay_set(r, RELAY_PASS);
	}
}

static void get_cut(struct exercise *x, struct relay *r)
{
	relay_set(r, RELAY_PASS);
	CHECK(do_put(x, "big", 8 * MIB, true, 16 * MIB, MIB, 3) == 0, "%s", x->last.reason);
	x->pause_every = 4;
	x->cut = r;
	CHECK(do_get(x, "big", RANGE_ALL, 0, 0, NULL, 1) != 0 && x->last.outcome == SITE_FAILED && x->last.n_head == 1, "%s",
	     x->last.reason);
	CHECK(x->last.got < 8 * MIB, "all came");
	x->cut = NULL;
	x->pause_every = 0;
	relay_set(r, RELAY_PASS);
}

/* The store's own process is killed in the middle of a PUT and comes back. */
static void store_killed(struct exercise *x)
{
	const char *dir = getenv("GFS_TEST_S3_DIR"), *script = getenv("GFS_TEST_RGW");
	char cmd[512];

	if (!dir || !script)
		return;
	put_open(x, "killed", 8 * MIB, 16 * MIB);
	CHECK(put_body(x, 0, 4 * MIB, MIB, 2), "%s", x->last.reason);
	snprintf(cmd, sizeof(cmd), "%s kill %s", script, dir);
	CHECK(system(cmd) == 0, "kill");
	run_until(x, &x->last.done);
	CHECK(x->last.outcome == SITE_FAILED, "outcome %d", x->last.outcome);
	CHECK(do_probe(x) == GFS_ERR_CONNECT && !x->last.connected, "%s", x->last.reason);
	snprintf(cmd, sizeof(cmd), "%s again %s", script, dir);
	CHECK(system(cmd) == 0, "again");
	CHECK(do_head(x, "killed") == GFS_ERR_NO_SUCH_KEY, "%s", x->last.reason);
	CHECK(do_put(x, "killed", 8 * MIB, true, 16 * MIB, MIB, 2) == 0, "%s", x->last.reason);
}

/* The same store by other ways: TLS with and without trust, the bucket in the host name. */
static void other_ways(struct exercise *x)
{
	const char *https = getenv("GFS_TEST_S3_HTTPS"), *ca = getenv("GFS_TEST_S3_CA");
	char *endpoint = xstrdup(x->conf.s3_endpoint);

	free(x->conf.s3_endpoint);
	x->conf.s3_endpoint = xasprintf("http://localhost%s", strrchr(endpoint, ':'));
	x->conf.addressing = S3_VIRTUAL;
	exercise_reopen(x);
	CHECK(do_put(x, "a//b c+\xc3\xa4", PART + 1, true, PART, MIB, 1) == 0, "%s", x->last.reason);
	CHECK(do_head(x, "a//b c+\xc3\xa4") == 0, "%s", x->last.reason);
	CHECK(do_list(x, "a//", slice_of(NULL, 0), 10) == 0 && x->last.n_keys == 1, "%s", x->last.reason);
	x->conf.addressing = S3_PATH;
	if (https && ca) {
		set(&x->conf.s3_endpoint, https);
		exercise_reopen(x);
		CHECK(do_probe(x) == GFS_ERR_CONNECT && !x->last.connected && strstr(x->last.reason, "certificate"), "%s",
		     x->last.reason);
		x->conf.tls_verify = false;
		exercise_reopen(x);
		CHECK(do_probe(x) == 0, "%s", x->last.reason);
		x->conf.tls_verify = true;
		set(&x->conf.ca_file, "/nonexistent.pem");
		exercise_reopen(x);
		CHECK(do_probe(x) == GFS_ERR_CONNECT, "%s", x->last.reason);
		set(&x->conf.ca_file, ca);
		exercise_reopen(x);
		CHECK(do_probe(x) == 0, "%s", x->last.reason);
		CHECK(do_put(x, "tls", PART + 1, true, PART, MIB, 1) == 0, "%s", x->last.reason);
		CHECK(do_put(x, "tls", 70000, false, PART, MIB, 1) == 0, "%s", x->last.reason);
		CHECK(do_get(x, "tls", RANGE_ALL, 0, 0, NULL, PART) == 0 && x->last.got == 70000, "%s", x->last.reason);
	}
	set(&x->conf.s3_endpoint, endpoint);
	set(&x->conf.ca_file, "");
	free(endpoint);
	exercise_reopen(x);
}

void test_faults(void)
{
	struct exercise x;
	struct relay relay;

	exercise_begin(&x, "");
	wrong_settings(&x);
	other_ways(&x);
	clock_skew(&x);
	store_killed(&x);
	relay_begin(&relay, &x);
	x.conf.first_byte_timeout_ms = x.conf.stall_timeout_ms = 10000;
	exercise_use_relay(&x, &relay);
	answer_lost(&x, &relay);
	cut_in_body(&x, &relay);
	cut_while_held(&x, &relay);
	get_cut(&x, &relay);
	idle_connection_dies(&x, &relay);
	times_out(&x, &relay);
	exercise_end(&x);
	relay_end(&relay);
}
