/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signing side of Signature Version 4: canonical request, string to sign, signing key, and the two ways to carry the
 * signature. The verifying side (verify.c) repeats the same steps.
 */
#include "config.h"

#include "sign.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../http/fields.h"
#include "../log.h"

void sign_time_format(int64_t ms, char buf[SIGN_TIME_MAX])
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(buf, SIGN_TIME_MAX, "%Y%m%dT%H%M%SZ", &tm) != SIGN_TIME_MAX - 1)
		memcpy(buf, "19700101T000000Z", SIGN_TIME_MAX);
}

int sign_time_parse(struct slice text, int64_t *ms_out)
{
	char s[SIGN_TIME_MAX], again[SIGN_TIME_MAX];
	struct tm tm = {0};
	int64_t ms;
	char *end;

	if (text.n != SIGN_TIME_MAX - 1)
		return GFS_ERR_INVALID;
	memcpy(s, text.p, text.n);
	s[text.n] = '\0';
	end = strptime(s, "%Y%m%dT%H%M%SZ", &tm);
	if (!end || *end)
		return GFS_ERR_INVALID;
	ms = (int64_t)timegm(&tm) * 1000;
	/* strptime() takes spaces and short numbers too */
	sign_time_format(ms, again);
	if (strcmp(s, again) != 0)
		return GFS_ERR_INVALID;
	*ms_out = ms;
	return 0;
}

void sign_sha256_hex(const void *p, size_t n, char hex[SIGN_HEX_MAX])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	gfs_assert(EVP_Digest(p, n, md, &len, EVP_sha256(), NULL) == 1 && len == 32);
	for (unsigned i = 0; i < len; i++) {
		hex[i * 2] = digits[md[i] >> 4];
		hex[i * 2 + 1] = digits[md[i] & 15];
	}
	hex[64] = '\0';
}

static void hmac(const void *key, size_t key_n, struct slice data, unsigned char out[32])
{
	unsigned len = 0;

	gfs_assert(HMAC(EVP_sha256(), key, (int)key_n, (const unsigned char *)data.p, data.n, out, &len) && len == 32);
}

/* ---- canonical request ---- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static int header_cmp(const void *a, const void *b)
{
	const struct sign_header *const *x = a, *const *y = b;
	size_t n = (*x)->name.n < (*y)->name.n ? (*x)->name.n : (*y)->name.n;
	int c = strncasecmp((*x)->name.p, (*y)->name.p, n);

	return c ? c : ((*x)->name.n > (*y)->name.n) - ((*x)->name.n < (*y)->name.n);
}

void sign_header_names(const struct sign_request *rq, struct strbuf *out)
{
	const struct sign_header **v = calloc(rq->n_headers + 1, sizeof(*v));

	if (!v) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < rq->n_headers; i++)
		v[i] = &rq->headers[i];
	qsort(v, rq->n_headers, sizeof(*v), header_cmp);
	for (size_t i = 0; i < rq->n_headers; i++) {
		if (i > 0 && header_cmp(&v[i - 1], &v[i]) == 0)
			continue;
		if (i > 0)
			strbuf_addc(out, ';');
		for (size_t k = 0; k < v[i]->name.n; k++)
			strbuf_addc(out, lower(v[i]->name.p[k]));
	}
	free(v);
}

/* Without spaces at the ends, runs of spaces as one. */
static void add_trimmed(struct slice value, struct strbuf *out)
{
	bool gap = false, any = false;

	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == ' ' || value.p[i] == '\t') {
			gap = any;
			continue;
		}
		if (gap)
			strbuf_addc(out, ' ');
		gap = false;
		any = true;
		strbuf_addc(out, value.p[i]);
	}
}

static void add_header_lines(const struct sign_request *rq, struct slice names, struct strbuf *out)
{
	while (names.n > 0) {
		const char *semi = memchr(names.p, ';', names.n);
		struct slice name = slice_of(names.p, semi ? (size_t)(semi - names.p) : names.n);
		bool first = true;

		names = slice_of(name.p + name.n + (semi ? 1 : 0), names.n - name.n - (semi ? 1 : 0));
		strbuf_add_slice(out, name);
		strbuf_addc(out, ':');
		for (size_t i = 0; i < rq->n_headers; i++) {
			const struct sign_header *h = &rq->headers[i];

			if (h->name.n != name.n || strncasecmp(h->name.p, name.p, name.n) != 0)
				continue;
			if (!first)
				strbuf_addc(out, ',');
			first = false;
			add_trimmed(h->value, out);
		}
		strbuf_addc(out, '\n');
	}
}

