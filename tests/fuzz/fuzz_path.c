/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the names and sidecars of a file site. First byte 0: the rest is a key, whose path must be made of safe names and lead
 * back to the key. 1: the rest is a path found on the disk; if it stands for a key, that key's path is this one. 2: the rest is
 * the inside of a sidecar with a right sum.
 */
#include "config.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/map.h"
#include "common/site_file.h"
#include "common/strbuf.h"
#include "common/xalloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
uint8_t *fuzz_seed(size_t i, size_t *n_out);

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* The key that a path stands for; false when it stands for none. */
static bool path_decode(struct slice path, struct strbuf *key)
{
	bool in_piece = false, first = true;
	struct slice text;

	for (;;) {
		const char *slash = path.n ? memchr(path.p, '/', path.n) : NULL;
		struct slice name = slice_of(path.p, slash ? (size_t)(slash - path.p) : path.n);
		enum file_text what = name.n <= NAME_MAX ? file_name_decode(name, in_piece, &text) : FILE_TEXT_BAD;

		if (what == FILE_TEXT_BAD || what == FILE_TEXT_OBJ || (what == FILE_TEXT_PIECE && !slash))
			return false;
		if (!first && !in_piece)
			strbuf_addc(key, '/');
		strbuf_add_slice(key, text);
		in_piece = what == FILE_TEXT_PIECE;
		first = false;
		if (!slash)
			return true;
		path = slice_of(slash + 1, path.n - name.n - 1);
	}
}

static void check_names(const char *path)
{
	size_t n;

	for (;; path += n + 1) {
		n = strcspn(path, "/");
		must(n > 0 && n <= NAME_MAX && !(n <= 2 && memcmp(path, "..", n) == 0));
		if (path[n] == '\0')
			return;
	}
}

static void try_key(struct slice key)
{
	static char path[FILE_PATH_MAX];
	struct strbuf back = STRBUF_INIT;
	size_t n;

	if (key.n > FILE_PREFIX_MAX + KEY_MAX || file_path_encode(key, path, sizeof(path), &n)) {
		must(key.n > FILE_PREFIX_MAX + KEY_MAX || key_check(key, NULL) != 0);
		return;
	}
	must(n == strlen(path));
	check_names(path);
	must(path_decode(slice_of(path, n), &back) && slice_eq(strbuf_slice(&back), key));
	strbuf_free(&back);
}

static void try_path(struct slice path)
{
	static char again[FILE_PATH_MAX];
	struct strbuf key = STRBUF_INIT;
	size_t n;

	if (!memchr(path.p, '\0', path.n) && path_decode(path, &key) && key.n > 0 && key.n <= FILE_PREFIX_MAX + KEY_MAX &&
	    file_path_encode(strbuf_slice(&key), again, sizeof(again), &n) == 0)
		must(slice_eq(slice_of(again, n), path));
	strbuf_free(&key);
}

static void try_sidecar(struct slice inside)
{
	struct object_info info = {0};
	struct file_meta m = {SLICE_LIT("k"), SLICE_LIT("k"), 1, 2, 3, &info};
	struct strbuf text = STRBUF_INIT, again = STRBUF_INIT;

	strbuf_adds(&text, "globalfs-meta 1\n");
	strbuf_add_slice(&text, inside);
	strbuf_addf(&text, "sum=%016" PRIx64 "\n", hash64(strbuf_str(&text), text.n));
	if (file_meta_parse(strbuf_slice(&text), &m)) {
		struct object_info second = {0};
		struct file_meta m2 = {SLICE_LIT("k"), SLICE_LIT("k"), 1, 2, 3, &second};

		file_meta_format(&m, &again);
		must(file_meta_parse(strbuf_slice(&again), &m2));
		must(gen_cmp(&info.gen, &second.gen) == 0 && strcmp(info.etag, second.etag) == 0 && info.meta.n == second.meta.n);
		object_info_free(&second);
	}
	object_info_free(&info);
	strbuf_free(&text);
	strbuf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in;

	if (size < 2)
		return 0;
	in = slice_of((const char *)data + 1, size - 1);
	switch (data[0] % 3) {
	case 0:
		try_key(in);
		break;
	case 1:
		try_path(in);
		break;
	default:
		try_sidecar(in);
	}
	return 0;
}

static uint8_t *seed_of(char kind, struct slice text, size_t *n_out)
{
	uint8_t *p = xcalloc(1, text.n + 1);

	p[0] = (uint8_t)kind;
	memcpy(p + 1, text.p, text.n);
	*n_out = text.n + 1;
	return p;
}

uint8_t *fuzz_seed(size_t i, size_t *n_out)
{
	static const char *const keys[] = {"a", "a/b", "a/", "//", "/x//y/", "p%20/\xc3\xa4", ".globalfs/x", "a/.gfs-obj"};
	static const char *const sidecars[] = {
		"key=k\ninode=1\nsize=2\nmtime_ns=3\ngen=0193a5c4e2f00001-n:%s:8388608\netag=x\n",
		"key=k\ninode=1\nsize=2\nmtime_ns=3\ngen=0193a5c4e2f00001-n:%s:8388608\netag=x\ncrc64=00\ntype=a%%20b\nmeta.c=%%25d\n",
	};
	const size_t n_keys = sizeof(keys) / sizeof(keys[0]);
	char text[1024], path[FILE_PATH_MAX], hash[20];
	size_t n;

	if (i < n_keys)
		return seed_of(0, slice_str(keys[i]), n_out);
	i -= n_keys;
	if (i < 2 * 8) {
		/* Segments around the limit of a name, as keys and as their paths. */
		static const size_t len[] = {245, 246, 254, 255, 256, 300, 500, 1000};

		memset(text, 'x', sizeof(text));
		memcpy(text + len[i / 2] - 9, ".gfs-cont", 9);
		if (i % 2 == 0)
			return seed_of(0, slice_of(text, len[i / 2]), n_out);
		must(file_path_encode(slice_of(text, len[i / 2]), path, sizeof(path), &n) == 0);
		return seed_of(1, slice_of(path, n), n_out);
	}
	i -= 2 * 8;
	if (i >= sizeof(sidecars) / sizeof(sidecars[0]))
		return NULL;
	snprintf(hash, sizeof(hash), "%016" PRIx64, hash64("k", 1));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), sidecars[i], hash);
#pragma GCC diagnostic pop
	return seed_of(2, slice_str(text), n_out);
}
