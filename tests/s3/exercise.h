/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the S3 site's tests against a real store: one event loop with a site on it,
 its operations as calls that wait for their end,
 * and a relay that can cut, stop or swallow what passes between site and store. Used by the files of tests/s3.
 */
#ifndef GFS_TEST_S3_EXERCISE_H
#define GFS_TEST_S3_EXERCISE_H

#include <stdio.h>

#include "common/site_s3.h"
#include "tests/helpers/fault_core.h"

#define MIB (1024 * 1024)
#define NAMESPACE "11111111-2222-3333-4444-555555555555"

extern unsigned n_checks, n_failed;
#define CHECK(cond, ...) \
	do { \
		n_checks++; \
		if (!(cond)) { \
			n_failed++; \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond); \
			fprintf(stderr, __VA_ARGS__); \
			fputc('\n', stderr); \
		} \
	} while (0)

/* What one operation ended with. */
struct outcome {
	bool done;
	enum site_outcome outcome;
	int err, http_status;
	unsigned retry_after_s;
	bool connected;
	char reason[S3_REASON_MAX], etag[ETAG_MAX];
	struct object_info info; /* owned when have_info */
	bool have_info;
	uint64_t off, len, got, object_size;
	char got_etag[ETAG_MAX]; /* of the bytes that came */
	struct etag_calc *calc;
	unsigned n_head, n_data;
	/* lists: keys joined by newlines */
	struct strbuf keys;
	size_t n_keys;
	bool more;
	char next[2048];
	size_t next_n;
};

struct exercise {
	struct event_base *base;
	struct curl_loop *curl;
	struct pool *pool;
	struct site_env env;
	struct site_conf conf;
	struct site *site;
	uint64_t spool_used;
	char bucket[64], spool_dir[64];
	struct outcome last;
	/* the running put */
	struct site_put *put;
	bool ready, prepared;
	struct site_get *get;
	unsigned pause_every; /* data(): pause at each Nth piece */
	unsigned cancel_after; /* data(): cancel at the Nth piece */
	struct relay *cut;     /* data(): cut this at the first pause */
};

/* A site on a fresh bucket of the store that the environment names. */
void exercise_begin(struct exercise *x, const char *prefix);
void exercise_begin_bare(struct exercise *x); /* bucket "b", keys AK and SK, no endpoint, not open */
void exercise_end(struct exercise *x);
void exercise_reopen(struct exercise *x); /* after a change of conf or env */
void run_until(struct exercise *x, const bool *flag);
void run_idle(struct exercise *x); /* until nothing of the site is open */
void run_ms(struct exercise *x, int ms);

/* A body whose byte at i depends on i and seed. */
void body_fill(char *p, size_t n, uint64_t off, unsigned seed);
void body_etag(uint64_t size, uint64_t part_size, unsigned seed, char etag[ETAG_MAX]);

/* Each returns the err of its end; details in x->last. */
int do_put(struct exercise *x, const char *key, uint64_t size, bool known, uint64_t part_size, size_t step, unsigned seed);
void put_open(struct exercise *x, const char *key, int64_t size, uint64_t part_size);
bool put_body(struct exercise *x, uint64_t off, uint64_t n, size_t step, unsigned seed); /* false: the put ended */
bool put_close(struct exercise *x); /* end, and wait for prepared; false: the put ended */
int put_finish_with(struct exercise *x, const char *etag);
int do_get(struct exercise *x, const char *key, enum range_kind kind, uint64_t off, uint64_t len, const char *if_match,
     uint64_t part_size);
int do_head(struct exercise *x, const char *key);
int do_delete(struct exercise *x, const char *key);
int do_list(struct exercise *x, const char *prefix, struct slice after, unsigned limit);
int do_probe(struct exercise *x);
int do_claim(struct exercise *x);
size_t count_uploads(struct exercise *x); /* open multipart uploads of the bucket */

/* A relay to the store: tests/helpers/fault_core.h on the test's own loop. */
enum relay_mode {
	RELAY_PASS,
	RELAY_CUT,     /* all open ones; new ones are refused */
	RELAY_SWALLOW, /* requests pass, answers do not and the connection ends */
	RELAY_STALL,   /* nothing moves */
};
struct relay {
	struct fault_core core;
};
void relay_begin(struct relay *r, struct exercise *x);
void relay_end(struct relay *r);
void relay_set(struct relay *r, enum relay_mode mode); /* PASS, too, ends all connections */
void relay_cut_up_after(struct relay *r, uint64_t bytes); /* from now on; until relay_set() */
void exercise_use_relay(struct exercise *x, struct relay *r);

void test_scripted(void);
void test_objects(void);
void test_lists(void);
void test_faults(void);
void test_stream(void);

#endif
