/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorted snapshots of directories, for site_file_list.c. Directories tell their names in no order, so a page of a list must
 * read all of one; what it has sorted is kept for the next page. Memory is bounded: of a very large directory a snapshot
 * is only a window, the smallest names from some name on, and the cache of snapshots has a budget and empties itself when
 * lists end.
 *
 * A kept snapshot is used again when the directory has not changed since (by its times, once they are old enough to be
 * trusted), or by the next page of the same list for a short while, so that a list gets on in a directory that keeps changing.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "map.h"
#include "site_file_dir.h"
#include "xalloc.h"

#define WINDOW_BYTES  (3u << 20) /* of one snapshot */
#define CACHE_BYTES   (8u << 20) /* of those kept */
#define CACHE_SLOTS   8
#define KEEP_MIN      256        /* entries: a smaller directory is read again as fast */
#define SETTLE_MS     100        /* a directory changed so shortly before it was read may change again with the same time */
#define CONTINUE_MS   3000       /* for the next page of a list */
#define PAGES         16

struct file_dirs {
	struct file_dir *slot[CACHE_SLOTS];
	size_t bytes;
	struct {
		uint64_t hash;
		int64_t at_ms;
	} page[PAGES]; /* ends of the pages told last */
	unsigned next_page;
};

struct file_dirs *file_dirs_create(void)
{
	return xcalloc(1, sizeof(struct file_dirs));
}

static void dir_free(struct file_dir *d)
{
	free(d->from);
	free(d->cut);
	free(d->v);
	free(d->names);
	free(d);
}

/* Under the lock. */
static void dir_unref(struct file_dir *d)
{
	if (--d->refs == 0)
		dir_free(d);
}

static void slot_drop(struct file_dirs *dirs, size_t i)
{
	struct file_dir *d = dirs->slot[i];

	if (!d)
		return;
	dirs->slot[i] = NULL;
	dirs->bytes -= d->bytes;
	dir_unref(d);
}

void file_dirs_clear(struct site_file *sf)
{
	size_t i;

	pthread_mutex_lock(&sf->lock);
	for (i = 0; i < CACHE_SLOTS; i++)
		slot_drop(sf->dirs, i);
	pthread_mutex_unlock(&sf->lock);
}

void file_dirs_destroy(struct file_dirs **dirs_io)
{
	struct file_dirs *dirs = *dirs_io;
	size_t i;

	*dirs_io = NULL;
	if (!dirs)
		return;
	for (i = 0; i < CACHE_SLOTS; i++)
		slot_drop(dirs, i);
	free(dirs);
}

/* ---- reading ---- */

static int name_cmp(const void *a, const void *b, void *names)
{
	const struct file_dirent *x = a, *y = b;
	int c = memcmp((char *)names + x->off, (char *)names + y->off, x->len < y->len ? x->len : y->len);

	return c ? c : (x->len > y->len) - (x->len < y->len);
}

static void dir_sort(struct file_dir *d)
{
	if (d->n > 1)
		qsort_r(d->v, d->n, sizeof(*d->v), name_cmp, d->names);
}

/* Keeps the smaller half, and notes where it ends. */
static int dir_halve(struct file_dir *d)
{
	size_t keep = d->n / 2, i, used = 0;
	struct slice first;
	char *names, *cut;

	dir_sort(d);
	while (keep > 1 && slice_eq(file_dir_text(d, keep - 1), file_dir_text(d, keep)))
		keep--;
	first = file_dir_text(d, keep);
	names = malloc(d->names_cap);
	cut = names ? malloc(first.n + 1) : NULL;
	if (!cut) {
		free(names);
		return ENOMEM;
	}
	memcpy(cut, first.p, first.n);
	for (i = 0; i < keep; i++) {
		memcpy(names + used, d->names + d->v[i].off, d->v[i].len);
		d->v[i].off = (uint32_t)used;
		used += d->v[i].len;
	}
	free(d->cut);
	free(d->names);
	d->cut = cut;
	d->cut_n = first.n;
	d->names = names;
	d->names_n = used;
	d->n = keep;
	return 0;
}

