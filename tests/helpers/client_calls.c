/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call of libglobalfs against a running suite, compiled by a scenario against the installed library as a stranger would.
 *
 *   client_calls calls SUITE-URL NEW-SITE-DIR    every call, and what errors say; GLOBALFS_API_KEY is the suite's key
 *   client_calls faults BASE-URL                 a server that misbehaves as the port after the base's says (see the scenario)
 *   client_calls threads SUITE-URL N             N threads with a handle each
 *   client_calls keys SUITE-URL                  stores, lists, reads and deletes each key on standard input, NUL-terminated
 *   client_calls memory SUITE-URL                each allocation fails once: a code, and a handle that still works
 * Ends with 0, or tells the line that failed.
 */
#include <errno.h>
#include <globalfs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK(fact) \
	do { \
		if (!(fact)) { \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact); \
			exit(1); \
		} \
	} while (0)
/* A call that must succeed. */
#define OK(h, call) \
	do { \
		if ((call) != 0) { \
			fprintf(stderr, "%s:%d: %s: %s (%d, status %ld)\n", __FILE__, __LINE__, #call, globalfs_error(h)->message, \
			        globalfs_error(h)->code, globalfs_error(h)->status); \
			exit(1); \
		} \
	} while (0)
/* A call that must be refused with this status. */
#define STATUS(h, call, want) \
	do { \
		CHECK((call) == GLOBALFS_ERR_STATUS); \
		CHECK(globalfs_error(h)->code == GLOBALFS_ERR_STATUS && globalfs_error(h)->status == (want)); \
		CHECK(globalfs_error(h)->message[0] != '\0'); \
	} while (0)

static struct globalfs *open_suite(const char *url)
{
	struct globalfs *h;

	CHECK(globalfs_open(url, &h) == 0);
	OK(h, globalfs_set_api_key(h, getenv("GLOBALFS_API_KEY")));
	return h;
}

/* ---- bodies that can be told apart by every byte ---- */

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 2654435761u >> 13);
}

struct pattern {
	size_t at, end, cut; /* cut: gives up there; 0: never */
	int wrong;
};

static long pattern_source(void *arg, void *data, size_t size)
{
	struct pattern *p = arg;
	size_t n = p->end - p->at < size ? p->end - p->at : size;

	if (p->cut && p->at >= p->cut)
		return -1;
	if (n > 7000)
		n = 7000; /* not what is asked for, as a pipe does */
	for (size_t i = 0; i < n; i++)
		((unsigned char *)data)[i] = byte_at(p->at + i);
	p->at += n;
	return (long)n;
}

static int pattern_sink(void *arg, const struct globalfs_object *object, const void *data, size_t size)
{
	struct pattern *p = arg;

	CHECK(object->etag[0] && object->key[0]);
	for (size_t i = 0; i < size; i++)
		p->wrong += ((const unsigned char *)data)[i] != byte_at(p->at + i);
	p->at += size;
	return p->cut && p->at >= p->cut;
}

/* ---- calls ---- */

