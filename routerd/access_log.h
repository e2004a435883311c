/* SPDX-License-Identifier: Apache-2.0 */
/* One line per request, at INFO. */
#ifndef GFS_ACCESS_LOG_H
#define GFS_ACCESS_LOG_H

#include <stdbool.h>
#include <stdint.h>

struct request;

/* aborted: the client went away, or the response was cut. */
void access_log(const struct request *req, const char *peer, int64_t duration_us, bool aborted);

#endif
