/* SPDX-License-Identifier: Apache-2.0 */
/* The documents of the S3 protocol: what stores send, what they must not, and the one that we send. */
#include "config.h"

#include <criterion/criterion.h>

#include "common/s3/errors.h"
#include "common/s3/xml.h"

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"

Test(s3_xml, error)
{
	struct s3xml_error e;

	cr_assert_eq(s3xml_parse_error(SLICE_LIT(HEAD "<Error><Code>NoSuchKey</Code><Message>a&amp;b\n</Message><BucketName>b"
	     "</BucketName>"
	                                         "<ActualObjectSize>17</ActualObjectSize><Region>eu</Region></Error>"), &e), 0);
	cr_assert_str_eq(e.code, "NoSuchKey");
	cr_assert_str_eq(e.message, "a&b ");
	cr_assert_str_eq(e.region, "eu");
	cr_assert(e.has_actual_size);
	cr_assert_eq(e.actual_size, 17);
}

Test(s3_xml, what_is_no_error_document)
{
	static const char *const bad[] = {"", "x", "<html><body>404</body></html>", "<Error></Error>", "<Error><Code>A</Code>",
	                                  "<!DOCTYPE a [<!ENTITY x \"y\">]><Error><Code>&x;</Code></Error>",
	                                  "<a><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></a>",
	                                  "<Other><Error><Code>A</Code></Error></Other>"};
	struct s3xml_error e;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(s3xml_parse_error(slice_str(bad[i]), &e), GFS_ERR_PROTOCOL, "case %zu", i);
}

Test(s3_xml, list_encoded)
{
	struct s3xml_list l;

	cr_assert_eq(s3xml_parse_list(SLICE_LIT(HEAD "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
	     "<Name>b</Name>"
		"<Contents><Key>a%20b+c%2Bd/%E2%82%AC</Key><LastModified>2026-11-21T10:00:00.123Z</LastModified>"
		"<ETag>&quot;0123&quot;</ETag><Size>5368709120</Size><Owner><ID>x</ID><DisplayName>y</DisplayName></Owner></Contents>"
		"<Contents><Key>z//</Key><Size>0</Size></Contents><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>"
		"</ListBucketResult>"), &l), 0);
	cr_assert_eq(l.n, 2);
	cr_assert(l.truncated);
	cr_assert(slice_eq_str(l.v[0].key, "a b c+d/\xe2\x82\xac"));
	cr_assert_eq(l.v[0].size, UINT64_C(5368709120));
	cr_assert_eq(l.v[0].mtime_ms, INT64_C(1795255200123));
	cr_assert_str_eq(l.v[0].etag, "0123");
	cr_assert(slice_eq_str(l.v[1].key, "z//"));
	s3xml_list_free(&l);
}

Test(s3_xml, list_not_encoded)
{
	struct s3xml_list l;

	cr_assert_eq(s3xml_parse_list(SLICE_LIT("<ListBucketResult><Contents><Key>100%+x</Key></Contents></ListBucketResult>"),
	     &l), 0);
	cr_assert(slice_eq_str(l.v[0].key, "100%+x"));
	cr_assert_not(l.truncated);
	s3xml_list_free(&l);
	cr_assert_eq(s3xml_parse_list(SLICE_LIT("<ListBucketResult/>"), &l), 0);
	cr_assert_eq(l.n, 0);
	s3xml_list_free(&l);
}

Test(s3_xml, echoed_control_characters_do_no_harm)
{
	struct s3xml_list l;
	char id[S3XML_UPLOAD_ID_MAX];

	cr_assert_eq(s3xml_parse_list(SLICE_LIT("<ListBucketResult><StartAfter>a\x01&#x1;&#31;b\xef\xbf\xbf&#x20;&amp;"
	     "</StartAfter><Contents><Key>a%01"
	                                        "</Key></Contents><EncodingType>url</EncodingType></ListBucketResult>"), &l), 0);
	cr_assert(slice_eq_str(l.v[0].key, "a\x01"));
	s3xml_list_free(&l);
	cr_assert_eq(s3xml_parse_list(SLICE_LIT("<ListBucketResult><Contents><Key>a\x01</Key></Contents></ListBucketResult>"), &l),
	             GFS_ERR_PROTOCOL);
	cr_assert_eq(s3xml_parse_initiate(SLICE_LIT("<InitiateMultipartUploadResult><Key>a\x02</Key><UploadId>u</UploadId>"
	                                            "</InitiateMultipartUploadResult>"), id), 0);
	cr_assert_str_eq(id, "u");
}

Test(s3_xml, lists_that_are_refused)
{
	static const char *const bad[] = {
		"", "<ListBucketResult>", "<Error><Code>A</Code></Error>", "<ListBucketResult><Contents></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key><LastModified>now</LastModified></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>%4</Key></Contents><EncodingType>url</EncodingType></ListBucketResult>",
	};
	struct s3xml_list l;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(s3xml_parse_list(slice_str(bad[i]), &l), GFS_ERR_PROTOCOL, "case %zu", i);
}