static int dir_grow(struct file_dir *d, size_t len)
{
	void *p;

	if (d->n == d->cap) {
		p = reallocarray(d->v, d->cap ? d->cap * 2 : 64, sizeof(*d->v));
		if (!p)
			return ENOMEM;
		d->v = p;
		d->cap = d->cap ? d->cap * 2 : 64;
	}
	if (!d->names || d->names_cap - d->names_n < len) {
		p = realloc(d->names, d->names_cap * 2 + len + 1024);
		if (!p)
			return ENOMEM;
		d->names = p;
		d->names_cap = d->names_cap * 2 + len + 1024;
	}
	return 0;
}

static int dir_add(struct file_dir *d, struct slice text, enum file_dirent_kind kind)
{
	int e;

	if (slice_cmp(text, slice_of(d->from, d->from_n)) < 0 || (d->cut && slice_cmp(text, slice_of(d->cut, d->cut_n)) >= 0))
		return 0;
	if (d->names_n + d->n * sizeof(*d->v) > WINDOW_BYTES) {
		e = dir_halve(d);
		if (e)
			return e;
		if (slice_cmp(text, slice_of(d->cut, d->cut_n)) >= 0)
			return 0;
	}
	e = dir_grow(d, text.n);
	if (e)
		return e;
	memcpy(d->names + d->names_n, text.p, text.n);
	d->v[d->n++] = (struct file_dirent){(uint32_t)d->names_n, (uint16_t)text.n, (uint8_t)kind};
	d->names_n += text.n;
	return 0;
}

/* DT_REG, DT_DIR, or DT_UNKNOWN for all that is neither. */
static unsigned char type_of(int fd, const struct dirent *e)
{
	struct stat st;

	if (e->d_type == DT_REG || e->d_type == DT_DIR)
		return e->d_type;
	if (e->d_type != DT_UNKNOWN || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return DT_UNKNOWN;
	return S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : DT_UNKNOWN;
}

static int dir_take(struct file_dir *d, int fd, const struct dirent *e)
{
	struct slice text;
	enum file_text what = file_name_decode(slice_str(e->d_name), d->in_piece, &text);
	unsigned char type;

	if (what != FILE_TEXT_WHOLE && what != FILE_TEXT_PIECE)
		return 0;
	type = type_of(fd, e);
	if (type == DT_UNKNOWN || (what == FILE_TEXT_PIECE && type != DT_DIR))
		return 0;
	return dir_add(d, text, what == FILE_TEXT_PIECE ? FILE_ENT_PIECE : type == DT_DIR ? FILE_ENT_DIR : FILE_ENT_OBJECT);
}

static int dir_fill(struct file_dir *d, int fd)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), e = 0;
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	struct dirent *ent;

	if (!dir) {
		e = errno;
		if (own >= 0)
			close(own);
		return e;
	}
	while (e == 0 && (errno = 0, ent = readdir(dir)))
		e = dir_take(d, own, ent);
	if (e == 0)
		e = errno;
	closedir(dir);
	dir_sort(d);
	return e;
}

static bool settled(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000 - (st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000) > SETTLE_MS;
}

static int dir_read(int fd, const struct stat *st, const struct file_dir_want *want, struct file_dir **out)
{
	struct file_dir *d = xcalloc(1, sizeof(*d));
	int e;

	d->refs = 1;
	d->st = *st;
	d->in_piece = want->in_piece;
	d->settled = settled(st);
	d->taken_ms = clock_mono_ms();
	d->from = xmemdup(want->from.n ? want->from.p : "", want->from.n ? want->from.n : 1);
	d->from_n = want->from.n;
	e = dir_fill(d, fd);
	if (e) {
		dir_free(d);
		return e;
	}
	d->bytes = sizeof(*d) + d->cap * sizeof(*d->v) + d->names_cap;
	*out = d;
	return 0;
}

