/* SPDX-License-Identifier: Apache-2.0 */
/* registry: ids that are never reused, claims, tombstones of file sites, moves that are refused, damage that is told. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/board/sites_board.h"
#include "routerd/registry.h"

static char dir[64], path[96], why[512];
static struct registry *reg;

static void make_dir(void)
{
	strcpy(dir, "/tmp/gfs-test-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sites", dir);
}

static void remove_dir(void)
{
	char cmd[128];

	registry_destroy(&reg);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(registry, .init = make_dir, .fini = remove_dir);

#define SITE(name, role, place) "  - {name: " name ", role: " role ", file: {path: " place "}}\n"
#define AB "sites:\n" SITE("a", "primary", "/srv/a") SITE("b", "burst", "/srv/b")

/* A start with this configuration, after the last one ended. */
static int start(const char *yaml)
{
	struct conf_report report = {0};
	struct conf *conf;
	int err;

	registry_destroy(&reg);
	cr_assert_eq(conf_load_text("test.yaml", slice_str(yaml), &conf, &report), 0, "%s", strbuf_str(&report.errors));
	err = registry_open(dir, conf, &reg, why, sizeof(why));
	conf_destroy(&conf);
	conf_report_free(&report);
	return err;
}

static void start_well(const char *yaml)
{
	cr_assert_eq(start(yaml), 0, "%s", why);
}

static const struct site_conf *site(const char *name)
{
	return site_table_by_name(registry_table(reg), name);
}

static uint64_t epoch(void)
{
	return registry_table(reg)->epoch;
}

static int add(const char *name, const char *uri, uint32_t *id_out)
{
	struct site_conf s;
	int err;

	site_conf_init(&s);
	cr_assert_eq(site_conf_from_uri(&s, slice_str(uri), why, sizeof(why)), 0, "%s", why);
	free(s.name);
	s.name = strdup(name);
	s.id = 77;
	s.claimed = true;
	err = registry_add(reg, &s, id_out, why, sizeof(why));
	site_conf_free(&s);
	return err;
}

static uint32_t add_well(const char *name, const char *uri)
{
	uint32_t id = 0;

	cr_assert_eq(add(name, uri, &id), 0, "%s", why);
	return id;
}

static int drop(const char *name)
{
	uint32_t id;

	return registry_remove(reg, slice_str(name), &id, why, sizeof(why));
}

Test(registry, ids_and_the_namespace_last)
{
	char ns[37];
	struct stat st;

	start_well(AB);
	cr_assert_eq(site("a")->id, 1);
	cr_assert_eq(site("b")->id, 2);
	cr_assert_eq(epoch(), 1);
	strcpy(ns, registry_table(reg)->namespace_id);
	cr_assert_eq(strlen(ns), 36);
	cr_assert_eq(ns[14], '4');
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600, "it holds credentials");
	start_well(AB);
	cr_assert_eq(epoch(), 1, "nothing changed");
	cr_assert_str_eq(registry_table(reg)->namespace_id, ns);
	start_well("sites:\n" SITE("c", "primary", "/srv/c") SITE("b", "backup", "/srv/b") SITE("a", "primary", "/srv/a"));
	cr_assert_eq(site("a")->id, 1);
	cr_assert_eq(site("b")->id, 2);
	cr_assert_eq(site("c")->id, 3);
	cr_assert_eq(site("b")->role, ROLE_BACKUP);
	cr_assert_eq(epoch(), 2);
	cr_assert_str_eq(registry_table(reg)->v[0].name, "c", "file order");
}

Test(registry, ids_are_not_reused_for_another_place)
{
	start_well(AB);
	start_well("sites:\n" SITE("a", "primary", "/srv/a"));
	cr_assert_null(site("b"));
	start_well("sites:\n" SITE("a", "primary", "/srv/a") SITE("c", "burst", "/srv/c"));
	cr_assert_eq(site("c")->id, 3);
	start_well("sites:\n" SITE("a", "primary", "/srv/a") SITE("other", "burst", "/srv/b"));
	cr_assert_eq(site("other")->id, 2, "its marker says 2");
}

Test(registry, claims_last_even_over_a_new_name_in_the_file)
{
	start_well(AB);
	cr_assert_eq(registry_claim(reg, 2, why, sizeof(why)), 0);
	cr_assert_eq(epoch(), 2);
	cr_assert_eq(registry_claim(reg, 2, why, sizeof(why)), 0);
	cr_assert_eq(epoch(), 2);
	cr_assert_eq(registry_claim(reg, 9, why, sizeof(why)), GFS_ERR_NO_SUCH_SITE);
	start_well(AB);
	cr_assert(site("b")->claimed);
	cr_assert_not(site("a")->claimed);
	start_well("sites:\n" SITE("a", "primary", "/srv/a") SITE("renamed", "burst", "/srv/b"));
	cr_assert_eq(site("renamed")->id, 2);
	cr_assert(site("renamed")->claimed, "an empty mount point must not get a new marker");
}

