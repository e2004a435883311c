/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key patterns of policy rules: pure. "" matches every key; a pattern that ends in '/' every key that begins with it, literally;
 * any other is a glob over the whole key: * and ? stay within a segment, ** crosses them, [a-z], [^a-z] and [!a-z] are classes that
 * never match '/', and \ takes the next character as itself. For check.c, which judges rules, and routerd, which applies them.
 */
#ifndef GFS_CONF_PATTERN_H
#define GFS_CONF_PATTERN_H

#include <stdbool.h>

#include "../key.h"
#include "../slice.h"

#define PATTERN_MAX KEY_MAX /* bytes; a longer one matches nothing */

bool pattern_matches(struct slice pattern, struct slice key);
/* Takes time in proportion to the product of both lengths at most. A malformed glob matches nothing. */
bool pattern_glob(struct slice glob, struct slice key);
/* What is wrong with it: malformed, or no key can match. NULL: nothing. */
const char *pattern_fault(struct slice pattern);
/* True: every key that b matches, a matches too. False: not every one, or that is not obvious. */
bool pattern_covers(struct slice a, struct slice b);

#endif
