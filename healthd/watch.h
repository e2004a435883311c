/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch over one site: probes it at once, then every interval with jitter (sooner while its state is in question), each
 * probe under a deadline; feeds the verdict and publishes it. A site in its first use is claimed instead of probed: its marker is
 * written once, and the supervisor is told.
 */
#ifndef GFS_WATCH_H
#define GFS_WATCH_H

#include "healthd.h"
#include "verdict.h"

struct site_op;

struct watch {
	struct healthd *h;
	uint32_t id;
	const struct site_conf *conf; /* of the table in use */
	bool claimed;
	struct site *site;            /* NULL when it could not be opened: then the reason is in status */
	struct site_op *probe;        /* running, or NULL */
	bool claiming;                /* a claim runs: it cannot be cancelled, so a watch that ends meanwhile lives until it is done */
	bool ended;
	int64_t started_us;
	struct event *timer;          /* the next probe */
	struct event *deadline;
	struct verdict verdict;
	struct site_status status;    /* as published */
};

/* before: what is known of the site from an earlier table, or NULL. */
struct watch *watch_create(struct healthd *h, const struct site_conf *conf, const struct watch *before);
void watch_destroy(struct watch **w); /* the row on the board stays */

#endif
