/* SPDX-License-Identifier: Apache-2.0 */
/* Pure parts of the HTTP client: percent-encoding, the texts of errors, refused addresses. */
#include "config.h"

#include <criterion/criterion.h>
#include <string.h>

#include "cli/http_client.h"
#include "common/xalloc.h"

Test(http_client, encodes_what_a_path_cannot_hold)
{
	struct strbuf out = STRBUF_INIT;

	url_encode(&out, SLICE_LIT("a b/%?#+&=//\xc3\xbc~._-"), "/");
	cr_assert_str_eq(strbuf_str(&out), "a%20b/%25%3F%23%2B%26%3D//%C3%BC~._-");
	strbuf_reset(&out);
	url_encode(&out, slice_of("\0/", 2), "");
	cr_assert_str_eq(strbuf_str(&out), "%00%2F");
	strbuf_free(&out);
}

static void expect_error(long status, const char *type, const char *body, const char *text)
{
	struct http_answer answer = {.status = status};
	struct strbuf out = STRBUF_INIT;

	answer.headers = xcalloc(1, sizeof(*answer.headers));
	answer.headers[0].name = xstrdup("content-type");
	answer.headers[0].value = xstrdup(type);
	answer.n_headers = 1;
	strbuf_adds(&answer.body, body);
	http_error_text(&answer, &out);
	cr_assert_str_eq(strbuf_str(&out), text);
	strbuf_free(&out);
	http_answer_free(&answer);
}

Test(http_client, error_texts_come_from_the_api_or_the_status)
{
	expect_error(404, "application/json", "{\"error\":\"no such object: a\"}\n", "no such object: a");
	expect_error(405, "text/plain; charset=utf-8", "method not allowed\nmore", "method not allowed");
	expect_error(502, "text/html", "<html>", "a site failed");
	expect_error(418, "application/json", "{\"error\":5}", "refused");
	expect_error(404, "", "", "not found");
}

Test(http_client, refuses_addresses_that_are_none)
{
	struct http *h = NULL;
	char why[256];

	cr_assert_eq(http_open("ftp://x", NULL, &h, why, sizeof(why)), GFS_ERR_USAGE);
	cr_assert_eq(http_open("http://a b", NULL, &h, why, sizeof(why)), GFS_ERR_USAGE);
	cr_assert_eq(http_open("http://a", "key\r\nX: y", &h, why, sizeof(why)), GFS_ERR_USAGE);
	cr_assert_eq(http_open("host:8090//", NULL, &h, why, sizeof(why)), 0);
	cr_assert_str_eq(http_base(h), "http://host:8090");
	http_close(&h);
	cr_assert_null(h);
}
