/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment of one worker process: passed to every callback, never global.
 */
#ifndef GFS_WORKER_H
#define GFS_WORKER_H

#include "common/board/keys_board.h"
#include "common/board/sites_board.h"
#include "common/log.h"
#include "common/proc.h"
#include "common/site.h"
#include "common/site_watchers.h"
#include "common/stats.h"
#include "common/stubs/healthd_client.h"
#include "common/stubs/repld_client.h"

#include "patience.h"

struct conn_list;

/* An open site of the current table; kept while operations run on it after it left the table. */
struct worker_site {
	struct site *site;
	const struct site_conf *conf; /* of the table in use */
	struct log_limit read_faults, put_faults;
};

struct worker {
	struct proc *proc;
	const struct conf *conf;
	struct event_base *base;
	struct pool *pool;
	struct curl_loop *curl;
	struct site_watchers watchers; /* the observer of site_env */
	struct site_env site_env;
	struct worker_site *sites; /* in the order of the table */
	size_t n_sites;
	struct sites_board sites_board;
	struct keys_board keys_board;
	struct stats *stats;
	struct repld_client *repld;
	struct healthd_client *healthd; /* hears what the watchers see */
	struct conn_list *conns;
	const char *api_key;       /* NULL: no authentication */
	int64_t started_ms;        /* of the suite; real time */
	uint64_t spool_used;
	struct hedge_budget hedges;
	bool draining;
};

int worker_main(int argc, char **argv); /* `routerd --worker N` */
struct site *worker_site_by_id(const struct worker *w, uint32_t id);
/* What a site does wrong under load is logged, but not each time: true when it is this time, with the line's last field in more. */
#define WORKER_LOG_MORE 32
enum worker_log { WORKER_LOG_READ_FAULT, WORKER_LOG_PUT_FAULT };
bool worker_may_log(struct worker *w, uint32_t site_id, enum worker_log what, char more[WORKER_LOG_MORE]);
/* Front door of a listener: called by conn.c with each complete head. */
struct request;
void rest_api_handle(struct request *req);
void metrics_handle(struct request *req); /* once it is authorised */
void metrics_door(struct request *req);   /* the listener of metrics_port */

#endif
