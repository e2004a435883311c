/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libglobalfs: the HTTP API of GlobalFS for C programs. See libglobalfs(3).
 *
 * A handle is one connection, used by one thread at a time; threads that work at once have one each. Every call blocks until it
 * is done, and returns 0 or a negative enum globalfs_code; globalfs_error() has the rest: HTTP status, sentence, request id, and
 * for how long the server asks to wait. The library never prints, never ends the process and installs no signal handler.
 *
 * Texts are NUL-terminated UTF-8. What a call hands out through a const pointer belongs to the handle and lives until the next
 * call on it (any that is not an accessor of the last answer); what it hands out through a pointer that is not const is the
 * caller's and ends with globalfs_free(). Texts in structures are never NULL: "" is "not told". Numbers not told are -1.
 * A call from within a callback on the same handle is refused with GLOBALFS_ERR_USAGE; the handle must not be closed there.
 */
#ifndef GLOBALFS_H
#define GLOBALFS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define GLOBALFS_CHECK __attribute__((warn_unused_result))
#else
#define GLOBALFS_CHECK
#endif

enum globalfs_code {
	GLOBALFS_OK = 0,
	GLOBALFS_ERR_STATUS = -1,    /* the server refused or failed: see status and message */
	GLOBALFS_ERR_CONNECT = -2,   /* no connection: nothing was sent */
	GLOBALFS_ERR_IO = -3,        /* the connection was lost on the way; a change may have taken effect */
	GLOBALFS_ERR_TIMEOUT = -4,   /* no answer, or no progress, in time; a change may have taken effect */
	GLOBALFS_ERR_CANCELLED = -5, /* a callback asked to stop */
	GLOBALFS_ERR_PROTOCOL = -6,  /* the answer is not one of GlobalFS */
	GLOBALFS_ERR_USAGE = -7,     /* an argument makes no sense: nothing was sent */
	GLOBALFS_ERR_TOO_LARGE = -8, /* the answer is larger than allowed */
	GLOBALFS_ERR_NOMEM = -9      /* out of memory */
};

struct globalfs; /* a handle */

struct globalfs_error {
	int code;               /* enum globalfs_code, what the call returned */
	long status;            /* HTTP status of the answer, 0 when none came; set after success too */
	const char *message;    /* one sentence, without a line break */
	const char *request_id; /* for the server's log */
	long retry_after_s;     /* seconds to wait before trying again, -1 */
};

struct globalfs_pair {
	const char *name, *value;
};

/* ---- the handle ---- */

/* url: "http://host:port", "https://..." or "host:port". GLOBALFS_ERR_USAGE: it is no such address; GLOBALFS_ERR_NOMEM. Nothing
 * is sent yet. On failure *out is NULL. The caller closes it. */
int globalfs_open(const char *url, struct globalfs **out) GLOBALFS_CHECK;
void globalfs_close(struct globalfs **h); /* takes NULL and a pointer to NULL; leaves NULL */

/* Settings copy their text; NULL takes one back. GLOBALFS_ERR_USAGE: the text cannot be sent. */
int globalfs_set_api_key(struct globalfs *h, const char *key) GLOBALFS_CHECK;
int globalfs_set_user_agent(struct globalfs *h, const char *text) GLOBALFS_CHECK; /* default: libglobalfs/VERSION */
/* PEM file of the authorities that a https server's certificate may come from. Default: the system's. */
int globalfs_set_ca_file(struct globalfs *h, const char *path) GLOBALFS_CHECK;
/* Longest duration of a call that moves no object and lists none. Default 30,000 ms; 0: no limit. */
void globalfs_set_timeout_ms(struct globalfs *h, long ms);
/* Longest time without a byte in a transfer or a list, which may last as long as they need. Default 300,000 ms, counted in whole
 * seconds; 0: no limit. */
void globalfs_set_stall_ms(struct globalfs *h, long ms);
/* Called now and then, and at least every second, during every call, with the bytes of bodies so far; not 0 ends the call with
 * GLOBALFS_ERR_CANCELLED. NULL: none. */
typedef int globalfs_progress_cb(void *arg, int64_t received, int64_t sent);
void globalfs_set_progress(struct globalfs *h, globalfs_progress_cb *progress, void *arg);

/* ---- the last call ---- */

const struct globalfs_error *globalfs_error(const struct globalfs *h); /* never NULL */
const char *globalfs_url(const struct globalfs *h);
/* A header field of the last answer, any case; NULL when absent. */
const char *globalfs_header(const struct globalfs *h, const char *name);
/* The last answer as it came, NUL-terminated, *size_out (may be NULL) bytes; "" for objects and lists, which are not kept. */
const char *globalfs_body(const struct globalfs *h, size_t *size_out);
const char *globalfs_code_text(int code); /* "connection lost"; not NULL for any code */
const char *globalfs_version(void);       /* of the library */
void globalfs_free(void *p);
/* Seconds since 1970 of "2026-11-21T10:00:00Z"; -1 for anything else. */
int64_t globalfs_time(const char *rfc3339);

