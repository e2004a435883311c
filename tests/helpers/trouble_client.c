/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trouble_client PORT READERS WRITERS KEYS THINK_MS SEED: readers and writers of a suite at 127.0.0.1:PORT, a thread each, which
 * know what every answer must be. Each key has one writer, so its versions are 1, 2, 3 ...; a version is a deletion or a body that
 * names key and version and is the same bytes for the same two. A read must give a version between the last that was acknowledged
 * before it was sent and the last that was begun before its end. Everything else is wrong: other bytes, an older version, an
 * answer that calls itself stale or unverified, any error, any connection that ends. But when the site dies that a body comes
 * from, only a site with the same version can send the rest: a read whose version has a successor by then may be cut, what came
 * must be right, and the next try has to succeed.
 *
 * Prints "ready" when every key was written once and traffic has begun. Takes lines: "phase NAME" (what is sent from now on
 * counts for it), "tell", "stop"; answers the last two with one JSON object in a line.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/strbuf.h"
#include "common/xalloc.h"

#define PHASES_MAX 32
#define NOTES_MAX  20
#define HEAD_MAX   8192
#define WAIT_S     30

struct key {
	atomic_uint begun, acked; /* versions */
};

struct sample {
	uint32_t us;
	uint8_t phase;
	bool write;
};

struct trouble {
	int port;
	unsigned n_readers, n_writers, n_keys, think_ms;
	uint64_t seed;
	struct key *keys;
	atomic_uint phase;
	atomic_bool stop;
	pthread_mutex_t lock; /* the rest */
	unsigned n_wrong, n_outrun; /* reads that were cut because their version had a successor */
	char *notes[NOTES_MAX];
	char phases[PHASES_MAX][48];
	char slowest[PHASES_MAX][160];
	uint32_t slowest_us[PHASES_MAX];
};

struct client {
	struct trouble *t;
	pthread_t thread;
	unsigned n;
	bool writer;
	uint64_t random;
	int fd;
	char head[HEAD_MAX];
	size_t head_n, have; /* of the head with its empty line; of all that was read */
	bool cut;            /* the body did not come whole */
	pthread_mutex_t lock; /* the samples, which tell() reads meanwhile */
	struct sample *samples;
	size_t n_samples;
};

static uint64_t next(uint64_t *x)
{
	*x ^= *x >> 12;
	*x ^= *x << 25;
	*x ^= *x >> 27;
	return *x * 2685821657736338717ULL;
}

static uint64_t mix(const struct trouble *t, unsigned key, unsigned version)
{
	uint64_t x = t->seed * 0x9e3779b97f4a7c15ULL + key * 0xbf58476d1ce4e5b9ULL + version * 0x94d049bb133111ebULL + 1;

	next(&x);
	return next(&x) | 1;
}

/* ---- versions ---- */

static bool is_deletion(const struct trouble *t, unsigned key, unsigned version)
{
	return version > 1 && (mix(t, key, version) >> 32 & 31) == 0;
}

static size_t size_of(const struct trouble *t, unsigned key, unsigned version)
{
	uint64_t m = mix(t, key, version) >> 16;
	unsigned kind = m % 100;

	m >>= 8;
	if (kind < 70)
		return 64 + m % 4032;
	if (kind < 93)
		return 16384 + m % 49152;
	return kind < 99 ? 131072 + m % 131072 : (1 << 20) + m % 65536;
}

/* The first n bytes of a version. */
static void bytes_of(const struct trouble *t, unsigned key, unsigned version, char *out, size_t n)
{
	uint64_t x = mix(t, key, version), word;
	size_t at = (size_t)snprintf(out, n, "%u %u\n", key, version);

	for (; at < n; at += sizeof(word)) {
		word = next(&x);
		memcpy(out + at, &word, n - at < sizeof(word) ? n - at : sizeof(word));
	}
}

/* ---- what is told at the end ---- */

