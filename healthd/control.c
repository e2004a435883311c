/* SPDX-License-Identifier: Apache-2.0 */
/* What healthd answers on its socket: SHOW, the state of every site with its reasons. */
#include "config.h"

#include "control.h"

#include <unistd.h>

#include "common/http/fields.h"
#include "common/ipc/show.h"
#include "healthd.h"
#include "watch.h"

static void control_add_time(struct strbuf *out, const char *name, int64_t ms)
{
	char t[32];

	if (ms == 0)
		return;
	http_rfc3339_format(ms, true, t);
	strbuf_addf(out, ",\"%s\":\"%s\"", name, t);
}

static void control_add_site(struct strbuf *out, const struct watch *w)
{
	const struct site_status *st = &w->status;

	strbuf_addf(out, "{\"id\":%u,\"name\":", w->id);
	strbuf_add_json(out, slice_str(w->conf->name));
	strbuf_addf(out, ",\"state\":\"%s\",\"circuit\":\"%s\",\"fails\":%u,\"latency_us\":%lld", site_state_name(w->verdict.state),
		    circuit_state_name(st->circuit), w->verdict.fails, (long long)st->latency_us);
	control_add_time(out, "checked_at", st->checked_ms);
	control_add_time(out, "changed_at", st->changed_ms);
	if (st->err) {
		strbuf_adds(out, ",\"error\":");
		strbuf_add_json(out, slice_str(st->reason));
	}
	strbuf_addc(out, '}');
}

static void control_show(struct healthd *h, struct channel *ch, const struct msg *m)
{
	struct strbuf out = STRBUF_INIT;

	if (show_resume(ch, m))
		return;
	strbuf_addf(&out, "{\"pid\":%d,\"epoch\":%llu,\"interval_ms\":%lld,\"sites\":[", (int)getpid(),
		    (unsigned long long)h->proc->sites->epoch, (long long)h->interval_ms);
	for (size_t i = 0; i < h->n_watches; i++) {
		if (i)
			strbuf_addc(&out, ',');
		control_add_site(&out, h->watches[i]);
	}
	strbuf_adds(&out, "]}");
	show_reply(ch, m, &out);
}

static void control_message(void *arg, struct channel *ch, const struct msg *m, int fd)
{
	if (fd >= 0)
		close(fd);
	if (m->type == MSG_SHOW)
		control_show(arg, ch, m);
	else
		channel_reply_error(ch, m->id, GFS_ERR_UNSUPPORTED, "healthd does not take this message");
}

const struct channel_cbs healthd_control_cbs = {.message = control_message};
