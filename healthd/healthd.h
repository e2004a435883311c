/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of healthd: passed to every callback, never global. */
#ifndef GFS_HEALTHD_H
#define GFS_HEALTHD_H

#include "breaker.h"
#include "common/board/sites_board.h"
#include "common/proc.h"
#include "common/site.h"
#include "common/site_watchers.h"
#include "common/stats.h"
#include "nearest.h"

struct event;
struct listen_sock;
struct curl_loop;
struct pool;
struct watch;

struct healthd {
	struct proc *proc;
	struct curl_loop *curl;
	struct pool *pool;
	struct stats *stats;
	struct site_watchers watchers; /* the observer of env: probes are counted, too */
	struct site_env env;
	uint64_t spool_used;
	struct sites_board board;
	struct listen_sock *listen;
	struct watch **watches; /* one per site of the table, in its order */
	size_t n_watches;
	int64_t interval_ms, timeout_ms;
	struct breaker_conf breaker;
	struct nearest nearest;
	uint64_t batches;       /* of outcomes that came */
	struct event *beat, *round;
};

#endif