static void wrong(struct client *c, const char *fmt, ...)
{
	struct trouble *t = c->t;
	char when[32], text[400];
	struct timespec now;
	struct tm tm;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%H:%M:%S", &tm);
	pthread_mutex_lock(&t->lock);
	if (t->n_wrong < NOTES_MAX)
		t->notes[t->n_wrong] = xasprintf("%s.%03ld %s %u in %s: %s", when, now.tv_nsec / 1000000, c->writer ? "writer" : "reader",
		                                 c->n, t->phases[atomic_load(&t->phase)], text);
	t->n_wrong++;
	pthread_mutex_unlock(&t->lock);
}

static const char *field(const struct client *c, const char *name, char *out, size_t cap)
{
	const char *v = strcasestr(c->head, name);
	size_t n;

	out[0] = '\0';
	if (v) {
		v += strlen(name);
		v += strspn(v, " ");
		n = strcspn(v, "\r\n");
		snprintf(out, cap, "%.*s", (int)n, v);
	}
	return out;
}

static void record(struct client *c, unsigned phase, int64_t us, const char *what)
{
	struct trouble *t = c->t;
	char id[80], site[80];

	pthread_mutex_lock(&c->lock);
	if ((c->n_samples & (c->n_samples - 1)) == 0)
		c->samples = xreallocarray(c->samples, c->n_samples ? c->n_samples * 2 : 1, sizeof(*c->samples));
	c->samples[c->n_samples++] = (struct sample){.us = (uint32_t)us, .phase = (uint8_t)phase, .write = c->writer};
	pthread_mutex_unlock(&c->lock);
	pthread_mutex_lock(&t->lock);
	if (!c->writer && us > t->slowest_us[phase]) {
		t->slowest_us[phase] = (uint32_t)us;
		snprintf(t->slowest[phase], sizeof(t->slowest[phase]), "%s from %s id %s", what, field(c, "X-GlobalFS-Site:", site, 40),
		         field(c, "X-Request-ID:", id, 40));
	}
	pthread_mutex_unlock(&t->lock);
}

/* ---- HTTP ---- */

static void hang_up(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static bool connected(struct client *c)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c->t->port),
	                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval tv = {.tv_sec = WAIT_S};
	int one = 1;

	if (c->fd >= 0)
		return true;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (struct sockaddr *)&sin, sizeof(sin)) == 0)
		return true;
	hang_up(c);
	return false;
}

