/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a list as JSON. A million of them at once: no printf, no calendar but once per second of their times. */
#ifndef GFS_LIST_JSON_H
#define GFS_LIST_JSON_H

#include "common/strbuf.h"

#include "list_merge.h"

struct list_json {
	int64_t second;  /* that date is of */
	char date[32];   /* "" at first */
};

/* {"key","size","last_modified","etag"} */
void list_json_object(struct list_json *j, struct slice key, const struct list_row *row, struct strbuf *out);

#endif
