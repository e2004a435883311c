/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of the file site against a sorted model; also many puts and deletes at once below one prefix. */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/key.h"
#include "common/site_file_dir.h"
#include "common/xalloc.h"
#include "tests/helpers/site_sync.h"

static struct site_sync s;

static void setup(void)
{
	site_sync_begin(&s, "");
}

static void setup_prefixed(void)
{
	site_sync_begin(&s, "pre-");
}

static void teardown(void)
{
	site_sync_end(&s);
}

TestSuite(site_file_list, .init = setup, .fini = teardown, .timeout = 120);
TestSuite(site_file_list_prefixed, .init = setup_prefixed, .fini = teardown, .timeout = 120);

/* Small alphabets around '/' make collisions of all kinds likely. */
struct model {
	char *keys[2000];
	size_t n;
	unsigned seed;
};

static unsigned rnd(struct model *m, unsigned n)
{
	m->seed = m->seed * 1103515245 + 12345;
	return (m->seed >> 16) % n;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_segment(struct model *m, char *buf)
{
	static const char letters[] = "a-.0b!\xc3\xa4";
	size_t n = strlen(buf), len = rnd(m, 12) == 0 ? 243 + rnd(m, 20) : rnd(m, 4);

	if (len > 200) {
		/* Long segments that share their beginning with each other. */
		memset(buf + n, 'L', len);
		buf[n + len] = '\0';
		if (rnd(m, 3) == 0)
			memcpy(buf + n + len - 9, ".gfs-cont", 9);
		if (rnd(m, 8) == 0) {
			memmove(buf + n + len, buf + n, len);
			buf[n + 2 * len] = '\0';
		}
		return;
	}
	while (len-- > 0) {
		unsigned c = rnd(m, 7);

		if (c == 6) {
			buf[n++] = '\xc3';
			buf[n++] = '\xa4';
		} else {
			buf[n++] = letters[c];
		}
	}
	buf[n] = '\0';
}

static void make_key(struct model *m, char *buf)
{
	unsigned segments = 1 + rnd(m, 4);

	do {
		buf[0] = '\0';
		while (segments-- > 0) {
			add_segment(m, buf);
			if (segments > 0)
				strcat(buf, "/");
		}
		segments = 1 + rnd(m, 4);
	} while (key_check(slice_str(buf), NULL) != 0);
}

static void model_sort(struct model *m)
{
	size_t i, o = 0;

	qsort(m->keys, m->n, sizeof(m->keys[0]), by_bytes);
	for (i = 0; i < m->n; i++) {
		if (o > 0 && strcmp(m->keys[o - 1], m->keys[i]) == 0)
			free(m->keys[i]);
		else
			m->keys[o++] = m->keys[i];
	}
	m->n = o;
}

/* Whether the model's key i is to be told: of a group the first that is, nothing of the group in which the start lies. */
static bool is_told(const struct model *m, size_t i, const char *prefix, const char *after)
{
	struct slice key = slice_str(m->keys[i]), p = slice_str(prefix), group;

	if (slice_cmp(key, slice_str(after)) <= 0 || !slice_starts_with(key, p))
		return false;
	group = site_list_group(key, p, s.delimiter);
	if (!group.p)
		return true;
	if (slice_starts_with(slice_str(after), group))
		return false;
	return i == 0 || !slice_starts_with(slice_str(m->keys[i - 1]), group) || strcmp(m->keys[i - 1], after) <= 0;
}

/* A list from one start must be the model's rest, whatever the page size. */
static void check_list(struct model *m, const char *prefix, const char *after, unsigned limit)
{
	char *start = xstrdup(after);
	size_t i = 0, k;

	for (;;) {
		cr_assert_eq(site_sync_list(&s, slice_str(prefix), slice_str(start), limit), 0, "%s", s.reason);
		cr_assert_leq(s.n_list, limit);
		for (k = 0; k < s.n_list; k++) {
			while (i < m->n && !is_told(m, i, prefix, after))
				i++;
			cr_assert_lt(i, m->n, "prefix '%s' after '%s': unexpected '%.*s'", prefix, after, (int)s.list[k].key.n,
			             s.list[k].key.p);
			cr_assert(slice_eq_str(s.list[k].key, m->keys[i]), "prefix '%s' after '%s': '%.*s' instead of '%s'", prefix, after,
			          (int)s.list[k].key.n, s.list[k].key.p, m->keys[i]);
			cr_assert_eq(s.list[k].size, strlen(m->keys[i]));
			cr_assert_str_eq(s.list[k].etag, "tag");
			cr_assert_eq(s.list[k].tag, SITE_LIST_TAGGED);
			i++;
		}
		if (!s.more)
			break;
		cr_assert_eq(s.n_list, limit);
		free(start);
		start = xstrndup(s.next_after, s.next_after_n);
	}
	for (; i < m->n; i++)
		cr_assert(!is_told(m, i, prefix, after), "prefix '%s' after '%s' delimiter '%.*s' limit %u: '%s' is missing", prefix, after,
		          (int)s.delimiter.n, s.delimiter.p, limit, m->keys[i]);
	free(start);
}

static void model_fill(struct model *m, unsigned n)
{
	char key[4096];
	unsigned i;

	for (i = 0; i < n; i++) {
		make_key(m, key);
		cr_assert_eq(site_sync_put(&s, slice_str(key), key, strlen(key), "tag"), 0, "'%s': %s", key, s.reason);
		m->keys[m->n++] = xstrdup(key);
	}
	model_sort(m);
}

static void check_delimited(struct model *m, const char *delimiter)
{
	char key[4096];
	unsigned i;

	s.delimiter = slice_str(delimiter);
	check_list(m, "", "", 1000);
	check_list(m, "", "", 1);
	for (i = 0; i < 25; i++) {
		make_key(m, key);
		check_list(m, "", key, 3);
		check_list(m, "", m->keys[rnd(m, (unsigned)m->n)], 3);
		key[1] = '\0';
		if (utf8_valid(slice_str(key)))
			check_list(m, key, m->keys[rnd(m, (unsigned)m->n)], 5);
	}
	s.delimiter = slice_of(NULL, 0);
}

static void check_everything(struct model *m)
{
	static const char *const delimiters[] = {"/", "a", "-", "LL", "/a", "b/", "\xc3\xa4", "LLLLLLLL/"};
	char key[4096];
	size_t i;

	for (i = 0; i < sizeof(delimiters) / sizeof(delimiters[0]); i++)
		check_delimited(m, delimiters[i]);
	check_list(m, "", "", 1000);
	check_list(m, "", "", 7);
	check_list(m, "", "", 1);
	for (i = 0; i < m->n; i++) {
		check_list(m, "", m->keys[i], 1000);
		check_list(m, m->keys[i], "", 50);
	}
	for (i = 0; i < 2 * m->n; i++) {
		make_key(m, key);
		check_list(m, "", key, 100);
		check_list(m, key, "", 100);
		key[strlen(key) / 2] = '\0';
		if (utf8_valid(slice_str(key)))
			check_list(m, key, m->keys[rnd(m, (unsigned)m->n)], 100);
	}
}

static void run_model(unsigned seed, unsigned n)
{
	struct model m = {.seed = seed};
	size_t i, o = 0;

	model_fill(&m, n);
	check_everything(&m);
	for (i = 0; i < m.n; i++) {
		if (rnd(&m, 2)) {
			m.keys[o++] = m.keys[i];
			continue;
		}
		cr_assert_eq(site_sync_delete(&s, slice_str(m.keys[i])), 0);
		free(m.keys[i]);
	}
	m.n = o;
	check_everything(&m);
	for (i = 0; i < m.n; i++) {
		cr_assert_eq(site_sync_get_all(&s, slice_str(m.keys[i])), 0, "%s", m.keys[i]);
		cr_assert_eq(site_sync_delete(&s, slice_str(m.keys[i])), 0);
		free(m.keys[i]);
	}
	cr_assert_eq(site_sync_list(&s, SLICE_LIT(""), SLICE_LIT(""), 10), 0);
	cr_assert_eq(s.n_list, 0);
}

Test(site_file_list, is_in_byte_order_of_keys_1)
{
	run_model(1, 150);
}

Test(site_file_list, is_in_byte_order_of_keys_2)
{
	run_model(20261121, 150);
}

/* Directories that do not fit into memory: read again for every window, or sorted in a file. */
Test(site_file_list, is_in_byte_order_of_keys_by_windows)
{
	file_dirs_set_window(site_file_of(s.site)->dirs, 1500);
	run_model(4, 50);
}

Test(site_file_list, is_in_byte_order_of_keys_by_windows_of_a_file)
{
	s.env.spool_dir = "/tmp";
	file_dirs_set_window(site_file_of(s.site)->dirs, 600);
	run_model(5, 50);
}

static void fill_flat(unsigned n)
{
	char path[128];

	for (unsigned i = 0; i < n; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/flat-%05u", s.dir, i * 7919 % n);
		f = fopen(path, "w");
		cr_assert(f);
		fclose(f);
	}
}

static void check_flat(unsigned n, unsigned page)
{
	char key[32] = "";

	for (unsigned i = 0; i < n;) {
		cr_assert_eq(site_sync_list(&s, SLICE_LIT("flat-"), slice_str(key), page), 0, "%s", s.reason);
		for (size_t k = 0; k < s.n_list; k++, i++) {
			snprintf(key, sizeof(key), "flat-%05u", i);
			cr_assert(slice_eq_str(s.list[k].key, key), "%.*s instead of %s", (int)s.list[k].key.n, s.list[k].key.p, key);
		}
		cr_assert_eq(s.more, i < n);
	}
}

Test(site_file_list, sorts_a_large_directory_in_a_file)
{
	s.env.spool_dir = "/tmp";
	file_dirs_set_window(site_file_of(s.site)->dirs, 20000);
	fill_flat(20000);
	check_flat(20000, 1000);
	check_flat(20000, 777);
	/* A name that comes later is not missed by a list that begins after it. */
	usleep(200000);
	check_flat(20000, 1000);
	cr_assert_eq(site_sync_put(&s, SLICE_LIT("flat-00000+"), "x", 1, "tag"), 0);
	cr_assert_eq(site_sync_list(&s, SLICE_LIT("flat-"), SLICE_LIT(""), 2), 0);
	cr_assert(slice_eq_str(s.list[1].key, "flat-00000+"));
}

/* No room for the file: it goes on by windows. */
Test(site_file_list, does_without_a_file)
{
	s.env.spool_dir = "/proc";
	file_dirs_set_window(site_file_of(s.site)->dirs, 20000);
	fill_flat(3000);
	check_flat(3000, 1000);
}

Test(site_file_list_prefixed, is_in_byte_order_of_keys)
{
	run_model(3, 150);
}

Test(site_file_list, begins_and_ends_where_asked)
{
	static const char *const keys[] = {"a", "a!", "a-/x", "a.txt", "a/", "a//b", "a/b", "a0", "b"};
	struct model m = {0};
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		m.keys[m.n++] = xstrdup(keys[i]);
		cr_assert_eq(site_sync_put(&s, slice_str(keys[i]), keys[i], strlen(keys[i]), "tag"), 0);
	}
	check_list(&m, "", "", 1000);
	for (i = 0; i < m.n; i++)
		check_list(&m, "", keys[i], 2);
	check_list(&m, "a/", "", 1000);
	check_list(&m, "a/", "a/", 1000);
	check_list(&m, "a", "a-/x", 1000);
	check_list(&m, "zzz", "", 1000);
	check_list(&m, "a/", "b", 1000);
	for (i = 0; i < m.n; i++)
		free(m.keys[i]);
}

