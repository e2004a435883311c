/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a request may be served: the API key. Asked once per request, by every door, before anything is done for it. */
#ifndef GFS_AUTH_H
#define GFS_AUTH_H

#include "request.h"

/* True when no key is configured, or the request has it: as X-GlobalFS-API-Key, or as "Authorization: Bearer KEY" (RFC 6750). */
bool auth_ok(const struct request *req);

#endif
