/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One copy of one version from a site to another: streamed through two fixed buffers, its ETag and CRC computed on
 * the pool as it
 * passes. Its bytes are complete at the target, and the completing act held back, when `prepared` is called: only if they are
 * what the version says. Owned by tasks.c.
 */
#ifndef GFS_REPLD_TRANSFER_H
#define GFS_REPLD_TRANSFER_H

#include "common/site.h"
#include "repld.h"
#include "version.h"

struct transfer;

enum proof { PROOF_HASH, PROOF_ETAG, PROOF_SIZE }; /* how sure we are that the copy is the version */

struct transfer_end {
	enum site_outcome outcome;
	int err;
	bool at_source;        /* the source is to blame: try another */
	bool source_lacks;     /* the source does not have this version */
	bool repeated;         /* done, but an earlier attempt may surface: the site is to be watched */
	enum proof proof;      /* when DONE, like what follows: computed over the bytes as they passed */
	char etag[ETAG_MAX];
	uint64_t crc64;
	char reason[160];
};

struct transfer_cbs {
	/* Everything but the completing act is done and verified. The answer is transfer_complete() or transfer_cancel(). */
	void (*prepared)(void *arg);
	/* The end; the transfer is gone after it. Not after transfer_cancel(). */
	void (*done)(void *arg, const struct transfer_end *end);
};

/* v and key are copied. sites: ids of source and target; a change of the site table may reopen them while it runs.
 * Callbacks come
 * from the loop. */
struct transfer *transfer_start(struct repld *r, struct slice key, const struct version *v, const uint32_t sites[2],
				const struct transfer_cbs *cbs, void *arg);
void transfer_complete(struct transfer *t);
/* False: the completing act has begun and cannot be stopped; done will come. */
bool transfer_cancel(struct transfer **t);

#endif
