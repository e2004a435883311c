/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what a store or a client sends us in S3's own formats: the XML bodies, credentials files, signatures. The first byte says
 * which. */
#include "config.h"

#include "common/s3/creds.h"
#include "common/s3/sign.h"
#include "common/s3/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