/* More names than a snapshot keeps in one window need not be tried here: a window is megabytes. Pages of a large directory. */
Test(site_file_list, pages_through_a_large_directory)
{
	char path[128], key[32];
	unsigned i;

	for (i = 0; i < 5000; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/big-%04u", s.dir, i * 7 % 5000);
		f = fopen(path, "w");
		cr_assert(f);
		fclose(f);
	}
	for (i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "big-%04u", i * 100 - 1);
		cr_assert_eq(site_sync_list(&s, SLICE_LIT("big-"), i ? slice_str(key) : SLICE_LIT(""), 100), 0);
		cr_assert_eq(s.n_list, 100);
		snprintf(key, sizeof(key), "big-%04u", i * 100);
		cr_assert(slice_eq_str(s.list[0].key, key));
		cr_assert_eq(s.more, i < 49);
	}
	/* A key that is there before the list begins is in it, whatever was kept. */
	cr_assert_eq(site_sync_put(&s, SLICE_LIT("big-0000+"), "x", 1, "tag"), 0);
	cr_assert_eq(site_sync_list(&s, SLICE_LIT("big-"), SLICE_LIT(""), 2), 0);
	cr_assert(slice_eq_str(s.list[1].key, "big-0000+"));
}

Test(site_file_list, tells_one_key_of_a_group)
{
	static const char *const names[] = {"d/a", "d/sub/x", "e", "f/g/h"};
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_assert_eq(site_sync_put(&s, slice_str(names[i]), "x", 1, "tag"), 0);
	s.delimiter = SLICE_LIT("/");
	cr_assert_eq(site_sync_list(&s, SLICE_LIT(""), SLICE_LIT(""), 2), 0);
	cr_assert_eq(s.n_list, 2);
	cr_assert(s.more && slice_eq_str(s.list[0].key, "d/a") && slice_eq_str(s.list[1].key, "e"));
	cr_assert_eq(site_sync_list(&s, SLICE_LIT(""), SLICE_LIT("d/a"), 2), 0);
	cr_assert_eq(s.n_list, 2);
	cr_assert(!s.more && slice_eq_str(s.list[0].key, "e") && slice_eq_str(s.list[1].key, "f/g/h"));
	cr_assert_eq(site_sync_list(&s, SLICE_LIT("d/"), SLICE_LIT(""), 10), 0);
	cr_assert_eq(s.n_list, 2);
	cr_assert(slice_eq_str(s.list[0].key, "d/a") && slice_eq_str(s.list[1].key, "d/sub/x"));
}

