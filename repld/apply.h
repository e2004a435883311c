/* SPDX-License-Identifier: Apache-2.0 */
/* Brings a decided delete to a site: see tasks.h. */
#ifndef GFS_REPLD_APPLY_H
#define GFS_REPLD_APPLY_H

#include "tasks.h"

void apply_delete(struct task *t);

#endif