/* ---- the cache ---- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool dir_fits(const struct file_dir *d, const struct stat *st, const struct file_dir_want *want)
{
	struct slice from = want->from;

	if (d->st.st_dev != st->st_dev || d->st.st_ino != st->st_ino || d->in_piece != want->in_piece)
		return false;
	if (slice_cmp(from, slice_of(d->from, d->from_n)) < 0 || (d->cut && slice_cmp(from, slice_of(d->cut, d->cut_n)) >= 0))
		return false;
	if (want->continuing && clock_mono_ms() - d->taken_ms < CONTINUE_MS)
		return true;
	return d->settled && same_time(&d->st.st_mtim, &st->st_mtim) && same_time(&d->st.st_ctim, &st->st_ctim);
}

static struct file_dir *cache_find(struct site_file *sf, const struct stat *st, const struct file_dir_want *want)
{
	struct file_dir *d = NULL;
	size_t i;

	pthread_mutex_lock(&sf->lock);
	for (i = 0; i < CACHE_SLOTS && !d; i++)
		if (sf->dirs->slot[i] && dir_fits(sf->dirs->slot[i], st, want))
			d = sf->dirs->slot[i];
	if (d) {
		d->refs++;
		d->used_ms = clock_mono_ms();
	}
	pthread_mutex_unlock(&sf->lock);
	return d;
}

/* The slot to give up next: a free one, one of the same directory, else the one unused for longest. */
static size_t slot_for(const struct file_dirs *dirs, const struct file_dir *d)
{
	size_t i, oldest = 0;

	for (i = 0; i < CACHE_SLOTS; i++)
		if (dirs->slot[i] && dirs->slot[i]->st.st_ino == d->st.st_ino && dirs->slot[i]->st.st_dev == d->st.st_dev)
			return i;
	for (i = 0; i < CACHE_SLOTS; i++) {
		if (!dirs->slot[i])
			return i;
		if (dirs->slot[i]->used_ms < dirs->slot[oldest]->used_ms)
			oldest = i;
	}
	return oldest;
}

static void cache_keep(struct site_file *sf, struct file_dir *d)
{
	struct file_dirs *dirs = sf->dirs;
	size_t i;

	if (d->n < KEEP_MIN || d->bytes > CACHE_BYTES)
		return;
	pthread_mutex_lock(&sf->lock);
	d->used_ms = clock_mono_ms();
	slot_drop(dirs, slot_for(dirs, d));
	while (dirs->bytes + d->bytes > CACHE_BYTES) {
		size_t victim = CACHE_SLOTS;

		for (i = 0; i < CACHE_SLOTS; i++)
			if (dirs->slot[i] && (victim == CACHE_SLOTS || dirs->slot[i]->used_ms < dirs->slot[victim]->used_ms))
				victim = i;
		slot_drop(dirs, victim);
	}
	i = slot_for(dirs, d);
	slot_drop(dirs, i);
	dirs->slot[i] = d;
	dirs->bytes += d->bytes;
	d->refs++;
	pthread_mutex_unlock(&sf->lock);
}

int file_dir_get(struct site_file *sf, int fd, const struct file_dir_want *want, struct file_dir **out)
{
	struct stat st;
	int e;

	if (fstat(fd, &st) < 0)
		return errno;
	*out = cache_find(sf, &st, want);
	if (*out)
		return 0;
	e = dir_read(fd, &st, want, out);
	if (e == 0)
		cache_keep(sf, *out);
	return e;
}

void file_dir_release(struct site_file *sf, struct file_dir **d_io)
{
	struct file_dir *d = *d_io;

	*d_io = NULL;
	if (!d)
		return;
	pthread_mutex_lock(&sf->lock);
	dir_unref(d);
	pthread_mutex_unlock(&sf->lock);
}

size_t file_dir_seek(const struct file_dir *d, struct slice from)
{
	size_t lo = 0, hi = d->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (slice_cmp(file_dir_text(d, mid), from) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void file_dirs_page_ended(struct site_file *sf, struct slice last_key)
{
	struct file_dirs *dirs = sf->dirs;

	pthread_mutex_lock(&sf->lock);
	dirs->page[dirs->next_page % PAGES].hash = hash64(last_key.p, last_key.n);
	dirs->page[dirs->next_page++ % PAGES].at_ms = clock_mono_ms();
	pthread_mutex_unlock(&sf->lock);
}

bool file_dirs_page_goes_on(struct site_file *sf, struct slice start_after)
{
	uint64_t hash = hash64(start_after.p, start_after.n);
	int64_t now = clock_mono_ms();
	bool found = false;
	size_t i;

	if (start_after.n == 0)
		return false;
	pthread_mutex_lock(&sf->lock);
	for (i = 0; i < PAGES; i++)
		found = found || (sf->dirs->page[i].hash == hash && now - sf->dirs->page[i].at_ms < CONTINUE_MS);
	pthread_mutex_unlock(&sf->lock);
	return found;
}
