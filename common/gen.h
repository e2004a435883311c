/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generations: the version number of every write (architecture 2). A hybrid logical clock, 48 bits of milliseconds since
 * 1970 above a 16-bit counter, and the name of the node that wrote; ordered by clock, then by node name in byte order.
 * A copy that was put behind our back has a derived generation: its Last-Modified and the node "ext@SITE".
 *
 * Text form: 16 lower-case hex digits, '-', the node. Example: 0193a5c4e2f00001-node1
 */
#ifndef GFS_GEN_H
#define GFS_GEN_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "slice.h"

#define GEN_NODE_MAX 63                  /* bytes of a node name: [A-Za-z0-9._@-] */
#define GEN_TEXT_MAX (16 + 1 + GEN_NODE_MAX + 1) /* with the NUL */

struct gen {
	uint64_t hlc; /* 0: none */
	char node[GEN_NODE_MAX + 1];
};

int gen_cmp(const struct gen *a, const struct gen *b);
bool gen_is_none(const struct gen *g);
bool gen_is_derived(const struct gen *g); /* node begins with "ext@" */
const char *gen_format(const struct gen *g, char buf[GEN_TEXT_MAX]); /* "" for none */
int gen_parse(struct slice text, struct gen *out) GFS_MUST_USE;      /* 0 or GFS_ERR_INVALID */
struct gen gen_derive(int64_t mtime_ms, const char *site_name);
bool gen_node_valid(struct slice node);
static inline int64_t gen_ms(const struct gen *g)
{
	return (int64_t)(g->hlc >> 16);
}

/*
 * The tag that a copy carries (S3 user metadata "gfs-gen"): GEN ":" 16 hex digits of hash64(key) ":" part size. The hash
 * binds it to its key, so that an object copied or renamed behind our back does not keep a tag that is not its own.
 */
#define GEN_TAG_MAX (GEN_TEXT_MAX + 1 + 16 + 1 + 20)
const char *gen_tag_format(const struct gen *g, struct slice key, uint64_t part_size, char buf[GEN_TAG_MAX]);
/* 0, or GFS_ERR_INVALID when it is malformed or belongs to another key. */
int gen_tag_parse(struct slice tag, struct slice key, struct gen *gen_out, uint64_t *part_size_out) GFS_MUST_USE;

#endif
