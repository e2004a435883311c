/* SPDX-License-Identifier: Apache-2.0 */
/* The REST API's front door in parts: rest_api.c dispatches, the others answer. */
#ifndef GFS_REST_H
#define GFS_REST_H

#include "common/strbuf.h"

#include "request.h"
#include "worker.h"

/* rest_info.c */
void rest_info(struct request *req);
/* rest_health.c */
void rest_healthz(struct request *req);
void rest_readyz(struct request *req);
/* rest_sites.c */
void rest_sites_list(struct request *req);
void rest_sites_add(struct request *req);
void rest_sites_remove(struct request *req, struct slice name);
void rest_sites_drain(struct request *req, struct slice name, bool drained);
/* rest_replicate.c */
void rest_replicate(struct request *req);

/* rest_query.c: takes the parameters of these names, each at most once, of at most value_max bytes of UTF-8 without NUL. False: why
 * says what is wrong. To be freed in either case. */
#define REST_QUERY_MAX 5
struct rest_query {
	struct strbuf value[REST_QUERY_MAX]; /* of each name; empty when it was not given */
	unsigned given;                      /* bits */
	char why[200];
};
bool rest_query_read(struct slice query, const char *const names[], unsigned n, size_t value_max, struct rest_query *q);
void rest_query_free(struct rest_query *q);

/* rest_json.c: reads a JSON object of at most 1 MiB as the body, then calls cb with it (borrowed). Answers errors itself (400, 408,
 * 413); the operation's req->op, on_abort are not in use until cb. */
#define REST_JSON_MAX (1u << 20)
struct json_t;
typedef void rest_json_cb(struct request *req, struct json_t *object);
void rest_json_read(struct request *req, rest_json_cb *cb);

#endif