Test(registry, a_claimed_site_cannot_move)
{
	start_well(AB);
	start_well("sites:\n" SITE("a", "primary", "/srv/moved"));
	cr_assert_eq(site("a")->id, 1, "nothing lay there yet");
	cr_assert_eq(registry_claim(reg, 1, why, sizeof(why)), 0);
	cr_assert_eq(start("sites:\n" SITE("a", "primary", "/srv/elsewhere")), GFS_ERR_CONFIG);
	cr_assert_not_null(strstr(why, "site a now points elsewhere"), "%s", why);
	cr_assert_not_null(strstr(why, "/srv/elsewhere"));
	start_well("sites:\n" SITE("a", "primary", "/srv/moved"));
	cr_assert(site("a")->claimed);
}

Test(registry, an_s3_site_may_get_another_endpoint)
{
	static const char before[] = "sites:\n  - {name: a, role: primary, objectfs: {s3_bucket: data, s3_region: us-east-1, "
				     "s3_endpoint: 'http://one:9000'}}\n";
	static const char after[] = "sites:\n  - {name: a, role: primary, objectfs: {s3_bucket: data, s3_region: us-east-1, "
				    "s3_endpoint: 'http://two:9000'}}\n";
	static const char bucket[] = "sites:\n  - {name: a, role: primary, objectfs: {s3_bucket: else, s3_region: us-east-1, "
				     "s3_endpoint: 'http://two:9000'}}\n";

	start_well(before);
	cr_assert_eq(registry_claim(reg, 1, why, sizeof(why)), 0);
	start_well(after);
	cr_assert(site("a")->claimed, "the marker tells whether it is the same store");
	cr_assert_eq(start(bucket), GFS_ERR_CONFIG);
}

Test(registry, sites_added_at_run_time_survive)
{
	uint32_t id;

	start_well(AB);
	cr_assert_eq(add_well("third", "s3://bucket/p?region=eu&endpoint=http://h:1"), 3);
	cr_assert_eq(epoch(), 2);
	cr_assert(site("third")->runtime);
	cr_assert_not(site("third")->claimed, "an asker cannot claim");
	cr_assert_eq(add("third", "file:///srv/x", &id), GFS_ERR_SITE_EXISTS);
	cr_assert_eq(add("a", "file:///srv/x", &id), GFS_ERR_SITE_EXISTS);
	cr_assert_eq(add("x", "file:///srv/a", &id), GFS_ERR_SITE_EXISTS, "two sites of one place would be one");
	cr_assert_eq(add("b d", "file:///srv/x", &id), GFS_ERR_INVALID);
	cr_assert_eq(epoch(), 2, "a refused change changes nothing");
	start_well(AB);
	cr_assert_eq(site("third")->id, 3);
	cr_assert_str_eq(site("third")->s3_bucket, "bucket");
	cr_assert_str_eq(registry_table(reg)->v[2].name, "third");
	cr_assert_eq(drop("third"), 0);
	cr_assert_eq(drop("third"), GFS_ERR_NO_SUCH_SITE);
	start_well(AB);
	cr_assert_null(site("third"));
	cr_assert_eq(add_well("fourth", "file:///srv/4"), 4);
}

Test(registry, a_file_site_that_was_removed_stays_removed)
{
	start_well(AB);
	cr_assert_eq(registry_claim(reg, 2, why, sizeof(why)), 0);
	cr_assert_eq(drop("b"), 0);
	cr_assert_null(site("b"));
	start_well(AB);
	cr_assert_null(site("b"));
	start_well(AB);
	cr_assert_null(site("b"), "at every start");
	cr_assert_eq(add_well("b", "file:///srv/b"), 2);
	cr_assert_not(site("b")->claimed, "added by command: its marker may be written anew");
	start_well(AB);
	cr_assert(site("b")->runtime);
	cr_assert_eq(registry_table(reg)->n, 2);
	cr_assert_eq(drop("b"), 0);
	start_well("sites:\n" SITE("a", "primary", "/srv/a"));
	start_well(AB);
	cr_assert_not_null(site("b"), "once it had left the file, the file decides again");
	cr_assert_eq(site("b")->id, 2);
}

