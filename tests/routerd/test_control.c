/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's socket: tables by epoch, changes that are answered when everybody has them, SHOW. */
#include "config.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/ipc/link.h"
#include "common/stubs/supervisor_client.h"
#include "routerd/supervisor.h"

/* A daemon's end, all on one loop. */
struct daemon {
	struct supervisor_client *client;
	struct site_table *table;
	unsigned tables;
};

static struct {
	char dir[64];
	struct supervisor sup;
	struct daemon worker, healthd, cached;
	int err;
	uint32_t id;
	uint64_t epoch;
	char text[512];
	char *json;
	bool answered;
} t;

static void no_op(void *arg)
{
	(void)arg;
}

static void init(void)
{
	static const char yaml[] = "sites:\n  - {name: a, role: primary, file: {path: /srv/a}}\n"
				   "  - {name: s, role: burst, objectfs: {s3_bucket: data, s3_region: eu}, "
				   "credentials: {access_key: AK, secret_key: hush-hush}}\n";
	struct conf_report report = {0};
	char why[256], *run_dir;

	strcpy(t.dir, "/tmp/gfs-test-XXXXXX");
	cr_assert_not_null(mkdtemp(t.dir));
	cr_assert_eq(conf_load_text("test.yaml", slice_str(yaml), &t.sup.conf, &report), 0, "%s", strbuf_str(&report.errors));
	conf_report_free(&report);
	run_dir = strdup(t.dir);
	free(t.sup.conf->global.run_dir);
	t.sup.conf->global.run_dir = run_dir;
	t.sup.base = event_base_new();
	cr_assert_eq(registry_open(t.dir, t.sup.conf, &t.sup.registry, why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(control_create(&t.sup, &t.sup.control), 0);
	t.sup.services = services_create(&(struct services_env){.base = t.sup.base, .bin_dir = "/", .listeners = &t.sup.listeners,
	                                                        .workers = 1, .all_ready = no_op, .ended = no_op});
}

static void fini(void)
{
	struct daemon *all[] = {&t.worker, &t.healthd, &t.cached};
	char cmd[128];
	size_t i;

	for (i = 0; i < 3; i++) {
		supervisor_client_destroy(&all[i]->client);
		site_table_destroy(&all[i]->table);
	}
	services_destroy(&t.sup.services);
	control_destroy(&t.sup.control);
	registry_destroy(&t.sup.registry);
	event_base_free(t.sup.base);
	conf_destroy(&t.sup.conf);
	free(t.json);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", t.dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(control, .init = init, .fini = fini, .timeout = 20);

static void on_table(void *arg, struct site_table *table)
{
	struct daemon *d = arg;

	site_table_destroy(&d->table);
	d->table = table;
	d->tables++;
}

static void join(struct daemon *d, enum peer_role role)
{
	d->client = supervisor_client_create(t.sup.base, t.dir, role, on_table, d);
	while (!d->table)
		event_base_loop(t.sup.base, EVLOOP_ONCE);
}

static void on_change(void *arg, int err, uint32_t id, uint64_t epoch, const char *text)
{
	(void)arg;
	t.answered = true;
	t.err = err;
	t.id = id;
	t.epoch = epoch;
	snprintf(t.text, sizeof(t.text), "%s", text);
}

static void await(void)
{
	while (!t.answered)
		event_base_loop(t.sup.base, EVLOOP_ONCE);
	t.answered = false;
}

static void add(const char *name, const char *uri)
{
	struct site_conf s;
	char why[128];

	site_conf_init(&s);
	cr_assert_eq(site_conf_from_uri(&s, slice_str(uri), why, sizeof(why)), 0, "%s", why);
	free(s.name);
	s.name = strdup(name);
	supervisor_site_add(t.worker.client, &s, on_change, NULL);
	site_conf_free(&s);
	await();
}

Test(control, everybody_gets_the_table_and_few_the_secrets)
{
	join(&t.worker, PEER_WORKER);
	join(&t.healthd, PEER_HEALTHD);
	join(&t.cached, PEER_CACHED);
	cr_assert_eq(t.worker.table->epoch, 1);
	cr_assert_eq(t.worker.table->n, 2);
	cr_assert_str_eq(site_table_by_name(t.worker.table, "s")->secret_key, "hush-hush");
	cr_assert_str_eq(site_table_by_name(t.healthd.table, "s")->secret_key, "hush-hush");
	cr_assert_str_eq(site_table_by_name(t.cached.table, "s")->secret_key, "");
}

Test(control, a_change_is_answered_when_all_have_it)
{
	join(&t.worker, PEER_WORKER);
	join(&t.healthd, PEER_HEALTHD);
	join(&t.cached, PEER_CACHED);
	add("third", "file:///srv/c");
	cr_assert_eq(t.err, 0, "%s", t.text);
	cr_assert_eq(t.id, 3);
	cr_assert_eq(t.epoch, 2);
	cr_assert_not_null(site_table_by_name(t.worker.table, "third"));
	cr_assert_not_null(site_table_by_name(t.healthd.table, "third"));
	cr_assert_not_null(site_table_by_name(t.cached.table, "third"));
	supervisor_site_remove(t.worker.client, "third", on_change, NULL);
	await();
	cr_assert_eq(t.err, 0);
	cr_assert_eq(t.id, 3);
	cr_assert_null(site_table_by_name(t.cached.table, "third"));
}

Test(control, refused_changes_say_why)
{
	join(&t.worker, PEER_WORKER);
	add("a", "file:///srv/x");
	cr_assert_eq(t.err, GFS_ERR_SITE_EXISTS);
	cr_assert_not_null(strstr(t.text, "site a"), "%s", t.text);
	add("bad name", "file:///srv/x");
	cr_assert_eq(t.err, GFS_ERR_INVALID);
	supervisor_site_remove(t.worker.client, "none", on_change, NULL);
	await();
	cr_assert_eq(t.err, GFS_ERR_NO_SUCH_SITE);
	cr_assert_eq(t.worker.tables, 1, "no new epoch");
}

Test(control, a_drain_reaches_everybody_before_its_answer)
{
	join(&t.worker, PEER_WORKER);
	join(&t.healthd, PEER_HEALTHD);
	supervisor_site_drain(t.worker.client, "a", true, on_change, NULL);
	await();
	cr_assert_eq(t.err, 0, "%s", t.text);
	cr_assert_eq(t.id, 1);
	cr_assert(site_table_by_name(t.worker.table, "a")->drained);
	cr_assert(site_table_by_name(t.healthd.table, "a")->drained);
	supervisor_site_drain(t.worker.client, "a", true, on_change, NULL);
	await();
	cr_assert_eq(t.err, 0);
	cr_assert_eq(t.epoch, 2, "it was drained already");
	supervisor_site_drain(t.worker.client, "none", true, on_change, NULL);
	await();
	cr_assert_eq(t.err, GFS_ERR_NO_SUCH_SITE);
	supervisor_site_drain(t.worker.client, "a", false, on_change, NULL);
	await();
	cr_assert_not(site_table_by_name(t.healthd.table, "a")->drained);
}

Test(control, a_claim_reaches_everybody)
{
	join(&t.worker, PEER_WORKER);
	join(&t.healthd, PEER_HEALTHD);
	supervisor_site_claimed(t.healthd.client, 2);
	while (!site_table_by_id(t.worker.table, 2)->claimed)
		event_base_loop(t.sup.base, EVLOOP_ONCE);
	cr_assert_eq(t.worker.table->epoch, 2);
}

Test(control, a_peer_that_leaves_does_not_hold_up_a_change)
{
	join(&t.worker, PEER_WORKER);
	join(&t.healthd, PEER_HEALTHD);
	supervisor_client_destroy(&t.healthd.client);
	add("third", "file:///srv/c");
	cr_assert_eq(t.err, 0, "%s", t.text);
}

/* A peer that is there and takes nothing: link without supervisor_client. */
Test(control, a_change_that_is_not_taken_is_told_after_a_bounded_wait)
{
	static const struct link_cbs none;
	struct link *deaf;
	int i;

	join(&t.worker, PEER_WORKER);
	deaf = link_create(t.sup.base, t.dir, "routerd", PEER_REPLD, &none, NULL);
	for (i = 0; i < 50 && !link_is_up(deaf); i++)
		event_base_loop(t.sup.base, EVLOOP_ONCE);
	add("third", "file:///srv/c");
	cr_assert_eq(t.err, GFS_ERR_TIMEOUT);
	cr_assert_not_null(strstr(t.text, "repld"), "%s", t.text);
	cr_assert_not_null(site_table_by_name(t.worker.table, "third"), "it is saved all the same");
	link_destroy(&deaf);
}

static void on_shown(void *arg, int err, const struct msg *reply)
{
	(void)arg;
	t.answered = true;
	t.err = err;
	if (!err)
		t.json = strndup(reply->shown.json.p, reply->shown.json.n);
}

Test(control, show_is_json_without_secrets)
{
	static const struct link_cbs none;
	struct link *ctl = link_create(t.sup.base, t.dir, "routerd", PEER_CTL, &none, NULL);
	struct msg m = {.type = MSG_SHOW, .show.what = SLICE_LIT("")};
	json_t *j;

	link_call(ctl, &m, 5000, on_shown, NULL);
	await();
	cr_assert_eq(t.err, 0);
	j = json_loads(t.json, 0, NULL);
	cr_assert_not_null(j, "%s", t.json);
	cr_assert_eq(json_array_size(json_object_get(j, "services")), 4);
	cr_assert_eq(json_array_size(json_object_get(j, "sites")), 2);
	cr_assert_eq(json_integer_value(json_object_get(j, "epoch")), 1);
	cr_assert_null(strstr(t.json, "hush"));
	json_decref(j);
	m.show.what = SLICE_LIT("nonsense");
	link_call(ctl, &m, 5000, on_shown, NULL);
	await();
	cr_assert_eq(t.err, GFS_ERR_INVALID);
	link_destroy(&ctl);
}
