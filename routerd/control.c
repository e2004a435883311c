/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's socket (control.h). A peer is a channel that is up. Every daemon among them, child or run alone, gets SITES
 * after HELLO and at every change, and is waited for by whoever asked for a change, for a bounded time. Owns the peers and the
 * changes in progress; the channels are the listener's.
 */
#include "config.h"

#include "control.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/ipc/listen.h"
#include "common/ipc/show.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "supervisor.h"

#define CHANGE_WAIT_S 5
#define CHANGES_MAX 64
#define TABLE_ROLES (PEER_WORKER | PEER_HEALTHD | PEER_REPLD | PEER_CACHED)
#define SECRET_ROLES (PEER_WORKER | PEER_HEALTHD | PEER_REPLD)

struct peer {
	TAILQ_ENTRY(peer) next;
	struct channel *ch;
	unsigned role;
	pid_t pid;
	uint64_t sent, taken; /* epochs */
};

/* A change that is in the registry and waits until everybody has taken it. */
struct change {
	TAILQ_ENTRY(change) next;
	struct control *c;
	struct channel *ch; /* NULL: the asker is gone */
	uint64_t call_id, epoch;
	uint32_t site_id;
	struct event *timer;
};

struct control {
	struct supervisor *sup;
	struct listen_sock *listen;
	TAILQ_HEAD(, peer) peers;
	TAILQ_HEAD(, change) changes;
	unsigned n_changes;
};

/* ---- tables ---- */

static void peer_send_table(struct control *c, struct peer *p)
{
	const struct site_table *t = registry_table(c->sup->registry);
	struct msg m = {.type = MSG_SITES, .sites.epoch = t->epoch};
	int fd;

	if (!(p->role & TABLE_ROLES) || p->sent >= t->epoch)
		return;
	if (site_table_to_memfd(t, (p->role & SECRET_ROLES) != 0, &fd)) {
		log_error("event=sites epoch=%" PRIu64 " peer=%d why=\"no memory file for the table\"", t->epoch, (int)p->pid);
		return;
	}
	if (channel_send(p->ch, &m, fd) == 0)
		p->sent = t->epoch;
	close(fd);
}

void control_send_tables(struct control *c)
{
	struct peer *p, *after;

	for (p = TAILQ_FIRST(&c->peers); p; p = after) {
		after = TAILQ_NEXT(p, next);
		peer_send_table(c, p);
	}
}

/* ---- changes ---- */

static void change_free(struct change *ch)
{
	TAILQ_REMOVE(&ch->c->changes, ch, next);
	ch->c->n_changes--;
	event_free(ch->timer);
	free(ch);
}

/* The peers that have not taken the epoch, for people; "" when all have. */
static void waiting_for(const struct control *c, uint64_t epoch, struct strbuf *out)
{
	const struct peer *p;

	TAILQ_FOREACH(p, &c->peers, next)
		if ((p->role & TABLE_ROLES) && p->taken < epoch)
			strbuf_addf(out, "%s%s (pid %d)", out->n ? ", " : "", peer_role_name(p->role), (int)p->pid);
}

static void change_answer(struct change *ch)
{
	struct msg m = {.type = MSG_SITE_CHANGED, .site_changed = {.id = ch->site_id, .epoch = ch->epoch}};

	if (ch->ch)
		channel_reply(ch->ch, ch->call_id, &m);
	change_free(ch);
}

/* Called whenever somebody took a table or went away. */
static void changes_check(struct control *c)
{
	struct change *ch, *after;

	for (ch = TAILQ_FIRST(&c->changes); ch; ch = after) {
		struct strbuf missing = STRBUF_INIT;

		after = TAILQ_NEXT(ch, next);
		waiting_for(c, ch->epoch, &missing);
		if (missing.n == 0)
			change_answer(ch);
		strbuf_free(&missing);
	}
}

static void change_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct change *ch = arg;
	struct strbuf missing = STRBUF_INIT;
	char text[512];

	(void)fd;
	(void)what;
	waiting_for(ch->c, ch->epoch, &missing);
	snprintf(text, sizeof(text), "the change is saved, but not in use everywhere yet: waiting for %.400s", strbuf_str(&missing));
	log_warn("event=sites epoch=%" PRIu64 " why=\"%s\"", ch->epoch, text);
	if (ch->ch)
		channel_reply_error(ch->ch, ch->call_id, GFS_ERR_TIMEOUT, text);
	strbuf_free(&missing);
	change_free(ch);
}