static void check_suite(struct globalfs *h)
{
	const struct globalfs_info *info;
	const struct globalfs_site *sites;
	const char *text;
	size_t n;
	int yes;

	CHECK(strcmp(globalfs_code_text(GLOBALFS_ERR_NOMEM), "out of memory") == 0);
	OK(h, globalfs_info(h, &info));
	CHECK(strcmp(info->version, globalfs_version()) == 0 && strcmp(info->cluster, "test") == 0);
	CHECK(info->sites == 2 && info->primary_sites == 1 && info->backup_sites == 1 && info->burst_sites == 0);
	CHECK(info->healthy == 2 && info->unhealthy == 0 && info->is_leader == 1 && info->uptime_s > 0);
	CHECK(globalfs_error(h)->status == 200 && globalfs_error(h)->request_id[0]);
	CHECK(globalfs_body(h, &n)[0] == '{' && n > 10);
	OK(h, globalfs_health(h, 0, &yes, &text));
	CHECK(yes == 1 && text[0] == '\0');
	OK(h, globalfs_health(h, 1, &yes, &text));
	CHECK(yes == 1 && strncmp(text, "a: ", 3) == 0 && strstr(text, "\nb: "));
	OK(h, globalfs_ready(h, NULL, NULL, &yes, &text));
	CHECK(yes == 1 && text[0] == '\0');
	OK(h, globalfs_ready(h, "a", "60s", &yes, &text));
	CHECK(yes == 1);
	STATUS(h, globalfs_ready(h, "nowhere", NULL, &yes, &text), 404);
	STATUS(h, globalfs_ready(h, "a", "soon", &yes, &text), 400);
	CHECK(yes == 0);
	OK(h, globalfs_metrics(h, &text, &n));
	CHECK(n == strlen(text) && strstr(text, "globalfs_object_operations_total"));
	OK(h, globalfs_site_list(h, &sites, &n));
	CHECK(n == 2 && strcmp(sites[0].name, "a") == 0 && strcmp(sites[0].role, "primary") == 0 && sites[0].healthy);
	CHECK(strcmp(sites[1].state, "up") == 0 && !sites[1].drained && sites[1].id > 0 && strncmp(sites[1].uri, "file:", 5) == 0);
}

static void check_sites(struct globalfs *h, const char *dir)
{
	const struct globalfs_pair uri = {"uri", dir}, nonsense = {"colour", "blue"};
	const struct globalfs_site *site;

	OK(h, globalfs_site_add(h, "c", "burst", &uri, 1, &site));
	CHECK(strcmp(site->name, "c") == 0 && strcmp(site->role, "burst") == 0 && site->healthy);
	STATUS(h, globalfs_site_add(h, "c", NULL, &uri, 1, NULL), 409);
	STATUS(h, globalfs_site_add(h, "d", "boss", &uri, 1, NULL), 400);
	CHECK(strstr(globalfs_error(h)->message, "role"));
	STATUS(h, globalfs_site_add(h, "d", NULL, &nonsense, 1, NULL), 400);
	CHECK(strstr(globalfs_error(h)->message, "colour"));
	CHECK(globalfs_site_add(h, "", NULL, &uri, 1, NULL) == GLOBALFS_ERR_USAGE);
	OK(h, globalfs_site_drain(h, "c", &site));
	CHECK(site->drained == 1);
	OK(h, globalfs_site_undrain(h, "c", &site));
	CHECK(site->drained == 0);
	STATUS(h, globalfs_site_drain(h, "nowhere", NULL), 404);
	OK(h, globalfs_site_remove(h, "c"));
	STATUS(h, globalfs_site_remove(h, "c"), 404);
	CHECK(globalfs_site_remove(h, "") == GLOBALFS_ERR_USAGE);
}

