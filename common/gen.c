/* SPDX-License-Identifier: Apache-2.0 */
/* Generations as text and as the tags that copies carry: pure functions of gen.h. */
#include "config.h"

#include "gen.h"

#include <inttypes.h>
#include <stdio.h>

#include "map.h"

#define DERIVED_PREFIX "ext@"

int gen_cmp(const struct gen *a, const struct gen *b)
{
	if (a->hlc != b->hlc)
		return a->hlc < b->hlc ? -1 : 1;
	return strcmp(a->node, b->node);
}

bool gen_is_none(const struct gen *g)
{
	return g->hlc == 0;
}

bool gen_is_derived(const struct gen *g)
{
	return strncmp(g->node, DERIVED_PREFIX, strlen(DERIVED_PREFIX)) == 0;
}

const char *gen_format(const struct gen *g, char buf[GEN_TEXT_MAX])
{
	if (gen_is_none(g))
		buf[0] = '\0';
	else
		snprintf(buf, GEN_TEXT_MAX, "%016" PRIx64 "-%s", g->hlc, g->node);
	return buf;
}

/* Exactly 16 lower-case digits, so that a generation has one text. */
static bool parse_hex16(const char *p, uint64_t *out)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 16; i++) {
		if (p[i] >= '0' && p[i] <= '9')
			v = v << 4 | (uint64_t)(p[i] - '0');
		else if (p[i] >= 'a' && p[i] <= 'f')
			v = v << 4 | (uint64_t)(p[i] - 'a' + 10);
		else
			return false;
	}
	*out = v;
	return true;
}

int gen_parse(struct slice text, struct gen *out)
{
	struct gen g = {0};
	struct slice node;

	if (text.n < 18 || text.p[16] != '-' || !parse_hex16(text.p, &g.hlc) || g.hlc == 0)
		return GFS_ERR_INVALID;
	node = slice_of(text.p + 17, text.n - 17);
	if (!gen_node_valid(node))
		return GFS_ERR_INVALID;
	memcpy(g.node, node.p, node.n);
	*out = g;
	return 0;
}

struct gen gen_derive(int64_t mtime_ms, const char *site_name)
{
	struct gen g = {0};
	size_t room = GEN_NODE_MAX - strlen(DERIVED_PREFIX), n = strlen(site_name);

	/* hlc 0 means none; what lies outside 48 bits of milliseconds is cut to the nearest end. */
	if (mtime_ms < 1)
		mtime_ms = 1;
	if (mtime_ms > (INT64_C(1) << 48) - 1)
		mtime_ms = (INT64_C(1) << 48) - 1;
	g.hlc = (uint64_t)mtime_ms << 16;
	/* A name too long to fit keeps a hash of itself, so that two sites never share a node. */
	if (n <= room)
		snprintf(g.node, sizeof(g.node), DERIVED_PREFIX "%s", site_name);
	else
		snprintf(g.node, sizeof(g.node), DERIVED_PREFIX "%.*s-%08" PRIx32, (int)room - 9, site_name,
		         (uint32_t)hash64(site_name, n));
	return g;
}

bool gen_node_valid(struct slice node)
{
	size_t i;

	for (i = 0; i < node.n; i++) {
		char c = node.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("._@-", c))))
			return false;
	}
	return node.n >= 1 && node.n <= GEN_NODE_MAX;
}

const char *gen_tag_format(const struct gen *g, struct slice key, uint64_t part_size, char buf[GEN_TAG_MAX])
{
	char text[GEN_TEXT_MAX];

	snprintf(buf, GEN_TAG_MAX, "%s:%016" PRIx64 ":%" PRIu64, gen_format(g, text), hash64(key.p, key.n), part_size);
	return buf;
}

static bool parse_decimal(struct slice s, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (s.n < 1 || s.n > 19 || (s.n > 1 && s.p[0] == '0'))
		return false;
	for (i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	*out = v;
	return true;
}

int gen_tag_parse(struct slice tag, struct slice key, struct gen *gen_out, uint64_t *part_size_out)
{
	const char *colon = tag.n ? memchr(tag.p, ':', tag.n) : NULL;
	uint64_t bound, part_size;
	struct slice rest;
	struct gen g;

	if (!colon || gen_parse(slice_of(tag.p, (size_t)(colon - tag.p)), &g))
		return GFS_ERR_INVALID;
	rest = slice_of(colon + 1, tag.n - (size_t)(colon + 1 - tag.p));
	if (rest.n < 18 || rest.p[16] != ':' || !parse_hex16(rest.p, &bound) || bound != hash64(key.p, key.n))
		return GFS_ERR_INVALID;
	if (!parse_decimal(slice_of(rest.p + 17, rest.n - 17), &part_size))
		return GFS_ERR_INVALID;
	*gen_out = g;
	*part_size_out = part_size;
	return 0;
}
