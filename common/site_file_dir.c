/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorted snapshots of directories, for site_file_list.c. Directories tell their names in no order, so a page of a list must
 * read all of one; what it has sorted is kept for the next page. Memory is bounded: the names of a very large directory go to an
 * unlinked file (site_file_spill.c), and a snapshot is a window of them; where there is no room for such a file it is the smallest
 * names from some name on, and the directory is read again for the next ones. The cache of snapshots has a budget and empties
 * itself when lists end.
 *
 * A kept snapshot is used again when the directory has not changed since (by its times, once they are old enough to be
 * trusted), or by the next page of the same list for a short while, so that a list gets on in a directory that keeps changing.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "map.h"
#include "site_file_dir.h"
#include "site_file_spill.h"
#include "xalloc.h"

#define WINDOW_BYTES  (3u << 20) /* of one snapshot */
#define CACHE_BYTES   (8u << 20) /* of those kept */
#define CACHE_SLOTS   8
#define KEEP_MIN      256        /* entries: a smaller directory is read again as fast */
#define SETTLE_MS     100        /* a directory changed so shortly before it was read may change again with the same time */
#define CONTINUE_MS   3000       /* for the next page of a list */
#define PAGES         16
#define SPILLS        2          /* files kept */
#define BLOCK_MMAP    (128u << 10)

struct file_dirs {
	size_t window; /* bytes of one snapshot */
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
	struct file_dirs *dirs = xcalloc(1, sizeof(*dirs));

	dirs->window = WINDOW_BYTES;
	return dirs;
}

void file_dirs_set_window(struct file_dirs *dirs, size_t bytes)
{
	dirs->window = bytes;
}

/* Memory of snapshots. Large pieces go back to the system when they are freed: every thread of the pool reads directories in turn,
 * and malloc would keep the largest piece of each. */
static void *block_grow(void *p, size_t old, size_t size)
{
	void *q;

	if (size < BLOCK_MMAP)
		return realloc(p, size);
	if (old >= BLOCK_MMAP) {
		q = mremap(p, old, size, MREMAP_MAYMOVE);
		return q == MAP_FAILED ? NULL : q;
	}
	q = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (q == MAP_FAILED)
		return NULL;
	if (old > 0)
		memcpy(q, p, old);
	free(p);
	return q;
}

static void block_free(void *p, size_t size)
{
	if (size >= BLOCK_MMAP)
		munmap(p, size);
	else
		free(p);
}

static void dir_free(struct file_dir *d)
{
	free(d->from);
	free(d->cut);
	block_free(d->v, d->cap * sizeof(*d->v));
	block_free(d->names, d->names_cap);
	file_spill_destroy(&d->spill);
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
	names = block_grow(NULL, 0, d->names_cap);
	cut = names ? malloc(first.n + 1) : NULL;
	if (!cut) {
		if (names)
			block_free(names, d->names_cap);
		return ENOMEM;
	}
	memcpy(cut, first.p, first.n);
	for (i = 0; i < keep; i++) {
		memcpy(names + used, d->names + d->v[i].off, d->v[i].len);
		d->v[i].off = (uint32_t)used;
		used += d->v[i].len;
	}
	free(d->cut);
	block_free(d->names, d->names_cap);
	d->cut = cut;
	d->cut_n = first.n;
	d->names = names;
	d->names_n = used;
	d->n = keep;
	return 0;
}

static int dir_grow(struct file_dir *d, size_t len)
{
	size_t cap = d->cap ? d->cap * 2 : 64, names_cap = d->names_cap * 2 + len + 1024;
	void *p;

	if (d->n == d->cap) {
		p = block_grow(d->v, d->cap * sizeof(*d->v), cap * sizeof(*d->v));
		if (!p)
			return ENOMEM;
		d->v = p;
		d->cap = cap;
	}
	if (!d->names || d->names_cap - d->names_n < len) {
		p = block_grow(d->names, d->names_cap, names_cap);
		if (!p)
			return ENOMEM;
		d->names = p;
		d->names_cap = names_cap;
	}
	return 0;
}

/* All names so far go to the file. */
static int dir_spill(struct file_dir *d)
{
	int e;

	dir_sort(d);
	e = file_spill_run(d->spill, d);
	d->n = d->names_n = 0;
	return e;
}

/* How a directory is read. */
struct reading {
	struct file_dir *d;
	int fd;
	size_t window;
	const char *spool; /* where a file may be made, or NULL */
};

static int make_room(struct reading *rd)
{
	struct file_dir *d = rd->d;

	if (!d->spill && !d->cut && rd->spool)
		d->spill = file_spill_create(rd->spool, rd->window / 96);
	return d->spill ? dir_spill(d) : dir_halve(d);
}

static int dir_put(void *arg, struct slice text, enum file_dirent_kind kind)
{
	struct file_dir *d = arg;
	int e = dir_grow(d, text.n);

	if (e)
		return e;
	memcpy(d->names + d->names_n, text.p, text.n);
	d->v[d->n++] = (struct file_dirent){(uint32_t)d->names_n, (uint16_t)text.n, (uint8_t)kind};
	d->names_n += text.n;
	return 0;
}

