/* SPDX-License-Identifier: Apache-2.0 */
/* repld as its client shows it, scripted: linked in place of common/stubs/repld_client.c. One per test (Criterion forks). */
#ifndef GFS_FAKE_REPLD_H
#define GFS_FAKE_REPLD_H

#include "common/stubs/repld_client.h"

#define FAKE_REPLD_SITES 8

struct fake_repld {
	struct event_base *base;
	/* script */
	int lookup_err, begin_err, finalise_err, commit_err;
	struct repld_location location; /* n_stale of stale[] */
	uint64_t stale[FAKE_REPLD_SITES];
	size_t lookup_max;       /* of the keys asked for at once, so many are answered; 0: all */
	const char *deleted_key; /* lookups of this key only say deleted */
	bool hold_finalise;
	/* what happened */
	unsigned lookups, begins, finalises, commits, abandons;
	struct repld_version version; /* of the last FINALISE; lists in sync and async */
	uint64_t sync[FAKE_REPLD_SITES], async[FAKE_REPLD_SITES];
	enum site_outcome outcomes[FAKE_REPLD_SITES];
	bool acknowledged;
	repld_commit_cb *commit_cb; /* of the last COMMIT, until it has run */
};

extern struct fake_repld fake_repld;

void fake_repld_release(void); /* a held FINALISE is answered */

#endif
