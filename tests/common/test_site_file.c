/* SPDX-License-Identifier: Apache-2.0 */
/* The file site: what a put, get, head, delete and probe promise, on a real directory. Lists: test_site_file_list.c. */
#include "config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "tests/helpers/site_sync.h"

static struct site_sync s;

static void setup(void)
{
	site_sync_begin(&s, "");
}

static void teardown(void)
{
	site_sync_end(&s);
}

TestSuite(site_file, .init = setup, .fini = teardown, .timeout = 60);

static char *at(const char *rel)
{
	return xasprintf("%s/%s", s.dir, rel);
}

static bool exists(const char *rel)
{
	char *path = at(rel);
	bool yes = access(path, F_OK) == 0;

	free(path);
	return yes;
}

static void write_file(const char *rel, const char *text)
{
	char *path = at(rel);
	FILE *f = fopen(path, "w");

	cr_assert(f, "%s", path);
	fputs(text, f);
	fclose(f);
	free(path);
}

static void put(const char *key, const char *body)
{
	cr_assert_eq(site_sync_put(&s, slice_str(key), body, strlen(body), "etag-of-body"), 0, "put %s: %s", key, s.reason);
}

static void expect(const char *key, const char *body)
{
	cr_assert_eq(site_sync_get_all(&s, slice_str(key)), 0, "get %s: %s", key, s.reason);
	cr_assert(slice_eq_str(slice_of(s.body, s.body_n), body), "%s holds %.*s", key, (int)s.body_n, s.body);
}

static void expect_none(const char *key)
{
	cr_assert_eq(site_sync_get_all(&s, slice_str(key)), GFS_ERR_NO_SUCH_KEY, "%s: %s", key, s.reason);
}

/* How many files there are below .globalfs/meta. */
static int sidecars(void)
{
	char *cmd = xasprintf("find %s/.globalfs/meta -type f 2>/dev/null | wc -l", s.dir);
	FILE *p = popen(cmd, "r");
	int n = -1;

	cr_assert_eq(fscanf(p, "%d", &n), 1);
	pclose(p);
	free(cmd);
	return n;
}

static int leftovers(void)
{
	char *cmd = xasprintf("ls -A %s/.globalfs/tmp 2>/dev/null | wc -l", s.dir);
	FILE *p = popen(cmd, "r");
	int n = -1;

	cr_assert_eq(fscanf(p, "%d", &n), 1);
	pclose(p);
	free(cmd);
	return n;
}

Test(site_file, stores_a_readable_file_with_its_metadata)
{
	char gen[GEN_TEXT_MAX], want[GEN_TEXT_MAX];
	struct gen g = site_sync_gen(1);
	int round;

	put("docs/hello world.txt", "hello");
	cr_assert(exists("docs/hello world.txt"));
	cr_assert_str_eq(s.etag, "etag-of-body");
	for (round = 0; round < 3; round++) {
		if (round == 2)
			site_sync_reopen(&s);
		cr_assert_eq(site_sync_head(&s, SLICE_LIT("docs/hello world.txt")), 0);
		cr_assert_eq(s.info.size, 5);
		cr_assert_str_eq(s.info.etag, "etag-of-body");
		cr_assert_str_eq(s.info.content_type, "text/plain; charset=utf-8");
		cr_assert_str_eq(meta_get(&s.info.meta, "colour"), "50% blue = good");
		cr_assert(s.info.gen_tagged && s.info.has_crc64 && s.info.crc64 == 0x0123456789abcdef);
		cr_assert_str_eq(gen_format(&s.info.gen, gen), gen_format(&g, want));
		cr_assert_eq(s.info.part_size, 8 << 20);
	}
	expect("docs/hello world.txt", "hello");
	cr_assert_str_eq(s.info.content_type, "text/plain; charset=utf-8");
	cr_assert_eq(leftovers(), 0);
}

