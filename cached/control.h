/* SPDX-License-Identifier: Apache-2.0 */
/* What cached answers on its socket: SHOW. */
#ifndef GFS_CACHED_CONTROL_H
#define GFS_CACHED_CONTROL_H

#include "common/ipc/channel.h"

extern const struct channel_cbs cached_control_cbs; /* arg: struct cached */

#endif
