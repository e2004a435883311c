/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board "stats" (stats.h). Pages are claimed and folded under an flock of the board's directory entry; counting and reading
 * take no lock. The base, what dead processes counted, is two copies and a sequence number like every row that is rewritten.
 * It names the claim it took in last, so that neither a reader nor a folder that was killed half-way counts a page twice.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "log.h"
#include "map.h"
#include "proc.h"
#include "stats_impl.h"
#include "xalloc.h"

#define STATS_PAGES 128

const struct stat_row stats_rows[STAT_COUNT] = {
#define STAT(id, kind, family, labels, help) {kind, family, labels, help},
#include "stats.def"
};

struct page {
	_Atomic uint64_t claim; /* 0: free */
	_Atomic uint64_t pid, start;
	struct stat_value v[STAT_COUNT];
};

struct base {
	_Atomic uint64_t folded_claim;
	struct stat_value v[STAT_COUNT];
};

struct layout {
	_Atomic uint64_t claims; /* handed out so far */
	_Atomic uint64_t base_seq;
	struct base base[2];
	struct page pages[STATS_PAGES];
};

struct stats {
	struct board b;
	struct layout *l;
	struct page *page;
	struct stats_sites *sites;
	char *lock_path;
};

/* The layout is what stats.def says, so its text is the version. */
static uint32_t stats_version(void)
{
	static const char text[] =
#define STAT(id, kind, family, labels, help) #id " " #kind ";"
#include "stats.def"
		;

	return (uint32_t)hash64(text, sizeof(text) - 1);
}

static bool page_alive(const struct page *page)
{
	uint64_t start = proc_start_time((int)atomic_load(&page->pid));

	return start != 0 && start == atomic_load(&page->start);
}

/* ---- claim and fold, under the lock ---- */

static int stats_lock(const struct stats *s)
{
	int fd = open(s->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0660);

	if (fd < 0)
		return -1;
	while (flock(fd, LOCK_EX) != 0) {
		if (errno != EINTR) {
			close(fd);
			return -1;
		}
	}
	return fd;
}

static void value_copy(struct stat_value *to, const struct stat_value *from, bool add)
{
	size_t i;

	atomic_store(&to->count, (add ? atomic_load(&to->count) : 0) + atomic_load(&from->count));
	atomic_store(&to->sum_us, (add ? atomic_load(&to->sum_us) : 0) + atomic_load(&from->sum_us));
	for (i = 0; i <= STATS_BUCKETS; i++)
		atomic_store(&to->buckets[i], (add ? atomic_load(&to->buckets[i]) : 0) + atomic_load(&from->buckets[i]));
}

static void page_clear(struct page *page)
{
	static const struct stat_value zero;
	size_t i;

	for (i = 0; i < STAT_COUNT; i++)
		value_copy(&page->v[i], &zero, false);
	/* Last: whoever finds the page half cleared still sees the claim that the base has taken in. */
	atomic_store(&page->claim, 0);
}

static void page_fold(struct layout *l, struct page *page)
{
	uint64_t seq = atomic_load(&l->base_seq), claim = atomic_load(&page->claim);
	struct base *from = &l->base[seq & 1], *to = &l->base[(seq + 1) & 1];
	size_t i;

	for (i = 0; i < STAT_COUNT; i++) {
		value_copy(&to->v[i], &from->v[i], false);
		if (stats_rows[i].kind != GAUGE)
			value_copy(&to->v[i], &page->v[i], true);
	}
	atomic_store(&to->folded_claim, claim);
	atomic_store(&l->base_seq, seq + 1);
	page_clear(page);
}

/* Whoever was killed between taking a page into the base and clearing it left the second half to us. */
static void finish_fold(struct layout *l)
{
	uint64_t folded = atomic_load(&l->base[atomic_load(&l->base_seq) & 1].folded_claim);
	size_t i;

	for (i = 0; folded != 0 && i < STATS_PAGES; i++)
		if (atomic_load(&l->pages[i].claim) == folded)
			page_clear(&l->pages[i]);
}

