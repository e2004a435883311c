/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML document as a tree of nodes with line numbers, bounded in depth, nodes and bytes. For load.c only.
 */
#ifndef GFS_CONF_TREE_H
#define GFS_CONF_TREE_H

#include <stddef.h>

#include "../error.h"
#include "../slice.h"

#define TREE_MAX_DEPTH 16
#define TREE_MAX_NODES 50000
#define TREE_MAX_BYTES (4u << 20)

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
	enum node_kind kind;
	unsigned line;
	bool null;           /* scalar: nothing, or ~ or null unquoted */
	char *text;          /* scalar, NUL-terminated, without NUL inside */
	size_t text_len;
	struct node **items; /* list: the elements; map: key, value, key, value ...; keys are scalars */
	size_t n_items, cap_items;
};

/* An empty document gives an empty map. 0 with *out owned, or GFS_ERR_CONFIG with the line and a sentence. */
int tree_parse(struct slice yaml, struct node **out, unsigned *line_out, char *why, size_t cap) GFS_MUST_USE;
void tree_free(struct node **node);

#endif
