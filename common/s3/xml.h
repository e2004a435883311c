/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few XML documents of the S3 protocol, by expat. What a store sends is bounded here in every direction: depth, text per
 * element, entries; a document type declaration is refused. Pure; fuzzed.
 */
#ifndef GFS_S3_XML_H
#define GFS_S3_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../etag.h"
#include "../slice.h"
#include "../strbuf.h"

#define S3XML_LIST_MAX 1000
#define S3XML_UPLOAD_ID_MAX 1024

/* <Error>. Fields that were absent are "". */
struct s3xml_error {
	char code[64], message[256], region[64], endpoint[256], bucket[128];
	bool has_actual_size; /* <ActualObjectSize> of InvalidRange */
	uint64_t actual_size;
};
int s3xml_parse_error(struct slice body, struct s3xml_error *out) GFS_MUST_USE; /* 0 or GFS_ERR_PROTOCOL */

struct s3xml_entry {
	struct slice key; /* decoded; owned by the list */
	bool group;       /* of CommonPrefixes: key is that prefix, and nothing else is told */
	uint64_t size;
	int64_t mtime_ms;
	char etag[ETAG_MAX]; /* without quotes; "" when it does not fit */
};

/* ListObjectsV2 with encoding-type=url. The entries are in the order of the document: keys and groups are two sequences. */
struct s3xml_list {
	struct s3xml_entry *v;
	size_t n, cap;
	bool truncated, encoded; /* encoded: keys came url-encoded; they are decoded here */
};
int s3xml_parse_list(struct slice body, struct s3xml_list *out) GFS_MUST_USE; /* 0, GFS_ERR_PROTOCOL, GFS_ERR_NOMEM */
void s3xml_list_free(struct s3xml_list *list);

int s3xml_parse_initiate(struct slice body, char upload_id[S3XML_UPLOAD_ID_MAX]) GFS_MUST_USE; /* 0 or GFS_ERR_PROTOCOL */

/* CompleteMultipartUpload answers 200 before it is done, so its body decides: 0 with the ETag; GFS_ERR_SITE_ERROR with *error
 * when it is an <Error>; GFS_ERR_PROTOCOL when it is neither (a body that was cut). */
int s3xml_parse_complete(struct slice body, char etag[ETAG_MAX], struct s3xml_error *error) GFS_MUST_USE;

/* The body of CompleteMultipartUpload: begin, each part in order, end. */
void s3xml_complete_begin(struct strbuf *out);
void s3xml_complete_part(struct strbuf *out, unsigned number, const char *etag);
void s3xml_complete_end(struct strbuf *out);

/* "abc" or "\"abc\"" or "&quot;" already undone -> abc; "" when it does not fit. */
void s3_etag_unquote(struct slice text, char out[ETAG_MAX]);

#endif
