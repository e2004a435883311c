/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's side of the write protocol with repld (architecture 5); the only code that builds these messages.
 *
 *   begin -> (stream the body, acts held back) -> finalise -> (complete at each site) -> commit
 *                                    or abandon -^
 *
 * The client keeps every open write and announces it again after a reconnect; a COMMIT is kept and sent again until repld has
 * answered it. A BEGIN or FINALISE lost with its channel is asked again within its deadline (6 s for FINALISE, so that repld's
 * own BUSY after 5 s comes first). With repld away every call waits up to 5 s, then ends with GFS_ERR_UNAVAILABLE.
 *
 * What repld sees: after a reconnect, first an ANNOUNCE for every write that has a generation and is not committed (granted true
 * only after GRANTED; size 0 and no sites when it was not finalised yet) and the unanswered COMMITs, then the calls that waited,
 * a FINALISE again among them. An abandoned write is told by ABANDON while it cannot have been granted; one whose FINALISE was
 * granted or got no answer, by a COMMIT in which every outcome is SITE_FAILED, perhaps for a FINALISE that repld never saw.
 */
#ifndef GFS_REPLD_CLIENT_H
#define GFS_REPLD_CLIENT_H

#include "../conf/conf.h"
#include "../gen.h"
#include "../site.h"

struct event_base;
struct repld_client;
struct repld_write; /* one open write, from begin to commit or abandon */

struct repld_client *repld_client_create(struct event_base *base, const char *run_dir);
/* Every handle is gone with it, without callbacks. */
void repld_client_destroy(struct repld_client **c);
bool repld_client_is_up(const struct repld_client *c);
size_t repld_client_open_writes(const struct repld_client *c); /* begun, or committed and not yet answered */

/* cb: err 0 with the generation; text: what repld itself said to an error, "" when it said nothing. The handle is returned at
 * once; repld_write_abandon() before cb cancels cb. */
typedef void repld_begin_cb(void *arg, int err, const struct gen *gen, const char *text);
struct repld_write *repld_begin(struct repld_client *c, struct slice key, enum op_kind op, const char *request_id,
                                repld_begin_cb *cb, void *arg);
void repld_write_abandon(struct repld_write **w);

struct repld_version {
	uint64_t size;
	char etag[ETAG_MAX];
	uint64_t part_size;
	bool has_crc64;
	uint64_t crc64;
	const uint64_t *sync_sites;
	size_t n_sync;
	const uint64_t *async_sites;
	size_t n_async;
	unsigned write_min;
	bool conditional;
};

/* cb: 0 = granted; GFS_ERR_SUPERSEDED, GFS_ERR_PRECONDITION, GFS_ERR_BUSY, GFS_ERR_UNAVAILABLE. After an error the write is to
 * be abandoned. v is copied. */
typedef void repld_finalise_cb(void *arg, int err, const char *text);
void repld_finalise(struct repld_write *w, const struct repld_version *v, repld_finalise_cb *cb, void *arg);
/* Only after granted. outcomes: one per sync site, in their order. Takes the handle; delivery is the client's business. cb, which
 * may be NULL, runs once from the loop: 0 when repld knows the outcomes, an error when that cannot be told yet. A write that is not
 * done at every sync site waits for it before its answer: until then readers take a sync site for current. */
typedef void repld_commit_cb(void *arg, int err);
void repld_commit(struct repld_write **w, const enum site_outcome *outcomes, bool acknowledged, repld_commit_cb *cb, void *arg);

struct repld_location {
	bool known;          /* false: every site is current */
	struct gen gen;      /* decided; none when all that is known is a write that is not decided */
	bool deleted, decided;
	struct gen pending;  /* of the write that is not decided; none when decided */
	char etag[ETAG_MAX];
	uint64_t size;
	const uint64_t *stale_sites; /* borrowed until the callback returns */
	size_t n_stale;
};
typedef void repld_lookup_cb(void *arg, int err, const struct repld_location *loc);
/* Both return an id for repld_lookup_cancel(). deadline 1 s. */
uint64_t repld_lookup(struct repld_client *c, struct slice key, repld_lookup_cb *cb, void *arg);
/* The same for 1 to REPLD_LOOKUP_MANY keys at once, of at most REPLD_LOOKUP_MANY_BYTES together, copied; pending is not told. v has
 * the answers for the first n of them, n >= 1 unless err: the others are to be asked for again. */
#define REPLD_LOOKUP_MANY 256
#define REPLD_LOOKUP_MANY_BYTES (32u << 10)
typedef void repld_lookup_many_cb(void *arg, int err, const struct repld_location *v, size_t n);
uint64_t repld_lookup_many(struct repld_client *c, const struct slice *keys, size_t n, repld_lookup_many_cb *cb, void *arg);
void repld_lookup_cancel(struct repld_client *c, uint64_t id);

typedef void repld_replicate_cb(void *arg, int err, const char *text);
uint64_t repld_replicate(struct repld_client *c, struct slice key, uint32_t from, uint32_t to, repld_replicate_cb *cb, void *arg);
void repld_replicate_cancel(struct repld_client *c, uint64_t id);

#endif