Test(site_file, keeps_every_shape_of_key)
{
	static const char *const plain[] = {"a", "b/c", "b/", "/", "//", "/x", "x//y", "x//y//", "sp ace/a b", "p%20/%/%%", "q?#+&=;",
	                                    "gr\xc3\xbc\xc3\x9f/\xe6\x97\xa5\xe6\x9c\xac", ".hidden", "a.gfs-cont", "+x",
	                                    "...", ".gfs",
	                                    "-", "\\", "\x01\x7f"};
	char long1[301], deep[1089], full[1089], mark[256], all_slashes[1089];
	const char *keys[30];
	size_t i, n = 0;

	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		keys[n++] = plain[i];
	memset(long1, 'L', 300);
	long1[300] = '\0';
	keys[n++] = long1;
	memset(full, 'f', 1088);
	full[1088] = '\0';
	keys[n++] = full;
	memset(deep, 'd', 1088);
	for (i = 1; i < 1088; i += 2)
		deep[i] = '/';
	deep[1088] = '\0';
	keys[n++] = deep;
	memset(mark, 'm', 255);
	memcpy(mark + 246, ".gfs-cont", 10);
	keys[n++] = mark;
	memset(all_slashes, '/', 1088);
	all_slashes[1088] = '\0';
	keys[n++] = all_slashes;
	for (i = 0; i < n; i++)
		put(keys[i], keys[i]);
	for (i = 0; i < n; i++)
		expect(keys[i], keys[i]);
	for (i = 0; i < n; i++) {
		cr_assert_eq(site_sync_delete(&s, slice_str(keys[i])), 0);
		expect_none(keys[i]);
	}
	cr_assert_eq(sidecars(), 0);
	cr_assert_eq(site_sync_list(&s, SLICE_LIT(""), SLICE_LIT(""), 1000), 0);
	cr_assert_eq(s.n_list, 0);
}

Test(site_file, refuses_keys_that_are_not_allowed)
{
	static const char *const keys[] = {"..", "a/../b", "./a", ".globalfs/site", ".globalfs", "a/.gfs-obj", ".gfs-empty", "\xff"};
	struct site_get_req req = {.key = SLICE_LIT(".globalfs/site"), .flags = SITE_RESERVED};
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		cr_assert_eq(site_sync_put(&s, slice_str(keys[i]), "x", 1, "e"), GFS_ERR_KEY_INVALID, "%s", keys[i]);
		cr_assert_eq(s.outcome, SITE_FAILED);
		cr_assert_eq(site_sync_get_all(&s, slice_str(keys[i])), GFS_ERR_KEY_INVALID);
		cr_assert_eq(site_sync_head(&s, slice_str(keys[i])), GFS_ERR_KEY_INVALID);
		cr_assert_eq(site_sync_delete(&s, slice_str(keys[i])), GFS_ERR_KEY_INVALID);
	}
	cr_assert_eq(site_sync_get(&s, &req), GFS_ERR_KEY_INVALID);
}

Test(site_file, an_object_may_also_be_a_directory)
{
	put("a", "object a");
	put("a/b", "object b"); /* a becomes a directory */
	expect("a", "object a");
	expect("a/b", "object b");
	cr_assert(exists("a/.gfs-obj"));
	cr_assert_eq(site_sync_head(&s, SLICE_LIT("a")), 0);
	cr_assert(s.info.gen_tagged);
	put("a", "newer a");
	expect("a", "newer a");
	put("x/y", "y first");
	put("x", "then x");
	expect("x", "then x");
	expect("x/y", "y first");
	put("a/b/c/d", "deep");
	expect("a/b", "object b");
	expect("a/b/c/d", "deep");
	/* The last one below makes it a plain file again. */
	cr_assert_eq(site_sync_delete(&s, SLICE_LIT("x/y")), 0);
	cr_assert_not(exists("x/.gfs-obj"));
	expect("x", "then x");
	cr_assert_eq(site_sync_delete(&s, SLICE_LIT("a")), 0);
	expect_none("a");
	expect("a/b", "object b");
	cr_assert_eq(site_sync_delete(&s, SLICE_LIT("a/b")), 0);
	cr_assert_eq(site_sync_delete(&s, SLICE_LIT("a/b/c/d")), 0);
	cr_assert_not(exists("a"));
	cr_assert_eq(leftovers(), 0);
	cr_assert_eq(sidecars(), 1);
	put("s/", "slash");
	put("s//t", "beyond");
	put("s", "plain");
	expect("s/", "slash");
	expect("s//t", "beyond");
	expect("s", "plain");
}

