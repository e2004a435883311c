/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search of a read for a site that answers (architecture 4.2 to 4.6): asks repld when the key's cell is dirty, walks the
 * candidates that route.c ordered, and gives the verdict when none has it. One request to one site is a struct attempt; one runs at
 * a time, or two when the first is late and the second a hedge. What an attempt is (a GET, a HEAD) is its owner's business; the
 * search owns the bookkeeping and one timer.
 *
 * Owner:  search_start() -> ask() -> the attempt's first answer:
 *           - the object: search_offer(); true = serve it, else the attempt has been dropped
 *           - anything else: search_result()
 *         -> ask() again ... or failed(). An object that was taken may break off in mid-body: search_take_over() asks for the rest
 *         of the same version. The owner ends it all with search_stop().
 * ask() may run before search_start() returns; afterwards callbacks come from the loop only; but drop() comes from the owner's own
 * calls too.
 */
#ifndef GFS_SEARCH_H
#define GFS_SEARCH_H

#include <event2/event_struct.h>

#include "candidates.h"

enum search_said {
	SEARCH_UNASKED,
	SEARCH_MISSING, /* 404 */
	SEARCH_FAULT,   /* no usable answer: err, why */
	SEARCH_OLDER,   /* has an older version than the decided one; in mid-body: not the version that was begun */
};

struct search_site {
	uint32_t id;
	char name[SITE_NAME_MAX];
	bool lagging;       /* repld says that it does not hold the decided version */
	bool authoritative; /* its 404 counts */
	bool sync;          /* a target that writes complete before they are acknowledged, or would be did it not rest */
	bool rests;         /* see route_site_rests() */
	bool down;          /* by what healthd says, or its circuit is open */
	bool joined;        /* added while objects existed: it may lack those that are older */
	bool well;          /* current, not drained, and nothing is wrong with it: may be asked as a hedge */
	int64_t p95_us;     /* until its first byte; 0: not known */
	enum search_said said;
	bool cut_short;     /* the attempt ended only because others were waiting to be asked */
	int err;
	char why[120];
	int64_t not_before_ms; /* it asked not to be asked before that; 0: it did not */
	/* in mid-body */
	bool broke;         /* it broke off before */
	uint64_t stuck_at;  /* there it broke off without having sent anything; UINT64_MAX: it did not */
};

enum search_pass { SEARCH_FIRST, SEARCH_OLD_ONES, SEARCH_PATIENT, SEARCH_BROKEN, SEARCH_RETRY };

/* One request to one site. An owner's site callbacks take it as their argument. */
struct attempt {
	struct search *s;
	struct search_site *site;
	bool open;      /* asked, and neither ended nor dropped: callbacks of one that is not mean nothing */
	bool hedge;
	int64_t end_ms; /* then the site has taken too long */
	union {
		struct site_get *get;
		struct site_op *head;
	} h; /* the owner's */
};

struct search_verdict {
	int err;
	const char *text; /* names the sites */
	unsigned retry_after_s;
};

struct search_cbs {
	/* Sends the request. False: it was answered before this returned (and s may be gone). */
	bool (*ask)(struct attempt *a, struct site *site);
	/* Ends the request. expired: the site took too long, which is its fault. */
	void (*drop)(struct attempt *a, bool expired);
	void (*failed)(void *arg, const struct search_verdict *v);
};

/* What makes two copies the same, byte for byte. */
struct search_version {
	uint64_t size;
	char etag[ETAG_MAX]; /* "": not known */
	struct gen gen;      /* none: not tagged */
};

struct search {
	struct worker *w;
	struct slice key; /* borrows from the owner */
	const struct search_cbs *cbs;
	void *arg;
	bool only_current; /* no unverified and no stale answers */
	/* of repld */
	uint64_t lookup;
	bool unverified, known, decided, deleted;
	struct gen gen, pending; /* decided; of a write that is not decided yet */
	char etag[ETAG_MAX];
	/* the walk */
	struct search_site *v; /* in order */
	size_t n, at;
	struct attempt tries[2], *taken;
	struct search_site *repeat;
	bool serves_stale;
	bool mid_body;      /* only the rest of version is wanted */
	struct search_version version; /* of what was taken */
	enum search_pass pass;
	unsigned rounds;
	int64_t deadline_ms;
	int64_t hedge_us;   /* when a hedge is due; 0: none */
	struct event timer; /* with no attempt open: goes on with the walk */
};

/* The struct may be uninitialised. */
void search_start(struct search *s, struct worker *w, struct slice key, bool only_current, const struct search_cbs *cbs, void *arg);
/* Drops what is open; no other callback follows; frees. May be called again. */
void search_stop(struct search *s);
/* True: serve it (s->serves_stale tells whether it is older than the decided version); no other attempt runs any more. */
bool search_offer(struct attempt *a, const struct object_info *info);
/* The attempt ended without an object. */
void search_result(struct attempt *a, const struct site_result *r);
/* After an object was taken after all not: drops the attempt and asks the same site once more. */
void search_again(struct attempt *a);
/* The attempt that was taken ended in mid-body, or its descriptor did: the rest is wanted, from byte from on. Other sites are asked
 * first; one that broke off before only if it sent something then (moved). What is offered from now on is s->version. */
void search_take_over(struct attempt *a, uint64_t from, bool moved, const struct site_result *r);
const char *search_site_name(const struct search *s); /* whose object was taken last; "" */

/* ---- between search.c and its parts ---- */

/* search_plan.c: fills s->v, in order. */
void search_plan(struct search *s, const struct repld_location *loc);
/* search_judge.c */
bool search_is_current(const struct search *s, const struct search_site *c, const struct object_info *info);
bool search_same_version(const struct search_version *v, const struct object_info *info);
bool search_authority_lacks_it(const struct search *s);
bool search_is_missing(const struct search *s); /* it is known that the object does not exist */
void search_conclude(struct search *s);         /* gives the verdict; s may be gone when it returns */
void search_fail(struct search *s, int err, const char *text);

#endif
