/* SPDX-License-Identifier: Apache-2.0 */
/* Pure parts of libglobalfs: percent-encoding, addresses, settings, times, and taking a list's answer apart. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/impl.h"
#include "client/split.h"

Test(client, encodes_what_a_path_cannot_hold)
{
	struct gfsc_buf out = {0};

	gfsc_buf_add_encoded(&out, "a b/%?#+&=//\xc3\xbc~._-", "/");
	cr_assert_str_eq(gfsc_buf_str(&out), "a%20b/%25%3F%23%2B%26%3D//%C3%BC~._-");
	gfsc_buf_reset(&out);
	gfsc_buf_add_encoded(&out, "/\x01", "");
	cr_assert_str_eq(gfsc_buf_str(&out), "%2F%01");
	gfsc_buf_free(&out);
}

Test(client, a_buffer_stops_at_its_bound_and_stays_failed)
{
	struct gfsc_buf b = {.max = 5};

	gfsc_buf_adds(&b, "12345");
	cr_assert_eq(b.err, 0);
	gfsc_buf_adds(&b, "6");
	cr_assert_eq(b.err, GLOBALFS_ERR_TOO_LARGE);
	gfsc_buf_adds(&b, "");
	cr_assert_eq(b.err, GLOBALFS_ERR_TOO_LARGE);
	cr_assert_str_eq(b.p, "12345");
	gfsc_buf_free(&b);
}

Test(client, refuses_addresses_and_settings_that_are_none)
{
	static const char *const bad[] = {"ftp://x", "http://a b", "", "http://a?b", "http://a\n"};
	struct globalfs *h = NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(globalfs_open(bad[i], &h), GLOBALFS_ERR_USAGE, "%s", bad[i]);
		cr_assert_null(h);
	}
	cr_assert_eq(globalfs_open(NULL, &h), GLOBALFS_ERR_USAGE);
	cr_assert_eq(globalfs_open("host:8090//", &h), 0);
	cr_assert_str_eq(globalfs_url(h), "http://host:8090");
	cr_assert_eq(globalfs_set_api_key(h, "key\r\nX: y"), GLOBALFS_ERR_USAGE);
	cr_assert_eq(globalfs_error(h)->code, GLOBALFS_ERR_USAGE);
	cr_assert_eq(globalfs_set_user_agent(h, "\xc3\xbc"), GLOBALFS_ERR_USAGE);
	cr_assert_eq(globalfs_set_api_key(h, "fine"), 0);
	cr_assert_eq(globalfs_set_api_key(h, NULL), 0);
	globalfs_close(&h);
	cr_assert_null(h);
	globalfs_close(&h);
}

Test(client, arguments_that_make_no_sense_are_not_sent)
{
	static const char *const ranges[] = {"5", "a-b", "-", "5-6-7", "bytes=0-1", "99999999999999999999-"};
	const struct globalfs_pair bad_name = {"a b", "c"}, bad_value = {"a", "b\nc"};
	struct globalfs_put_options put = {.metadata = &bad_name, .n_metadata = 1};
	const struct globalfs_object *object;
	struct globalfs *h;
	void *data;
	size_t n;

	cr_assert_eq(globalfs_open("http://127.0.0.1:1", &h), 0);
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		struct globalfs_get_options get = {.range = ranges[i]};

		cr_assert_eq(globalfs_get_memory(h, "k", &get, 10, &data, &n), GLOBALFS_ERR_USAGE, "%s", ranges[i]);
		cr_assert_null(data);
	}
	cr_assert_eq(globalfs_head(h, "", NULL, &object), GLOBALFS_ERR_USAGE);
	cr_assert_eq(globalfs_head(h, NULL, NULL, &object), GLOBALFS_ERR_USAGE);
	cr_assert_eq(globalfs_put(h, "k", "", 0, &put, NULL), GLOBALFS_ERR_USAGE);
	put.metadata = &bad_value;
	cr_assert_eq(globalfs_put(h, "k", "", 0, &put, NULL), GLOBALFS_ERR_USAGE);
	put = (struct globalfs_put_options){.content_type = "a\r\nb"};
	cr_assert_eq(globalfs_put(h, "k", "", 0, &put, NULL), GLOBALFS_ERR_USAGE);
	cr_assert_eq(globalfs_delete(h, "k"), GLOBALFS_ERR_CONNECT);
	cr_assert_eq(globalfs_error(h)->status, 0);
	cr_assert(globalfs_error(h)->message[0]);
	globalfs_close(&h);
}

Test(client, times)
{
	cr_assert_eq(globalfs_time("1970-01-02T00:00:00Z"), 86400);
	cr_assert_eq(globalfs_time("2026-11-21T10:00:00.123Z"), 1795255200);
	cr_assert_eq(globalfs_time("2026-11-21 10:00:00"), -1);
	cr_assert_eq(globalfs_time(""), -1);
	cr_assert_eq(globalfs_time(NULL), -1);
}

Test(client, every_code_has_a_text)
{
	for (int code = 0; code >= GLOBALFS_ERR_NOMEM; code--)
		cr_assert_str_neq(globalfs_code_text(code), "unknown error");
	cr_assert_str_eq(globalfs_code_text(5), "unknown error");
}

/* ---- split ---- */

