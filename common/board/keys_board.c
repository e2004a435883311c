/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Board "keys": the two numbers per cell that let a worker answer a read without asking anybody. All zero means "rebuilding",
 * so that a board nobody has filled yet is never taken for a clean one. Orders are sequentially consistent: a read that
 * follows an acknowledgement must see what was written before it.
 */
#include "config.h"

#include "keys_board.h"

#include <stdatomic.h>

#include "../log.h"
#include "../map.h"

#define KEYS_BOARD_VERSION 3

struct cell {
	_Atomic uint64_t clock;
	_Atomic int32_t dirty;
};

struct layout {
	_Atomic uint32_t built;
	_Atomic uint32_t used; /* was built once */
	_Atomic int64_t dirty; /* the sum of the cells' */
	char pad[48];
	struct cell cells[KEYS_BOARD_CELLS];
};

int keys_board_open(const char *run_dir, bool create, struct keys_board *out)
{
	return board_open(run_dir, "keys", KEYS_BOARD_VERSION, sizeof(struct layout), create, &out->b, NULL);
}

void keys_board_close(struct keys_board *kb)
{
	board_close(&kb->b);
}

static struct layout *layout_of(const struct keys_board *kb)
{
	return kb->b.p;
}

static struct cell *cell_of(const struct keys_board *kb, uint32_t cell)
{
	gfs_assert(cell < KEYS_BOARD_CELLS);
	return &layout_of(kb)->cells[cell];
}

uint32_t keys_board_cell(struct slice key)
{
	return (uint32_t)(hash64(key.p, key.n) & (KEYS_BOARD_CELLS - 1));
}

uint64_t keys_board_clock(const struct keys_board *kb, uint32_t cell)
{
	return atomic_load(&cell_of(kb, cell)->clock);
}

uint64_t keys_board_tick(struct keys_board *kb, uint32_t cell)
{
	return atomic_fetch_add(&cell_of(kb, cell)->clock, 1) + 1;
}

/* A count below zero would be a mistake of ours: it reads as dirty, which costs a question and never a wrong answer. */
bool keys_board_dirty(const struct keys_board *kb, uint32_t cell)
{
	return atomic_load(&cell_of(kb, cell)->dirty) != 0 || keys_board_rebuilding(kb);
}

bool keys_board_any_dirty(const struct keys_board *kb)
{
	return atomic_load(&layout_of(kb)->dirty) != 0 || keys_board_rebuilding(kb);
}

/* The sum is never below what the cells say. */
void keys_board_add_dirty(struct keys_board *kb, uint32_t cell, int32_t delta)
{
	if (delta > 0)
		atomic_fetch_add(&layout_of(kb)->dirty, delta);
	atomic_fetch_add(&cell_of(kb, cell)->dirty, delta);
	if (delta < 0)
		atomic_fetch_add(&layout_of(kb)->dirty, delta);
}

void keys_board_rebuild_begin(struct keys_board *kb)
{
	uint32_t i;

	atomic_store(&layout_of(kb)->built, 0);
	for (i = 0; i < KEYS_BOARD_CELLS; i++)
		atomic_store_explicit(&layout_of(kb)->cells[i].dirty, 0, memory_order_relaxed);
	atomic_store(&layout_of(kb)->dirty, 0);
}

void keys_board_rebuild_end(struct keys_board *kb)
{
	atomic_store(&layout_of(kb)->used, 1);
	atomic_store(&layout_of(kb)->built, 1);
}

bool keys_board_used(const struct keys_board *kb)
{
	return atomic_load(&layout_of(kb)->used) != 0;
}

bool keys_board_rebuilding(const struct keys_board *kb)
{
	return atomic_load(&layout_of(kb)->built) == 0;
}
