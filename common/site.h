/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of a storage site (architecture 3). One file per kind implements it (site_file.c, site_s3.c); wrappers
 * (site_fault.c ...) implement the same. Everything is asynchronous on one event loop; nothing here blocks it.
 *
 * Rules that hold for every operation:
 *  - It ends exactly once, through its done callback, as DONE, FAILED (it did not and will not take effect) or UNKNOWN (a
 *    mutation that may or may not have taken effect: connection lost or deadline passed after the completing act began).
 *    Reads never end UNKNOWN.
 *  - done may be called before the function that started it returns only for site_get() of a file that is in memory; all
 *    other operations call back from the event loop later. After done the handle is gone.
 *  - site_*_cancel/abort: no callback follows, the handle is gone at once; the site cleans up by itself. Not allowed on a
 *    mutation whose completing act has begun (site_put after site_put_complete(), site_delete()): those always run to their end.
 *  - Strings and slices passed in are copied when needed later, except the buffer of site_put_write().
 *  - At most one mutation may be in flight per (key, site): callers guarantee it (key slots of repld).
 *  - Keys are checked with key_check(); the reserved ".globalfs/" is reached only through probe, claim and, with
 *    SITE_RESERVED in flags, by our own daemons.
 */
#ifndef GFS_SITE_H
#define GFS_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "object.h"
#include "slice.h"

struct event_base;
struct curl_loop;
struct pool;
struct site_conf;
struct site;

enum site_outcome { SITE_DONE, SITE_FAILED, SITE_UNKNOWN };

struct site_result {
	enum site_outcome outcome;
	int err;                     /* GFS_OK when DONE, else the cause: GFS_ERR_NO_SUCH_KEY is an answer, not a fault */
	int http_status;             /* of an S3 site, 0 when there was none */
	unsigned retry_after_s;      /* the site's Retry-After, 0 when none */
	bool connected;              /* false: the site was not reached at all */
	bool repeated;               /* a mutation that was sent again because its connection was lost: what was sent first may
	                              * still take effect, over anything that comes later */
	const char *reason;          /* a sentence for people, borrowed until the callback returns, never NULL ("" when DONE) */
};

/* True when a failure says that the site is ill (connection, timeout, 5xx, marker), not that the request was wrong or that
 * the key is not there. Drives fall-back, outcomes for healthd and circuit breakers. */
bool site_result_is_fault(const struct site_result *r);

/* ---- who counts ---- */
enum site_op_kind { SITE_OP_GET, SITE_OP_HEAD, SITE_OP_LIST, SITE_OP_PUT, SITE_OP_DELETE, SITE_OP_PROBE, SITE_OP_KINDS };

/* What an operation was, told once, when it has ended. */
struct site_event {
	enum site_op_kind op;
	const struct site_result *result; /* NULL: the caller cancelled or aborted it, which says nothing about the site. One that
	                                   * the caller gave up because it took too long (expire) has GFS_ERR_TIMEOUT */
	int64_t first_us; /* until the head of a get or the answer to a head, list or probe (that there is no such key is one); -1:
	                   * none came, as always for put and delete */
	int64_t took_us;  /* until the end */
	uint64_t bytes_read, bytes_written; /* of objects */
};

/* Called just before the operation's own callback, or from inside the call that cancels. It must not call the site. */
struct site_observer {
	void (*ended)(void *arg, const struct site *site, const struct site_event *e);
	void *arg;
};

/* What a site needs from its process. One per process, borrowed by every site. */
struct site_env {
	struct event_base *base;
	struct curl_loop *curl;
	struct pool *pool;            /* blocking disk work and hashing */
	const char *namespace_id;     /* 36-byte UUID text, compared with the marker */
	const char *spool_dir;        /* unlinked spool files for uploads of unknown length */
	uint64_t spool_max_bytes;     /* over all sites of the process; full = GFS_ERR_BUSY */
	uint64_t *spool_used;         /* the process's count */
	bool skip_marker;             /* unit tests only */
	const struct site_observer *observer; /* or NULL; told of every operation but claims */
};

