/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a key becomes a path and a name becomes part of a key again. Pure; fuzzed by tests/fuzz/fuzz_path.c.
 *
 * A segment of the key is a name of its own, but for these:
 *  - the empty segment is ".gfs-empty" ("a//b" is a/.gfs-empty/b, "a/" is a/.gfs-empty);
 *  - a segment over 255 bytes is cut into pieces. Each piece but the last is a directory whose name is exactly 255 bytes and
 *    ends with ".gfs-cont"; each piece but the first begins with "+", so that no rest can be "..", ".gfs-obj" or the like. A
 *    segment of 255 bytes that itself ends with ".gfs-cont" is cut too, so the marker never has two meanings.
 * Keys never hold segments that begin with ".gfs-" (key.h), so every other name of ours is out of their reach.
 */
#include "config.h"

#include <limits.h>
#include <stdlib.h>

#include "site_file.h"
#include "xalloc.h"

#define EMPTY_NAME ".gfs-empty"
#define CONT_MARK  ".gfs-cont"
#define CONT_N     (sizeof(CONT_MARK) - 1)
#define CHUNK      (NAME_MAX - CONT_N) /* bytes of a name before the mark */
#define LEAD       '+'

static bool is_cont_name(struct slice name)
{
	return name.n == NAME_MAX && memcmp(name.p + CHUNK, CONT_MARK, CONT_N) == 0;
}

const char *file_name_encode(struct slice text, bool in_piece, char *buf)
{
	size_t lead = in_piece ? 1 : 0;

	if (!in_piece && text.n == 0) {
		memcpy(buf, EMPTY_NAME, sizeof(EMPTY_NAME));
		return buf;
	}
	if (lead + text.n > NAME_MAX)
		return NULL;
	if (in_piece)
		buf[0] = LEAD;
	memcpy(buf + lead, text.p, text.n);
	buf[lead + text.n] = '\0';
	return is_cont_name(slice_of(buf, lead + text.n)) ? NULL : buf;
}

size_t file_piece_size(bool in_piece)
{
	return in_piece ? CHUNK - 1 : CHUNK;
}

const char *file_piece_encode(struct slice text, bool in_piece, char *buf)
{
	size_t lead = in_piece ? 1 : 0;

	if (text.n != file_piece_size(in_piece))
		return NULL;
	buf[0] = LEAD;
	memcpy(buf + lead, text.p, text.n);
	memcpy(buf + CHUNK, CONT_MARK, CONT_N + 1);
	return buf;
}

struct path_out {
	char *buf;
	size_t n, cap;
};

static bool path_add(struct path_out *o, const void *p, size_t n)
{
	if (n > o->cap - o->n)
		return false;
	memcpy(o->buf + o->n, p, n);
	o->n += n;
	return true;
}

static bool path_add_segment(struct path_out *o, struct slice text)
{
	char name[NAME_MAX + 1];
	bool in_piece = false;
	const char *whole;
	size_t n;

	while (!(whole = file_name_encode(text, in_piece, name))) {
		n = file_piece_size(in_piece);
		file_piece_encode(slice_of(text.p, n), in_piece, name);
		if (!path_add(o, name, NAME_MAX) || !path_add(o, "/", 1))
			return false;
		text = slice_of(text.p + n, text.n - n);
		in_piece = true;
	}
	return path_add(o, whole, strlen(whole));
}

static bool segment_allowed(struct slice seg)
{
	return !slice_eq_str(seg, ".") && !slice_eq_str(seg, "..") && !slice_starts_with(seg, SLICE_LIT(".gfs-"));
}

int file_path_encode(struct slice full_key, char *buf, size_t cap, size_t *n_out)
{
	struct path_out o = {buf, 0, cap - 1};
	struct slice seg, rest = full_key;
	const char *slash;

	if (full_key.n == 0 || memchr(full_key.p, '\0', full_key.n))
		return GFS_ERR_KEY_INVALID;
	for (;;) {
		slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
		seg = slice_of(rest.p, slash ? (size_t)(slash - rest.p) : rest.n);
		if (!segment_allowed(seg) || !path_add_segment(&o, seg))
			return GFS_ERR_KEY_INVALID;
		if (!slash)
			break;
		if (!path_add(&o, "/", 1))
			return GFS_ERR_KEY_INVALID;
		rest = slice_of(slash + 1, rest.n - seg.n - 1);
	}
	o.buf[o.n] = '\0';
	*n_out = o.n;
	return 0;
}