static int keep_item(void *arg, enum gfsc_array array, const char *p, size_t n)
{
	struct gfsc_buf *out = arg;

	gfsc_buf_adds(out, array == GFSC_OBJECTS ? "o:" : "p:");
	gfsc_buf_add(out, p, n);
	gfsc_buf_adds(out, "\n");
	return 0;
}

/* Feeds text in pieces of every size: always the same items and remainder. */
static void expect_split(const char *text, const char *items, const char *rest)
{
	struct gfsc_split s;

	for (size_t piece = 1; piece <= strlen(text); piece++) {
		struct gfsc_buf out = {0};

		gfsc_split_init(&s, keep_item, &out);
		for (size_t at = 0; at < strlen(text); at += piece) {
			size_t n = strlen(text) - at < piece ? strlen(text) - at : piece;

			cr_assert_eq(gfsc_split_feed(&s, text + at, n), 0, "%s", text);
		}
		cr_assert_str_eq(gfsc_buf_str(&out), items);
		cr_assert_str_eq(gfsc_buf_str(&s.rest), rest);
		gfsc_split_free(&s);
		gfsc_buf_free(&out);
	}
}

Test(split, finds_items_wherever_the_pieces_end)
{
	expect_split("{\"prefix\":\"ob\\\"jects\",\"objects\":"
	             "[{\"key\":\"a]}\\\\\"}, {\"key\":\"b\",\"x\":[1,{\"objects\":[2]}]}],\"count\":2}",
	             "o:{\"key\":\"a]}\\\\\"}\no:{\"key\":\"b\",\"x\":[1,{\"objects\":[2]}]}\n",
	             "{\"prefix\":\"ob\\\"jects\",\"objects\":[],\"count\":2}");
	expect_split("{\"objects\":[ ],\"common_prefixes\":[\"a/\" , \"b,/\"],\"partial\":[\"x\",[1]],\"n\":{\"objects\":[3]}}",
	             "p:\"a/\"\np:\"b,/\"\n",
	             "{\"objects\":[],\"common_prefixes\":[],\"partial\":[\"x\",[1]],\"n\":{\"objects\":[3]}}");
	expect_split("[{\"objects\":[1]}]", "", "[{\"objects\":[1]}]");
}

static int feed_all(const char *text)
{
	struct gfsc_buf out = {0};
	struct gfsc_split s;
	int err;

	gfsc_split_init(&s, keep_item, &out);
	err = gfsc_split_feed(&s, text, strlen(text));
	gfsc_split_free(&s);
	gfsc_buf_free(&out);
	return err;
}

Test(split, refuses_what_has_no_end_or_no_sense)
{
	char *big = calloc(1, GFSC_REST_MAX + 100);

	cr_assert_eq(feed_all("{\"objects\":[,1]}"), GLOBALFS_ERR_PROTOCOL);
	cr_assert_eq(feed_all("{\"objects\":[1,]}"), GLOBALFS_ERR_PROTOCOL);
	cr_assert_eq(feed_all("{\"objects\":[1}}"), GLOBALFS_ERR_PROTOCOL);
	cr_assert_eq(feed_all("}"), GLOBALFS_ERR_PROTOCOL);
	cr_assert(big);
	memset(big, '[', GFSC_REST_MAX + 99);
	cr_assert_eq(feed_all(big), GLOBALFS_ERR_TOO_LARGE);
	memcpy(big, "{\"objects\":[\"", 13);
	cr_assert_eq(feed_all(big), GLOBALFS_ERR_TOO_LARGE);
	free(big);
}
