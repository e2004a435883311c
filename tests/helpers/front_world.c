/* SPDX-License-Identifier: Apache-2.0 */
/* A worker with scripted surroundings, see front_world.h. */
#include "config.h"

#include "front_world.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pool.h"
#include "routerd/conn.h"

#define WAIT_MS 10000

static void open_boards(struct front_world *f)
{
	snprintf(f->dir, sizeof(f->dir), "/tmp/gfs-front.XXXXXX");
	cr_assert_not_null(mkdtemp(f->dir));
	cr_assert_eq(sites_board_open(f->dir, true, &f->w.sites_board), 0);
	cr_assert_eq(keys_board_open(f->dir, true, &f->w.keys_board), 0);
	cr_assert_eq(stats_open(f->dir, true, &f->w.stats), 0);
	keys_board_rebuild_begin(&f->w.keys_board);
	keys_board_rebuild_end(&f->w.keys_board);
	sites_board_beat(&f->w.sites_board, clock_real_ms(), 60000);
}

void front_world_init(struct front_world *f, const char *roles)
{
	static const char *const names[FRONT_SITES] = {"one", "two", "three", "four"};
	struct conf_report report = {0};

	memset(f, 0, sizeof(*f));
	log_set_level(LOG_LVL_ERROR);
	cr_assert_eq(conf_load_text("test", SLICE_LIT("sites: [{name: x, role: primary, uri: \"file:///x\"}]\n"), &f->conf, &report), 0,
	             "%s", strbuf_str(&report.errors));
	conf_report_free(&report);
	f->conf->routing.read_deadline_ms = 150;
	f->w.conf = f->conf;
	f->w.base = event_base_new();
	f->w.pool = pool_create(f->w.base, 1);
	f->w.site_env = (struct site_env){.base = f->w.base, .pool = f->w.pool};
	fake_repld.base = f->w.base;
	open_boards(f);
	f->w.sites = f->sites;
	for (; roles[f->w.n_sites]; f->w.n_sites++) {
		size_t i = f->w.n_sites;

		site_conf_init(&f->confs[i]);
		free(f->confs[i].name);
		f->confs[i].name = strdup(names[i]);
		f->confs[i].id = (uint32_t)i + 1;
		f->confs[i].role = roles[i] == 'p' ? ROLE_PRIMARY : roles[i] == 'b' ? ROLE_BACKUP : ROLE_BURST;
		f->sites[i] = (struct worker_site){fake_site_open(&f->w.site_env, &f->confs[i], &f->stores[i]), &f->confs[i]};
	}
	f->w.conns = conn_list_create(&f->w);
	f->fd = -1;
}

static void hang_up(struct front_world *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

void front_world_free(struct front_world *f)
{
	char cmd[128];

	hang_up(f);
	for (int i = 0; i < 20; i++)
		front_turn(f);
	conn_list_destroy(&f->w.conns);
	for (size_t i = 0; i < f->w.n_sites; i++) {
		site_close(&f->sites[i].site);
		site_conf_free(&f->confs[i]);
	}
	pool_destroy(&f->w.pool);
	stats_close(&f->w.stats);
	keys_board_close(&f->w.keys_board);
	sites_board_close(&f->w.sites_board);
	event_base_free(f->w.base);
	conf_destroy(&f->conf);
	strbuf_free(&f->got);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	cr_assert_eq(system(cmd), 0);
}

void front_dirty(struct front_world *f, const char *key)
{
	keys_board_add_dirty(&f->w.keys_board, keys_board_cell(slice_str(key)), 1);
}

void front_site_state(struct front_world *f, uint32_t id, enum site_state state)
{
	struct site_status st = {.id = id, .state = state, .reason = "unplugged"};

	sites_board_put(&f->w.sites_board, &st);
}

void front_store(struct front_world *f, uint32_t id, const char *key, const char *body, uint64_t hlc)
{
	struct fake_store *s = &f->stores[id - 1];

	s->objects[s->n++] = (struct fake_object){key, body, {.hlc = hlc, .node = "n"}, 1700000000000};
}

void front_turn(struct front_world *f)
{
	char buf[65536];
	ssize_t n;

	event_base_loop(f->w.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	if (f->fd < 0)
		return;
	n = recv(f->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n > 0)
		strbuf_add(&f->got, buf, (size_t)n);
	f->eof = n == 0;
}

void front_begin(struct front_world *f, const char *text)
{
	struct sockaddr_in peer = {.sin_family = AF_INET};
	int fds[2];

	hang_up(f);
	strbuf_reset(&f->got);
	f->eof = false;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	f->fd = fds[0];
	conn_open(f->w.conns, fds[1], (const struct sockaddr *)&peer, rest_api_handle);
	for (size_t n = strlen(text); n > 0;) {
		ssize_t k = send(f->fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (k > 0)
			text += k, n -= (size_t)k;
		front_turn(f);
	}
}

int front_finish(struct front_world *f)
{
	int64_t end_ms = clock_mono_ms() + WAIT_MS;
	struct pollfd pfd = {.fd = f->fd, .events = POLLIN};

	while (!f->eof) {
		cr_assert_lt(clock_mono_ms(), end_ms, "no answer; got %s", strbuf_str(&f->got));
		front_turn(f);
		if (!f->eof)
			poll(&pfd, 1, 1);
	}
	f->status = 0;
	sscanf(strbuf_str(&f->got), "HTTP/1.1 %d", &f->status);
	f->body = strstr(strbuf_str(&f->got), "\r\n\r\n");
	f->body = f->body ? f->body + 4 : "";
	return f->status;
}

int front_ask(struct front_world *f, const char *method, const char *key, const char *headers, const char *body)
{
	struct strbuf text = STRBUF_INIT;
	int status;

	strbuf_addf(&text, "%s /api/v1/objects%s%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s", method,
	            key[0] == '?' ? "" : "/", key, headers);
	if (body)
		strbuf_addf(&text, "Content-Length: %zu\r\n", strlen(body));
	strbuf_addf(&text, "\r\n%s", body ? body : "");
	front_begin(f, strbuf_str(&text));
	status = front_finish(f);
	strbuf_free(&text);
	return status;
}

const char *front_header(struct front_world *f, const char *name)
{
	static char value[512];
	char want[128];
	const char *p;
	size_t n;

	snprintf(want, sizeof(want), "\r\n%s: ", name);
	p = strcasestr(strbuf_str(&f->got), want);
	if (!p || p >= f->body)
		return NULL;
	p += strlen(want);
	n = strcspn(p, "\r");
	snprintf(value, sizeof(value), "%.*s", (int)n, p);
	return value;
}