/* ---- objects ---- */

struct globalfs_object {
	const char *key;
	int64_t size;        /* of the whole object */
	int64_t range_first; /* what the answer carries: first byte ... */
	int64_t range_size;  /* ... and how many */
	int is_range;        /* 0: the whole object, even if a range was asked for */
	int is_stale;        /* an older version than the newest one known: no current copy could be reached */
	int is_unverified;   /* it could not be asked whether this is the newest version */
	const char *etag;    /* without quotes */
	const char *last_modified; /* RFC 3339, UTC */
	const char *content_type, *checksum, *generation;
	const char *site;    /* that it was read from */
	const struct globalfs_pair *metadata; /* names in lower case */
	size_t n_metadata;
};

struct globalfs_get_options { /* {0}: the whole object */
	const char *range;         /* "0-99", "100-", "-5": bytes, counted from 0, both ends included; NULL: all */
	const char *if_match;      /* ETag, with or without quotes, or "*": else status 412 */
	const char *if_none_match; /* else status 304 */
	int current;               /* 1: status 503 rather than bytes that may be old */
	void *reserved[4];         /* NULL */
};

/* Takes bytes of an object, in order; object describes the answer. Not 0 ends the call with GLOBALFS_ERR_CANCELLED. Never called
 * for answers other than 200 and 206. */
typedef int globalfs_sink_cb(void *arg, const struct globalfs_object *object, const void *data, size_t size);
/* options and object_out may be NULL. *object_out describes the answer, as far as it came, whatever the status; NULL when none
 * did. To go on after GLOBALFS_ERR_IO or _TIMEOUT: range "N-" with if_match of the ETag; 412 says that the object has changed. */
int globalfs_get(struct globalfs *h, const char *key, const struct globalfs_get_options *options, globalfs_sink_cb *sink,
                 void *arg, const struct globalfs_object **object_out) GLOBALFS_CHECK;
/* The bytes in memory, with a NUL behind them that does not count. GLOBALFS_ERR_TOO_LARGE: more than max bytes. The caller frees
 * *data_out, which is NULL on failure. */
int globalfs_get_memory(struct globalfs *h, const char *key, const struct globalfs_get_options *options, size_t max,
                        void **data_out, size_t *size_out) GLOBALFS_CHECK;
/* As globalfs_get(), without the bytes; a range in options is left out. */
int globalfs_head(struct globalfs *h, const char *key, const struct globalfs_get_options *options,
                  const struct globalfs_object **object_out) GLOBALFS_CHECK;

struct globalfs_put_options { /* {0}: application/octet-stream, whatever is there */
	const char *content_type;
	const char *if_match;      /* only if the object has this ETag, else status 412 */
	const char *if_none_match; /* "*": only if there is none yet, else status 412 */
	const struct globalfs_pair *metadata;
	size_t n_metadata;
	void *reserved[4];         /* NULL */
};

/* Fills data with up to size bytes; returns how many, 0 at the end, or -1 to end the call with GLOBALFS_ERR_CANCELLED. */
typedef long globalfs_source_cb(void *arg, void *data, size_t size);
/* Success: every primary site has it. options and etag_out may be NULL; *etag_out is without quotes. */
int globalfs_put(struct globalfs *h, const char *key, const void *data, size_t size, const struct globalfs_put_options *options,
                 const char **etag_out) GLOBALFS_CHECK;
/* size: exactly how many bytes source has; -1: not known. Nothing is stored when the source ends early or gives up. */
int globalfs_put_stream(struct globalfs *h, const char *key, globalfs_source_cb *source, void *arg, int64_t size,
                        const struct globalfs_put_options *options, const char **etag_out) GLOBALFS_CHECK;
int globalfs_delete(struct globalfs *h, const char *key) GLOBALFS_CHECK; /* done as well when there was none */

struct globalfs_list_options { /* {0}: everything */
	const char *prefix, *delimiter, *start_after; /* NULL or "": none */
	int64_t limit;  /* at most so many entries; 0: all */
	int strict;     /* fail rather than leave out what a silent site may have */
	void *reserved[4]; /* NULL */
};

struct globalfs_entry {
	const char *key;           /* or the common prefix, with its delimiter */
	int is_prefix;             /* 1: the fields below are not told */
	int64_t size;
	const char *last_modified, *etag;
	const char *json;          /* the entry as it came: an object, or for a common prefix a string */
	size_t json_size;
};