static void check_put(struct globalfs *h)
{
	const struct globalfs_pair meta[2] = {{"color", "light blue"}, {"n", "1"}};
	struct globalfs_put_options options = {.content_type = "text/plain", .if_none_match = "*", .metadata = meta, .n_metadata = 2};
	struct pattern p = {.end = 3000000};
	const struct globalfs_object *object;
	const char *etag;

	OK(h, globalfs_put(h, "dir/hello", "hello", 5, &options, &etag));
	CHECK(strcmp(etag, "5d41402abc4b2a76b9719d911017c592") == 0 && globalfs_error(h)->status == 201);
	STATUS(h, globalfs_put(h, "dir/hello", "hello", 5, &options, &etag), 412);
	CHECK(globalfs_error(h)->request_id[0] && etag[0] == '\0');
	options = (struct globalfs_put_options){.if_match = "0123"};
	STATUS(h, globalfs_put(h, "dir/hello", "other", 5, &options, NULL), 412);
	OK(h, globalfs_head(h, "dir/hello", NULL, &object));
	CHECK(object->size == 5 && strcmp(object->content_type, "text/plain") == 0 && object->n_metadata == 2);
	CHECK(strcmp(object->metadata[0].name, "color") == 0 && strcmp(object->metadata[0].value, "light blue") == 0);
	CHECK(strcmp(object->etag, "5d41402abc4b2a76b9719d911017c592") == 0 && object->generation[0] && object->site[0]);
	CHECK(globalfs_time(object->last_modified) > (int64_t)time(NULL) - 600 && !object->is_stale);
	OK(h, globalfs_put(h, "dir/empty", NULL, 0, NULL, NULL));

	OK(h, globalfs_put_stream(h, "dir/unknown", pattern_source, &p, -1, NULL, &etag));
	CHECK(p.at == 3000000 && etag[0]);
	p.at = 0;
	OK(h, globalfs_put_stream(h, "dir/known", pattern_source, &p, 3000000, NULL, NULL));
	p = (struct pattern){.end = 1000};
	CHECK(globalfs_put_stream(h, "dir/short", pattern_source, &p, 2000, NULL, NULL) == GLOBALFS_ERR_USAGE);
	p = (struct pattern){.end = 500000, .cut = 200000};
	CHECK(globalfs_put_stream(h, "dir/cut", pattern_source, &p, -1, NULL, NULL) == GLOBALFS_ERR_CANCELLED);
	STATUS(h, globalfs_head(h, "dir/short", NULL, &object), 404);
	STATUS(h, globalfs_head(h, "dir/cut", NULL, &object), 404);
	STATUS(h, globalfs_put(h, ".globalfs/x", "a", 1, NULL, NULL), 400);
}

static int call_within(void *arg, const struct globalfs_object *object, const void *data, size_t size)
{
	const struct globalfs_info *info;

	(void)object, (void)data, (void)size;
	CHECK(globalfs_info(arg, &info) == GLOBALFS_ERR_USAGE);
	return 0;
}

static int count_progress(void *arg, int64_t received, int64_t sent)
{
	(void)sent;
	*(int64_t *)arg = received;
	return 0;
}

static int stop_at_once(void *arg, int64_t received, int64_t sent)
{
	(void)arg, (void)received, (void)sent;
	return 1;
}

static void check_get(struct globalfs *h)
{
	struct globalfs_get_options options = {.range = "100000-199999"};
	const struct globalfs_object *object;
	struct pattern p = {.at = 100000};
	char range[32], etag[64];
	int64_t received = 0;
	void *data;
	size_t n;

	OK(h, globalfs_get(h, "dir/known", &options, pattern_sink, &p, &object));
	CHECK(p.at == 200000 && p.wrong == 0 && object->is_range && object->size == 3000000);
	CHECK(object->range_first == 100000 && object->range_size == 100000);
	options.range = "-5";
	OK(h, globalfs_get_memory(h, "dir/hello", &options, 10, &data, &n));
	CHECK(n == 5 && strcmp(data, "hello") == 0);
	globalfs_free(data);
	options.range = "9-";
	STATUS(h, globalfs_get(h, "dir/hello", &options, pattern_sink, &p, &object), 416);
	CHECK(object && object->size == 5);
	CHECK(globalfs_get_memory(h, "dir/known", NULL, 1000, &data, &n) == GLOBALFS_ERR_TOO_LARGE && !data);
	OK(h, globalfs_get_memory(h, "dir/empty", NULL, 0, &data, &n));
	CHECK(data && n == 0);
	globalfs_free(data);
	options = (struct globalfs_get_options){.if_match = "0123"};
	STATUS(h, globalfs_get_memory(h, "dir/hello", &options, 10, &data, &n), 412);
	options = (struct globalfs_get_options){.if_none_match = "5d41402abc4b2a76b9719d911017c592"};
	STATUS(h, globalfs_get_memory(h, "dir/hello", &options, 10, &data, &n), 304);
	options = (struct globalfs_get_options){.current = 1};
	OK(h, globalfs_get_memory(h, "dir/hello", &options, 10, &data, &n));
	globalfs_free(data);
	STATUS(h, globalfs_get_memory(h, "dir/missing", NULL, 10, &data, &n), 404);
	CHECK(strstr(globalfs_error(h)->message, "no such object") && globalfs_error(h)->retry_after_s == -1);
	OK(h, globalfs_get(h, "dir/hello", NULL, call_within, h, NULL));

	/* broken off, and taken up where it ended */
	globalfs_set_progress(h, count_progress, &received);
	p = (struct pattern){.cut = 1000000};
	CHECK(globalfs_get(h, "dir/unknown", NULL, pattern_sink, &p, &object) == GLOBALFS_ERR_CANCELLED);
	CHECK(object && received > 0);
	snprintf(range, sizeof(range), "%zu-", p.at);
	snprintf(etag, sizeof(etag), "%s", object->etag);
	options = (struct globalfs_get_options){.range = range, .if_match = etag};
	p.cut = 0;
	OK(h, globalfs_get(h, "dir/unknown", &options, pattern_sink, &p, &object));
	CHECK(p.at == 3000000 && p.wrong == 0);
	globalfs_set_progress(h, stop_at_once, NULL);
	CHECK(globalfs_get_memory(h, "dir/hello", NULL, 10, &data, &n) == GLOBALFS_ERR_CANCELLED);
	globalfs_set_progress(h, NULL, NULL);
}

