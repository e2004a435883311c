/* SPDX-License-Identifier: Apache-2.0 */
/* The messages that repld accepts. */
#ifndef GFS_REPLD_HANDLERS_H
#define GFS_REPLD_HANDLERS_H

#include "common/ipc/channel.h"

/* For listen_create() or channel_create(), with the struct repld as arg. */
extern const struct channel_cbs handlers_cbs;

#endif
