/* SPDX-License-Identifier: Apache-2.0 */
/* The site table as JSON: what goes out comes back, what does not fit is refused. */
#include "config.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/sites.h"
#include "common/xalloc.h"

#define UUID "0f8fad5b-d9cb-469f-a165-70867728950e"

static struct site_table *sample(void)
{
	struct site_table *t = xcalloc(1, sizeof(*t));
	char why[200];

	t->epoch = 7;
	memcpy(t->namespace_id, UUID, 37);
	t->v = xcalloc(2, sizeof(*t->v));
	t->n = 2;
	for (size_t i = 0; i < 2; i++) {
		site_conf_init(&t->v[i]);
		t->v[i].id = (uint32_t)i + 1;
		free(t->v[i].name);
		t->v[i].name = xstrdup(i ? "cloud" : "on\"prem");
	}
	cr_assert_eq(site_conf_from_uri(&t->v[0], SLICE_LIT("file:///srv/a%20b"), why, sizeof(why)), 0);
	cr_assert_eq(site_conf_from_uri(&t->v[1], SLICE_LIT("s3://bucket/p?region=eu-1&endpoint=http://h:1"), why, sizeof(why)), 0);
	t->v[0].claimed = true;
	t->v[1].role = ROLE_BURST;
	t->v[1].runtime = true;
	free(t->v[1].secret_key);
	t->v[1].secret_key = xstrdup("s3cr3t");
	t->v[1].stall_timeout_ms = 4321;
	t->v[1].tls_verify = false;
	return t;
}

Test(sites, a_table_comes_back_through_a_sealed_memfd)
{
	struct site_table *t = sample(), *back;
	int fd;

	cr_assert_eq(site_table_to_memfd(t, true, &fd), 0);
	cr_assert_eq(pwrite(fd, "x", 1, 0), -1);
	for (int i = 0; i < 2; i++) { /* the offset is shared: reading twice must work */
		cr_assert_eq(site_table_from_fd(fd, &back), 0);
		cr_assert_eq(back->epoch, 7);
		cr_assert_str_eq(back->namespace_id, UUID);
		cr_assert_eq(back->n, 2);
		cr_assert_str_eq(back->v[0].name, "on\"prem");
		cr_assert_str_eq(back->v[0].file_path, "/srv/a b");
		cr_assert(back->v[0].claimed && !back->v[0].runtime && back->v[1].runtime);
		cr_assert_eq(back->v[1].kind, SITE_KIND_S3);
		cr_assert_eq(back->v[1].role, ROLE_BURST);
		cr_assert_str_eq(back->v[1].s3_endpoint, "http://h:1");
		cr_assert_str_eq(back->v[1].prefix, "p/");
		cr_assert_str_eq(back->v[1].secret_key, "s3cr3t");
		cr_assert_eq(back->v[1].stall_timeout_ms, 4321);
		cr_assert_not(back->v[1].tls_verify);
		cr_assert_eq(site_table_by_id(back, 2), &back->v[1]);
		cr_assert_eq(site_table_by_name(back, "cloud"), &back->v[1]);
		cr_assert_null(site_table_by_id(back, 3));
		site_table_destroy(&back);
	}
	close(fd);
	site_table_destroy(&t);
}

Test(sites, secrets_stay_behind_when_asked)
{
	struct site_table *t = sample(), *back;
	struct strbuf sb = STRBUF_INIT;

	site_table_print(t, false, &sb);
	cr_assert_null(strstr(strbuf_str(&sb), "s3cr3t"));
	cr_assert_eq(site_table_parse(strbuf_slice(&sb), &back), 0);
	cr_assert_str_eq(back->v[1].secret_key, "");
	site_table_destroy(&back);
	strbuf_free(&sb);
	site_table_destroy(&t);
}

Test(sites, one_site_by_itself)
{
	struct site_table *t = sample();
	struct strbuf sb = STRBUF_INIT;
	struct site_conf s;

	site_json_print(&t->v[1], true, &sb);
	cr_assert_eq(site_json_parse(strbuf_slice(&sb), &s), 0);
	cr_assert_str_eq(s.s3_bucket, "bucket");
	site_conf_free(&s);
	cr_assert_eq(site_json_parse(SLICE_LIT("{\"name\":\"x\",\"new\":[1]}"), &s), 0);
	cr_assert_eq(s.id, 0);
	site_conf_free(&s);
	cr_assert_eq(site_json_parse(SLICE_LIT("{\"name\":\"\"}"), &s), GFS_ERR_INVALID);
	cr_assert_eq(site_json_parse(SLICE_LIT("{\"name\":\"x\",\"id\":-1}"), &s), GFS_ERR_INVALID);
	cr_assert_eq(site_json_parse(SLICE_LIT("{\"name\":\"x\",\"role\":\"boss\"}"), &s), GFS_ERR_INVALID);
	cr_assert_eq(site_json_parse(SLICE_LIT("{\"name\":\"x\",\"kind\":\"ftp\"}"), &s), GFS_ERR_INVALID);
	cr_assert_eq(site_json_parse(SLICE_LIT("{\"name\":\"x\",\"claimed\":1}"), &s), GFS_ERR_INVALID);
	cr_assert_eq(site_json_parse(SLICE_LIT("[]"), &s), GFS_ERR_INVALID);
	cr_assert_eq(site_json_parse(SLICE_LIT(""), &s), GFS_ERR_INVALID);
	strbuf_free(&sb);
	site_table_destroy(&t);
}

#define TABLE(sites) "{\"epoch\":1,\"namespace_id\":\"" UUID "\",\"next_id\":9,\"sites\":[" sites "]}"

Test(sites, tables_that_do_not_fit_are_refused)
{
	static const struct {
		const char *json;
		int err;
	} cases[] = {
		{TABLE(""), 0},
		{TABLE("{\"id\":1,\"name\":\"a\"}"), 0},
		{TABLE("{\"id\":0,\"name\":\"a\"}"), GFS_ERR_INVALID},
		{TABLE("{\"id\":1024,\"name\":\"a\"}"), GFS_ERR_INVALID},
		{TABLE("{\"id\":1,\"name\":\"a\"},{\"id\":1,\"name\":\"b\"}"), GFS_ERR_INVALID},
		{TABLE("{\"id\":1,\"name\":\"a\"},{\"id\":2,\"name\":\"a\"}"), GFS_ERR_INVALID},
		{TABLE("1"), GFS_ERR_INVALID},
		{"{\"epoch\":1,\"namespace_id\":\"short\",\"sites\":[]}", GFS_ERR_INVALID},
		{"{\"epoch\":-1,\"namespace_id\":\"" UUID "\",\"sites\":[]}", GFS_ERR_INVALID},
		{"{\"epoch\":1,\"namespace_id\":\"" UUID "\"}", GFS_ERR_INVALID},
		{"nonsense", GFS_ERR_INVALID},
		{"", GFS_ERR_INVALID},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct site_table *t;

		cr_assert_eq(site_table_parse(slice_str(cases[i].json), &t), cases[i].err, "%s", cases[i].json);
		site_table_destroy(&t);
	}
}

Test(sites, a_registry_that_is_not_there)
{
	struct site_table *t;

	cr_assert_eq(site_table_from_file("/nonexistent/sites", &t), GFS_ERR_IO);
	cr_assert_null(t);
}