static int dir_add(struct reading *rd, struct slice text, enum file_dirent_kind kind)
{
	struct file_dir *d = rd->d;
	int e;

	if (slice_cmp(text, slice_of(d->from, d->from_n)) < 0)
		return 0;
	if (d->names_n + d->n * sizeof(*d->v) > rd->window) {
		e = make_room(rd);
		if (e)
			return e;
	}
	if (d->cut && slice_cmp(text, slice_of(d->cut, d->cut_n)) >= 0)
		return 0;
	return dir_put(d, text, kind);
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

static int dir_take(struct reading *rd, const struct dirent *e)
{
	struct slice text;
	enum file_text what = file_name_decode(slice_str(e->d_name), rd->d->in_piece, &text);
	unsigned char type;

	if (what != FILE_TEXT_WHOLE && what != FILE_TEXT_PIECE)
		return 0;
	type = type_of(rd->fd, e);
	if (type == DT_UNKNOWN || (what == FILE_TEXT_PIECE && type != DT_DIR))
		return 0;
	return dir_add(rd, text, what == FILE_TEXT_PIECE ? FILE_ENT_PIECE : type == DT_DIR ? FILE_ENT_DIR : FILE_ENT_OBJECT);
}

static int dir_fill(struct reading *rd)
{
	int own = openat(rd->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), e = 0;
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	struct dirent *ent;

	if (!dir) {
		e = errno;
		if (own >= 0)
			close(own);
		return e;
	}
	while (e == 0 && (errno = 0, ent = readdir(dir)))
		e = dir_take(rd, ent);
	if (e == 0)
		e = errno;
	closedir(dir);
	if (e)
		return e;
	dir_sort(rd->d);
	if (!rd->d->spill)
		return 0;
	e = dir_spill(rd->d);
	file_spill_seal(rd->d->spill);
	return e;
}

static bool settled(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000 - (st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000) > SETTLE_MS;
}

static struct file_dir *dir_new(const struct stat *st, bool in_piece, struct slice from)
{
	struct file_dir *d = xcalloc(1, sizeof(*d));

	d->refs = 1;
	d->st = *st;
	d->in_piece = in_piece;
	d->from = xmemdup(from.n ? from.p : "", from.n ? from.n : 1);
	d->from_n = from.n;
	return d;
}

/* Gives back what growing took too much. */
static void dir_fit(struct file_dir *d)
{
	if (d->n == 0) {
		block_free(d->v, d->cap * sizeof(*d->v));
		block_free(d->names, d->names_cap);
		d->v = NULL;
		d->names = NULL;
		d->cap = d->names_cap = 0;
	}
	d->bytes = sizeof(*d) + d->cap * sizeof(*d->v) + d->names_cap + (d->spill ? file_spill_bytes(d->spill) : 0);
}

static int dir_read(struct reading *rd, const struct stat *st, const struct file_dir_want *want)
{
	struct file_dir *d = rd->d = dir_new(st, want->in_piece, want->from);
	bool spilled;
	int e;

	d->settled = settled(st);
	d->taken_ms = clock_mono_ms();
	e = dir_fill(rd);
	if (e == 0) {
		dir_fit(d);
		return 0;
	}
	spilled = d->spill != NULL;
	dir_free(d);
	if (!spilled)
		return e;
	rd->spool = NULL; /* full, most likely: it goes without */
	return dir_read(rd, st, want);
}

/* A window of one whose names are in a file. */
static int dir_window(const struct file_dir *all, struct slice from, struct file_dir **out)
{
	struct slice lo, hi;
	struct file_dir *d;
	int e;

	file_spill_window(all->spill, from, &lo, &hi);
	if (slice_cmp(lo, slice_of(all->from, all->from_n)) < 0)
		lo = slice_of(all->from, all->from_n);
	d = dir_new(&all->st, all->in_piece, lo);
	d->settled = all->settled;
	d->taken_ms = all->taken_ms;
	if (hi.p) {
		d->cut = xstrndup(hi.p, hi.n);
		d->cut_n = hi.n;
	}
	e = file_spill_read(all->spill, lo, hi, dir_put, d);
	if (e) {
		dir_free(d);
		return e;
	}
	dir_sort(d);
	dir_fit(d);
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
	/* A window is at hand faster than the file it is from. */
	for (i = 0; i < CACHE_SLOTS && (!d || d->spill); i++)
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
	size_t i, oldest = 0, spills = 0, oldest_spill = 0;

	for (i = 0; i < CACHE_SLOTS; i++) {
		const struct file_dir *s = dirs->slot[i];

		if (!s || !s->spill != !d->spill)
			continue;
		if (s->st.st_ino == d->st.st_ino && s->st.st_dev == d->st.st_dev)
			return i;
		if (d->spill && (spills++ == 0 || s->used_ms < dirs->slot[oldest_spill]->used_ms))
			oldest_spill = i;
	}
	if (spills >= SPILLS)
		return oldest_spill;
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

	if ((d->n < KEEP_MIN && !d->spill) || d->bytes > CACHE_BYTES)
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
	struct reading rd = {.fd = fd, .window = sf->dirs->window, .spool = sf->base.env->spool_dir};
	struct file_dir *all;
	struct stat st;
	int e;

	if (fstat(fd, &st) < 0)
		return errno;
	*out = cache_find(sf, &st, want);
	if (!*out) {
		e = dir_read(&rd, &st, want);
		if (e)
			return e;
		*out = rd.d;
		cache_keep(sf, *out);
	}
	if (!(*out)->spill)
		return 0;
	all = *out;
	e = dir_window(all, want->from, out);
	file_dir_release(sf, &all);
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
