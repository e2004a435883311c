/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verifying side of Signature Version 4 (sign.h): takes apart what a client sent, in its Authorization header or in a
 * presigned query, and repeats the signing steps with the secret that the caller looked up by the access key.
 */
#include "config.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "../http/fields.h"
#include "sign.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define EXPIRES_MAX_S (7 * 24 * 3600)

static bool cut(struct slice *rest, char at, struct slice *head_out)
{
	const char *p = rest->n ? memchr(rest->p, at, rest->n) : NULL;

	*head_out = slice_of(rest->p, p ? (size_t)(p - rest->p) : rest->n);
	*rest = slice_of(rest->p + head_out->n + (p ? 1 : 0), rest->n - head_out->n - (p ? 1 : 0));
	return p != NULL;
}

static struct slice trim(struct slice s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = slice_of(s.p + 1, s.n - 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* ACCESS/20130524/us-east-1/s3/aws4_request; an access key may itself hold slashes. */
static int parse_credential(struct slice text, struct sign_auth *out)
{
	struct slice part[4]; /* from the end: terminator, service, region, date */

	for (int i = 0; i < 4; i++) {
		const char *slash = text.n ? memrchr(text.p, '/', text.n) : NULL;

		if (!slash)
			return GFS_ERR_INVALID;
		part[i] = slice_of(slash + 1, text.n - (size_t)(slash + 1 - text.p));
		text.n = (size_t)(slash - text.p);
	}
	if (!slice_eq_str(part[0], "aws4_request") || part[3].n != 8 || text.n == 0)
		return GFS_ERR_INVALID;
	out->service = part[1];
	out->region = part[2];
	out->date8 = part[3];
	out->access_key = text;
	return 0;
}

static int check_whole(const struct sign_auth *a)
{
	if (a->access_key.n == 0 || a->signed_headers.n == 0 || a->signature.n != 64 || !slice_eq_str(a->service, "s3"))
		return GFS_ERR_INVALID;
	return 0;
}

int sign_auth_parse(struct slice authorization, struct slice date_time, struct sign_auth *out)
{
	struct slice rest = trim(authorization), item, name;

	*out = (struct sign_auth){.date_time = trim(date_time)};
	if (!cut(&rest, ' ', &item) || !slice_eq_str(item, ALGORITHM))
		return GFS_ERR_INVALID;
	while (rest.n > 0) {
		cut(&rest, ',', &item);
		item = trim(item);
		cut(&item, '=', &name);
		if (slice_eq_str(name, "Credential")) {
			if (parse_credential(item, out))
				return GFS_ERR_INVALID;
		} else if (slice_eq_str(name, "SignedHeaders")) {
			out->signed_headers = item;
		} else if (slice_eq_str(name, "Signature")) {
			out->signature = item;
		}
	}
	return check_whole(out);
}

/* One parameter into the store; its place is told as an offset, since the store may still move. */
static bool take_param(struct slice query, const char *name, struct strbuf *store, size_t *off_out, size_t *n_out)
{
	struct strbuf value = STRBUF_INIT;
	bool found = url_query_get(query, name, &value);

	*off_out = store->n;
	*n_out = found ? value.n : 0;
	strbuf_add_slice(store, strbuf_slice(&value));
	found = found && !strbuf_failed(&value) && !strbuf_failed(store);
	strbuf_free(&value);
	return found;
}

static int parse_expires(struct slice text, uint32_t *out)
{
	uint32_t v = 0;

	if (text.n == 0 || text.n > 6)
		return GFS_ERR_INVALID;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return GFS_ERR_INVALID;
		v = v * 10 + (uint32_t)(text.p[i] - '0');
	}
	if (v == 0 || v > EXPIRES_MAX_S)
		return GFS_ERR_INVALID;
	*out = v;
	return 0;
}

int sign_auth_parse_query(struct slice query, struct sign_auth *out)
{
	static const char *const names[] = {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
	                                    "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token"};
	enum { N = sizeof(names) / sizeof(names[0]) };
	size_t off[N], n[N];
	struct slice v[N];

	*out = (struct sign_auth){.presigned = true};
	for (size_t i = 0; i < N; i++)
		if (!take_param(query, names[i], &out->store, &off[i], &n[i]) && i < N - 1)
			return GFS_ERR_INVALID;
	for (size_t i = 0; i < N; i++)
		v[i] = slice_of(strbuf_str(&out->store) + off[i], n[i]);
	if (!slice_eq_str(v[0], ALGORITHM) || parse_credential(v[1], out) || parse_expires(v[3], &out->expires_s))
		return GFS_ERR_INVALID;
	out->date_time = v[2];
	out->signed_headers = v[4];
	out->signature = v[5];
	out->session_token = v[6];
	return check_whole(out);
}

void sign_auth_free(struct sign_auth *auth)
{
	strbuf_free(&auth->store);
	*auth = (struct sign_auth){0};
}

static bool names_hold_host(struct slice names)
{
	struct slice name;

	while (names.n > 0) {
		cut(&names, ';', &name);
		if (slice_eq_str(name, "host"))
			return true;
	}
	return false;
}

static enum sign_verdict check_time(const struct sign_auth *auth, int64_t now_ms)
{
	int64_t at_ms;

	if (sign_time_parse(auth->date_time, &at_ms) || memcmp(auth->date_time.p, auth->date8.p, 8) != 0)
		return SIGN_MALFORMED;
	if (at_ms > now_ms + SIGN_SKEW_MAX_MS)
		return SIGN_SKEWED;
	if (auth->presigned)
		return now_ms > at_ms + (int64_t)auth->expires_s * 1000 ? SIGN_EXPIRED : SIGN_OK;
	return now_ms > at_ms + SIGN_SKEW_MAX_MS ? SIGN_SKEWED : SIGN_OK;
}

enum sign_verdict sign_verify(const struct sign_request *rq, const struct sign_auth *auth, struct slice secret_key, int64_t now_ms)
{
	struct sign_keys keys = {.access_key = auth->access_key, .secret_key = secret_key, .region = auth->region};
	enum sign_verdict verdict = check_time(auth, now_ms);
	struct strbuf want = STRBUF_INIT;

	if (verdict == SIGN_MALFORMED || !names_hold_host(auth->signed_headers))
		return SIGN_MALFORMED;
	sign_signature(rq, auth->signed_headers, &keys, auth->date_time, &want);
	if (strbuf_failed(&want) || want.n != auth->signature.n || CRYPTO_memcmp(want.p, auth->signature.p, want.n) != 0)
		verdict = SIGN_MISMATCH;
	strbuf_free(&want);
	return verdict;
}
