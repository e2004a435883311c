/* SPDX-License-Identifier: Apache-2.0 */
/* What cached answers on its socket: SHOW. */
#include "config.h"

#include "control.h"

#include <unistd.h>

#include "cached.h"
#include "common/ipc/show.h"

static void control_show(struct cached *c, struct channel *ch, const struct msg *m)
{
	struct strbuf out = STRBUF_INIT;

	if (show_resume(ch, m))
		return;
	if (m->show.what.n > 0) {
		channel_reply_error(ch, m->id, GFS_ERR_INVALID, "cached shows only its summary");
		return;
	}
	strbuf_addf(&out,
		    "{\"pid\":%d,\"epoch\":%llu,\"configured\":%s,\"active\":false,\"bytes\":0,\"objects\":0,"
		    "\"note\":\"this version keeps no objects: every read goes to a site\"}",
		    (int)getpid(), (unsigned long long)c->proc->sites->epoch, c->proc->conf->cache.enabled ? "true" : "false");
	show_reply(ch, m, &out);
}

static void control_message(void *arg, struct channel *ch, const struct msg *m, int fd)
{
	if (fd >= 0)
		close(fd);
	if (m->type == MSG_SHOW)
		control_show(arg, ch, m);
	else
		channel_reply_error(ch, m->id, GFS_ERR_UNSUPPORTED, "cached does not take this message");
}

const struct channel_cbs cached_control_cbs = {.message = control_message};
