/* SPDX-License-Identifier: Apache-2.0 */
/* The fault proxy between site and store, on the loop of the test: what a lost connection looks like from the site. */
#include "config.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "exercise.h"

void relay_begin(struct relay *r, struct exercise *x)
{
	if (!fault_core_begin(&r->core, x->base, getenv("GFS_TEST_S3_ENDPOINT"), 1))
		abort();
}

void relay_set(struct relay *r, enum relay_mode mode)
{
	static const char *const faults[] = {[RELAY_CUT] = "refuse", [RELAY_SWALLOW] = "mute", [RELAY_STALL] = "freeze"};
	const char *why;

	fault_core_remove(&r->core, 0);
	r->core.cut_up_after = 0;
	if (mode == RELAY_PASS)
		fault_core_drop(&r->core);
	else if (!fault_core_add(&r->core, faults[mode], &why))
		abort();
}

void relay_cut_up_after(struct relay *r, uint64_t bytes)
{
	r->core.up_bytes = 0;
	r->core.cut_up_after = bytes;
}

void relay_end(struct relay *r)
{
	fault_core_end(&r->core);
}

void exercise_use_relay(struct exercise *x, struct relay *r)
{
	free(x->conf.s3_endpoint);
	x->conf.s3_endpoint = xasprintf("http://127.0.0.1:%d", r->core.port);
	exercise_reopen(x);
}
