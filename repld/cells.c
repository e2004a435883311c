/* SPDX-License-Identifier: Apache-2.0 */
/* The keys board, as repld keeps it: one count per key that has anything in the journal. See architecture 5, "Cell rules". */
#include "config.h"

#include "cells.h"

struct rebuild {
	struct keys_board *kb;
	void (*intent)(void *arg, struct slice key);
	void *arg;
};

static void count_key(void *arg, struct slice key, bool intent)
{
	struct rebuild *rb = arg;

	cells_raise(rb->kb, key);
	if (intent)
		rb->intent(rb->arg, key);
}

int cells_rebuild(struct keys_board *kb, struct store *st, void (*intent)(void *arg, struct slice key), void *arg)
{
	struct rebuild rb = {kb, intent, arg};

	keys_board_rebuild_begin(kb);
	int err = store_each_key(st, count_key, &rb);

	if (!err)
		keys_board_rebuild_end(kb);
	return err;
}

void cells_raise(struct keys_board *kb, struct slice key)
{
	keys_board_add_dirty(kb, keys_board_cell(key), 1);
}

void cells_lower(struct keys_board *kb, struct slice key)
{
	keys_board_add_dirty(kb, keys_board_cell(key), -1);
}

void cells_tick(struct keys_board *kb, struct slice key)
{
	keys_board_tick(kb, keys_board_cell(key));
}

bool cells_dirty(const struct keys_board *kb, struct slice key)
{
	return keys_board_dirty(kb, keys_board_cell(key));
}
