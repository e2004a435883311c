/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations on objects, one file each. A front door calls them with a request whose head is complete and the decoded key;
 * they answer it. Between the call and the answer req->op is theirs.
 */
#ifndef GFS_OPS_H
#define GFS_OPS_H

#include "request.h"

void op_get(struct request *req, struct slice key);
void op_head(struct request *req, struct slice key);
void op_where(struct request *req, struct slice key); /* explains instead of reading */
void op_put(struct request *req, struct slice key);
void op_delete(struct request *req, struct slice key);

struct op_list_args {
	struct slice prefix, start_after, delimiter; /* copied */
	uint64_t limit;                              /* 0: all */
	bool strict;                                 /* all sites or an error */
};
void op_list(struct request *req, const struct op_list_args *args);

/* Name and stats of an operation for the access log. */
void op_begin(struct request *req, const char *name, int stat_ok, int stat_err, int stat_time);
/* The operation lets go of the request before it sends its last bytes. */
void op_detach(struct request *req);
/* Error with Retry-After when there is a point in trying again. */
void op_error(struct request *req, int err, const char *text, unsigned retry_after_s);
/* The end of a search that found nothing. */
struct search;
struct search_verdict;
void op_not_found(struct request *req, const struct search *s, const struct search_verdict *v);
/* False: answered with 400 already. */
bool op_check_key(struct request *req, struct slice key);

#endif
