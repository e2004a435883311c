/* SPDX-License-Identifier: Apache-2.0 */
/* What healthd takes on its socket: OUTCOMES, and SHOW, which tells everything it knows of every site. */
#include "config.h"

#include "control.h"

#include <inttypes.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/http/fields.h"
#include "common/ipc/show.h"
#include "healthd.h"
#include "schedule.h"
#include "watch.h"

static void control_add_time(struct strbuf *out, const char *name, int64_t ms)
{
	char t[32];

	if (ms == 0)
		return;
	http_rfc3339_format(ms, true, t);
	strbuf_addf(out, ",\"%s\":\"%s\"", name, t);
}

static void control_add_probes(struct strbuf *out, const struct watch *w)
{
	int64_t now_ms = clock_mono_ms();

	strbuf_addf(out, ",\"probes\":{\"good\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"good_in_a_row\":%u,\"needed_to_be_up\":%u,"
		    "\"times_left_up\":%u", w->probes_good, w->probes_failed, w->verdict.goods,
		    verdict_goods_needed(&w->verdict, now_ms), verdict_falls(&w->verdict, now_ms));
	if (watch_is_asking(w))
		strbuf_addf(out, ",\"waiting_ms\":%" PRId64, now_ms - w->started_us / 1000);
	strbuf_addc(out, '}');
}

static void control_add_traffic(struct strbuf *out, const struct watch *w)
{
	const struct watch_traffic *t = &w->traffic;

	strbuf_addf(out, ",\"traffic\":{\"goods\":%" PRIu64 ",\"faults\":%" PRIu64 ",\"faults_in_a_row\":%" PRIu64
		    ",\"timeouts_in_a_row\":%" PRIu64, t->goods, t->faults, runs_faults(&t->runs), runs_timeouts(&t->runs));
	control_add_time(out, "last_fault_at", t->fault_ms);
	strbuf_addc(out, '}');
}

static void control_add_circuit(struct strbuf *out, const struct watch *w)
{
	strbuf_addf(out, ",\"circuit\":\"%s\"", circuit_state_name(w->breaker.state));
	control_add_time(out, "retry_at", w->status.retry_ms);
	if (w->h->breaker.enabled)
		strbuf_addf(out, ",\"cooldown_ms\":%" PRId64, breaker_cooldown_ms(&w->breaker, &w->h->breaker));
}

static void control_add_site(struct strbuf *out, const struct watch *w)
{
	const struct site_status *st = &w->status;

	strbuf_addf(out, "{\"id\":%u,\"name\":", w->id);
	strbuf_add_json(out, slice_str(w->conf->name));
	strbuf_addf(out, ",\"state\":\"%s\"", site_state_name(w->verdict.state));
	control_add_circuit(out, w);
	strbuf_addf(out, ",\"fails\":%u,\"latency_us\":%" PRId64 ",\"p95_us\":%" PRId64 ",\"nearness\":%u", w->verdict.fails,
		    latency_mean_us(&w->latency), latency_p95_us(&w->latency), nearest_place(&w->h->nearest, w->id));
	control_add_time(out, "checked_at", st->checked_ms);
	control_add_time(out, "changed_at", st->changed_ms);
	if (st->reason[0]) {
		strbuf_adds(out, ",\"error\":");
		strbuf_add_json(out, slice_str(st->reason));
	}
	control_add_probes(out, w);
	control_add_traffic(out, w);
	strbuf_addc(out, '}');
}

static void control_show(struct healthd *h, struct channel *ch, const struct msg *m)
{
	struct strbuf out = STRBUF_INIT;

	if (show_resume(ch, m))
		return;
	if (m->show.what.n > 0) {
		channel_reply_error(ch, m->id, GFS_ERR_INVALID, "healthd shows only its summary");
		return;
	}
	strbuf_addf(&out, "{\"pid\":%d,\"epoch\":%" PRIu64 ",\"interval_ms\":%" PRId64 ",\"batches\":%" PRIu64 ",", (int)getpid(),
		    h->proc->sites->epoch, h->interval_ms, h->batches);
	strbuf_addf(&out, "\"circuit_breaker\":{\"enabled\":%s,\"threshold\":%u,\"cooldown_ms\":%" PRId64 "},\"sites\":[",
		    h->breaker.enabled ? "true" : "false", h->breaker.threshold, h->breaker.cooldown_ms);
	for (size_t i = 0; i < h->n_watches; i++) {
		if (i)
			strbuf_addc(&out, ',');
		control_add_site(&out, h->watches[i]);
	}
	strbuf_adds(&out, "]}");
	show_reply(ch, m, &out);
}

/* A site that a worker still knows and we no more, or not yet: it will be told again. */
static void control_outcomes(struct healthd *h, const struct msg_outcomes *m)
{
	struct watch *w = m->site < SITES_BOARD_MAX ? schedule_find(h, (uint32_t)m->site) : NULL;

	h->batches++;
	if (w)
		watch_judge_outcomes(w, m);
}

static void control_message(void *arg, struct channel *ch, const struct msg *m, int fd)
{
	if (fd >= 0)
		close(fd);
	if (m->type == MSG_SHOW)
		control_show(arg, ch, m);
	else if (m->type == MSG_OUTCOMES)
		control_outcomes(arg, &m->outcomes);
	else
		channel_reply_error(ch, m->id, GFS_ERR_UNSUPPORTED, "healthd does not take this message");
}

const struct channel_cbs healthd_control_cbs = {.message = control_message};
