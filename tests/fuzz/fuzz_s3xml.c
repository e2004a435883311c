/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what a store or a client sends us in S3's own formats: the XML bodies, credentials files, signatures. The first byte says
 * which. */
#include "config.h"

#include "common/s3/creds.h"
#include "common/s3/sign.h"
#include "common/s3/xml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
uint8_t *fuzz_seed(size_t i, size_t *n_out);

/* The first byte chooses the case of LLVMFuzzerTestOneInput(). */
static const char *const seeds[] = {
	"0<Error><Code>NoSuchKey</Code><Message>a&amp;b</Message><Region>eu</Region><ActualObjectSize>7</ActualObjectSize></Error>",
	"1<ListBucketResult xmlns=\"x\"><Contents><Key>a%20b+c</Key><LastModified>2026-11-21T10:00:00.123Z</LastModified><ETag>&quot;0"
	"&quot;</ETag><Size>5</Size></Contents><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType></ListBucketResult>",
	"1<ListBucketResult><Contents><Key>a\x01&#x1;\xef\xbf\xbf\xe2\x82</Key></Contents></ListBucketResult>",
	"2<InitiateMultipartUploadResult><UploadId>2~ab</UploadId></InitiateMultipartUploadResult>",
	"3<CompleteMultipartUploadResult><ETag>\"ab-2\"</ETag></CompleteMultipartUploadResult>",
	"3<Error><Code>InternalError</Code></Error>",
	"4[default]\r\naws_access_key_id = A\naws_secret_access_key=B\n[profile x]\n",
	"5AWS4-HMAC-SHA256 Credential=AK/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-date,Signature="
	"aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
	"5X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&"
	"X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
};

uint8_t *fuzz_seed(size_t i, size_t *n_out)
{
	if (i >= sizeof(seeds) / sizeof(seeds[0]))
		return NULL;
	*n_out = strlen(seeds[i]);
	return (uint8_t *)strdup(seeds[i]);
}

static void fuzz_sign(struct slice in)
{
	struct sign_header headers[] = {{SLICE_LIT("host"), in}, {SLICE_LIT("x-amz-date"), SLICE_LIT("20130524T000000Z")}};
	struct sign_request rq = {.method = SLICE_LIT("GET"), .path = in, .query = in, .payload_hash = SLICE_LIT(SIGN_UNSIGNED),
	                          .headers = headers, .n_headers = 2};
	struct sign_auth auth;

	if (sign_auth_parse(in, headers[1].value, &auth) == 0)
		(void)sign_verify(&rq, &auth, SLICE_LIT("secret"), INT64_C(1369353600000));
	sign_auth_free(&auth);
	if (sign_auth_parse_query(in, &auth) == 0)
		(void)sign_verify(&rq, &auth, SLICE_LIT("secret"), INT64_C(1369353600000));
	sign_auth_free(&auth);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char id[S3XML_UPLOAD_ID_MAX], etag[ETAG_MAX];
	struct s3_creds_view view;
	struct s3xml_error error;
	struct s3xml_list list;
	struct slice in;

	if (size < 1)
		return 0;
	in = slice_of((const char *)data + 1, size - 1);
	switch (data[0] % 6) {
	case 0:
		return s3xml_parse_error(in, &error) > 0;
	case 1:
		if (s3xml_parse_list(in, &list) == 0)
			s3xml_list_free(&list);
		return 0;
	case 2:
		return s3xml_parse_initiate(in, id) > 0;
	case 3:
		return s3xml_parse_complete(in, etag, &error) > 0;
	case 4:
		return s3_creds_parse(in, "default", &view) > 0;
	default:
		fuzz_sign(in);
		return 0;
	}
}
