/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LIST of a file site, in byte order of keys, which is not the order of a walk: "a" may be a file's or a directory's name,
 * keys below "a/" come after "a.txt" ('.' sorts before '/'), and the pieces of a long segment lie among names that share its
 * beginning. So this is a merge: a heap of cursors, each a place in a sorted directory or a directory not opened yet, ordered
 * by the smallest key it can still give. What cannot hold a wanted key is never opened. One job on the pool per page.
 */
#include "config.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "site_file_dir.h"
#include "strbuf.h"
#include "xalloc.h"

struct cursor {
	char *path;           /* of the directory; "" is ROOT */
	char *under;          /* what every key below begins with */
	size_t under_n;
	bool in_piece;
	struct file_dir *dir; /* NULL: not opened yet */
	size_t i;
	struct strbuf bound;  /* the smallest key it can still give */
};

struct lister {
	struct file_op op;
	site_list_cb *cb;
	void *arg;
	struct strbuf prefix, after; /* full keys */
	struct strbuf delimiter, group; /* group: the one that has been told, full; after is behind it */
	size_t strip;                /* bytes of the site's prefix */
	unsigned limit;
	bool continuing;
	int root, meta;              /* meta: directory of the sidecars, -1: none */
	int dir;                     /* descriptor of dir_of's directory, -1: none */
	const struct cursor *dir_of;
	struct cursor **heap;
	size_t n_heap, cap_heap;
	struct site_list_entry *out; /* limit + 1 */
	size_t n_out;
	struct strbuf keys;          /* of out, one after the other */
	bool more;
	struct file_err err;
};

/* ---- the heap ---- */

static bool before(const struct cursor *a, const struct cursor *b)
{
	return slice_cmp(strbuf_slice(&a->bound), strbuf_slice(&b->bound)) < 0;
}

static void heap_swap(struct lister *l, size_t i, size_t k)
{
	struct cursor *c = l->heap[i];

	l->heap[i] = l->heap[k];
	l->heap[k] = c;
}

