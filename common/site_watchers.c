/* SPDX-License-Identifier: Apache-2.0 */
/* The fan-out of site events in a process, see site_watchers.h. */
#include "config.h"

#include "site_watchers.h"

#include "stats.h"

static void watchers_ended(void *arg, const struct site *site, const struct site_event *e)
{
	struct site_watchers *w = arg;

	if (w->outcomes)
		w->outcomes->ended(w->outcomes->arg, site, e);
}

void site_watchers_init(struct site_watchers *w, struct stats *stats)
{
	*w = (struct site_watchers){.observer = {.ended = watchers_ended, .arg = w}, .stats = stats};
}