/* ---- many at once ---- */

#define LANES 12

struct lane {
	struct site_put *put;
	char key[64];
	bool deleting;
	unsigned rounds, n;
};

static struct lane lanes[LANES];
static unsigned lanes_left;

static void lane_next(struct lane *l);

static void lane_ready(void *arg)
{
	struct lane *l = arg;

	if (l->n++ == 0)
		site_put_write(l->put, l->key, strlen(l->key));
	else
		site_put_end(l->put);
}

static void lane_prepared(void *arg)
{
	site_put_complete(((struct lane *)arg)->put, "tag", false, 0);
}

static void lane_put_done(void *arg, const struct site_result *r, const char *etag)
{
	cr_assert_eq(r->err, 0, "%s", r->reason);
	cr_assert_str_eq(etag, "tag");
	lane_next(arg);
}

static void lane_deleted(void *arg, const struct site_result *r)
{
	cr_assert_eq(r->err, 0, "%s", r->reason);
	lane_next(arg);
}

static void lane_next(struct lane *l)
{
	static const struct site_put_cbs cbs = {lane_ready, lane_prepared, lane_put_done};
	struct site_put_req req = {.key = slice_str(l->key), .size = (int64_t)strlen(l->key), .part_size = 1 << 20,
	                           .gen = site_sync_gen(l->rounds + 1)};

	if (l->rounds-- == 0) {
		lanes_left--;
		return;
	}
	l->deleting = !l->deleting;
	l->n = 0;
	if (l->deleting)
		site_delete(s.site, req.key, 0, lane_deleted, l);
	else
		l->put = site_put(s.site, &req, &cbs, l);
}