static bool send_all(struct client *c, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

/* Reads a head. Returns the status, 0 for none; the body's length, and what came of it lies behind the head. */
static int read_head(struct client *c, size_t *length_out)
{
	char *end = NULL, v[32];
	ssize_t k;

	for (c->have = 0; !end && c->have < HEAD_MAX - 1; end = strstr(c->head, "\r\n\r\n")) {
		k = recv(c->fd, c->head + c->have, HEAD_MAX - 1 - c->have, 0);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return 0;
		c->have += (size_t)k;
		c->head[c->have] = '\0';
	}
	if (!end)
		return 0;
	c->head_n = (size_t)(end + 4 - c->head);
	*length_out = (size_t)strtoull(field(c, "Content-Length:", v, sizeof(v)), NULL, 10);
	return atoi(c->head + strlen("HTTP/1.1 "));
}

/* What came of the body; owned. Sets cut when that is not all. */
static struct slice read_body(struct client *c, size_t length)
{
	char *body = xcalloc(1, length + 1);
	size_t n = c->have - c->head_n;
	ssize_t k = 1;

	n = n < length ? n : length;
	memcpy(body, c->head + c->head_n, n);
	while (n < length && (k = recv(c->fd, body + n, length - n, 0)) != 0) {
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			break;
		n += (size_t)k;
	}
	c->head[c->head_n] = '\0';
	c->cut = n < length;
	return slice_of(body, n);
}

/* Sends a request. Returns the status or 0, with *body_out owned. */
static int ask(struct client *c, const char *method, unsigned key, const struct slice *body, struct slice *body_out)
{
	char head[256];
	int n = snprintf(head, sizeof(head), "%s /api/v1/objects/t/%u HTTP/1.1\r\nHost: x\r\n", method, key), status = 0;
	size_t length = 0;

	if (body)
		n += snprintf(head + n, sizeof(head) - (size_t)n, "Content-Length: %zu\r\n", body->n);
	n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
	c->head[0] = '\0';
	if (connected(c) && send_all(c, head, (size_t)n) && (!body || send_all(c, body->p, body->n)))
		status = read_head(c, &length);
	if (status == 0) {
		wrong(c, "%s of %u: no answer (%s)", method, key, strerror(errno));
		hang_up(c);
		return 0;
	}
	if (status == 204 || status == 304)
		length = 0;
	*body_out = read_body(c, length);
	if (c->cut || strcasestr(c->head, "Connection: close"))
		hang_up(c);
	return status;
}

/* ---- traffic ---- */

/* A body that ended early: whether it had to, and what came is right. */
static bool was_outrun(struct client *c, unsigned key, unsigned least, struct slice body)
{
	unsigned now = atomic_load(&c->t->keys[key].begun), k, v;
	bool right;
	char *want;

	if (!memchr(body.p, '\n', body.n))
		return now > least;
	if (sscanf(body.p, "%u %u\n", &k, &v) != 2 || k != key || v < least || v >= now)
		return false;
	want = xcalloc(1, body.n + 1);
	bytes_of(c->t, key, v, want, body.n);
	right = body.n < size_of(c->t, key, v) && memcmp(want, body.p, body.n) == 0;
	free(want);
	return right;
}

static void check_body(struct client *c, unsigned key, unsigned least, unsigned most, struct slice body)
{
	unsigned k = 0, v = 0;
	char *want, id[80], site[80];

	field(c, "X-Request-ID:", id, sizeof(id));
	field(c, "X-GlobalFS-Site:", site, sizeof(site));
	if (c->cut) {
		wrong(c, "only %zu bytes of %u came (%u to %u): %.20s from %s, id %s", body.n, key, least, most, body.p, site, id);
		return;
	}
	if (sscanf(body.p, "%u %u\n", &k, &v) != 2 || k != key || v == 0 || v > most || is_deletion(c->t, key, v)) {
		wrong(c, "bytes of another object than %u (%u to %u): %.20s from %s, id %s", key, least, most, body.p, site, id);
		return;
	}
	if (v < least) {
		wrong(c, "version %u of %u though %u was acknowledged, from %s, id %s", v, key, least, site, id);
		return;
	}
	want = xcalloc(1, body.n + 1);
	bytes_of(c->t, key, v, want, body.n);
	if (body.n != size_of(c->t, key, v) || memcmp(want, body.p, body.n) != 0)
		wrong(c, "wrong bytes of version %u of %u: %zu of %zu, from %s, id %s", v, key, body.n, size_of(c->t, key, v), site, id);
	free(want);
}

static void check_read(struct client *c, unsigned key, unsigned least, int status, struct slice body)
{
	unsigned most = atomic_load(&c->t->keys[key].begun);
	char v[80];

	if (strcasestr(c->head, "X-GlobalFS-Stale:") || strcasestr(c->head, "unverified"))
		wrong(c, "the read of %u calls itself stale or unverified, id %s", key, field(c, "X-Request-ID:", v, sizeof(v)));
	if (status == 200) {
		check_body(c, key, least, most, body);
		return;
	}
	if (status == 404)
		for (unsigned i = least; i <= most; i++)
			if (is_deletion(c->t, key, i))
				return;
	wrong(c, "GET of %u (%u to %u): %d %.200s", key, least, most, status, body.p);
}

/* False: try again. */
static bool read_one(struct client *c, unsigned key)
{
	unsigned phase = atomic_load(&c->t->phase);
	unsigned least = atomic_load(&c->t->keys[key].acked);
	int64_t began = clock_mono_us();
	struct slice body;
	char what[32];
	bool outrun;
	int status = ask(c, "GET", key, NULL, &body);

	if (status == 0)
		return true;
	snprintf(what, sizeof(what), "%u %zu B", key, body.n);
	record(c, phase, clock_mono_us() - began, what);
	outrun = c->cut && was_outrun(c, key, least, body);
	if (outrun) {
		pthread_mutex_lock(&c->t->lock);
		c->t->n_outrun++;
		pthread_mutex_unlock(&c->t->lock);
	} else {
		check_read(c, key, least, status, body);
	}
	free((void *)(uintptr_t)body.p);
	return !outrun;
}

static void write_one(struct client *c, unsigned key)
{
	struct key *k = &c->t->keys[key];
	unsigned version = atomic_load(&k->begun) + 1, phase = atomic_load(&c->t->phase);
	bool deletion = is_deletion(c->t, key, version);
	struct slice answer, body = {NULL, deletion ? 0 : size_of(c->t, key, version)};
	char *bytes = xcalloc(1, body.n + 1);
	int64_t began;
	int status;

	bytes_of(c->t, key, version, bytes, body.n);
	body.p = bytes;
	atomic_store(&k->begun, version);
	began = clock_mono_us();
	status = ask(c, deletion ? "DELETE" : "PUT", key, deletion ? NULL : &body, &answer);
	free(bytes);
	if (status == 0)
		return;
	record(c, phase, clock_mono_us() - began, "write");
	if (status == (deletion ? 204 : 201))
		atomic_store(&k->acked, version);
	else
		wrong(c, "%s of version %u of %u: %d %.200s", deletion ? "DELETE" : "PUT", version, key, status, answer.p);
	free((void *)(uintptr_t)answer.p);
}

static void *run(void *arg)
{
	struct client *c = arg;
	struct trouble *t = c->t;
	struct timespec pause = {0};
	unsigned key;

	while (!atomic_load(&t->stop)) {
		/* 0.5 to 1.5 times; every write costs all sites something, so that writers take four times as long */
		pause.tv_nsec = (long)((t->think_ms * 500000 + (next(&c->random) >> 32) % 1000 * t->think_ms * 1000) * (c->writer ? 4 : 1));
		nanosleep(&pause, NULL);
		key = (unsigned)(next(&c->random) >> 32) % t->n_keys;
		if (c->writer)
			write_one(c, key % (t->n_keys / t->n_writers) * t->n_writers + c->n);
		else if (!read_one(c, key) && !read_one(c, key) && !read_one(c, key))
			wrong(c, "%u was cut three times in a row", key);
	}
	hang_up(c);
	return NULL;
}

/* Every key once, by as many as there are writers. */
static void *prepare(void *arg)
{
	struct client *c = arg;

	for (unsigned key = c->n; key < c->t->n_keys; key += c->t->n_writers)
		write_one(c, key);
	return NULL;
}

/* ---- the end ---- */

static int by_us(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void tell_latency(struct client *v, size_t n, unsigned phase, bool write, struct strbuf *out)
{
	uint32_t *us = NULL;
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		pthread_mutex_lock(&v[i].lock);
		us = xreallocarray(us, count + v[i].n_samples + 1, sizeof(*us));
		for (size_t k = 0; k < v[i].n_samples; k++)
			if (v[i].samples[k].phase == phase && v[i].samples[k].write == write)
				us[count++] = v[i].samples[k].us;
		pthread_mutex_unlock(&v[i].lock);
	}
	us[count] = 0;
	qsort(us, count, sizeof(*us), by_us);
	strbuf_addf(out, "\"%s\": {\"n\": %zu, \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u}", write ? "writes" : "reads", count,
	            us[count / 2], us[count * 99 / 100], us[count ? count - 1 : 0]);
	free(us);
}

static void tell(struct trouble *t, struct client *v, size_t n)
{
	struct strbuf out = STRBUF_INIT;

	pthread_mutex_lock(&t->lock);
	strbuf_addf(&out, "{\"wrong\": %u, \"outrun\": %u, \"notes\": [", t->n_wrong, t->n_outrun);
	for (unsigned i = 0; i < t->n_wrong && i < NOTES_MAX; i++) {
		strbuf_adds(&out, i ? ", " : "");
		strbuf_add_json(&out, slice_str(t->notes[i]));
	}
	strbuf_adds(&out, "], \"phases\": {");
	for (unsigned i = 0; i <= atomic_load(&t->phase); i++) {
		strbuf_addf(&out, "%s\"%s\": {\"slowest\": ", i ? ", " : "", t->phases[i]);
		strbuf_add_json(&out, slice_str(t->slowest[i]));
		strbuf_adds(&out, ", ");
		pthread_mutex_unlock(&t->lock);
		tell_latency(v, n, i, false, &out);
		strbuf_adds(&out, ", ");
		tell_latency(v, n, i, true, &out);
		pthread_mutex_lock(&t->lock);
		strbuf_addc(&out, '}');
	}
	pthread_mutex_unlock(&t->lock);
	strbuf_adds(&out, "}}");
	puts(strbuf_str(&out));
	fflush(stdout);
	strbuf_free(&out);
}

static void commands(struct trouble *t, struct client *v, size_t n)
{
	char line[128];
	unsigned at;

	while (fgets(line, sizeof(line), stdin) && strncmp(line, "stop", 4) != 0) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, "tell") == 0)
			tell(t, v, n);
		at = atomic_load(&t->phase) + 1;
		if (strncmp(line, "phase ", 6) != 0 || at == PHASES_MAX)
			continue;
		pthread_mutex_lock(&t->lock);
		snprintf(t->phases[at], sizeof(t->phases[at]), "%.47s", line + 6);
		pthread_mutex_unlock(&t->lock);
		atomic_store(&t->phase, at);
	}
}

