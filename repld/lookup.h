/* SPDX-License-Identifier: Apache-2.0 */
/* LOOKUP, LOOKUP_MANY: which sites are current for a key. REPLICATE: a copy that somebody asks for by hand. */
#ifndef GFS_REPLD_LOOKUP_H
#define GFS_REPLD_LOOKUP_H

#include "peers.h"

void lookup_answer(struct repld *r, const struct peer *p, uint64_t call, struct slice key);
/* keys: checked. */
void lookup_answer_many(struct repld *r, const struct peer *p, uint64_t call, const struct msg_strs *keys);
void replicate_start(struct repld *r, const struct peer *p, uint64_t call, const struct msg_replicate *m);

#endif