/* Lane 0 is the object "t" itself, the others are below it, so that directories come, go and change kind all the time. */
Test(site_file_list, concurrent_puts_and_deletes_below_one_prefix)
{
	char *cmd;
	unsigned i;

	lanes_left = LANES;
	for (i = 0; i < LANES; i++) {
		snprintf(lanes[i].key, sizeof(lanes[i].key), i == 0 ? "t" : i % 3 == 0 ? "t/u/%u" : i % 3 == 1 ? "t/u" : "t/v/w/%u", i);
		if (i % 3 == 1)
			snprintf(lanes[i].key, sizeof(lanes[i].key), i == 1 ? "t/u" : "t/v/%u", i);
		lanes[i].rounds = 101; /* ends with a delete */
		lane_next(&lanes[i]);
	}
	while (lanes_left > 0)
		event_base_loop(s.base, EVLOOP_ONCE);
	cr_assert_eq(site_sync_list(&s, SLICE_LIT(""), SLICE_LIT(""), 1000), 0);
	cr_assert_eq(s.n_list, 0, "%zu left, the first %.*s", s.n_list, (int)s.list[0].key.n, s.list[0].key.p);
	lanes_left = LANES;
	for (i = 0; i < LANES; i++) {
		lanes[i].rounds = 101; /* ends with a put */
		lane_next(&lanes[i]);
	}
	while (lanes_left > 0)
		event_base_loop(s.base, EVLOOP_ONCE);
	for (i = 0; i < LANES; i++) {
		cr_assert_eq(site_sync_get_all(&s, slice_str(lanes[i].key)), 0, "%s: %s", lanes[i].key, s.reason);
		cr_assert(slice_eq_str(slice_of(s.body, s.body_n), lanes[i].key));
		cr_assert(s.info.gen_tagged);
	}
	cmd = xasprintf("cd %s/.globalfs && test -z \"$(ls -A tmp)\" && test $(find meta -type f | wc -l) = %d", s.dir, LANES);
	cr_assert_eq(system(cmd), 0, "something was left behind");
	free(cmd);
}