Test(registry, no_more_sites_than_are_served)
{
	char uri[64], name[32];
	uint32_t id;

	start_well(AB);
	for (int i = 2; i < CONF_SITES_MAX; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		snprintf(uri, sizeof(uri), "file:///srv/%d", i);
		add_well(name, uri);
	}
	cr_assert_eq(add("more", "file:///srv/more", &id), GFS_ERR_CONFLICT);
	cr_assert_not_null(strstr(why, "64 sites already"), "%s", why);
	start_well(AB);
	cr_assert_eq(start("sites:\n" SITE("a", "primary", "/srv/a") SITE("b", "burst", "/srv/b") SITE("c", "burst", "/srv/c")),
	             GFS_ERR_CONFIG);
	cr_assert_not_null(strstr(why, "at most 64"), "%s", why);
}

Test(registry, drains_last_and_are_idempotent)
{
	uint32_t id = 0;

	start_well(AB);
	add_well("c", "file:///srv/c");
	cr_assert_eq(registry_drain(reg, SLICE_LIT("none"), true, &id, why, sizeof(why)), GFS_ERR_NO_SUCH_SITE);
	cr_assert_eq(epoch(), 2);
	cr_assert_eq(registry_drain(reg, SLICE_LIT("b"), true, &id, why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(id, 2);
	cr_assert_eq(epoch(), 3);
	cr_assert_eq(registry_drain(reg, SLICE_LIT("b"), true, &id, why, sizeof(why)), 0);
	cr_assert_eq(epoch(), 3, "it was drained already");
	cr_assert_eq(registry_drain(reg, SLICE_LIT("c"), true, &id, why, sizeof(why)), 0);
	start_well(AB);
	cr_assert(site("b")->drained);
	cr_assert(site("c")->drained, "one that was added at run time as well");
	cr_assert_not(site("a")->drained);
	cr_assert_eq(registry_drain(reg, SLICE_LIT("b"), false, &id, why, sizeof(why)), 0);
	start_well(AB);
	cr_assert_not(site("b")->drained);
}

Test(registry, damage_is_told_and_nothing_is_made_anew)
{
	static const char *const texts[] = {
		"", "{", "[]", "{\"epoch\":1}", "{\"epoch\":1,\"namespace_id\":\"0123456789abcdef0123456789abcdef0123\",\"sites\":[]}",
		"{\"epoch\":1,\"namespace_id\":\"0123456789abcdef0123456789abcdef0123\",\"sites\":[],\"next_id\":0}",
		"{\"epoch\":1,\"namespace_id\":\"0123456789abcdef0123456789abcdef0123\",\"sites\":[],\"next_id\":2,\"past\":[{\"id\":5}]}",
		"{\"epoch\":1,\"namespace_id\":\"0123456789abcdef0123456789abcdef0123\",\"sites\":[],\"next_id\":2,\"removed\":[1]}",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		FILE *f = fopen(path, "w");
		char after[256] = "";

		fputs(texts[i], f);
		fclose(f);
		cr_assert_eq(start(AB), GFS_ERR_INVALID, "case %zu", i);
		cr_assert_not_null(strstr(why, "damaged"));
		f = fopen(path, "r");
		cr_assert_eq(fread(after, 1, sizeof(after) - 1, f), strlen(texts[i]));
		fclose(f);
		cr_assert_str_eq(after, texts[i]);
	}
}

Test(registry, a_disk_that_refuses_leaves_the_old_table)
{
	uint32_t id = 0;
	char fresh[112];

	start_well(AB);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	cr_assert_eq(mkdir(fresh, 0700), 0);
	cr_assert_eq(add("c", "file:///srv/c", &id), GFS_ERR_IO);
	cr_assert_null(site("c"));
	cr_assert_eq(epoch(), 1);
	cr_assert_eq(drop("a"), GFS_ERR_IO);
	cr_assert_not_null(site("a"));
	cr_assert_eq(rmdir(fresh), 0);
	cr_assert_eq(add_well("c", "file:///srv/c"), 3);
}

Test(registry, ids_run_out_with_a_clear_error, .timeout = 60)
{
	char uri[64], name[32];
	uint32_t id;
	int i, err = 0;

	start_well("sites: []\n");
	for (i = 0; i < SITES_BOARD_MAX + 1 && !err; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		snprintf(uri, sizeof(uri), "file:///srv/%d", i);
		err = add(name, uri, &id);
		if (!err && i > 0)
			cr_assert_eq(drop(name), 0);
	}
	cr_assert_eq(err, GFS_ERR_BUSY);
	cr_assert_eq(i, SITES_BOARD_MAX);
	cr_assert_not_null(strstr(why, "used up"));
	cr_assert_eq(add_well("again", "file:///srv/7"), 8);
}
