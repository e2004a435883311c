/* SPDX-License-Identifier: Apache-2.0 */
/* The API key (auth.h). Called by rest_api.c and by the metrics door. */
#include "config.h"

#include "auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

#include "common/http/fields.h"
#include "worker.h"

static struct slice key_of(const struct request *req)
{
	struct slice key = http_head_get(&req->head, "X-GlobalFS-API-Key"), scheme = SLICE_LIT("Bearer ");

	if (key.p)
		return key;
	key = http_head_get(&req->head, "Authorization");
	if (!key.p || key.n < scheme.n || !slice_caseeq_str(slice_of(key.p, scheme.n), scheme.p))
		return SLICE_LIT("");
	return slice_of(key.p + scheme.n, key.n - scheme.n);
}

bool auth_ok(const struct request *req)
{
	unsigned char given[SHA256_DIGEST_LENGTH], want[SHA256_DIGEST_LENGTH];
	const char *wanted = req->worker->api_key;
	struct slice key;

	if (!wanted)
		return true;
	key = key_of(req);
	/* Equal lengths, so that the comparison's time tells nothing, not even the length. */
	SHA256((const unsigned char *)key.p, key.n, given);
	SHA256((const unsigned char *)wanted, strlen(wanted), want);
	return CRYPTO_memcmp(given, want, sizeof(want)) == 0;
}
