/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Board "keys": 2^20 cells, chosen by hash64(key), of {clock, dirty}. Workers read it on every request; see architecture 5,
 * "Cell rules". clock: incremented (by anyone) before an answer that changes what a key means. dirty: number of journal rows
 * (including tombstones) whose key falls in the cell, kept by repld alone. While repld rebuilds the counts, or on a board that
 * no repld has filled yet, every cell counts as dirty.
 */
#ifndef GFS_KEYS_BOARD_H
#define GFS_KEYS_BOARD_H

#include "../slice.h"
#include "board.h"

#define KEYS_BOARD_CELLS (1u << 20)

struct keys_board {
	struct board b;
};

int keys_board_open(const char *run_dir, bool create, struct keys_board *out) GFS_MUST_USE; /* new: rebuilding */
void keys_board_close(struct keys_board *kb);
uint32_t keys_board_cell(struct slice key);
uint64_t keys_board_clock(const struct keys_board *kb, uint32_t cell);
uint64_t keys_board_tick(struct keys_board *kb, uint32_t cell); /* increments clock, returns the new value */
bool keys_board_dirty(const struct keys_board *kb, uint32_t cell); /* true while rebuilding */
bool keys_board_any_dirty(const struct keys_board *kb); /* any of the cells; true while rebuilding */
/* repld only */
void keys_board_add_dirty(struct keys_board *kb, uint32_t cell, int32_t delta);
void keys_board_rebuild_begin(struct keys_board *kb); /* rebuilding on, all counts 0, clocks kept */
void keys_board_rebuild_end(struct keys_board *kb);
bool keys_board_rebuilding(const struct keys_board *kb);
bool keys_board_used(const struct keys_board *kb); /* a repld has served this board's workers before */

#endif