/* Decodes and encodes again; a broken escape is taken as it stands. */
static void add_canonical(struct slice in, bool is_query, bool keep_slash, struct strbuf *out)
{
	struct strbuf plain = STRBUF_INIT;

	if (url_decode(in, &plain)) {
		url_encode(in, keep_slash, out);
	} else {
		/* in a query a plus is a space; one that was escaped is a plus */
		if (is_query && in.n && memchr(in.p, '+', in.n)) {
			strbuf_reset(&plain);
			for (size_t i = 0; i < in.n; i++)
				strbuf_addc(&plain, in.p[i] == '+' ? ' ' : in.p[i]);
			add_canonical(strbuf_slice(&plain), false, keep_slash, out);
		} else {
			url_encode(strbuf_slice(&plain), keep_slash, out);
		}
	}
	if (strbuf_failed(&plain))
		out->failed = true;
	strbuf_free(&plain);
}

struct param {
	size_t name, name_n, value, value_n; /* places in the text beside it */
};

static int param_cmp(const void *a, const void *b, void *text)
{
	const struct param *x = a, *y = b;
	const char *t = text;
	int c = slice_cmp(slice_of(t + x->name, x->name_n), slice_of(t + y->name, y->name_n));

	return c ? c : slice_cmp(slice_of(t + x->value, x->value_n), slice_of(t + y->value, y->value_n));
}

/* Splits at '&' into canonical names and values; X-Amz-Signature is left out. Returns how many. */
static size_t split_params(struct slice query, struct param *v, struct strbuf *text)
{
	size_t n = 0;

	while (query.n > 0) {
		const char *amp = memchr(query.p, '&', query.n);
		struct slice pair = slice_of(query.p, amp ? (size_t)(amp - query.p) : query.n);
		const char *eq = pair.n ? memchr(pair.p, '=', pair.n) : NULL;
		struct slice name = slice_of(pair.p, eq ? (size_t)(eq - pair.p) : pair.n);
		struct param *p = &v[n];

		query = slice_of(pair.p + pair.n + (amp ? 1 : 0), query.n - pair.n - (amp ? 1 : 0));
		if (pair.n == 0)
			continue;
		p->name = text->n;
		add_canonical(name, true, false, text);
		p->name_n = text->n - p->name;
		p->value = text->n;
		if (eq)
			add_canonical(slice_of(eq + 1, pair.n - name.n - 1), true, false, text);
		p->value_n = text->n - p->value;
		if (!slice_eq_str(slice_of(strbuf_str(text) + p->name, p->name_n), "X-Amz-Signature"))
			n++;
	}
	return n;
}

static void add_canonical_query(struct slice query, struct strbuf *out)
{
	struct strbuf text = STRBUF_INIT;
	struct param *v;
	size_t n = 1;

	if (query.n == 0)
		return;
	for (size_t i = 0; i < query.n; i++)
		n += query.p[i] == '&';
	v = calloc(n, sizeof(*v));
	if (!v) {
		out->failed = true;
		return;
	}
	n = split_params(query, v, &text);
	if (strbuf_failed(&text)) {
		out->failed = true;
		n = 0;
	}
	if (n > 1)
		qsort_r(v, n, sizeof(*v), param_cmp, text.p);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strbuf_addc(out, '&');
		strbuf_add(out, text.p + v[i].name, v[i].name_n);
		strbuf_addc(out, '=');
		strbuf_add(out, text.p + v[i].value, v[i].value_n);
	}
	free(v);
	strbuf_free(&text);
}

void sign_canonical_request(const struct sign_request *rq, struct slice signed_headers, struct strbuf *out)
{
	strbuf_add_slice(out, rq->method);
	strbuf_addc(out, '\n');
	if (rq->path.n > 0)
		add_canonical(rq->path, false, true, out);
	else
		strbuf_addc(out, '/');
	strbuf_addc(out, '\n');
	add_canonical_query(rq->query, out);
	strbuf_addc(out, '\n');
	add_header_lines(rq, signed_headers, out);
	strbuf_addc(out, '\n');
	strbuf_add_slice(out, signed_headers);
	strbuf_addc(out, '\n');
	strbuf_add_slice(out, rq->payload_hash);
}

/* ---- signature ---- */

static void add_scope(struct slice date8, struct slice region, struct strbuf *out)
{
	strbuf_add_slice(out, date8);
	strbuf_addc(out, '/');
	strbuf_add_slice(out, region);
	strbuf_adds(out, "/s3/aws4_request");
}

static struct slice date_of(struct slice date_time)
{
	return slice_of(date_time.p, date_time.n < 8 ? date_time.n : 8);
}

