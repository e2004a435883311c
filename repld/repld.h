/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment of repld: one struct, passed to everything, never global. repld_create() makes a whole one on any event loop
 * (tests make several); main.c and service.c wrap it in a process.
 */
#ifndef GFS_REPLD_H
#define GFS_REPLD_H

#include "clock.h"
#include "common/board/keys_board.h"
#include "common/board/sites_board.h"
#include "common/conf/conf.h"
#include "common/site.h"
#include "common/site_watchers.h"
#include "common/sites.h"
#include "common/stats.h"

struct copies;
struct curl_loop;
struct event;
struct event_base;
struct journal;
struct keys;
struct healthd_client;
struct listen_sock;
struct peers;
struct pool;
struct queue;
struct resolver;
struct slots;
struct tasks;
struct writes;

/* Opens a site: site_open(), or a test's. */
typedef int repld_open_site(const struct site_env *env, const struct site_conf *conf, struct site **out, char *why, size_t cap);

struct repld_params {
	struct event_base *base;
	const struct conf *conf;     /* borrowed for its life */
	repld_open_site *open_site;  /* NULL: site_open() */
	int64_t grace_ms;            /* after a start: how long guards wait for announcements; 0 = 30 s; none with a new journal */
};

struct repld {
	const struct conf *conf;
	struct event_base *base;
	repld_open_site *open_site;
	struct site_watchers watchers; /* the observer of site_env */
	struct site_env site_env;
	struct pool *pool;
	struct curl_loop *curl;
	uint64_t spool_used;
	char namespace_id[37];
	struct sites_board sites_board;
	struct keys_board keys_board;
	struct stats *stats;
	struct journal *journal;     /* NULL or damaged: writes are refused, refusal says why */
	char refusal[320];
	struct gen_clock clock;
	struct slots *slots;
	struct keys *keys;
	struct writes *writes;
	struct resolver *resolver;
	struct queue *queue;
	struct tasks *tasks;
	struct copies *copies;       /* the last ones */
	struct peers *peers;
	struct listen_sock *listen;
	struct healthd_client *healthd; /* hears what the watchers see */
	struct event *tick_ev, *slots_ev;
	int lock_fd;                 /* state_dir/repld.lock */
	int64_t started_ms;          /* monotonic */
	int64_t grace_ms, ticked_ms;
	bool first_start;            /* with a new journal */
	uint64_t proofs[3];          /* copies by proof grade: hash, etag, size */
	size_t replicating;          /* REPLICATEs that ask their source */
	uint64_t superseded, withdrawn, rolled_forward, conflicts;
};

/* 0; GFS_ERR_LOCKED when another repld has the state directory; GFS_ERR_IO. Logged. A journal that cannot be used is not an
 * error: repld then answers every write with the reason. */
int repld_create(const struct repld_params *params, struct repld **out) GFS_MUST_USE;
/* Binds run_dir/repld.sock. */
int repld_listen(struct repld *r) GFS_MUST_USE;
/* Starts no new work and stops what can be stopped. True when nothing is left that must end by itself. */
bool repld_quiesce(struct repld *r);
void repld_set_sites(struct repld *r, const struct site_table *table);
void repld_destroy(struct repld **r);

/* NULL when writes are possible, else the sentence that refuses them. */
const char *repld_refusal(const struct repld *r);
/* The sentence for a write that the journal did not take. */
const char *repld_unwritten(const struct repld *r);
/* Workers may still announce writes that were open before this start. */
bool repld_in_grace(const struct repld *r);
/* What an earlier repld sent to a site and did not see the end of may still take effect. */
bool repld_acts_before(const struct repld *r);

#endif
