/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a libFuzzer target (LLVMFuzzerTestOneInput) without libFuzzer, so that every `make check` fuzzes a little with any
 * compiler: replays the files given as arguments; without arguments takes the target's own seeds (fuzz_seed(), optional) and
 * the files of tests/fuzz/corpus/NAME, and runs them and their seeded random mutations.
 *
 * FUZZ_RUNS (default 100000) mutations, at most FUZZ_SECONDS (default 5), by the sequence of FUZZ_SEED (default 1). An input
 * that ends the process is left in NAME.input in the current directory.
 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX 70000 /* a little over the largest frame */
#define SEEDS_MAX 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* The ith seed of a target, or NULL after the last; owned by the caller. */
__attribute__((weak)) uint8_t *fuzz_seed(size_t i, size_t *n_out);

struct input {
	uint8_t *p;
	size_t n;
};

struct fuzz {
	char name[64];
	struct input seeds[SEEDS_MAX];
	size_t n_seeds;
	uint64_t state;
	uint8_t *trace; /* of the input that is running: its size, then its bytes; a mapped file, so that a crash leaves it */
};

/* splitmix64 */
static uint64_t next(struct fuzz *f)
{
	uint64_t z = f->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static size_t below(struct fuzz *f, size_t n)
{
	return n ? (size_t)(next(f) % n) : 0;
}

/* In memory of exactly its size, so that a read past the end is seen. */
static void run(struct fuzz *f, const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	memcpy(copy, p, n);
	if (f->trace) {
		memcpy(f->trace, &n, sizeof(n));
		memcpy(f->trace + sizeof(n), p, n);
	}
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

static void mutate(struct fuzz *f, struct input *in)
{
	static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe, '\r', '\n', '"', '<', '%', 0xc1, 0xdb, 0xdd, 0xdf};
	size_t at = below(f, in->n), len = below(f, in->n - at + 1), grow;
	const struct input *other = &f->seeds[below(f, f->n_seeds)];

	switch (next(f) % 8) {
	case 0:
		if (in->n)
			in->p[at] ^= (uint8_t)(1u << below(f, 8));
		return;
	case 1:
		if (in->n)
			in->p[at] = edges[below(f, sizeof(edges))];
		return;
	case 2:
		if (in->n)
			in->p[at] = (uint8_t)next(f);
		return;
	case 3: /* take a piece out */
		memmove(in->p + at, in->p + at + len, in->n - at - len);
		in->n -= len;
		return;
	case 4:
		in->n = at;
		return;
	case 5: /* repeat a piece */
		grow = len < INPUT_MAX - in->n ? len : INPUT_MAX - in->n;
		memmove(in->p + at + grow, in->p + at, in->n - at);
		in->n += grow;
		return;
	case 6: /* put bytes in */
		grow = 1 + below(f, 8);
		if (in->n + grow > INPUT_MAX)
			return;
		memmove(in->p + at + grow, in->p + at, in->n - at);
		for (size_t i = 0; i < grow; i++)
			in->p[at + i] = (uint8_t)next(f);
		in->n += grow;
		return;
	default: /* go on as another seed does */
		len = at < other->n ? other->n - at : 0;
		memcpy(in->p + at, other->p + (other->n - len), len);
		in->n = at + len;
		return;
	}
}

static int read_file(const char *path, struct input *out)
{
	FILE *file = fopen(path, "rb");

	out->p = malloc(INPUT_MAX);
	if (!file || !out->p) {
		if (file)
			fclose(file);
		free(out->p);
		return -1;
	}
	out->n = fread(out->p, 1, INPUT_MAX, file);
	fclose(file);
	return 0;
}

static void add_corpus(struct fuzz *f)
{
	const char *srcdir = getenv("srcdir");
	char dir[1024], path[2048];
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", f->name);
	d = opendir(dir);
	while (d && (e = readdir(d)) && f->n_seeds < SEEDS_MAX) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.' && read_file(path, &f->seeds[f->n_seeds]) == 0)
			f->n_seeds++;
	}
	if (d)
		closedir(d);
}

static void add_own(struct fuzz *f)
{
	uint8_t *p;
	size_t n;

	for (size_t i = 0; fuzz_seed && f->n_seeds < SEEDS_MAX && (p = fuzz_seed(i, &n)); i++) {
		f->seeds[f->n_seeds++] = (struct input){p, n < INPUT_MAX ? n : INPUT_MAX};
	}
	if (f->n_seeds == 0)
		f->seeds[f->n_seeds++] = (struct input){calloc(1, 16), 16};
}

static long setting(const char *name, long def)
{
	const char *text = getenv(name);

	return text && *text ? atol(text) : def;
}

static void trace_open(struct fuzz *f, char *path, size_t cap)
{
	int fd;
	void *map;

	snprintf(path, cap, "%s.input", f->name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, (off_t)(sizeof(size_t) + INPUT_MAX)))
		return;
	map = mmap(NULL, sizeof(size_t) + INPUT_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	f->trace = map == MAP_FAILED ? NULL : map;
}

static void fuzz_run(struct fuzz *f)
{
	long runs = setting("FUZZ_RUNS", 100000), seconds = setting("FUZZ_SECONDS", 5), i;
	time_t end = time(NULL) + seconds;
	struct input in = {malloc(INPUT_MAX), 0};
	char path[128];

	if (!in.p)
		abort();
	f->state = (uint64_t)setting("FUZZ_SEED", 1);
	trace_open(f, path, sizeof(path));
	for (size_t s = 0; s < f->n_seeds; s++)
		run(f, f->seeds[s].p, f->seeds[s].n);
	for (i = 0; i < runs && time(NULL) < end; i++) {
		const struct input *seed = &f->seeds[below(f, f->n_seeds)];

		memcpy(in.p, seed->p, seed->n);
		in.n = seed->n;
		for (size_t k = 1 + below(f, 4); k > 0; k--)
			mutate(f, &in);
		run(f, in.p, in.n);
	}
	printf("%s: %zu seeds, %ld mutations\n", f->name, f->n_seeds, i);
	free(in.p);
	if (f->trace) {
		munmap(f->trace, sizeof(size_t) + INPUT_MAX);
		unlink(path);
	}
}

/* NAME.input has the size in front; so have files that were copied from it. */
static struct input strip_trace(const char *path, struct input in)
{
	const char *dot = strrchr(path, '.');
	size_t n;

	if (!dot || strcmp(dot, ".input") || in.n < sizeof(n))
		return in;
	memcpy(&n, in.p, sizeof(n));
	return (struct input){in.p + sizeof(n), n < in.n - sizeof(n) ? n : in.n - sizeof(n)};
}

int main(int argc, char **argv)
{
	static struct fuzz f;
	const char *slash = strrchr(argv[0], '/');

	snprintf(f.name, sizeof(f.name), "%s", slash ? slash + 1 : argv[0]);
	for (int i = 1; i < argc; i++) {
		struct input in, body;

		if (read_file(argv[i], &in)) {
			fprintf(stderr, "cannot read %s\n", argv[i]);
			return 1;
		}
		body = strip_trace(argv[i], in);
		run(&f, body.p, body.n);
		free(in.p);
	}
	if (argc > 1)
		return 0;
	add_corpus(&f);
	add_own(&f);
	fuzz_run(&f);
	for (size_t i = 0; i < f.n_seeds; i++)
		free(f.seeds[i].p);
	return 0;
}