void sign_string_to_sign(struct slice date_time, struct slice region, struct slice canonical_request, struct strbuf *out)
{
	char hex[SIGN_HEX_MAX];

	sign_sha256_hex(canonical_request.p, canonical_request.n, hex);
	strbuf_adds(out, "AWS4-HMAC-SHA256\n");
	strbuf_add_slice(out, date_time);
	strbuf_addc(out, '\n');
	add_scope(date_of(date_time), region, out);
	strbuf_addc(out, '\n');
	strbuf_adds(out, hex);
}

void sign_signing_key(struct slice secret_key, struct slice date8, struct slice region, unsigned char key[32])
{
	struct strbuf first = STRBUF_INIT;

	strbuf_adds(&first, "AWS4");
	strbuf_add_slice(&first, secret_key);
	hmac(strbuf_str(&first), first.n, date8, key);
	if (first.p)
		OPENSSL_cleanse(first.p, first.n);
	strbuf_free(&first);
	hmac(key, 32, region, key);
	hmac(key, 32, SLICE_LIT("s3"), key);
	hmac(key, 32, SLICE_LIT("aws4_request"), key);
}

void sign_signature(const struct sign_request *rq, struct slice signed_headers, const struct sign_keys *keys,
                    struct slice date_time, struct strbuf *out)
{
	struct strbuf canonical = STRBUF_INIT, text = STRBUF_INIT;
	unsigned char key[32], mac[32];

	sign_canonical_request(rq, signed_headers, &canonical);
	sign_string_to_sign(date_time, keys->region, strbuf_slice(&canonical), &text);
	sign_signing_key(keys->secret_key, date_of(date_time), keys->region, key);
	hmac(key, sizeof(key), strbuf_slice(&text), mac);
	if (strbuf_failed(&canonical) || strbuf_failed(&text))
		out->failed = true;
	strbuf_add_hex(out, mac, sizeof(mac));
	strbuf_free(&canonical);
	strbuf_free(&text);
}

void sign_authorization(const struct sign_request *rq, const struct sign_keys *keys, struct slice date_time, struct strbuf *out)
{
	struct strbuf names = STRBUF_INIT;

	sign_header_names(rq, &names);
	strbuf_adds(out, "AWS4-HMAC-SHA256 Credential=");
	strbuf_add_slice(out, keys->access_key);
	strbuf_addc(out, '/');
	add_scope(date_of(date_time), keys->region, out);
	strbuf_adds(out, ",SignedHeaders=");
	strbuf_add_slice(out, strbuf_slice(&names));
	strbuf_adds(out, ",Signature=");
	sign_signature(rq, strbuf_slice(&names), keys, date_time, out);
	if (strbuf_failed(&names))
		out->failed = true;
	strbuf_free(&names);
}

static void add_param(const char *name, struct slice value, struct strbuf *out)
{
	if (out->n > 0)
		strbuf_addc(out, '&');
	strbuf_adds(out, name);
	strbuf_addc(out, '=');
	url_encode(value, false, out);
}

void sign_presign(const struct sign_request *rq, const struct sign_keys *keys, struct slice date_time, uint32_t expires_s,
                  struct strbuf *out)
{
	struct strbuf names = STRBUF_INIT, text = STRBUF_INIT, query = STRBUF_INIT;
	struct sign_request full = *rq;

	strbuf_add_slice(&query, rq->query);
	add_param("X-Amz-Algorithm", SLICE_LIT("AWS4-HMAC-SHA256"), &query);
	strbuf_add_slice(&text, keys->access_key);
	strbuf_addc(&text, '/');
	add_scope(date_of(date_time), keys->region, &text);
	add_param("X-Amz-Credential", strbuf_slice(&text), &query);
	add_param("X-Amz-Date", date_time, &query);
	strbuf_addf(&query, "&X-Amz-Expires=%u", expires_s);
	if (keys->session_token.n > 0)
		add_param("X-Amz-Security-Token", keys->session_token, &query);
	sign_header_names(rq, &names);
	add_param("X-Amz-SignedHeaders", strbuf_slice(&names), &query);
	full.query = strbuf_slice(&query);
	strbuf_add_slice(out, full.query);
	strbuf_adds(out, "&X-Amz-Signature=");
	sign_signature(&full, strbuf_slice(&names), keys, date_time, out);
	if (strbuf_failed(&names) || strbuf_failed(&text) || strbuf_failed(&query))
		out->failed = true;
	strbuf_free(&names);
	strbuf_free(&text);
	strbuf_free(&query);
}