Test(s3_xml, list_is_bounded)
{
	struct strbuf sb = STRBUF_INIT;
	struct s3xml_list l;

	strbuf_adds(&sb, "<ListBucketResult>");
	for (int i = 0; i < S3XML_LIST_MAX + 1; i++)
		strbuf_addf(&sb, "<Contents><Key>k%d</Key></Contents>", i);
	strbuf_adds(&sb, "</ListBucketResult>");
	cr_assert_eq(s3xml_parse_list(strbuf_slice(&sb), &l), GFS_ERR_PROTOCOL);
	strbuf_reset(&sb);
	strbuf_adds(&sb, "<ListBucketResult><Contents><Key>");
	for (int i = 0; i < 9000; i++)
		strbuf_addc(&sb, 'a');
	strbuf_adds(&sb, "</Key></Contents></ListBucketResult>");
	cr_assert_eq(s3xml_parse_list(strbuf_slice(&sb), &l), GFS_ERR_PROTOCOL);
	strbuf_free(&sb);
}

Test(s3_xml, initiate)
{
	char id[S3XML_UPLOAD_ID_MAX];

	cr_assert_eq(s3xml_parse_initiate(SLICE_LIT("<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId"
	     ">2~ab</UploadId>"
	                                            "</InitiateMultipartUploadResult>"), id), 0);
	cr_assert_str_eq(id, "2~ab");
	cr_assert_eq(s3xml_parse_initiate(SLICE_LIT("<InitiateMultipartUploadResult></InitiateMultipartUploadResult>"), id),
	     GFS_ERR_PROTOCOL);
	cr_assert_eq(s3xml_parse_initiate(SLICE_LIT("<X><UploadId>2~ab</UploadId></X>"), id), GFS_ERR_PROTOCOL);
}

Test(s3_xml, complete_result_or_error_or_cut)
{
	struct s3xml_error e;
	char etag[ETAG_MAX];

	cr_assert_eq(s3xml_parse_complete(SLICE_LIT("\n" "<CompleteMultipartUploadResult><ETag>\"ab-2\"</ETag>"
	                                            "</CompleteMultipartUploadResult>"), etag, &e), 0);
	cr_assert_str_eq(etag, "ab-2");
	cr_assert_eq(s3xml_parse_complete(SLICE_LIT("<Error><Code>InternalError</Code></Error>"), etag, &e), GFS_ERR_SITE_ERROR);
	cr_assert_str_eq(e.code, "InternalError");
	cr_assert_eq(s3xml_parse_complete(SLICE_LIT("<CompleteMultipartUploadResult><ETag>\"ab-2\"</ETag>"), etag, &e),
	     GFS_ERR_PROTOCOL);
	cr_assert_eq(s3xml_parse_complete(SLICE_LIT("   "), etag, &e), GFS_ERR_PROTOCOL);
	cr_assert_eq(s3xml_parse_complete(SLICE_LIT("<html/>"), etag, &e), GFS_ERR_PROTOCOL);
}

Test(s3_xml, complete_request)
{
	struct strbuf sb = STRBUF_INIT;

	s3xml_complete_begin(&sb);
	s3xml_complete_part(&sb, 1, "ab");
	s3xml_complete_part(&sb, 2, "c<&");
	s3xml_complete_end(&sb);
	cr_assert_str_eq(strbuf_str(&sb), "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part>"
	     "<PartNumber>1"
	                 "</PartNumber><ETag>&quot;ab&quot;</ETag></Part><Part><PartNumber>2</PartNumber><ETag>&quot;c&lt;"
	                 "&amp;&quot;</ETag>"
	                 "</Part></CompleteMultipartUpload>");
	strbuf_free(&sb);
}

Test(s3_errors, only_the_store_says_that_a_key_is_absent)
{
	cr_assert_eq(s3_error_map(404, SLICE_LIT("NoSuchKey")), GFS_ERR_NO_SUCH_KEY);
	cr_assert_eq(s3_error_map(404, SLICE_LIT("NoSuchBucket")), GFS_ERR_SITE_ERROR);
	cr_assert_eq(s3_error_map(404, SLICE_LIT("")), GFS_ERR_SITE_ERROR);
	cr_assert_eq(s3_error_map(404, SLICE_LIT("NoSuchUpload")), GFS_ERR_SITE_ERROR);
	cr_assert_eq(s3_error_map(503, SLICE_LIT("SlowDown")), GFS_ERR_SITE_BUSY);
	cr_assert_eq(s3_error_map(503, SLICE_LIT("")), GFS_ERR_SITE_BUSY);
	cr_assert_eq(s3_error_map(403, SLICE_LIT("Whatever")), GFS_ERR_FORBIDDEN);
	cr_assert_eq(s3_error_map(412, SLICE_LIT("")), GFS_ERR_PRECONDITION);
	cr_assert_eq(s3_error_map(416, SLICE_LIT("InvalidRange")), GFS_ERR_RANGE);
	cr_assert_eq(s3_error_map(301, SLICE_LIT("PermanentRedirect")), GFS_ERR_SITE_ERROR);
	cr_assert_eq(s3_error_map(500, SLICE_LIT("InternalError")), GFS_ERR_SITE_ERROR);
	cr_assert_eq(s3_error_map(0, SLICE_LIT("")), GFS_ERR_SITE_ERROR);
}
