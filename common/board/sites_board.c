/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Board "sites": healthd writes, everybody reads without waiting. A row is two copies and a sequence number whose last bit
 * names the valid copy. The writer fills the other copy, then moves the number; a reader whose number moved reads again. A
 * writer that is killed between the two leaves the old row whole.
 */
#include "config.h"

#include "sites_board.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../log.h"

#define SITES_BOARD_VERSION 2
#define STATUS_WORDS (sizeof(struct site_status) / sizeof(uint64_t))

_Static_assert(sizeof(struct site_status) % sizeof(uint64_t) == 0, "a status is copied in words");

struct row {
	_Atomic uint64_t seq;
	_Atomic uint64_t copy[2][STATUS_WORDS];
};

struct layout {
	_Atomic int64_t beat_ms, interval_ms;
	struct row rows[SITES_BOARD_MAX];
};

int sites_board_open(const char *run_dir, bool create, struct sites_board *out)
{
	return board_open(run_dir, "sites", SITES_BOARD_VERSION, sizeof(struct layout), create, &out->b, NULL);
}

void sites_board_close(struct sites_board *sb)
{
	board_close(&sb->b);
}

static struct layout *layout_of(const struct sites_board *sb)
{
	return sb->b.p;
}

bool sites_board_get(const struct sites_board *sb, uint32_t site_id, struct site_status *out)
{
	uint64_t words[STATUS_WORDS], seq, again;
	struct row *row;
	size_t i;

	if (site_id == 0 || site_id >= SITES_BOARD_MAX)
		return false;
	row = &layout_of(sb)->rows[site_id];
	again = atomic_load_explicit(&row->seq, memory_order_acquire);
	do {
		seq = again;
		for (i = 0; i < STATUS_WORDS; i++)
			words[i] = atomic_load_explicit(&row->copy[seq & 1][i], memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		again = atomic_load_explicit(&row->seq, memory_order_acquire);
	} while (again != seq);
	memcpy(out, words, sizeof(*out));
	out->reason[sizeof(out->reason) - 1] = '\0';
	return out->id == site_id;
}

static void row_write(struct row *row, const struct site_status *st)
{
	uint64_t words[STATUS_WORDS], seq = atomic_load_explicit(&row->seq, memory_order_relaxed) + 1;
	size_t i;

	memcpy(words, st, sizeof(*st));
	/* A reader that sees any word of this copy must see that the number before it has moved, too. */
	atomic_thread_fence(memory_order_release);
	for (i = 0; i < STATUS_WORDS; i++)
		atomic_store_explicit(&row->copy[seq & 1][i], words[i], memory_order_relaxed);
	atomic_store_explicit(&row->seq, seq, memory_order_release);
}

void sites_board_put(struct sites_board *sb, const struct site_status *st)
{
	gfs_assert(st->id > 0 && st->id < SITES_BOARD_MAX);
	row_write(&layout_of(sb)->rows[st->id], st);
}

void sites_board_clear(struct sites_board *sb, uint32_t site_id)
{
	static const struct site_status none;

	gfs_assert(site_id > 0 && site_id < SITES_BOARD_MAX);
	row_write(&layout_of(sb)->rows[site_id], &none);
}

void sites_board_beat(struct sites_board *sb, int64_t now_real_ms, int64_t interval_ms)
{
	struct layout *l = layout_of(sb);

	atomic_store_explicit(&l->interval_ms, interval_ms, memory_order_relaxed);
	atomic_store_explicit(&l->beat_ms, now_real_ms, memory_order_release);
}

bool sites_board_stale(const struct sites_board *sb, int64_t now_real_ms)
{
	struct layout *l = layout_of(sb);
	int64_t beat = atomic_load_explicit(&l->beat_ms, memory_order_acquire);
	int64_t interval = atomic_load_explicit(&l->interval_ms, memory_order_relaxed);

	/* A heartbeat far in the future is no better: the clock was set back and nobody has written since. */
	return beat == 0 || llabs(now_real_ms - beat) > 3 * interval;
}

const char *site_state_name(enum site_state s)
{
	static const char *const names[] = {"unknown", "up", "degraded", "down"};

	return (unsigned)s < sizeof(names) / sizeof(names[0]) ? names[s] : "unknown";
}

const char *circuit_state_name(enum circuit_state s)
{
	static const char *const names[] = {"closed", "open", "half-open"};

	return (unsigned)s < sizeof(names) / sizeof(names[0]) ? names[s] : "closed";
}