static void change_begin(struct control *c, struct channel *from, uint64_t call_id, uint32_t site_id)
{
	struct timeval tv = {.tv_sec = CHANGE_WAIT_S};
	struct change *ch = xcalloc(1, sizeof(*ch));

	*ch = (struct change){.c = c, .ch = from, .call_id = call_id, .site_id = site_id};
	ch->epoch = registry_table(c->sup->registry)->epoch;
	ch->timer = evtimer_new(c->sup->base, change_timeout, ch);
	gfs_assert(ch->timer && event_add(ch->timer, &tv) == 0);
	TAILQ_INSERT_TAIL(&c->changes, ch, next);
	c->n_changes++;
	supervisor_sites_changed(c->sup);
	changes_check(c);
}

static int apply_add(struct control *c, struct slice json, uint32_t *id_out, char *why, size_t cap)
{
	struct site_conf site;
	int err = site_json_parse(json, &site);

	if (err) {
		snprintf(why, cap, "the site's description is malformed");
		return err;
	}
	err = registry_add(c->sup->registry, &site, id_out, why, cap);
	if (!err)
		log_info("event=site_added site=%s id=%" PRIu32, site.name, *id_out);
	site_conf_free(&site);
	return err;
}

static int apply_remove(struct control *c, struct slice name, uint32_t *id_out, char *why, size_t cap)
{
	int err = registry_remove(c->sup->registry, name, id_out, why, cap);
	char q[LOG_QUOTE_MAX];

	if (!err)
		log_info("event=site_removed site=%s id=%" PRIu32, log_quote(q, sizeof(q), name), *id_out);
	return err;
}

static int apply_drain(struct control *c, const struct msg_site_drain *m, uint32_t *id_out, char *why, size_t cap)
{
	uint64_t before = registry_table(c->sup->registry)->epoch;
	int err = registry_drain(c->sup->registry, m->name, m->drained, id_out, why, cap);
	char q[LOG_QUOTE_MAX];

	if (!err && registry_table(c->sup->registry)->epoch != before)
		log_info("event=%s site=%s id=%" PRIu32, m->drained ? "site_drained" : "site_undrained", log_quote(q, sizeof(q), m->name),
		         *id_out);
	return err;
}

static void handle_change(struct control *c, struct channel *ch, const struct msg *m)
{
	char why[512] = "";
	uint32_t id = 0;
	int err = GFS_ERR_BUSY;

	if (c->n_changes >= CHANGES_MAX)
		snprintf(why, sizeof(why), "too many changes of sites at once");
	else if (m->type == MSG_SITE_ADD)
		err = apply_add(c, m->site_add.site, &id, why, sizeof(why));
	else if (m->type == MSG_SITE_DRAIN)
		err = apply_drain(c, &m->site_drain, &id, why, sizeof(why));
	else
		err = apply_remove(c, m->site_remove.name, &id, why, sizeof(why));
	if (err)
		channel_reply_error(ch, m->id, err, why);
	else
		change_begin(c, ch, m->id, id);
}

static void handle_claimed(struct control *c, struct channel *ch, const struct msg *m)
{
	uint64_t before = registry_table(c->sup->registry)->epoch;
	char why[512] = "";
	int err = m->site_claimed.id > UINT32_MAX ? GFS_ERR_NO_SUCH_SITE :
	          registry_claim(c->sup->registry, (uint32_t)m->site_claimed.id, why, sizeof(why));

	if (err) {
		channel_reply_error(ch, m->id, err, why);
		return;
	}
	if (registry_table(c->sup->registry)->epoch != before) {
		log_info("event=site_claimed id=%" PRIu64, m->site_claimed.id);
		supervisor_sites_changed(c->sup);
	}
	channel_reply_ok(ch, m->id);
}

/* ---- SHOW ---- */

static void show_services(const struct supervisor *sup, struct strbuf *out)
{
	int64_t now = clock_mono_ms();
	size_t i;

	strbuf_adds(out, "\"services\":[");
	for (i = 0; i < services_count(sup->services); i++) {
		const struct child *ch = services_child(sup->services, i);
		bool waits = ch->state == CHILD_WAITING && restart_delay_ms(false, ch->fails) > 0;

		strbuf_addf(out, "%s{\"name\":\"%s\",\"pid\":%d,\"state\":\"%s\",\"restarts\":%u,\"uptime_s\":%lld,\"throttled\":%s}",
		            i ? "," : "", ch->name, (int)ch->pid, child_state_name(ch->state), ch->restarts,
		            ch->pid ? (long long)(now - ch->started_ms) / 1000 : 0LL, waits ? "true" : "false");
	}
	strbuf_adds(out, "]");
}

