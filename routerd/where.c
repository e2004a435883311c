/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a copy is the current version, as people are told: pure, see where.h. */
#include "config.h"

#include "where.h"

#include <string.h>

int where_current(const struct where_known *k, const struct where_copy *c, bool wanted)
{
	bool decided = k->known && !gen_is_none(&k->gen);

	if (k->err || c->present < 0)
		return -1;
	/* All that is known is a write that is not decided. */
	if (k->known && !decided)
		return -1;
	if (decided && k->deleted)
		return c->present == 0 || gen_cmp(&c->gen, &k->gen) > 0;
	if (c->present == 0)
		return wanted ? 0 : -1;
	if (!decided)
		return 1;
	return gen_cmp(&c->gen, &k->gen) >= 0 || (c->etag[0] && strcmp(c->etag, k->etag) == 0);
}
