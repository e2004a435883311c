/* SPDX-License-Identifier: Apache-2.0 */
/* repld: generations, the journal, replication. All it is stands in repld.h; the skeleton is common/proc.c. */
#include "config.h"

#include "common/proc.h"
#include "repld.h"

static int repld_start(struct proc *p)
{
	const struct repld_params params = {.base = p->base, .conf = p->conf};
	struct repld *r;
	int err = repld_create(&params, &r);

	if (err)
		return err;
	p->state = r;
	if (p->sites)
		repld_set_sites(r, p->sites);
	return repld_listen(r);
}

static void repld_sites_changed(struct proc *p)
{
	repld_set_sites(p->state, p->sites);
}

/* repld_destroy() waits for the acts that are running, for a bounded time. */
static void repld_stop(struct proc *p)
{
	struct repld *r = p->state;

	p->state = NULL;
	repld_destroy(&r);
}

int main(int argc, char **argv)
{
	static const struct service svc = {
		.name = "repld",
		.role = PEER_REPLD,
		.start = repld_start,
		.sites_changed = repld_sites_changed,
		.stop = repld_stop,
	};

	return proc_main(argc, argv, &svc);
}