static void show_sites(const struct supervisor *sup, struct strbuf *out)
{
	const struct site_table *t = registry_table(sup->registry);
	struct strbuf uri = STRBUF_INIT;
	size_t i;

	strbuf_addf(out, "\"epoch\":%" PRIu64 ",\"namespace_id\":\"%s\",\"sites\":[", t->epoch, t->namespace_id);
	for (i = 0; i < t->n; i++) {
		const struct site_conf *s = &t->v[i];

		strbuf_addf(out, "%s{\"id\":%" PRIu32 ",\"name\":", i ? "," : "", s->id);
		strbuf_add_json(out, slice_str(s->name));
		strbuf_addf(out, ",\"role\":\"%s\",\"uri\":", site_role_name(s->role));
		strbuf_reset(&uri);
		site_conf_uri(s, &uri);
		strbuf_add_json(out, strbuf_slice(&uri));
		strbuf_addf(out, ",\"claimed\":%s,\"drained\":%s,\"runtime\":%s}", s->claimed ? "true" : "false",
		            s->drained ? "true" : "false", s->runtime ? "true" : "false");
	}
	strbuf_adds(out, "]");
	strbuf_free(&uri);
}

static void handle_show(struct control *c, struct channel *ch, const struct msg *m)
{
	const struct supervisor *sup = c->sup;
	struct strbuf out = STRBUF_INIT;

	if (show_resume(ch, m))
		return;
	if (m->show.what.n > 0) {
		channel_reply_error(ch, m->id, GFS_ERR_INVALID, "routerd shows only its summary");
		return;
	}
	strbuf_addf(&out, "{\"pid\":%d,\"version\":\"%s\",\"uptime_s\":%lld,\"state\":\"%s\",", (int)getpid(), PACKAGE_VERSION,
	            (long long)(clock_mono_ms() - sup->started_ms) / 1000,
	            sup->stopping ? "stopping" : sup->ready ? "ready" : "starting");
	show_services(sup, &out);
	strbuf_addc(&out, ',');
	show_sites(sup, &out);
	strbuf_adds(&out, "}");
	show_reply(ch, m, &out);
	strbuf_free(&out);
}

/* ---- channels ---- */

static struct peer *peer_of(struct control *c, const struct channel *ch)
{
	struct peer *p;

	TAILQ_FOREACH(p, &c->peers, next)
		if (p->ch == ch)
			return p;
	return NULL;
}

static void on_up(void *arg, struct channel *ch)
{
	struct control *c = arg;
	struct peer *p = xcalloc(1, sizeof(*p));

	p->ch = ch;
	p->role = channel_peer_role(ch);
	p->pid = channel_peer_pid(ch);
	TAILQ_INSERT_TAIL(&c->peers, p, next);
	peer_send_table(c, p);
}

static void on_message(void *arg, struct channel *ch, const struct msg *m, int fd)
{
	struct control *c = arg;
	struct peer *p = peer_of(c, ch);
	struct child *child;

	if (fd >= 0)
		close(fd);
	switch (m->type) {
	case MSG_SITES_TAKEN:
		if (p && m->sites_taken.epoch > p->taken)
			p->taken = m->sites_taken.epoch;
		changes_check(c);
		break;
	case MSG_READY:
		child = p ? services_by_pid(c->sup->services, p->pid, p->role) : NULL;
		if (child)
			services_child_ready(child);
		break;
	case MSG_SITE_ADD:
	case MSG_SITE_REMOVE:
	case MSG_SITE_DRAIN:
		handle_change(c, ch, m);
		break;
	case MSG_SITE_CLAIMED:
		handle_claimed(c, ch, m);
		break;
	case MSG_SHOW:
		handle_show(c, ch, m);
		break;
	default:
		channel_reply_error(ch, m->id, GFS_ERR_UNSUPPORTED, "routerd does not take this message");
	}
}

static void on_closed(void *arg, struct channel *ch, const char *why)
{
	struct control *c = arg;
	struct peer *p = peer_of(c, ch);
	struct change *change;

	(void)why;
	if (!p)
		return;
	TAILQ_REMOVE(&c->peers, p, next);
	free(p);
	TAILQ_FOREACH(change, &c->changes, next)
		if (change->ch == ch)
			change->ch = NULL;
	changes_check(c);
}

int control_create(struct supervisor *sup, struct control **out)
{
	static const struct channel_cbs cbs = {.up = on_up, .message = on_message, .closed = on_closed};
	struct control *c = xcalloc(1, sizeof(*c));
	int err;

	c->sup = sup;
	TAILQ_INIT(&c->peers);
	TAILQ_INIT(&c->changes);
	err = listen_create(sup->base, sup->conf->global.run_dir, "routerd", PEER_SUPERVISOR, &cbs, c, &c->listen);
	if (err)
		free(c);
	*out = err ? NULL : c;
	return err;
}

void control_destroy(struct control **c_io)
{
	struct control *c = *c_io;
	struct change *ch;
	struct peer *p;

	*c_io = NULL;
	if (!c)
		return;
	listen_destroy(&c->listen);
	while ((ch = TAILQ_FIRST(&c->changes)))
		change_free(ch);
	while ((p = TAILQ_FIRST(&c->peers))) {
		TAILQ_REMOVE(&c->peers, p, next);
		free(p);
	}
	free(c);
}
