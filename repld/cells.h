/* SPDX-License-Identifier: Apache-2.0 */
/* repld's side of the keys board: which cells are dirty, and the clock that it ticks when it changes what a key means. */
#ifndef GFS_REPLD_CELLS_H
#define GFS_REPLD_CELLS_H

#include "common/board/keys_board.h"
#include "store.h"

/* Counts every key of the journal. The board stays "rebuilding" (everything dirty) when that fails. intent(arg, key) is called
 * for every key with an undecided version. */
int cells_rebuild(struct keys_board *kb, struct store *st, void (*intent)(void *arg, struct slice key), void *arg) GFS_MUST_USE;
void cells_raise(struct keys_board *kb, struct slice key);
void cells_lower(struct keys_board *kb, struct slice key);
void cells_tick(struct keys_board *kb, struct slice key);
bool cells_dirty(const struct keys_board *kb, struct slice key);

#endif