Test(site_file, overwrites_whole_and_removes_the_old_sidecar)
{
	char key[16];
	int i;

	for (i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "body %d", i);
		put("k", key);
		expect("k", key);
		cr_assert(s.info.gen_tagged);
	}
	cr_assert_eq(sidecars(), 1);
	cr_assert_eq(site_sync_delete(&s, SLICE_LIT("k")), 0);
	cr_assert_eq(sidecars(), 0);
	cr_assert_eq(site_sync_delete(&s, SLICE_LIT("k")), 0);
	cr_assert_eq(site_sync_delete(&s, SLICE_LIT("k/l/m")), 0);
}

Test(site_file, a_put_that_does_not_end_leaves_nothing)
{
	int step;

	put("d/k", "old");
	for (step = 0; step < 4; step++) {
		site_sync_put_begin(&s, SLICE_LIT("d/k"), 6);
		if (step > 0)
			site_sync_put_write(&s, "newest", 6);
		if (step > 1)
			site_sync_put_end(&s);
		cr_assert_not(s.done);
		if (step == 3)
			site_put_complete(s.put, "e", false, 0); /* runs to its end by itself */
		else
			site_put_abort(&s.put);
		if (step == 3)
			site_sync_wait(&s, &s.done);
		expect("d/k", step == 3 ? "newest" : "old");
		cr_assert_eq(leftovers(), 0);
	}
	/* Aborted while a thread writes: the buffer is the caller's again at once. */
	char *big = malloc(1 << 20);

	memset(big, 'b', 1 << 20);
	site_sync_put_begin(&s, SLICE_LIT("d/big"), 1 << 20);
	site_put_write(s.put, big, 1 << 20);
	site_put_abort(&s.put);
	memset(big, 'c', 1 << 20);
	free(big);
	expect_none("d/big");
}

Test(site_file, the_size_must_be_what_was_said)
{
	site_sync_put_begin(&s, SLICE_LIT("k"), 10);
	site_sync_put_write(&s, "12345", 5);
	site_sync_put_end(&s);
	cr_assert(s.done);
	cr_assert_eq(s.err, GFS_ERR_INVALID);
	cr_assert_eq(s.outcome, SITE_FAILED);
	expect_none("k");
	site_sync_put_begin(&s, SLICE_LIT("k"), -1);
	site_sync_put_write(&s, "12345", 5);
	site_sync_put_write(&s, "678", 3);
	site_sync_put_end(&s);
	cr_assert_eq(site_sync_put_complete(&s, "e"), 0);
	expect("k", "12345678");
	cr_assert_eq(site_sync_put(&s, SLICE_LIT("empty"), "", 0, "e"), 0);
	expect("empty", "");
}

static int get_range(enum range_kind kind, uint64_t off, uint64_t len, unsigned flags)
{
	struct site_get_req req = {.key = SLICE_LIT("big"), .range = kind, .off = off, .len = len, .flags = flags};

	return site_sync_get(&s, &req);
}

Test(site_file, gives_ranges)
{
	size_t n = 700000, i;
	char *big = malloc(n);
	unsigned flags;

	for (i = 0; i < n; i++)
		big[i] = (char)(i * 7 + i / 251);
	cr_assert_eq(site_sync_put(&s, SLICE_LIT("big"), big, n, "e"), 0);
	for (flags = 0; flags <= SITE_TAKE_FD; flags += SITE_TAKE_FD) {
		for (s.pause = false;; s.pause = true) {
			cr_assert_eq(get_range(RANGE_ALL, 0, 0, flags), 0);
			cr_assert(s.body_n == n && memcmp(s.body, big, n) == 0);
			cr_assert_eq(s.fd >= 0, flags == SITE_TAKE_FD);
			cr_assert_eq(get_range(RANGE_SPAN, 5, 10, flags), 0);
			cr_assert(s.off == 5 && s.len == 10 && memcmp(s.body, big + 5, 10) == 0);
			cr_assert_eq(get_range(RANGE_SPAN, n - 3, 10, flags), 0);
			cr_assert(s.len == 3 && memcmp(s.body, big + n - 3, 3) == 0);
			cr_assert_eq(get_range(RANGE_FROM, 400000, 0, flags), 0);
			cr_assert(s.len == n - 400000 && memcmp(s.body, big + 400000, n - 400000) == 0);
			cr_assert_eq(get_range(RANGE_SUFFIX, 0, 300001, flags), 0);
			cr_assert(s.len == 300001 && memcmp(s.body, big + n - 300001, 300001) == 0);
			cr_assert_eq(get_range(RANGE_SUFFIX, 0, n * 2, flags), 0);
			cr_assert_eq(s.len, n);
			if (s.pause)
				break;
		}
		s.pause = false;
		cr_assert_eq(get_range(RANGE_FROM, n, 0, flags), GFS_ERR_RANGE);
		cr_assert_eq(s.object_size, n);
		cr_assert_eq(get_range(RANGE_SUFFIX, 0, 0, flags), GFS_ERR_RANGE);
	}
	free(big);
}

