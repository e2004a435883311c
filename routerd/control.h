/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's socket: site tables to whoever needs them, changes of the registry, READY, and SHOW for operators.
 */
#ifndef GFS_ROUTERD_CONTROL_H
#define GFS_ROUTERD_CONTROL_H

#include "common/error.h"

struct control;
struct supervisor;

/* Opens run_dir/routerd.sock. 0, GFS_ERR_LOCKED, GFS_ERR_IO (logged). */
int control_create(struct supervisor *sup, struct control **out) GFS_MUST_USE;
void control_destroy(struct control **c);
/* Sends the table of the current epoch to every peer that has an older one. */
void control_send_tables(struct control *c);

#endif
