/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a read waits, and for what: until a slow site is left for the others, until a second site is asked as well (a hedge),
 * until a site that failed is tried again. Pure; chance comes in as an argument. search.c asks.
 */
#ifndef GFS_PATIENCE_H
#define GFS_PATIENCE_H

#include "common/conf/conf.h"

/* How long one site may keep a read from the other sites that wait to be asked: many times what its slow reads take (p95_us), so
 * that ending it is worth a fault. 0 = too few reads to tell: what hardly any site needs, and clients bear. A site that needs more
 * loses nothing but its turn: when no other has the object it is asked again, with all the time there is. */
#define PATIENCE_MAX_MS 5000
int64_t patience_ms(int64_t p95_us);

/* When a read that has no first byte yet is sent to a second site as well; 0: never, for the site was never measured. */
int64_t patience_hedge_us(int64_t p95_us);

/* Before retry number n (0 is the first): anything from 0 to the delay, which grows but never beyond retry.max_delay, the first
 * one included. chance: any number, all equally likely. */
int64_t patience_retry_ms(const struct conf *conf, unsigned n, uint64_t chance);

/*
 * What hedges may cost, per worker: each read earns a share of one, a few can be saved up. Hedges that do not win are a sign that
 * all sites are slow (a brownout) and that asking two makes it worse: then reads earn a tenth of it, and the few hedges that are
 * still sent tell when it is over.
 */
struct hedge_budget {
	double saved;       /* hedges; starts full */
	bool begun;
	unsigned sent, won; /* lately */
};

void hedge_budget_earn(struct hedge_budget *b, double share);
bool hedge_budget_take(struct hedge_budget *b); /* false: not now */
void hedge_budget_won(struct hedge_budget *b);
bool hedge_budget_brownout(const struct hedge_budget *b);

#endif