struct listed {
	int objects, prefixes, stop_at;
	int64_t bytes;
	char last[2000];
};

static int list_entry(void *arg, const struct globalfs_entry *e)
{
	struct listed *l = arg;

	CHECK(e->json_size == strlen(e->json));
	if (e->is_prefix) {
		l->prefixes++;
		CHECK(e->key[strlen(e->key) - 1] == '/');
	} else {
		l->objects++;
		l->bytes += e->size;
		CHECK(strcmp(l->last, e->key) < 0 && e->etag[0] && globalfs_time(e->last_modified) > 0);
		snprintf(l->last, sizeof(l->last), "%s", e->key);
	}
	return l->stop_at && l->objects == l->stop_at;
}

static void check_list(struct globalfs *h)
{
	struct globalfs_list_options options = {.prefix = "list/"};
	const struct globalfs_list_result *r;
	struct listed l = {0};
	char key[64];

	for (int i = 0; i < 30; i++) {
		snprintf(key, sizeof(key), "list/%d/%02d", i / 10, i);
		OK(h, globalfs_put(h, key, key, strlen(key), NULL, NULL));
	}
	OK(h, globalfs_list(h, &options, list_entry, &l, &r));
	CHECK(l.objects == 30 && l.prefixes == 0 && l.bytes == 30 * 9 && r->count == 30 && !r->truncated && r->n_partial == 0);
	options.limit = 12;
	l = (struct listed){0};
	OK(h, globalfs_list(h, &options, list_entry, &l, &r));
	CHECK(l.objects == 12 && r->truncated && strcmp(r->next_start_after, "list/1/11") == 0);
	options = (struct globalfs_list_options){.prefix = "list/", .start_after = "list/1/11", .strict = 1};
	l = (struct listed){0};
	OK(h, globalfs_list(h, &options, list_entry, &l, &r));
	CHECK(l.objects == 18);
	options = (struct globalfs_list_options){.prefix = "list/", .delimiter = "/"};
	l = (struct listed){0};
	OK(h, globalfs_list(h, &options, list_entry, &l, &r));
	CHECK(l.objects == 0 && l.prefixes == 3);
	l = (struct listed){.stop_at = 5};
	CHECK(globalfs_list(h, NULL, list_entry, &l, &r) == GLOBALFS_ERR_CANCELLED && l.objects == 5);
	l = (struct listed){0};
	options = (struct globalfs_list_options){.prefix = "nothing/"};
	OK(h, globalfs_list(h, &options, list_entry, &l, NULL));
	CHECK(l.objects == 0);
}

