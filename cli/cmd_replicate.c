/* SPDX-License-Identifier: Apache-2.0 */
/* gfsctl replicate: asks repld, through the HTTP API, for a copy of one object from one site to another. */
#include "config.h"

#include "ctl.h"

#include <stdlib.h>

#include "common/xalloc.h"

int run_replicate(struct ctl *ctl)
{
	const char *key = ctl_require(ctl, "key"), *from = key ? ctl_require(ctl, "from") : NULL;
	const char *to = from ? ctl_require(ctl, "to") : NULL;
	struct strbuf body = STRBUF_INIT;
	json_t *answer;
	char *safe, *what;
	int code;

	if (!to)
		return EXIT_USAGE;
	strbuf_adds(&body, "{\"key\":");
	strbuf_add_json(&body, slice_str(key));
	strbuf_adds(&body, ",\"from\":");
	strbuf_add_json(&body, slice_str(from));
	strbuf_adds(&body, ",\"to\":");
	strbuf_add_json(&body, slice_str(to));
	strbuf_adds(&body, "}");
	safe = printable(key);
	what = xasprintf("replicate %s", safe);
	code = ctl_call(ctl, &(struct http_request){.method = "POST", .path = "/api/v1/replicate", .body = strbuf_slice(&body)}, what,
	                &answer);
	if (code == EXIT_OK)
		ctl->out->replicated(answer, key, from, to);
	json_decref(answer);
	free(what);
	free(safe);
	strbuf_free(&body);
	return code;
}
