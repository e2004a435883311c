/* SPDX-License-Identifier: Apache-2.0 */
/* The access log: what was asked, how it ended, how long it took and for whom. Called at the end of every request. */
#include "config.h"

#include "access_log.h"

#include <inttypes.h>

#include "common/log.h"
#include "request.h"

#define STATUS_CLIENT_GONE 499

void access_log(const struct request *req, const char *peer, int64_t duration_us, bool aborted)
{
	char method[64], path[LOG_QUOTE_MAX], site[256];
	int status = aborted && !req->responded ? STATUS_CLIENT_GONE : req->status;

	if (log_get_level() < LOG_LVL_INFO)
		return;
	log_info("event=request method=%s path=%s status=%d bytes_in=%" PRIu64 " bytes=%" PRIu64 " duration_ms=%" PRId64 ".%03d"
	         " request_id=%s peer=%s site=%s%s",
	         log_quote(method, sizeof(method), req->head.method_text), log_quote(path, sizeof(path), req->head.path), status,
	         req->body_in, req->body_out, duration_us / 1000, (int)(duration_us % 1000), req->id, peer,
	         req->site[0] ? log_quote(site, sizeof(site), slice_str(req->site)) : "-", aborted ? " aborted=true" : "");
}