static void check_copies(struct globalfs *h)
{
	const struct globalfs_where *w;

	OK(h, globalfs_where(h, "dir/hello", &w));
	CHECK(w->n_copies == 2 && strcmp(w->key, "dir/hello") == 0 && strcmp(w->read_site, "a") == 0 && w->read_why[0]);
	CHECK(strcmp(w->copies[0].site, "a") == 0 && w->copies[0].present == 1 && w->copies[0].current == 1 && w->copies[0].size == 5);
	CHECK(strcmp(w->copies[0].etag, "5d41402abc4b2a76b9719d911017c592") == 0 && w->copies[0].place == 1 && w->copies[0].routed);
	OK(h, globalfs_where(h, "dir/missing", &w));
	CHECK(w->n_copies == 2 && w->copies[0].present == 0 && w->copies[1].present == 0 && w->read_site[0] == '\0');
	OK(h, globalfs_replicate(h, "dir/hello", "a", "b"));
	CHECK(globalfs_error(h)->status == 202);
	STATUS(h, globalfs_replicate(h, "dir/hello", "a", "nowhere"), 400);
	CHECK(strstr(globalfs_error(h)->message, "nowhere"));
	STATUS(h, globalfs_replicate(h, "dir/hello", "a", "a"), 400);
	OK(h, globalfs_delete(h, "dir/hello"));
	CHECK(globalfs_error(h)->status == 204);
	OK(h, globalfs_delete(h, "dir/hello"));
}

static int run_calls(const char *url, const char *dir)
{
	struct globalfs *h = open_suite(url);
	const struct globalfs_info *info;

	check_suite(h);
	check_sites(h, dir);
	check_put(h);
	check_get(h);
	check_list(h);
	check_copies(h);
	OK(h, globalfs_set_api_key(h, "wrong"));
	STATUS(h, globalfs_info(h, &info), 401);
	CHECK(strstr(globalfs_error(h)->message, "unauthorized"));
	globalfs_close(&h);
	return 0;
}

/* ---- faults ---- */

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The scripted server answers by the key or name. */
static int run_faults(const char *url)
{
	struct globalfs *h = open_suite(url);
	const struct globalfs_get_options range = {.range = "5-9"};
	const struct globalfs_object *object;
	const struct globalfs_where *w;
	struct pattern p = {0};
	struct listed l = {0};
	double begin;
	void *data;
	size_t n;

	STATUS(h, globalfs_where(h, "busy", &w), 503);
	CHECK(globalfs_error(h)->retry_after_s == 7 && strcmp(globalfs_error(h)->message, "two?lines") == 0);
	CHECK(strcmp(globalfs_error(h)->request_id, "rid-9") == 0 && strcmp(globalfs_header(h, "RETRY-after"), "7") == 0);
	STATUS(h, globalfs_where(h, "busy-until", &w), 503);
	CHECK(globalfs_error(h)->retry_after_s > 3000 && globalfs_error(h)->retry_after_s <= 3600);
	STATUS(h, globalfs_where(h, "no-json", &w), 502);
	CHECK(strcmp(globalfs_error(h)->message, "a site failed") == 0);
	CHECK(globalfs_where(h, "html", &w) == GLOBALFS_ERR_PROTOCOL);
	CHECK(globalfs_where(h, "array", &w) == GLOBALFS_ERR_PROTOCOL);
	CHECK(globalfs_where(h, "large", &w) == GLOBALFS_ERR_TOO_LARGE);
	CHECK(globalfs_get_memory(h, "cut", NULL, 5000, &data, &n) == GLOBALFS_ERR_IO);
	CHECK(globalfs_error(h)->status == 200);
	CHECK(globalfs_get(h, "bad-range", &range, pattern_sink, &p, &object) == GLOBALFS_ERR_PROTOCOL);
	CHECK(globalfs_get(h, "unasked-range", NULL, pattern_sink, &p, &object) == GLOBALFS_ERR_PROTOCOL && p.at == 0);
	CHECK(globalfs_list(h, NULL, list_entry, &l, NULL) == GLOBALFS_ERR_PROTOCOL); /* a page without an end */
	globalfs_set_timeout_ms(h, 300);
	begin = now_s();
	CHECK(globalfs_where(h, "hang", &w) == GLOBALFS_ERR_TIMEOUT);
	CHECK(now_s() - begin < 5);
	globalfs_set_stall_ms(h, 1000);
	begin = now_s();
	CHECK(globalfs_get_memory(h, "stall", NULL, 5000, &data, &n) == GLOBALFS_ERR_TIMEOUT);
	CHECK(now_s() - begin < 10 && !data);
	OK(h, globalfs_get_memory(h, "slow", NULL, 5000, &data, &n)); /* longer than the timeout, but never still */
	CHECK(n == 5);
	globalfs_free(data);
	globalfs_close(&h);
	CHECK(globalfs_open("http://127.0.0.1:1", &h) == 0);
	CHECK(globalfs_where(h, "x", &w) == GLOBALFS_ERR_CONNECT && globalfs_error(h)->status == 0);
	globalfs_close(&h);
	return 0;
}