static void heap_push(struct lister *l, struct cursor *c)
{
	size_t i;

	if (l->n_heap == l->cap_heap) {
		l->cap_heap = l->cap_heap ? l->cap_heap * 2 : 16;
		l->heap = xreallocarray(l->heap, l->cap_heap, sizeof(*l->heap));
	}
	l->heap[l->n_heap] = c;
	for (i = l->n_heap++; i > 0 && before(l->heap[i], l->heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap_swap(l, i, (i - 1) / 2);
}

static struct cursor *heap_pop(struct lister *l)
{
	struct cursor *c = l->heap[0];
	size_t i, k;

	l->heap[0] = l->heap[--l->n_heap];
	for (i = 0; (k = 2 * i + 1) < l->n_heap; i = k) {
		if (k + 1 < l->n_heap && before(l->heap[k + 1], l->heap[k]))
			k++;
		if (!before(l->heap[k], l->heap[i]))
			break;
		heap_swap(l, i, k);
	}
	return c;
}

static void dir_forget(struct lister *l)
{
	if (l->dir >= 0)
		close(l->dir);
	l->dir = -1;
	l->dir_of = NULL;
}

static void cursor_free(struct lister *l, struct cursor *c)
{
	if (l->dir_of == c)
		dir_forget(l);
	file_dir_release(site_file_of(l->op.base.site), &c->dir);
	strbuf_free(&c->bound);
	free(c->path);
	free(c->under);
	free(c);
}

/* ---- what is wanted ---- */

/* Whether s, and all that begins with it, lies in the group that has been told. */
static bool told(const struct lister *l, struct slice s)
{
	return l->group.n > 0 && slice_starts_with(s, strbuf_slice(&l->group));
}

/* key has been told: when it is in a group, so has the group. */
static void tell_group(struct lister *l, struct slice key)
{
	struct slice group = site_list_group(key, strbuf_slice(&l->prefix), strbuf_slice(&l->delimiter));

	if (!group.p)
		return;
	strbuf_reset(&l->group);
	strbuf_add_slice(&l->group, group);
	strbuf_reset(&l->after);
	strbuf_add_slice(&l->after, strbuf_slice(&l->group));
	strbuf_adds(&l->after, SITE_LIST_BEHIND);
}

/* Whether a key that begins with all of s can be wanted. */
static bool overlaps(const struct lister *l, struct slice s)
{
	struct slice prefix = strbuf_slice(&l->prefix), after = strbuf_slice(&l->after);

	if (told(l, s))
		return false;
	if (!slice_starts_with(s, prefix) && !slice_starts_with(prefix, s))
		return false;
	if (slice_cmp(s, after) < 0 && !slice_starts_with(after, s))
		return false;
	return !(s.n > l->strip && slice_eq_str(slice_of(s.p + l->strip, s.n - l->strip), KEY_RESERVED_DIR "/"));
}

static bool wanted(const struct lister *l, struct slice key)
{
	return key.n > l->strip && slice_starts_with(key, strbuf_slice(&l->prefix)) && slice_cmp(key, strbuf_slice(&l->after)) > 0 &&
	       !told(l, key) && key_check(slice_of(key.p + l->strip, key.n - l->strip), NULL) == 0;
}

/* Whether no key from bound on can be wanted. */
static bool beyond(const struct lister *l, struct slice bound)
{
	struct slice prefix = strbuf_slice(&l->prefix);

	return slice_cmp(bound, prefix) > 0 && !slice_starts_with(bound, prefix);
}

/* ---- cursors ---- */

static char *path_join(const char *dir, const char *name)
{
	return dir[0] ? xasprintf("%s/%s", dir, name) : xstrdup(name);
}

/* A directory whose keys all begin with under and more. */
static void push_dir(struct lister *l, const char *parent, const char *name, struct slice under, bool in_piece)
{
	struct cursor *c;

	if (!overlaps(l, under))
		return;
	c = xcalloc(1, sizeof(*c));
	c->path = path_join(parent, name);
	c->under = xstrndup(under.p, under.n);
	c->under_n = under.n;
	c->in_piece = in_piece;
	strbuf_add_slice(&c->bound, under);
	heap_push(l, c);
}

/* The name of the entry the cursor stands at; buf holds NAME_MAX + 1. */
static const char *entry_name(const struct cursor *c, char *buf)
{
	struct slice text = file_dir_text(c->dir, c->i);

	if (c->dir->v[c->i].kind == FILE_ENT_PIECE)
		return file_piece_encode(text, c->in_piece, buf);
	return file_name_encode(text, c->in_piece, buf);
}

/* Sets the bound to the next entry and puts the cursor back, or frees it at its end. */
static void cursor_settle(struct lister *l, struct cursor *c)
{
	struct slice text;

	if (c->i < c->dir->n) {
		text = file_dir_text(c->dir, c->i);
		strbuf_truncate(&c->bound, 0);
		strbuf_add(&c->bound, c->under, c->under_n);
		strbuf_add_slice(&c->bound, text);
	}
	if (c->i >= c->dir->n || beyond(l, strbuf_slice(&c->bound)))
		cursor_free(l, c);
	else
		heap_push(l, c);
}

/* (Re)reads the directory from a text on: the window that holds it, or the next one when that has no such names. */
static int cursor_load(struct lister *l, struct cursor *c, int fd, struct slice from)
{
	struct site_file *sf = site_file_of(l->op.base.site);
	struct file_dir *next = NULL;
	struct file_dir_want want = {c->in_piece, l->continuing, from};
	char cut[NAME_MAX + 1];
	int e;

	for (;;) {
		e = file_dir_get(sf, fd, &want, &next);
		if (e)
			return e;
		c->i = file_dir_seek(next, from);
		file_dir_release(sf, &c->dir);
		c->dir = next;
		if (c->i < next->n || !next->cut)
			return 0;
		gfs_assert(next->cut_n <= NAME_MAX);
		memcpy(cut, next->cut, next->cut_n);
		from = want.from = slice_of(cut, next->cut_n);
	}
}

/* under ends with the beginning of a segment (and a slash, unless a piece): pushes that directory if it is there. */
static void push_beginning(struct lister *l, const struct cursor *c, int fd, struct slice under, bool piece)
{
	struct slice text = slice_of(under.p + c->under_n, under.n - c->under_n - (piece ? 0 : 1));
	char buf[NAME_MAX + 1];
	const char *name;
	struct stat st;

	name = piece ? file_piece_encode(text, c->in_piece, buf) : file_name_encode(text, c->in_piece, buf);
	if (name && overlaps(l, under) && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		push_dir(l, c->path, name, under, piece);
}

/* The start lies in the middle of this directory: the keys under a directory whose name is the beginning of that segment may
 * still come after it ("a/x" after "a.txt"), and the rest of a long segment lies in its first piece. */
static void push_beginnings(struct lister *l, const struct cursor *c, int fd, struct slice segment)
{
	struct strbuf under = STRBUF_INIT;
	size_t n;

	for (n = c->in_piece ? 1 : 0; n < segment.n && n <= NAME_MAX; n++) {
		struct slice text = slice_of(segment.p, n);

		strbuf_reset(&under);
		strbuf_add(&under, c->under, c->under_n);
		strbuf_add_slice(&under, text);
		if (n == file_piece_size(c->in_piece))
			push_beginning(l, c, fd, strbuf_slice(&under), true);
		strbuf_addc(&under, '/');
		if ((unsigned char)segment.p[n] < '/')
			push_beginning(l, c, fd, strbuf_slice(&under), false);
	}
	strbuf_free(&under);
}

/* Opens a directory at the first name that matters and puts the cursor back. */
static int cursor_open(struct lister *l, struct cursor *c)
{
	struct slice prefix = strbuf_slice(&l->prefix), after = strbuf_slice(&l->after), from = {"", 0}, start;
	const char *slash;
	int fd, e;

	if (!overlaps(l, slice_of(c->under, c->under_n))) { /* it was when it was put on the heap */
		cursor_free(l, c);
		return 0;
	}
	fd = file_openat(l->root, c->path[0] ? c->path : ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) {
		/* Gone, or a file again: what it was as an object has been listed. */
		e = errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV ? 0 : errno;
		cursor_free(l, c);
		return e;
	}
	start = slice_cmp(after, prefix) > 0 ? after : prefix;
	if (slice_starts_with(start, slice_of(c->under, c->under_n))) {
		from = slice_of(start.p + c->under_n, start.n - c->under_n);
		slash = from.n ? memchr(from.p, '/', from.n) : NULL;
		from.n = slash ? (size_t)(slash - from.p) : from.n;
		push_beginnings(l, c, fd, from);
	}
	e = cursor_load(l, c, fd, from);
	close(fd);
	if (e)
		cursor_free(l, c);
	else
		cursor_settle(l, c);
	return e;
}

/* Onwards to the first entry from the text from on, which is in this window or the next. */
static int cursor_reload(struct lister *l, struct cursor *c, struct slice from)
{
	int fd = file_openat(l->root, c->path[0] ? c->path : ".", O_RDONLY | O_DIRECTORY, 0);
	int e = fd < 0 ? errno : cursor_load(l, c, fd, from);

	if (fd >= 0)
		close(fd);
	return e;
}

/* To the next entry; at the end of a window, to the next window. */
static int cursor_next(struct lister *l, struct cursor *c)
{
	int e = 0;
	char *cut;

	if (++c->i == c->dir->n && c->dir->cut) {
		cut = xmemdup(c->dir->cut, c->dir->cut_n + 1);
		e = cursor_reload(l, c, slice_of(cut, c->dir->cut_n));
		free(cut);
	}
	if (e)
		cursor_free(l, c);
	else
		cursor_settle(l, c);
	return e == ENOENT || e == ENOTDIR ? 0 : e;
}

/* The cursor stands in a group that has been told: goes behind it without looking at what is between. */
static int cursor_skip(struct lister *l, struct cursor *c)
{
	struct slice after = strbuf_slice(&l->after), from;
	int e = 0;

	if (told(l, slice_of(c->under, c->under_n))) {
		cursor_free(l, c);
		return 0;
	}
	/* The entry is under and a name, and begins with the group: so the rest of that is part of a name. */
	from = slice_of(after.p + c->under_n, after.n - c->under_n);
	if (c->dir->cut && slice_cmp(from, slice_of(c->dir->cut, c->dir->cut_n)) >= 0)
		e = cursor_reload(l, c, from);
	else
		c->i = file_dir_seek(c->dir, from);
	if (e == 0 && c->i == c->dir->n && c->dir->cut) {
		c->i--;
		return cursor_next(l, c); /* to the next window */
	}
	if (e)
		cursor_free(l, c);
	else
		cursor_settle(l, c);
	return e == ENOENT || e == ENOTDIR ? 0 : e;
}

/* ---- entries ---- */

static struct site_list_entry *add_entry(struct lister *l, struct slice full_key, const struct object_info *info, uint64_t size,
                                         int64_t mtime_ms)
{
	struct site_list_entry *entry = &l->out[l->n_out++];

	entry->key = slice_of(NULL, full_key.n - l->strip); /* where it lies is known when no more come */
	strbuf_add(&l->keys, full_key.p + l->strip, full_key.n - l->strip);
	entry->size = size;
	entry->mtime_ms = mtime_ms;
	entry->tag = info ? SITE_LIST_TAGGED : SITE_LIST_UNTAGGED;
	if (info) {
		memcpy(entry->etag, info->etag, sizeof(entry->etag));
		entry->gen = info->gen;
	}
	tell_group(l, full_key);
	return entry;
}

/* Lists the object at path if it is there. */
static int emit(struct lister *l, struct slice full_key, const char *path)
{
	struct site_file *sf = site_file_of(l->op.base.site);
	struct file_name name = {.full = xstrndup(full_key.p, full_key.n), .full_n = full_key.n, .prefix_n = l->strip};
	struct site_list_entry *entry;
	struct file_found found;
	int e;

	name.path = xstrdup(path);
	name.path_n = strlen(path);
	e = file_look(sf, l->root, &name, &found, &l->err);
	if (e == GFS_ERR_NO_SUCH_KEY) {
		l->err = (struct file_err){0};
		e = 0;
	} else if (e == 0) {
		entry = add_entry(l, file_name_full(&name), found.info.gen_tagged ? &found.info : NULL, found.info.size,
		                  found.info.mtime_ms);
		memcpy(entry->etag, found.info.etag, sizeof(entry->etag));
		file_found_free(&found);
	}
	file_name_free(&name);
	return e;
}

/* The descriptor of the cursor's directory, kept for the next entry; -1: none. */
static int dir_fd(struct lister *l, const struct cursor *c)
{
	if (l->dir_of == c)
		return l->dir;
	dir_forget(l);
	l->dir = file_openat(l->root, c->path[0] ? c->path : ".", O_PATH | O_DIRECTORY, 0);
	l->dir_of = l->dir >= 0 ? c : NULL;
	return l->dir;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && file_mtime_ns(a) == file_mtime_ns(b);
}

/* Lists a name that was that of a file: two or three system calls. False: it is not a plain file, or has just been replaced, and
 * emit() must look. */
static bool emit_file(struct lister *l, const struct cursor *c, const char *name)
{
	struct slice full_key = strbuf_slice(&c->bound);
	struct object_info info = {0};
	struct stat st, again;
	int dir = dir_fd(l, c);

	if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	if (l->meta >= 0 && file_meta_read_row(l->meta, full_key, l->strip, &st, &info)) {
		add_entry(l, full_key, &info, info.size, info.mtime_ms);
		object_info_free(&info);
		return true;
	}
	/* The sidecar goes away after its file was replaced: see file_look(). */
	if (l->meta >= 0 && (fstatat(dir, name, &again, AT_SYMLINK_NOFOLLOW) < 0 || !same_file(&st, &again)))
		return false;
	file_plain_etag(&st, add_entry(l, full_key, NULL, (uint64_t)st.st_size, file_mtime_ns(&st) / 1000000)->etag);
	return true;
}

/* Most directories are not objects: ask before looking. */
static bool dir_may_be_object(const struct lister *l, const char *path)
{
	char *inner = path_join(path, FILE_OBJ);
	struct stat st;
	bool may;
	int fd;

	fd = file_openat(l->root, inner, O_PATH, 0);
	free(inner);
	if (fd >= 0) {
		close(fd);
		return true;
	}
	/* It may just have become a file again. */
	fd = file_openat(l->root, path, O_PATH, 0);
	may = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	if (fd >= 0)
		close(fd);
	return may;
}

/* Handles the entry the cursor, taken off the heap, stands at. */
static int entry_step(struct lister *l, struct cursor *c)
{
	struct slice bound = strbuf_slice(&c->bound);
	enum file_dirent_kind kind = c->dir->v[c->i].kind;
	char name[NAME_MAX + 1];
	struct strbuf under = STRBUF_INIT;
	char *path;
	int e = 0;

	if (!entry_name(c, name))
		return 0;
	if (kind == FILE_ENT_OBJECT && (!wanted(l, bound) || emit_file(l, c, name)))
		return 0;
	path = path_join(c->path, name);
	if (kind != FILE_ENT_PIECE && wanted(l, bound) && (kind == FILE_ENT_OBJECT || dir_may_be_object(l, path)))
		e = emit(l, bound, path);
	if (kind == FILE_ENT_DIR && strcmp(path, KEY_RESERVED_DIR) != 0) {
		strbuf_add_slice(&under, bound);
		strbuf_addc(&under, '/');
		push_dir(l, c->path, name, strbuf_slice(&under), false);
		strbuf_free(&under);
	} else if (kind == FILE_ENT_PIECE) {
		push_dir(l, c->path, name, bound, true);
	}
	free(path);
	return e;
}

static void list_walk(struct lister *l)
{
	struct cursor *c;
	int e = 0;

	while (l->n_heap > 0 && l->n_out <= l->limit && e == 0 && !l->err.err && !l->op.cancelled) {
		c = heap_pop(l);
		if (!c->dir) {
			e = cursor_open(l, c);
			continue;
		}
		if (told(l, strbuf_slice(&c->bound))) {
			e = cursor_skip(l, c);
			continue;
		}
		(void)entry_step(l, c);
		e = cursor_next(l, c);
	}
	if (e)
		file_fail_errno(&l->err, e, "list");
}

/* ---- the operation ---- */

static void list_work(void *arg)
{
	struct lister *l = arg;
	struct site_file *sf = site_file_of(l->op.base.site);

	if (l->err.err || file_root_open_checked(sf, &l->root, &l->err))
		return;
	l->meta = file_openat(l->root, FILE_META_DIR, O_PATH | O_DIRECTORY, 0);
	l->continuing = file_dirs_page_goes_on(sf, strbuf_slice(&l->after));
	push_dir(l, "", "", slice_of("", 0), false);
	list_walk(l);
	while (l->n_heap > 0)
		cursor_free(l, heap_pop(l));
	l->more = l->n_out > l->limit;
	dir_forget(l);
	if (l->meta >= 0)
		close(l->meta);
	close(l->root);
}

static void list_free(struct lister *l)
{
	struct site *site = l->op.base.site;

	free(l->out);
	free(l->heap);
	strbuf_free(&l->keys);
	strbuf_free(&l->prefix);
	strbuf_free(&l->after);
	strbuf_free(&l->delimiter);
	strbuf_free(&l->group);
	free(l);
	site_op_ended(site);
}

/* Of a group in which the start lies nothing is told. */
static void start_behind_group(struct lister *l)
{
	char *start = xmemdup(strbuf_str(&l->after), l->after.n + 1);
	size_t n = l->after.n;

	if (slice_starts_with(slice_of(start, n), strbuf_slice(&l->prefix)))
		tell_group(l, slice_of(start, n));
	free(start);
}

static void place_keys(struct lister *l)
{
	const char *p = strbuf_str(&l->keys);

	for (size_t i = 0; i < l->n_out; p += l->out[i++].key.n)
		l->out[i].key.p = p;
	if (strbuf_failed(&l->keys) && !l->err.err)
		file_fail(&l->err, GFS_ERR_NOMEM, "out of memory for a list");
}

static void list_done(void *arg)
{
	static const struct timeval forget = {10, 0};
	struct lister *l = arg;
	struct site_file *sf = site_file_of(l->op.base.site);
	size_t n = l->more ? l->limit : l->n_out;
	struct site_result r;
	struct slice last;

	place_keys(l);
	r = file_result(&l->err, SITE_FAILED);
	last = n > 0 ? l->out[n - 1].key : slice_of("", 0);
	if (l->more) {
		strbuf_reset(&l->after);
		strbuf_adds(&l->after, sf->base.conf.prefix ? sf->base.conf.prefix : "");
		strbuf_add_slice(&l->after, last);
		start_behind_group(l);
		file_dirs_page_ended(sf, strbuf_slice(&l->after));
	}
	event_add(sf->drop_dirs, &forget);
	if (!l->op.cancelled && l->err.err)
		l->cb(l->arg, &r, NULL, 0, false, slice_of("", 0));
	else if (!l->op.cancelled)
		l->cb(l->arg, &r, l->out, n, l->more, last);
	list_free(l);
}

struct site_op *site_file_list(struct site *site, const struct site_list_req *req, site_list_cb *cb, void *arg)
{
	struct lister *l = xcalloc(1, sizeof(*l));
	const char *prefix = site->conf.prefix ? site->conf.prefix : "";

	site_op_began(site);
	l->op.base.site = site;
	l->cb = cb;
	l->arg = arg;
	l->limit = req->limit < 1 ? 1 : req->limit > 1000 ? 1000 : req->limit;
	l->strip = strlen(prefix);
	l->dir = l->meta = -1;
	l->out = xcalloc(l->limit + 1, sizeof(*l->out));
	/* A longer prefix than any key has nothing below it; a later start than any key is one too. */
	if (req->prefix.n > KEY_MAX || req->start_after.n > 2 * KEY_MAX)
		file_fail(&l->err, GFS_ERR_INVALID, "prefix or start is longer than a key can be");
	else
		strbuf_add_slice(&l->delimiter, req->delimiter);
	strbuf_adds(&l->prefix, prefix);
	strbuf_adds(&l->after, prefix);
	if (!l->err.err) {
		strbuf_add_slice(&l->prefix, req->prefix);
		strbuf_add_slice(&l->after, req->start_after);
		start_behind_group(l);
	}
	file_submit(site_file_of(site), list_work, list_done, l);
	return &l->op.base;
}
