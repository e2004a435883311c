/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a key may be (architecture 2): 1 to 1088 bytes of UTF-8 without NUL, without "." or ".." segments; ".globalfs" as the
 * first segment and segments that begin with ".gfs-" are ours. Checked at every door and again by every site.
 */
#ifndef GFS_KEY_H
#define GFS_KEY_H

#include "error.h"
#include "slice.h"

#define KEY_MAX 1088
#define KEY_RESERVED_DIR ".globalfs"

/* 0 or GFS_ERR_KEY_INVALID with a sentence (static text) that says which rule it broke. why_out may be NULL. */
int key_check(struct slice key, const char **why_out) GFS_MUST_USE;
bool utf8_valid(struct slice s);

#endif