struct globalfs_list_result {
	int64_t count;                 /* entries handed over */
	int truncated;                 /* limit was reached and there are more */
	const char *next_start_after;  /* where they begin */
	const char *const *partial;    /* sites that did not answer: what only they have is missing */
	size_t n_partial;
	int unverified;                /* deleted or old entries may be among them: their state could not be asked for */
};

/* The entry lives until the callback returns. Not 0 ends the call with GLOBALFS_ERR_CANCELLED. */
typedef int globalfs_entry_cb(void *arg, const struct globalfs_entry *entry);
/* All entries in the order in which the server sends them, in flat memory, however many. options and result_out may be NULL. A
 * connection that breaks is taken up again behind the last key (not with a delimiter). */
int globalfs_list(struct globalfs *h, const struct globalfs_list_options *options, globalfs_entry_cb *entry, void *arg,
                  const struct globalfs_list_result **result_out) GLOBALFS_CHECK;

struct globalfs_copy {
	const char *site, *role, *state, *circuit_state;
	int drained, routed; /* 1, 0 */
	int place;           /* in the order in which a read tries them, as "place" in the answer; -1: it does not */
	const char *why;
	int current;         /* 1, 0, -1: not known */
	int present;         /* 1, 0, -1: not known, the site did not say */
	int64_t size;
	const char *etag, *generation, *last_modified, *error;
};

struct globalfs_where {
	const char *key;
	int known;     /* the journal knows the key: 1, 0, -1 not known */
	int deleted, decided; /* likewise */
	const char *generation, *etag;
	int64_t size;
	const char *rule;                /* of the policy, by name */
	const char *read_site, *read_why; /* the site that a read would use now, and why */
	const struct globalfs_copy *copies; /* a site each, in the order in which a read would try them */
	size_t n_copies;
};

/* Asks every site. An object that is nowhere is no error: no copy is present. */
int globalfs_where(struct globalfs *h, const char *key, const struct globalfs_where **out) GLOBALFS_CHECK;

/* ---- sites ---- */

struct globalfs_site {
	int64_t id;
	const char *name, *role, *uri, *state, *circuit_state, *error, *last_checked_at;
	int healthy, drained; /* 1, 0 */
	double latency_ms;    /* -1 */
};

int globalfs_site_list(struct globalfs *h, const struct globalfs_site **sites_out, size_t *n_out) GLOBALFS_CHECK;
/* fields: what the API takes beside name and role, as "uri", or "s3_bucket", "s3_region", "s3_endpoint" and credentials; see
 * globalfs(7). role NULL: primary. The server tries the site first: status 502 or 503 when it cannot be reached, 409 when the
 * name is taken. site_out may be NULL. */
int globalfs_site_add(struct globalfs *h, const char *name, const char *role, const struct globalfs_pair *fields, size_t n_fields,
                      const struct globalfs_site **site_out) GLOBALFS_CHECK;
int globalfs_site_remove(struct globalfs *h, const char *name) GLOBALFS_CHECK; /* status 404: there is none */
/* A drained site gets no writes, and reads only when no other site can answer. site_out may be NULL. */
int globalfs_site_drain(struct globalfs *h, const char *name, const struct globalfs_site **site_out) GLOBALFS_CHECK;
int globalfs_site_undrain(struct globalfs *h, const char *name, const struct globalfs_site **site_out) GLOBALFS_CHECK;

/* Asks for a copy of an object; success: it will be made. */
int globalfs_replicate(struct globalfs *h, const char *key, const char *from, const char *to) GLOBALFS_CHECK;

/* ---- the suite ---- */

struct globalfs_info {
	const char *version, *cluster;
	double uptime_s;
	int64_t sites, primary_sites, backup_sites, burst_sites;
	int64_t replication_queue_depth;
	int is_leader;
	int64_t healthy, unhealthy;
	const char *last_checked_at;
};

int globalfs_info(struct globalfs *h, const struct globalfs_info **out) GLOBALFS_CHECK;
/* *healthy_out: 1 when every primary site is well; *details_out (may be NULL): a line for each that is not, or for every site
 * when verbose. A suite that is not well is no error. */
int globalfs_health(struct globalfs *h, int verbose, int *healthy_out, const char **details_out) GLOBALFS_CHECK;
/* *ready_out: 1 when it serves; with a site (else NULL): when that site does, and lags by at most max_lag ("30s"; NULL: any).
 * *why_out (may be NULL): why not. Not being ready is no error; status 404: there is no such site. */
int globalfs_ready(struct globalfs *h, const char *site, const char *max_lag, int *ready_out, const char **why_out) GLOBALFS_CHECK;
/* Prometheus text. */
int globalfs_metrics(struct globalfs *h, const char **text_out, size_t *size_out) GLOBALFS_CHECK;

#ifdef __cplusplus
}
#endif

#endif
