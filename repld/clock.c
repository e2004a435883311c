/* SPDX-License-Identifier: Apache-2.0 */
/* The hybrid logical clock behind every generation: see clock.h. Pure; repld.c writes the reservations. */
#include "config.h"

#include "clock.h"

#include <stdio.h>
#include <string.h>

static uint64_t hlc_of_ms(int64_t ms)
{
	return ms > 0 ? (uint64_t)ms << 16 : 0;
}

void gen_clock_init(struct gen_clock *c, const char *node, uint64_t reserved)
{
	memset(c, 0, sizeof(*c));
	snprintf(c->node, sizeof(c->node), "%s", node);
	/* Anything below the old reservation may have been handed out before a crash. */
	c->last = reserved;
	c->reserved = reserved;
}

static uint64_t clock_peek(const struct gen_clock *c, int64_t now_ms)
{
	uint64_t now = hlc_of_ms(now_ms);

	return now > c->last ? now : c->last + 1;
}

bool gen_clock_ready(const struct gen_clock *c, int64_t now_ms)
{
	return clock_peek(c, now_ms) < c->reserved;
}

int gen_clock_next(struct gen_clock *c, int64_t now_ms, struct gen *out)
{
	uint64_t next = clock_peek(c, now_ms);

	if (next >= c->reserved)
		return GFS_ERR_BUSY;
	c->last = next;
	memset(out, 0, sizeof(*out));
	out->hlc = next;
	memcpy(out->node, c->node, sizeof(out->node));
	return GFS_OK;
}

bool gen_clock_extend(struct gen_clock *c, int64_t now_ms, uint64_t *reserve_out)
{
	uint64_t now = hlc_of_ms(now_ms);
	uint64_t from = now > c->last ? now : c->last;

	if (c->asked || c->reserved > from + hlc_of_ms(GEN_CLOCK_AHEAD_MS / 2))
		return false;
	c->asked = from + hlc_of_ms(GEN_CLOCK_AHEAD_MS);
	*reserve_out = c->asked;
	return true;
}

void gen_clock_reserved(struct gen_clock *c, uint64_t reserved, bool written)
{
	c->asked = 0;
	if (written && reserved > c->reserved)
		c->reserved = reserved;
}

bool gen_clock_observe(struct gen_clock *c, const struct gen *g, int64_t now_ms)
{
	if (gen_ms(g) > now_ms + GEN_CLOCK_FOREIGN_MS)
		return false;
	if (g->hlc > c->last)
		c->last = g->hlc;
	return true;
}
