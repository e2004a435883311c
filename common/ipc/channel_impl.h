/* SPDX-License-Identifier: Apache-2.0 */
/* What listen.c and show.c need of a channel beyond channel.h; for common/ipc only. */
#ifndef GFS_CHANNEL_IMPL_H
#define GFS_CHANNEL_IMPL_H

#include "channel.h"

/* The channel belongs to a listener: after `closed` it destroys itself; gone runs once, when it is destroyed by whomever. */
void channel_set_owner(struct channel *ch, void (*gone)(void *owner), void *owner);
void *channel_owner(const struct channel *ch);
/* Right after creation: this is a channel of the read-only socket. */
void channel_set_monitor(struct channel *ch);

/* The answer to SHOW that is being read in pieces. */
struct channel_show {
	struct strbuf json;
	uint64_t what_hash;
};
struct channel_show *channel_show(struct channel *ch);

#endif
