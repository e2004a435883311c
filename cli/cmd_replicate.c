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
	struct globalfs *api = to ? ctl_api(ctl) : NULL;
	json_t *answer;
	char *safe, *what;
	int code;

	if (!api)
		return EXIT_USAGE;
	safe = printable(key);
	what = xasprintf("replicate %s", safe);
	code = ctl_document(ctl, globalfs_replicate(api, key, from, to), what, &answer);
	if (code == EXIT_OK)
		ctl->out->replicated(answer, key, from, to);
	json_decref(answer);
	free(what);
	free(safe);
	return code;
}