static void everybody(struct client *v, size_t n, void *(*what)(void *))
{
	for (size_t i = 0; i < n; i++)
		if (pthread_create(&v[i].thread, NULL, what, &v[i]) != 0)
			abort();
}

int main(int argc, char **argv)
{
	struct trouble t = {.lock = PTHREAD_MUTEX_INITIALIZER, .phases = {"start"}};
	struct client *v;
	size_t n;

	if (argc != 7) {
		fprintf(stderr, "usage: trouble_client PORT READERS WRITERS KEYS THINK_MS SEED\n");
		return 2;
	}
	t.port = atoi(argv[1]);
	t.n_readers = (unsigned)atoi(argv[2]);
	t.n_writers = (unsigned)atoi(argv[3]);
	t.n_keys = (unsigned)atoi(argv[4]);
	t.think_ms = (unsigned)atoi(argv[5]);
	t.seed = strtoull(argv[6], NULL, 10);
	if (t.n_writers == 0 || t.n_keys < t.n_writers || t.think_ms > 150)
		return 2;
	n = t.n_readers + t.n_writers;
	t.keys = xcalloc(t.n_keys, sizeof(*t.keys));
	v = xcalloc(n, sizeof(*v));
	for (unsigned i = 0; i < n; i++)
		v[i] = (struct client){.t = &t, .n = i, .writer = i < t.n_writers, .fd = -1, .random = mix(&t, 1000000 + i, 1),
		                        .lock = PTHREAD_MUTEX_INITIALIZER};
	everybody(v, t.n_writers, prepare);
	for (unsigned i = 0; i < t.n_writers; i++)
		pthread_join(v[i].thread, NULL);
	everybody(v, n, run);
	puts("ready");
	fflush(stdout);
	commands(&t, v, n);
	atomic_store(&t.stop, true);
	for (unsigned i = 0; i < n; i++)
		pthread_join(v[i].thread, NULL);
	tell(&t, v, n);
	for (unsigned i = 0; i < n; i++)
		free(v[i].samples);
	for (unsigned i = 0; i < NOTES_MAX; i++)
		free(t.notes[i]);
	free(v);
	free(t.keys);
	return 0;
}