/* conf is borrowed for the site's life. Returns 0, or an error with a sentence in why (cap bytes). Does not touch the
 * network or the disk: a site that is away opens all the same. */
int site_open(const struct site_env *env, const struct site_conf *conf, struct site **site_out, char *why, size_t cap) GFS_MUST_USE;
/* Takes effect when the last operation has ended; *site is nulled at once. */
void site_close(struct site **site);
/* Whether anything is open there, also what goes on in the background, such as the Abort of an upload. */
bool site_busy(const struct site *site);
const struct site_conf *site_conf_of(const struct site *site);
uint32_t site_id(const struct site *site);
const char *site_name(const struct site *site);

/* Flags of requests */
#define SITE_TAKE_FD   1u /* get: the caller can send from a descriptor */
#define SITE_RESERVED  2u /* the key may lie under .globalfs/ */

/* ---- get ---- */
enum range_kind { RANGE_ALL, RANGE_FROM /* off to the end */, RANGE_SPAN /* off, len */, RANGE_SUFFIX /* last len bytes */ };

struct site_get_req {
	struct slice key;
	enum range_kind range;
	uint64_t off, len;
	const char *if_match; /* ETag without quotes: any other version ends with GFS_ERR_PRECONDITION; NULL: any */
	unsigned flags;
};

struct site_get_cbs {
	/* Once, before any data. The bytes that follow are [off, off+len) of an object of info->size. fd >= 0 only with
	 * SITE_TAKE_FD: the callee owns it, the bytes are at the same offset in it, no data() follows, and done() comes next.
	 * When size is exceeded by the range: no head; done with GFS_ERR_RANGE, and info->size in range_size(). */
	void (*head)(void *arg, const struct object_info *info, uint64_t off, uint64_t len, int fd);
	/* Bytes in order, borrowed. Always taken whole. Return false to pause: no more data until site_get_resume(). */
	bool (*data)(void *arg, const void *p, size_t n);
	/* DONE only when exactly len bytes were delivered. object_size: of the object when known (GFS_ERR_RANGE), else 0. */
	void (*done)(void *arg, const struct site_result *r, uint64_t object_size);
};

struct site_get;
/* Returns the handle, or NULL when done was already called. */
struct site_get *site_get(struct site *site, const struct site_get_req *req, const struct site_get_cbs *cbs, void *arg);
void site_get_resume(struct site_get *op);
void site_get_cancel(struct site_get **op);
void site_get_expire(struct site_get **op); /* as cancel, because the site took too long: observed as its time-out */

/* ---- head, list ---- */
struct site_op; /* a handle of the operations that are not streams */

typedef void site_head_cb(void *arg, const struct site_result *r, const struct object_info *info /* NULL unless DONE */);
struct site_op *site_head(struct site *site, struct slice key, unsigned flags, site_head_cb *cb, void *arg);

struct site_list_req {
	struct slice prefix;      /* may be empty */
	struct slice start_after; /* keys greater than this only; may be empty */
	unsigned limit;           /* 1 to 1000 */
	/* Or empty. Keys that have it behind the prefix form a group: all that are equal up to the end of its first occurrence. A
	 * site may tell one entry of each and skip the others without reading them, or all. When start_after lies in a group, nothing
	 * of that group need be told. */
	struct slice delimiter;
};

enum site_list_tag { SITE_LIST_TAG_UNTOLD, SITE_LIST_UNTAGGED /* put there behind our back */, SITE_LIST_TAGGED };

struct site_list_entry {
	struct slice key; /* our key, the site's prefix taken off; never under .globalfs/ */
	bool group;       /* key is not one but the beginning of a group, delimiter included: nothing else is told */
	enum site_list_tag tag; /* what the list of this site tells of the generation that the copy carries */
	uint64_t size;
	int64_t mtime_ms;
	char etag[ETAG_MAX]; /* "" when a list of this site does not tell it */
	struct gen gen;      /* when tagged */
};

