/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, sizes, the short form of sites, and that schema.def is whole. What files do is in tests/conf. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/conf/schema.h"

Test(conf, durations)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {{"0", 0}, {"0s", 0}, {"100ms", 100}, {"30s", 30000}, {"1h30m", 5400000}, {"1.5s", 1500}, {"2m30s", 150000},
	            {"1d", 86400000}, {"500us", 1}, {"1ms500us", 2}, {"1000000h", 3600000000000}};
	static const char *const bad[] = {"", "5", "s", "1 s", "-1s", "1x", "1s2", "1.s", ".5s", "1..5s", "99999999999999999999s",
	                                  "9223372036854775807h", "1h-1m", "1S"};
	int64_t ms;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_assert_eq(conf_parse_duration(slice_str(good[i].text), &ms), 0, "%s", good[i].text);
		cr_assert_eq(ms, good[i].ms, "%s", good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(conf_parse_duration(slice_str(bad[i]), &ms), GFS_ERR_INVALID, "%s", bad[i]);
}

Test(conf, sizes)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"0", 0}, {"65536", 65536}, {"64MiB", 64 << 20}, {"1GB", 1000000000}, {"1.5GiB", 3ull << 29}, {"5TiB", 5ull << 40},
	            {"4k", 4096}, {"10 MB", 10000000}, {"7B", 7}};
	static const char *const bad[] = {"", "MiB", "-1", "1.5", "1.0000001KiB", "1 bananas", "16EiB", "9223372036854775808",
	                                  "8388608PiB", "1e3"};
	uint64_t bytes;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cr_assert_eq(conf_parse_size(slice_str(good[i].text), &bytes), 0, "%s", good[i].text);
		cr_assert_eq(bytes, good[i].bytes, "%s", good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(conf_parse_size(slice_str(bad[i]), &bytes), GFS_ERR_INVALID, "%s", bad[i]);
}

Test(conf, what_is_printed_reads_back)
{
	static const int64_t durations[] = {0, 1, 999, 1000, 1500, 60000, 90000, 3600000, 5400000, 86399999};
	static const uint64_t sizes[] = {0, 1, 1023, 1024, 65537, 64 << 20, 1000000000, 5ull << 40};
	char buf[32];
	int64_t ms;
	uint64_t bytes;

	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		conf_format_duration(durations[i], buf);
		cr_assert(conf_parse_duration(slice_str(buf), &ms) == 0 && ms == durations[i], "%s", buf);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		conf_format_size(sizes[i], buf);
		cr_assert(conf_parse_size(slice_str(buf), &bytes) == 0 && bytes == sizes[i], "%s", buf);
	}
}

Test(conf, short_forms_of_sites_read_back)
{
	static const char *const uris[] = {
		"file:///srv/a", "file:///srv/with%20space%3F", "s3://bucket?addressing=virtual",
		"s3://bucket/pre/fix/?region=eu-west-1&endpoint=http://127.0.0.1:9000&addressing=path"};
	struct site_conf site, copy;
	struct strbuf text = STRBUF_INIT;
	char why[256];

	for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
		site_conf_init(&site);
		cr_assert_eq(site_conf_from_uri(&site, slice_str(uris[i]), why, sizeof(why)), 0, "%s: %s", uris[i], why);
		site_conf_copy(&copy, &site);
		site_conf_free(&site);
		strbuf_reset(&text);
		site_conf_uri(&copy, &text);
		cr_assert_str_eq(strbuf_str(&text), uris[i]);
		site_conf_free(&copy);
	}
	strbuf_free(&text);
}

Test(conf, addressing_follows_the_endpoint)
{
	struct site_conf site;
	char why[256];

	site_conf_init(&site);
	cr_assert_eq(site_conf_from_uri(&site, SLICE_LIT("s3://bucket"), why, sizeof(why)), 0);
	cr_assert_eq(site.addressing, S3_VIRTUAL);
	cr_assert_eq(site_conf_from_uri(&site, SLICE_LIT("s3://bucket?endpoint=https://h"), why, sizeof(why)), 0);
	cr_assert_eq(site.addressing, S3_PATH);
	site_conf_free(&site);
}