/* ---- threads ---- */

struct worker {
	pthread_t thread;
	const char *url;
	int number;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct globalfs *h = open_suite(w->url);
	char key[64];
	void *data;
	size_t n;

	for (int i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "threads/%d/%d", w->number, i);
		OK(h, globalfs_put(h, key, key, strlen(key), NULL, NULL));
		OK(h, globalfs_get_memory(h, key, NULL, sizeof(key), &data, &n));
		CHECK(n == strlen(key) && memcmp(data, key, n) == 0);
		globalfs_free(data);
		if (i % 2)
			OK(h, globalfs_delete(h, key));
	}
	globalfs_close(&h);
	return NULL;
}

static int run_threads(const char *url, int count)
{
	struct globalfs_list_options options = {.prefix = "threads/"};
	struct worker *workers = calloc((size_t)count, sizeof(*workers));
	struct listed l = {0};
	struct globalfs *h;

	CHECK(workers && count > 0);
	for (int i = 0; i < count; i++) {
		workers[i] = (struct worker){.url = url, .number = i};
		CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
	}
	for (int i = 0; i < count; i++)
		CHECK(pthread_join(workers[i].thread, NULL) == 0);
	free(workers);
	h = open_suite(url);
	OK(h, globalfs_list(h, &options, list_entry, &l, NULL));
	CHECK(l.objects == count * 20);
	globalfs_close(&h);
	return 0;
}

/* ---- keys ---- */

static int find_key(void *arg, const struct globalfs_entry *e)
{
	const char **wanted = arg;

	if (*wanted && strcmp(e->key, *wanted) == 0)
		*wanted = NULL;
	return 0;
}

static int run_keys(const char *url)
{
	struct globalfs *h = open_suite(url);
	const struct globalfs_where *w;
	const struct globalfs_object *object;
	char *key = NULL;
	size_t cap = 0, n;
	void *data;
	int count = 0;

	while (getdelim(&key, &cap, '\0', stdin) > 0) {
		const char *wanted = key;
		struct globalfs_list_options options = {.prefix = key};

		OK(h, globalfs_put(h, key, key, strlen(key), NULL, NULL));
		OK(h, globalfs_get_memory(h, key, NULL, 4096, &data, &n));
		CHECK(n == strlen(key) && memcmp(data, key, n) == 0);
		globalfs_free(data);
		OK(h, globalfs_head(h, key, NULL, &object));
		CHECK(object->size == (int64_t)strlen(key) && strcmp(object->key, key) == 0);
		OK(h, globalfs_list(h, &options, find_key, &wanted, NULL));
		CHECK(wanted == NULL);
		OK(h, globalfs_where(h, key, &w));
		CHECK(strcmp(w->key, key) == 0 && w->copies[0].present == 1);
		OK(h, globalfs_delete(h, key));
		CHECK(globalfs_head(h, key, NULL, &object) == GLOBALFS_ERR_STATUS && globalfs_error(h)->status == 404);
		count++;
	}
	free(key);
	globalfs_close(&h);
	printf("%d keys\n", count);
	return 0;
}

