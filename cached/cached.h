/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of cached: passed to every callback, never global. */
#ifndef GFS_CACHED_H
#define GFS_CACHED_H

#include "common/proc.h"

struct listen_sock;

struct cached {
	struct proc *proc;
	struct listen_sock *listen;
};

#endif
