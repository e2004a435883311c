/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boards: fixed-size files in run_dir/boards, mapped shared, that publish facts which every request needs (architecture 1).
 * They outlive every daemon. Created by the supervisor, or by a daemon that runs alone; a board of another layout version
 * or size is replaced. This file is the mapping; one file per board has its layout.
 */
#ifndef GFS_BOARD_H
#define GFS_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"

struct board {
	void *p;       /* payload, page aligned */
	size_t n;      /* payload bytes */
	void *map;     /* whole mapping */
	size_t map_n;
};

/* Opens run_dir/boards/NAME, creating it (zero-filled, mode 0660) when absent and create is true; magic and version are
 * compared. *created_out (may be NULL) tells that it is new. 0, GFS_ERR_IO, or GFS_ERR_VERSION. */
int board_open(const char *run_dir, const char *name, uint32_t version, size_t payload_bytes, bool create, struct board *out,
               bool *created_out) GFS_MUST_USE;
void board_close(struct board *b);

#endif
