/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last copies that repld brought to a site, for gfsctl repl show copies: what was sent, its checksum over the bytes as they
 * passed, and how it was proved that the site holds the version. A ring in memory: a journal row ends with its copy.
 */
#ifndef GFS_REPLD_COPIES_H
#define GFS_REPLD_COPIES_H

#include "common/strbuf.h"
#include "transfer.h"

#define COPIES_KEPT 100

struct copies *copies_create(void);
void copies_destroy(struct copies **copies);
/* key, v and end are copied. */
void copies_add(struct repld *r, struct slice key, const struct version *v, uint32_t site, const struct transfer_end *end);
void copies_print(struct repld *r, struct strbuf *out); /* JSON, the newest first */

#endif