/* ---- memory ---- */

#ifdef WITHOUT_MEMORY
extern void *__libc_malloc(size_t n), *__libc_calloc(size_t n, size_t size), *__libc_realloc(void *p, size_t n);
static long fail_in = -1; /* allocations until one fails; -1: none does */
static int failed;

static int fails(void)
{
	if (fail_in < 0 || fail_in-- > 0)
		return 0;
	failed = 1;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}

static int calls_in_need(const char *url, const char *key)
{
	const struct globalfs_pair meta = {"a", "b"};
	struct globalfs_put_options options = {.content_type = "text/plain", .metadata = &meta, .n_metadata = 1, .if_none_match = "x"};
	const struct globalfs_object *object;
	const struct globalfs_where *w;
	const struct globalfs_site *sites;
	struct listed l = {0};
	struct globalfs *h;
	int err, bad;
	void *data;
	size_t n;

	err = globalfs_open(url, &h);
	CHECK(err == 0 || err == GLOBALFS_ERR_NOMEM);
	if (err)
		return err;
	bad = globalfs_set_api_key(h, key);
	bad = (err = globalfs_put(h, "memory/k", "value", 5, &options, NULL)) ? err : bad;
	bad = (err = globalfs_get_memory(h, "memory/k", NULL, 100, &data, &n)) ? err : bad;
	CHECK(err || (n == 5 && memcmp(data, "value", 5) == 0));
	CHECK(!err || data == NULL);
	globalfs_free(data);
	bad = (err = globalfs_head(h, "memory/k", NULL, &object)) ? err : bad;
	bad = (err = globalfs_list(h, NULL, list_entry, &l, NULL)) ? err : bad;
	bad = (err = globalfs_where(h, "memory/k", &w)) ? err : bad;
	bad = (err = globalfs_site_list(h, &sites, &n)) ? err : bad;
	fail_in = -1;
	OK(h, globalfs_set_api_key(h, key));
	OK(h, globalfs_head(h, "memory/k", NULL, &object)); /* none of it broke the handle */
	globalfs_close(&h);
	return bad;
}

static int run_memory(const char *url)
{
	const char *key = getenv("GLOBALFS_API_KEY");
	long at, refused = 0;
	int err;

	CHECK(calls_in_need(url, key) == 0); /* what is made once is there */
	for (at = 0;; at += 3) {
		failed = 0;
		fail_in = at;
		err = calls_in_need(url, key);
		fail_in = -1;
		if (!failed)
			break; /* there are no more than that */
		refused += err == GLOBALFS_ERR_NOMEM; /* libcurl calls some of its own shortages by other names */
		CHECK(at < 20000);
	}
	printf("%ld allocations, every third refused, %ld times in so many words\n", at, refused);
	return refused > 20 ? 0 : 1;
}
#else
static int run_memory(const char *url)
{
	(void)url;
	return 2;
}
#endif

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "calls") == 0)
		return run_calls(argv[2], argv[3]);
	if (argc == 3 && strcmp(argv[1], "faults") == 0)
		return run_faults(argv[2]);
	if (argc == 4 && strcmp(argv[1], "threads") == 0)
		return run_threads(argv[2], atoi(argv[3]));
	if (argc == 3 && strcmp(argv[1], "keys") == 0)
		return run_keys(argv[2]);
	if (argc == 3 && strcmp(argv[1], "memory") == 0)
		return run_memory(argv[2]);
	fprintf(stderr, "usage: see the top of client_calls.c\n");
	return 2;
}
