/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that puts and deletes is killed at any moment, over and over, while another reads: every object is there whole, in
 * a version that was put, with the metadata of that version, and what was acknowledged is never older than what is read.
 */
#include "config.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "tests/helpers/site_sync.h"

#define KEYS 4

/* Shared with the writer; "t" and what lies below it change places as file and directory. */
struct shared {
	unsigned acked[KEYS]; /* number of the last version that was acknowledged, 0: none */
	unsigned next;
};

static const char *const keys[KEYS] = {"t", "t/u", "t/u/v/w", "other/k"};
static const size_t body_max = 40000;

/* Version n of a key: its number in every line, and a size that depends on it. */
static size_t version_body(unsigned n, char *buf)
{
	size_t size = 10 + n * 7919u % (body_max - 20), at;

	for (at = 0; at < size; at += 10)
		snprintf(buf + at, 11, "%09u\n", n);
	return size / 10 * 10;
}

static void write_for_ever(const char *dir, struct shared *sh)
{
	static struct site_sync w;
	char *body = xcalloc(1, body_max + 32), etag[ETAG_MAX];
	size_t n;
	unsigned k;

	site_sync_begin_at(&w, dir, "");
	for (;;) {
		k = sh->next % KEYS;
		n = version_body(++sh->next, body);
		snprintf(etag, sizeof(etag), "etag-%u", sh->next);
		if (sh->next % 5 == 0) {
			sh->acked[k] = 0; /* either is right from now on */
			cr_assert_eq(site_sync_delete(&w, slice_str(keys[k])), 0, "%s", w.reason);
			continue;
		}
		cr_assert_eq(site_sync_put(&w, slice_str(keys[k]), body, n, etag), 0, "%s", w.reason);
		sh->acked[k] = sh->next;
	}
}

static void check_key(struct site_sync *s, unsigned k, unsigned acked)
{
	char *want = xcalloc(1, body_max + 32);
	unsigned n = 0;
	size_t size;

	if (site_sync_get_all(s, slice_str(keys[k])) == GFS_ERR_NO_SUCH_KEY) {
		cr_assert_eq(acked, 0, "%s: version %u was acknowledged and is gone", keys[k], acked);
		free(want);
		return;
	}
	cr_assert_eq(s->err, 0, "%s: %s", keys[k], s->reason);
	cr_assert(s->info.gen_tagged, "%s has lost its metadata", keys[k]);
	cr_assert_eq(sscanf(s->info.etag, "etag-%u", &n), 1);
	cr_assert_geq(n, acked, "%s: version %u came back, %u was acknowledged", keys[k], n, acked);
	size = version_body(n, want);
	cr_assert(size == s->body_n && memcmp(want, s->body, size) == 0, "%s: the bytes are not those of version %u", keys[k], n);
	free(want);
}

Test(site_file_crash, a_killed_writer_leaves_the_old_or_the_new_version, .timeout = 120)
{
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char dir[] = "/tmp/gfs-site-XXXXXX";
	static struct site_sync s;
	unsigned round, k, seed = 7;
	pid_t pids[40];

	cr_assert(mkdtemp(dir));
	for (round = 0; round < 40; round++) {
		/* One after the other, and forked before this process has threads of its own. */
		pids[round] = fork();
		if (pids[round] == 0) {
			write_for_ever(dir, sh);
			_exit(1);
		}
		seed = seed * 1103515245 + 12345;
		usleep(3000 + (seed >> 16) % 40000);
		kill(pids[round], SIGKILL);
		waitpid(pids[round], NULL, 0);
		site_sync_begin_at(&s, dir, "");
		for (k = 0; k < KEYS; k++)
			check_key(&s, k, sh->acked[k]);
		cr_assert_eq(site_sync_list(&s, SLICE_LIT(""), SLICE_LIT(""), 10), 0);
		cr_assert_leq(s.n_list, KEYS);
		if (round < 39)
			site_sync_detach(&s);
	}
	cr_assert_gt(sh->next, 40, "the writer never got anywhere");
	for (k = 0; k < KEYS; k++)
		cr_assert_eq(site_sync_delete(&s, slice_str(keys[k])), 0);
	site_sync_end(&s);
	munmap(sh, sizeof(*sh));
}
