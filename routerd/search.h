/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search of a read for a site that answers (architecture 4.2 to 4.5): asks repld when the key's cell is dirty, walks the
 * candidates that route.c ordered, one attempt at a time with a deadline each, and gives the verdict when none has it. What an
 * attempt is (a GET, a HEAD) is its owner's business; the search owns only the bookkeeping and one timer.
 *
 * Owner:  search_start() -> ask() -> the attempt's first answer:
 *           - the object: search_offer(); taken = serve it, else end the attempt and call search_pass()
 *           - anything else: search_result()
 *         -> ask() again ... or failed(). The owner stops it with search_stop(), also after it took an object.
 * ask() may run before search_start() returns; afterwards callbacks come from the loop only.
 */
#ifndef GFS_SEARCH_H
#define GFS_SEARCH_H

#include "candidates.h"

enum search_said {
	SEARCH_UNASKED,
	SEARCH_MISSING, /* 404 */
	SEARCH_FAULT,   /* no usable answer: err, why */
	SEARCH_OLDER,   /* has an older version than the decided one */
};

struct search_site {
	uint32_t id;
	char name[SITE_NAME_MAX];
	bool lagging;       /* repld says that it does not hold the decided version */
	bool authoritative; /* its 404 counts */
	bool sync;          /* a target that writes complete before they are acknowledged */
	bool joined;        /* added while objects existed: it may lack those that are older */
	enum search_said said;
	bool cut_short;     /* the attempt ended only because others were waiting to be asked */
	int err;
	char why[120];
};

enum search_pass { SEARCH_FIRST, SEARCH_OLD_ONES, SEARCH_PATIENT, SEARCH_RETRY };

struct search_verdict {
	int err;
	const char *text; /* names the sites */
	unsigned retry_after_s;
};

struct search_cbs {
	void (*ask)(void *arg, struct site *site);
	void (*cancel)(void *arg); /* the attempt took too long: end it without search_result() */
	void (*failed)(void *arg, const struct search_verdict *v);
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
	bool repeat, serves_stale;
	enum search_pass pass;
	unsigned rounds, retry_after_s;
	int64_t deadline_ms;
	struct event *timer;
	bool timer_is_attempt;
};

/* The struct may be uninitialised. */
void search_start(struct search *s, struct worker *w, struct slice key, bool only_current, const struct search_cbs *cbs, void *arg);
void search_stop(struct search *s); /* no callback follows; frees; may be called again */
/* True: serve it (s->serves_stale tells whether it is older than the decided version); the attempt's timer has stopped. */
bool search_offer(struct search *s, const struct object_info *info);
void search_pass(struct search *s); /* after search_offer() returned false and the attempt has ended */
void search_result(struct search *s, const struct site_result *r); /* the attempt ended without an object */
void search_again(struct search *s); /* after an object was taken after all not: ask() the same site once more */
const char *search_site_name(const struct search *s); /* of the current attempt */

#endif