static int stats_claim(struct stats *s)
{
	uint64_t start = proc_start_time(getpid());
	int lock = start ? stats_lock(s) : -1;
	struct page *page;
	size_t i;

	if (lock < 0)
		return GFS_ERR_IO;
	finish_fold(s->l);
	for (i = 0; i < STATS_PAGES; i++) {
		page = &s->l->pages[i];
		if (atomic_load(&page->claim) != 0 && !page_alive(page))
			page_fold(s->l, page);
		if (atomic_load(&page->claim) == 0 && !s->page)
			s->page = page;
	}
	if (s->page) {
		atomic_store(&s->page->pid, (uint64_t)getpid());
		atomic_store(&s->page->start, start);
		atomic_store(&s->page->claim, atomic_fetch_add(&s->l->claims, 1) + 1);
	}
	close(lock);
	return s->page ? 0 : GFS_ERR_BUSY;
}

int stats_open(const char *run_dir, bool create, struct stats **out)
{
	struct stats *s = xcalloc(1, sizeof(*s));
	int err = board_open(run_dir, "stats", stats_version(), sizeof(struct layout), create, &s->b, NULL);

	if (!err) {
		s->l = s->b.p;
		s->lock_path = xasprintf("%s/boards/stats.lock", run_dir);
		err = stats_claim(s);
	}
	if (!err)
		s->sites = stats_sites_create(run_dir, (size_t)(s->page - s->l->pages));
	if (err)
		stats_close(&s);
	else
		*out = s;
	return err;
}

void stats_close(struct stats **s_io)
{
	struct stats *s = *s_io;
	int lock;

	*s_io = NULL;
	if (!s)
		return;
	if (s->page) {
		lock = stats_lock(s);
		/* Without the lock the page is left to be folded as a dead process's. */
		if (lock >= 0) {
			finish_fold(s->l);
			page_fold(s->l, s->page);
			close(lock);
		}
	}
	stats_sites_destroy(&s->sites);
	board_close(&s->b);
	free(s->lock_path);
	free(s);
}

/* ---- counting ---- */

void stats_add(struct stats *s, enum stat_id id, uint64_t n)
{
	atomic_fetch_add_explicit(&s->page->v[id].count, n, memory_order_relaxed);
}

void stats_set(struct stats *s, enum stat_id id, uint64_t value)
{
	atomic_store_explicit(&s->page->v[id].count, value, memory_order_relaxed);
}

void stats_time(struct stats *s, enum stat_id id, int64_t us)
{
	struct stat_value *v = &s->page->v[id];

	atomic_fetch_add_explicit(&v->buckets[stat_bucket(stats_rows[id].kind, us)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&v->sum_us, (uint64_t)(us > 0 ? us : 0), memory_order_relaxed);
	atomic_fetch_add_explicit(&v->count, 1, memory_order_relaxed);
}

/* ---- reading ---- */

struct stats_sites *stats_sites_of(const struct stats *s)
{
	return s->sites;
}

void stats_sum(const struct stats *s, struct stat_value *sum)
{
	struct layout *l = s->l;
	uint64_t seq, claim, folded;
	size_t i, p;
	bool alive;

	do {
		seq = atomic_load(&l->base_seq);
		folded = atomic_load(&l->base[seq & 1].folded_claim);
		for (i = 0; i < STAT_COUNT; i++)
			value_copy(&sum[i], &l->base[seq & 1].v[i], false);
		for (p = 0; p < STATS_PAGES; p++) {
			claim = atomic_load(&l->pages[p].claim);
			if (claim == 0 || claim == folded)
				continue;
			alive = page_alive(&l->pages[p]);
			for (i = 0; i < STAT_COUNT; i++)
				if (alive || stats_rows[i].kind != GAUGE)
					value_copy(&sum[i], &l->pages[p].v[i], true);
		}
	} while (atomic_load(&l->base_seq) != seq);
}

uint64_t stats_total(const struct stats *s, enum stat_id id)
{
	struct stat_value *sum = xcalloc(STAT_COUNT, sizeof(*sum));
	uint64_t total;

	stats_sum(s, sum);
	total = atomic_load(&sum[id].count);
	free(sum);
	return total;
}
