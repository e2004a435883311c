/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML events of libyaml to a small tree. Anchors are taken, aliases refused (they are how a small file becomes a large
 * one), one document only. Called by load.c with files from people and from fuzzers: every size is bounded here.
 */
#include "config.h"

#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "../xalloc.h"

struct builder {
	yaml_parser_t parser;
	struct node *stack[TREE_MAX_DEPTH];
	size_t depth, n_nodes;
	struct node *root;
	unsigned line;
	char *why;
	size_t cap;
};

void tree_free(struct node **node)
{
	if (!*node)
		return;
	for (size_t i = 0; i < (*node)->n_items; i++)
		tree_free(&(*node)->items[i]);
	free((*node)->items);
	free((*node)->text);
	free(*node);
	*node = NULL;
}

static int refuse(struct builder *b, const char *text)
{
	snprintf(b->why, b->cap, "%s", text);
	return GFS_ERR_CONFIG;
}

/* Takes node, puts it where it belongs: under the innermost open list or map, or at the root. */
static int attach(struct builder *b, struct node *node)
{
	struct node *parent = b->depth ? b->stack[b->depth - 1] : NULL;

	if (!parent) {
		b->root = node;
		return 0;
	}
	if (parent->n_items == parent->cap_items) {
		parent->cap_items = parent->cap_items ? 2 * parent->cap_items : 8;
		parent->items = xreallocarray(parent->items, parent->cap_items, sizeof(*parent->items));
	}
	parent->items[parent->n_items++] = node;
	if (parent->kind == NODE_MAP && parent->n_items % 2 == 1 && node->kind != NODE_SCALAR)
		return refuse(b, "a key must be a plain text");
	return 0;
}

static int add_node(struct builder *b, enum node_kind kind, struct node **out)
{
	struct node *node;

	if (++b->n_nodes > TREE_MAX_NODES)
		return refuse(b, "the file has too many values");
	if (kind != NODE_SCALAR && b->depth == TREE_MAX_DEPTH)
		return refuse(b, "lists and sections are nested too deeply");
	node = xcalloc(1, sizeof(*node));
	node->kind = kind;
	node->line = b->line;
	*out = node;
	return attach(b, node);
}

static int add_scalar(struct builder *b, const yaml_event_t *ev)
{
	const char *text = (const char *)ev->data.scalar.value;
	size_t n = ev->data.scalar.length;
	struct node *node;
	int err = add_node(b, NODE_SCALAR, &node);

	if (err)
		return err;
	if (memchr(text, '\0', n))
		return refuse(b, "a text must not contain a NUL byte");
	node->text = xstrndup(text, n);
	node->text_len = n;
	node->null = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && (n == 0 || strcmp(text, "~") == 0 ||
	             strcasecmp(text, "null") == 0);
	return 0;
}

static int add_event(struct builder *b, const yaml_event_t *ev)
{
	struct node *node;
	int err;

	b->line = (unsigned)ev->start_mark.line + 1;
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return add_scalar(b, ev);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		err = add_node(b, ev->type == YAML_MAPPING_START_EVENT ? NODE_MAP : NODE_LIST, &node);
		if (!err)
			b->stack[b->depth++] = node;
		return err;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	case YAML_ALIAS_EVENT:
		return refuse(b, "aliases (*name) are not supported: write the value out");
	case YAML_DOCUMENT_START_EVENT:
		return b->root ? refuse(b, "a second document (---) is not allowed") : 0;
	default:
		return 0;
	}
}

static int parse_events(struct builder *b)
{
	yaml_event_t ev;
	bool end = false;
	int err = 0;

	while (!err && !end) {
		if (!yaml_parser_parse(&b->parser, &ev)) {
			b->line = (unsigned)(b->parser.problem_mark.line ? b->parser.problem_mark.line : b->parser.context_mark.line) + 1;
			snprintf(b->why, b->cap, "not valid YAML: %s%s%s", b->parser.problem ? b->parser.problem : "cannot be read",
			         b->parser.context ? " " : "", b->parser.context ? b->parser.context : "");
			return GFS_ERR_CONFIG;
		}
		end = ev.type == YAML_STREAM_END_EVENT;
		err = add_event(b, &ev);
		yaml_event_delete(&ev);
	}
	return err;
}

int tree_parse(struct slice yaml, struct node **out, unsigned *line_out, char *why, size_t cap)
{
	struct builder b = {.why = why, .cap = cap, .line = 1};
	int err;

	*out = NULL;
	*line_out = 0;
	if (yaml.n > TREE_MAX_BYTES)
		return refuse(&b, "the file is larger than 4 MiB");
	if (!yaml_parser_initialize(&b.parser))
		return refuse(&b, "out of memory");
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)yaml.p, yaml.n);
	err = parse_events(&b);
	yaml_parser_delete(&b.parser);
	if (err) {
		*line_out = b.line;
		tree_free(&b.root);
		return err;
	}
	if (!b.root || (b.root->kind == NODE_SCALAR && b.root->null)) {
		tree_free(&b.root);
		b.root = xcalloc(1, sizeof(*b.root));
		b.root->kind = NODE_MAP;
		b.root->line = 1;
	}
	*out = b.root;
	return 0;
}