Test(site_file, compares_the_etag_asked_for)
{
	struct site_get_req req = {.key = SLICE_LIT("k"), .if_match = "etag-of-body"};

	put("k", "v");
	cr_assert_eq(site_sync_get(&s, &req), 0);
	req.if_match = "another";
	cr_assert_eq(site_sync_get(&s, &req), GFS_ERR_PRECONDITION);
	cr_assert_not(s.have_info);
}

Test(site_file, a_file_put_behind_our_back_is_an_object)
{
	char etag[ETAG_MAX];

	write_file("wild", "born free");
	expect("wild", "born free");
	cr_assert_not(s.info.gen_tagged);
	cr_assert(gen_is_derived(&s.info.gen));
	cr_assert_eq(s.info.part_size, 0);
	cr_assert_eq(strlen(s.info.etag), 34);
	strcpy(etag, s.info.etag);
	expect("wild", "born free");
	cr_assert_str_eq(s.info.etag, etag);
	/* Ours, then changed in place: its sidecar no longer fits. */
	put("tame", "first version");
	write_file("tame", "other version");
	expect("tame", "other version");
	cr_assert_not(s.info.gen_tagged);
	/* Renamed behind our back: the sidecar of one key is none of another. */
	put("one", "1");
	char *from = at("one"), *to = at("two");

	cr_assert_eq(rename(from, to), 0);
	free(from);
	free(to);
	expect("two", "1");
	cr_assert_not(s.info.gen_tagged);
	expect_none("one");
}

Test(site_file, follows_no_links_and_opens_no_devices)
{
	char *link = at("link"), *dirlink = at("dir"), *fifo = at("fifo");

	cr_assert_eq(symlink("/etc/passwd", link), 0);
	cr_assert_eq(symlink("/etc", dirlink), 0);
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	expect_none("link");
	expect_none("dir/passwd");
	expect_none("fifo");
	cr_assert_eq(site_sync_delete(&s, SLICE_LIT("link")), 0);
	cr_assert_eq(site_sync_delete(&s, SLICE_LIT("dir/passwd")), 0);
	cr_assert(exists("link"));
	cr_assert_neq(site_sync_put(&s, SLICE_LIT("dir/new"), "x", 1, "e"), 0);
	cr_assert_eq(s.outcome, SITE_FAILED);
	cr_assert_neq(site_sync_put(&s, SLICE_LIT("link"), "x", 1, "e"), 0);
	cr_assert_eq(site_sync_list(&s, SLICE_LIT(""), SLICE_LIT(""), 10), 0);
	cr_assert_eq(s.n_list, 0);
	cr_assert_eq(sidecars(), 0);
	free(link);
	free(dirlink);
	free(fifo);
}

Test(site_file, an_unmounted_root_is_noticed_and_left_alone)
{
	char *away = xasprintf("%s.away", s.dir), *cmd;

	put("k", "v");
	/* The marker goes between end and complete, as when the filesystem is unmounted. */
	site_sync_put_begin(&s, SLICE_LIT("k"), 1);
	site_sync_put_write(&s, "w", 1);
	site_sync_put_end(&s);
	cr_assert_eq(rename(s.dir, away), 0);
	cr_assert_eq(mkdir(s.dir, 0755), 0);
	cr_assert_eq(site_sync_put_complete(&s, "e"), GFS_ERR_SITE_MARKER);
	cr_assert_eq(s.outcome, SITE_FAILED);
	usleep(150000); /* longer than a read may trust the root it has open */
	event_base_loop(s.base, EVLOOP_NONBLOCK);
	cr_assert_eq(site_sync_get_all(&s, SLICE_LIT("k")), GFS_ERR_SITE_MARKER, "%s", s.reason);
	cr_assert_eq(site_sync_put(&s, SLICE_LIT("k"), "x", 1, "e"), GFS_ERR_SITE_MARKER);
	cr_assert_eq(site_sync_delete(&s, SLICE_LIT("k")), GFS_ERR_SITE_MARKER);
	cr_assert_eq(site_sync_list(&s, SLICE_LIT(""), SLICE_LIT(""), 10), GFS_ERR_SITE_MARKER);
	cr_assert_eq(site_sync_probe(&s), GFS_ERR_SITE_MARKER);
	cr_assert_eq(rmdir(s.dir), 0, "something was written into the empty directory");
	cr_assert_eq(site_sync_probe(&s), GFS_ERR_SITE_DOWN);
	cr_assert_eq(site_sync_claim(&s), GFS_ERR_SITE_DOWN);
	cr_assert(strstr(s.reason, "no such directory"));
	cr_assert_eq(rename(away, s.dir), 0);
	cr_assert_eq(site_sync_probe(&s), 0);
	expect("k", "v");
	cmd = xasprintf("rm -rf %s", away);
	cr_assert_eq(system(cmd), 0);
	free(cmd);
	free(away);
}