enum file_text file_name_decode(struct slice name, bool in_piece, struct slice *text_out)
{
	*text_out = slice_of("", 0);
	if (in_piece) {
		if (name.n < 2 || name.p[0] != LEAD)
			return FILE_TEXT_BAD;
		if (is_cont_name(name)) {
			*text_out = slice_of(name.p + 1, CHUNK - 1);
			return FILE_TEXT_PIECE;
		}
		*text_out = slice_of(name.p + 1, name.n - 1);
		/* A rest that would have fitted beside what precedes it was not made by us. */
		return text_out->n > CONT_N || slice_eq_str(*text_out, CONT_MARK) ? FILE_TEXT_WHOLE : FILE_TEXT_BAD;
	}
	if (slice_eq_str(name, EMPTY_NAME))
		return FILE_TEXT_WHOLE;
	if (slice_eq_str(name, FILE_OBJ))
		return FILE_TEXT_OBJ;
	if (name.n == 0 || !segment_allowed(name))
		return FILE_TEXT_BAD;
	*text_out = is_cont_name(name) ? slice_of(name.p, CHUNK) : name;
	return is_cont_name(name) ? FILE_TEXT_PIECE : FILE_TEXT_WHOLE;
}

/* ".globalfs/x" only for those who ask for it, and never what the site itself keeps there. */
static int check_key(const struct site_file *sf, struct slice key, unsigned flags, struct file_err *err)
{
	static const char *const own[] = {"site", "tmp", "meta"};
	const char *why = "";
	struct slice rest, seg;
	const char *slash;
	size_t i;

	if (!(flags & SITE_RESERVED) || !slice_starts_with(key, SLICE_LIT(KEY_RESERVED_DIR "/")))
		return key_check(key, &why) ? file_fail(err, GFS_ERR_KEY_INVALID, "%s", why) : 0;
	rest = slice_of(key.p + strlen(KEY_RESERVED_DIR "/"), key.n - strlen(KEY_RESERVED_DIR "/"));
	if (key_check(rest, &why))
		return file_fail(err, GFS_ERR_KEY_INVALID, "%s", why);
	slash = memchr(rest.p, '/', rest.n);
	seg = slice_of(rest.p, slash ? (size_t)(slash - rest.p) : rest.n);
	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (slice_eq_str(seg, own[i]))
			return file_fail(err, GFS_ERR_KEY_INVALID, "%s: the site keeps its own files there", sf->base.conf.name);
	return 0;
}

int file_name_path(const struct site_file *sf, struct slice key, unsigned flags, struct file_name *name, struct file_err *err)
{
	const char *prefix = sf->base.conf.prefix ? sf->base.conf.prefix : "";

	if (check_key(sf, key, flags, err))
		return err->err;
	name->prefix_n = strlen(prefix);
	name->full_n = name->prefix_n + key.n;
	memcpy(name->full, prefix, name->prefix_n);
	memcpy(name->full + name->prefix_n, key.p, key.n);
	name->full[name->full_n] = '\0';
	if (file_path_encode(file_name_full(name), name->path, FILE_PATH_MAX, &name->path_n))
		return file_fail(err, GFS_ERR_KEY_INVALID, "key has no place in a directory");
	return 0;
}

int file_name_make(const struct site_file *sf, struct slice key, unsigned flags, struct file_name *out, struct file_err *err)
{
	char full[FILE_PREFIX_MAX + KEY_MAX + sizeof(KEY_RESERVED_DIR) + 2], path[FILE_PATH_MAX];
	struct file_name n = {.full = full, .path = path};

	*out = (struct file_name){0};
	if (file_name_path(sf, key, flags, &n, err))
		return err->err;
	n.full = xmemdup(full, n.full_n + 1);
	n.path = xmemdup(path, n.path_n + 1);
	*out = n;
	return 0;
}

void file_name_free(struct file_name *name)
{
	free(name->full);
	free(name->path);
	*name = (struct file_name){0};
}
