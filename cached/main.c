/* SPDX-License-Identifier: Apache-2.0 */
/* cached: the place of the cache in the suite. It answers its socket; it keeps no objects yet, and says so. */
#include "config.h"

#include <stdlib.h>

#include "cached.h"
#include "common/ipc/listen.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "control.h"

static int cached_start(struct proc *p)
{
	struct cached *c = xcalloc(1, sizeof(*c));

	p->state = c;
	c->proc = p;
	if (p->conf->cache.enabled)
		log_warn("event=start why=\"cache.enabled has no effect in this version: every read goes to a site\"");
	return listen_create(p->base, p->conf->global.run_dir, "cached", PEER_CACHED, &cached_control_cbs, c, &c->listen);
}

static void cached_stop(struct proc *p)
{
	struct cached *c = p->state;

	if (!c)
		return;
	listen_destroy(&c->listen);
	free(c);
	p->state = NULL;
}

int main(int argc, char **argv)
{
	static const struct service svc = {
		.name = "cached",
		.role = PEER_CACHED,
		.start = cached_start,
		.stop = cached_stop,
	};

	return proc_main(argc, argv, &svc);
}