static void check_schema(const struct schema *s)
{
	char why[128];

	for (size_t i = 0; i < s->n; i++) {
		const struct setting *row = &s->v[i];

		cr_assert(row->prose[0], "%s has no prose", row->path);
		cr_assert_eq(row->prose[strlen(row->prose) - 1], '.', "%s", row->path);
		cr_assert_eq(schema_find(s, slice_str(row->path)), row, "%s stands twice", row->path);
		if (i > 0 && strchr(row->path, '.')) { /* the printers open a section once */
			size_t n = strcspn(row->path, ".") + 1;
			bool seen = false;

			for (size_t k = 0; k < i; k++)
				seen |= strncmp(s->v[k].path, row->path, n) == 0;
			cr_assert(!seen || strncmp(s->v[i - 1].path, row->path, n) == 0, "%s is away from its section", row->path);
		}
		(void)why;
	}
}

Test(conf, the_schema_is_whole)
{
	struct conf_report report = {0};
	struct conf *conf;

	check_schema(&schema_conf);
	check_schema(&schema_site);
	check_schema(&schema_rule);
	check_schema(&schema_legacy);
	cr_assert_eq(conf_load(NULL, -1, &conf, &report), 0); /* every default fits its row */
	cr_assert_str_eq(conf->coordinator.listen_addr, ":8090");
	cr_assert_eq(conf->resilience.health_poll_interval_ms, 30000);
	cr_assert(conf->global.node_name[0] != '\0');
	conf_destroy(&conf);
	cr_assert_null(conf);
	conf_report_free(&report);
}

Test(conf, the_template_validates_and_has_only_defaults)
{
	struct strbuf text = STRBUF_INIT, open = STRBUF_INIT;
	struct conf_report report = {0};
	struct conf *conf;
	const char *p, *line;

	conf_print_template(&text);
	cr_assert_eq(conf_load_text("template", strbuf_slice(&text), &conf, &report), 0, "%s", strbuf_str(&report.errors));
	cr_assert_eq(report.n_warnings, 0);
	conf_destroy(&conf);
	/* with every "# key: value" uncommented it loads as well */
	for (p = strbuf_str(&text); *p; p = line + 1) {
		const char *hash = p + strspn(p, " "), *colon;

		line = strchr(p, '\n');
		colon = hash[0] == '#' && hash[1] == ' ' ? hash + 2 + strspn(hash + 2, "abcdefghijklmnopqrstuvwxyz0123456789_") : NULL;
		if (colon && colon[0] == ':' && colon[1] == ' ' && p < hash && strncmp(hash, "# rules", 7) != 0 && colon < line) {
			strbuf_add(&open, p, (size_t)(hash - p));
			strbuf_add(&open, hash + 2, (size_t)(line + 1 - hash - 2));
		} else {
			strbuf_add(&open, p, (size_t)(line + 1 - p));
		}
	}
	cr_assert_eq(conf_load_text("template", strbuf_slice(&open), &conf, &report), 0, "%s", strbuf_str(&report.errors));
	conf_destroy(&conf);
	conf_report_free(&report);
	strbuf_free(&text);
	strbuf_free(&open);
}

Test(conf, reports_are_bounded)
{
	struct strbuf text = STRBUF_INIT;
	struct conf_report report = {0};
	struct conf *conf;

	for (int i = 0; i < 3000; i++)
		strbuf_addf(&text, "key%d: 1\n", i);
	cr_assert_eq(conf_load_text("many", strbuf_slice(&text), &conf, &report), GFS_ERR_CONFIG);
	cr_assert_null(conf);
	cr_assert_eq(report.n_errors, 3000);
	cr_assert_lt(report.errors.n, 10000);
	conf_report_free(&report);
	strbuf_free(&text);
}
