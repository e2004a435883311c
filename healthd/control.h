/* SPDX-License-Identifier: Apache-2.0 */
/* What healthd takes on its socket: SHOW and OUTCOMES. */
#ifndef GFS_HEALTHD_CONTROL_H
#define GFS_HEALTHD_CONTROL_H

#include "common/ipc/channel.h"

extern const struct channel_cbs healthd_control_cbs; /* arg: struct healthd */

#endif