/* Entries in byte order of keys, borrowed. more: the page is not the last (it may then be short, even empty; go on after
 * next_after, which is borrowed and is the last key, or lies in the last group, when any was given). */
typedef void site_list_cb(void *arg, const struct site_result *r, const struct site_list_entry *v, size_t n, bool more,
                          struct slice next_after);
struct site_op *site_list(struct site *site, const struct site_list_req *req, site_list_cb *cb, void *arg);
/* The group that key falls in, or {NULL, 0}: pure, for sites and who merges their lists. */
struct slice site_list_group(struct slice key, struct slice prefix, struct slice delimiter);
/* Behind every key of a group, and valid UTF-8 when the group is. */
#define SITE_LIST_BEHIND "\xf4\x8f\xbf\xbf"
void site_op_cancel(struct site_op **op); /* head, list, probe */
void site_op_expire(struct site_op **op); /* as cancel, because the site took too long: observed as its time-out */

/* ---- put: streamed, with the completing act held back ----
 *
 *   site_put() -> ready -> write, ready, write, ready ... -> site_put_end() -> prepared -> site_put_complete() -> done
 *
 * The completing act is the one step that makes the new version visible: the last body byte of a plain S3 PUT, Complete of
 * a multipart upload, the rename on a file site. Before it every failure is FAILED and leaves nothing behind.
 */
struct site_put_req {
	struct slice key;
	int64_t size;        /* exact, or -1 when unknown: then an S3 site sends parts through a spool file */
	uint64_t part_size;  /* layout of the version: more than part_size bytes = a multipart upload of fixed parts */
	struct gen gen;      /* stored with the copy, see gen_tag_format() */
	const char *content_type;  /* or NULL */
	const struct meta *meta;   /* or NULL */
	unsigned flags;
};

struct site_put_cbs {
	/* The first write is welcome, or the buffer of the last write is no longer needed. */
	void (*ready)(void *arg);
	/* After site_put_end(): everything but the completing act is done. */
	void (*prepared)(void *arg);
	/* The end, from any state. etag: what the site itself says it stored, "" when it does not say. */
	void (*done)(void *arg, const struct site_result *r, const char *etag);
};

struct site_put;
struct site_put *site_put(struct site *site, const struct site_put_req *req, const struct site_put_cbs *cbs, void *arg);
/* One write at a time, only after ready. p is borrowed until the next ready or done. n >= 1. */
void site_put_write(struct site_put *op, const void *p, size_t n);
/* After the last ready. With a known size the bytes written must add up to it, else done FAILED GFS_ERR_INVALID. */
void site_put_end(struct site_put *op);
/* After prepared. The caller's ETag and checksum of the body: a file site stores them; an S3 site compares the ETag with what
 * the store answered, a difference being FAILED GFS_ERR_SITE_CORRUPT (with UNKNOWN outcome: the object is there). */
void site_put_complete(struct site_put *op, const char *etag, bool has_crc64, uint64_t crc64);
/* Any time before site_put_complete(). */
void site_put_abort(struct site_put **op);

/* ---- delete ---- */
/* An absent key is DONE. */
typedef void site_done_cb(void *arg, const struct site_result *r);
void site_delete(struct site *site, struct slice key, unsigned flags, site_done_cb *cb, void *arg);

/* ---- probe and claim ---- */
/* Checks that the site answers and holds our marker ".globalfs/site" (namespace id and site id): FAILED with
 * GFS_ERR_SITE_MARKER when absent, GFS_ERR_SITE_FOREIGN when another's, GFS_ERR_SITE_DOWN when a directory site's directory is
 * not there. latency_us: of the check. */
typedef void site_probe_cb(void *arg, const struct site_result *r, int64_t latency_us);
struct site_op *site_probe(struct site *site, site_probe_cb *cb, void *arg);
/* Writes the marker of a site in its first use. FAILED with GFS_ERR_SITE_FOREIGN when another's is there; DONE when ours is. */
void site_claim(struct site *site, site_done_cb *cb, void *arg);

#endif