Test(site_file, a_foreign_marker_is_refused)
{
	cr_assert_eq(site_sync_probe(&s), 0);
	cr_assert_eq(site_sync_claim(&s), 0);
	put("k", "v");
	s.conf.id = 8;
	site_sync_reopen(&s);
	cr_assert_eq(site_sync_probe(&s), GFS_ERR_SITE_FOREIGN);
	cr_assert_eq(site_sync_claim(&s), GFS_ERR_SITE_FOREIGN);
	cr_assert_eq(site_sync_put(&s, SLICE_LIT("k"), "x", 1, "e"), GFS_ERR_SITE_FOREIGN);
	cr_assert_eq(site_sync_delete(&s, SLICE_LIT("k")), GFS_ERR_SITE_FOREIGN);
	s.conf.id = 7;
	site_sync_reopen(&s);
	expect("k", "v");
}

Test(site_file, removes_what_dead_owners_left)
{
	write_file(".globalfs/tmp/999999.12345.0", "half a file");
	char *dir = at(".globalfs/tmp/999999.12345.1"), *mine;

	cr_assert_eq(mkdir(dir, 0755), 0);
	write_file(".globalfs/tmp/999999.12345.1/.gfs-obj", "second link");
	write_file(".globalfs/tmp/not-ours", "stays");
	site_sync_put_begin(&s, SLICE_LIT("k"), 1);
	mine = xasprintf(".globalfs/tmp/%d.0.0", (int)getpid());
	site_sync_reopen(&s);
	site_sync_probe(&s);
	while (exists(".globalfs/tmp/999999.12345.1"))
		event_base_loop(s.base, EVLOOP_ONCE);
	cr_assert_not(exists(".globalfs/tmp/999999.12345.0"));
	cr_assert(exists(".globalfs/tmp/not-ours"));
	free(dir);
	free(mine);
}

Test(site_file, a_damaged_sidecar_is_ignored)
{
	char *cmd = xasprintf("for f in $(find %s/.globalfs/meta -type f); do sed -i s/etag-of/etag-if/ $f; done", s.dir);

	put("k", "v");
	cr_assert_eq(site_sync_head(&s, SLICE_LIT("k")), 0);
	cr_assert(s.info.gen_tagged);
	cr_assert_eq(system(cmd), 0);
	site_sync_reopen(&s);
	cr_assert_eq(site_sync_head(&s, SLICE_LIT("k")), 0);
	cr_assert_not(s.info.gen_tagged);
	free(cmd);
}

Test(site_file, cancelled_operations_call_nobody)
{
	static const struct site_get_cbs cbs = {0}; /* a call would crash */
	struct site_get_req req = {.key = SLICE_LIT("k")};
	struct site_get *g;
	struct site_op *op;

	put("k", "v");
	site_sync_reopen(&s);
	req.key = SLICE_LIT("absent");
	g = site_get(s.site, &req, &cbs, NULL);
	cr_assert(g);
	site_get_cancel(&g);
	cr_assert_null(g);
	op = site_head(s.site, SLICE_LIT("k"), 0, NULL, NULL);
	site_op_cancel(&op);
	op = site_probe(s.site, NULL, NULL);
	site_op_cancel(&op);
	op = site_list(s.site, &(struct site_list_req){.limit = 10}, NULL, NULL);
	site_op_cancel(&op);
	expect("k", "v");
}
