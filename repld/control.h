/* SPDX-License-Identifier: Apache-2.0 */
/* `gfsctl repl show`: the summary, and the topics "queue" and "parked". */
#ifndef GFS_REPLD_CONTROL_H
#define GFS_REPLD_CONTROL_H

#include "peers.h"

void control_show(struct repld *r, struct peer *p, const struct msg *m);

#endif
