/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One site's settings by themselves: defaults, the short form (file:///srv/a, s3://bucket/prefix?region=R&endpoint=URL), copies,
 * and the checks that hold wherever a site comes from: the file, the API, or the registry.
 */
#include "config.h"

#include "schema.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "../key.h"
#include "../xalloc.h"

#define SITE_NAME_MAX 63
#define SITE_TEXT_MAX 1024 /* of a path, prefix or URL */

void site_conf_init(struct site_conf *site)
{
	memset(site, 0, sizeof(*site));
	schema_defaults(&schema_site, site);
}

void site_conf_free(struct site_conf *site)
{
	schema_free(&schema_site, site);
	memset(site, 0, sizeof(*site));
}

void site_conf_copy(struct site_conf *dst, const struct site_conf *src)
{
	*dst = *src;
	schema_copy(&schema_site, dst, src);
}

static void set_str(char **at, struct slice text)
{
	free(*at);
	*at = xstrndup(text.n ? text.p : "", text.n);
}

static bool is_set(const char *s)
{
	return s && *s;
}

void site_conf_settle(struct site_conf *site, bool addressing_given)
{
	size_t n = is_set(site->prefix) ? strlen(site->prefix) : 0;
	char *longer;

	if (n && site->prefix[n - 1] != '/') {
		longer = xasprintf("%s/", site->prefix);
		free(site->prefix);
		site->prefix = longer;
	}
	/* a bucket with dots has no certificate that fits its host name */
	if (!addressing_given)
		site->addressing = is_set(site->s3_endpoint) || (site->s3_bucket && strchr(site->s3_bucket, '.')) ? S3_PATH : S3_VIRTUAL;
}

/* ---- the short form ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %XX to bytes; false for a broken or zero escape. */
static bool percent_decode(struct slice in, struct strbuf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		int hi, lo;

		if (in.p[i] != '%') {
			strbuf_addc(out, in.p[i]);
			continue;
		}
		hi = i + 1 < in.n ? hex_digit(in.p[i + 1]) : -1;
		lo = i + 2 < in.n ? hex_digit(in.p[i + 2]) : -1;
		if (hi < 0 || lo < 0 || hi + lo == 0)
			return false;
		strbuf_addc(out, (char)(hi * 16 + lo));
		i += 2;
	}
	return true;
}

static bool cut(struct slice *s, char at, struct slice *rest)
{
	const char *p = s->n ? memchr(s->p, at, s->n) : NULL;

	if (!p) {
		*rest = slice_of(s->p + s->n, 0);
		return false;
	}
	*rest = slice_of(p + 1, s->n - (size_t)(p + 1 - s->p));
	s->n = (size_t)(p - s->p);
	return true;
}

static int set_param(struct site_conf *site, struct slice name, struct slice value, bool *addressing, char *why, size_t cap)
{
	if (slice_eq_str(name, "region")) {
		set_str(&site->s3_region, value);
	} else if (slice_eq_str(name, "endpoint")) {
		set_str(&site->s3_endpoint, value);
	} else if (slice_eq_str(name, "addressing")) {
		*addressing = true;
		if (!slice_eq_str(value, "path") && !slice_eq_str(value, "virtual")) {
			snprintf(why, cap, "addressing must be path or virtual");
			return GFS_ERR_CONFIG;
		}
		site->addressing = slice_eq_str(value, "path") ? S3_PATH : S3_VIRTUAL;
	} else {
		snprintf(why, cap, "unknown parameter '%.*s': region, endpoint and addressing are known", (int)(name.n < 64 ? name.n : 64),
		         name.p);
		return GFS_ERR_CONFIG;
	}
	return 0;
}

static int parse_query(struct site_conf *site, struct slice query, bool *addressing, char *why, size_t cap)
{
	struct strbuf value = STRBUF_INIT;
	struct slice name, text, rest;
	int err = 0;

	while (query.n > 0 && !err) {
		name = query;
		cut(&name, '&', &rest);
		query = rest;
		cut(&name, '=', &text);
		strbuf_reset(&value);
		if (!percent_decode(text, &value)) {
			snprintf(why, cap, "'%%' must be followed by two hexadecimal digits");
			err = GFS_ERR_CONFIG;
		} else {
			err = set_param(site, name, strbuf_slice(&value), addressing, why, cap);
		}
	}
	strbuf_free(&value);
	return err;
}

static int from_file_uri(struct site_conf *site, struct slice path, char *why, size_t cap)
{
	struct strbuf text = STRBUF_INIT;
	int err = 0;

	if (path.n == 0 || path.p[0] != '/' || memchr(path.p, '?', path.n)) {
		snprintf(why, cap, "must be file:///DIRECTORY, with three slashes and no parameters");
		err = GFS_ERR_CONFIG;
	} else if (!percent_decode(path, &text)) {
		snprintf(why, cap, "'%%' must be followed by two hexadecimal digits");
		err = GFS_ERR_CONFIG;
	} else {
		site->kind = SITE_KIND_FILE;
		while (text.n > 1 && text.p[text.n - 1] == '/')
			strbuf_truncate(&text, text.n - 1);
		set_str(&site->file_path, strbuf_slice(&text));
	}
	strbuf_free(&text);
	return err;
}

static int from_s3_uri(struct site_conf *site, struct slice bucket, char *why, size_t cap)
{
	struct slice query, prefix;
	struct strbuf text = STRBUF_INIT;
	bool addressing = false;
	int err;

	cut(&bucket, '?', &query);
	cut(&bucket, '/', &prefix);
	if (bucket.n == 0) {
		snprintf(why, cap, "the bucket is missing: s3://BUCKET");
		return GFS_ERR_CONFIG;
	}
	if (!percent_decode(prefix, &text)) {
		strbuf_free(&text);
		snprintf(why, cap, "'%%' must be followed by two hexadecimal digits");
		return GFS_ERR_CONFIG;
	}
	site->kind = SITE_KIND_S3;
	set_str(&site->s3_bucket, bucket);
	if (text.n > 0)
		set_str(&site->prefix, strbuf_slice(&text));
	strbuf_free(&text);
	err = parse_query(site, query, &addressing, why, cap);
	site_conf_settle(site, addressing);
	return err;
}

int site_conf_from_uri(struct site_conf *site, struct slice uri, char *why, size_t cap)
{
	if (memchr(uri.n ? uri.p : "", '\0', uri.n) || uri.n > 4 * SITE_TEXT_MAX) {
		snprintf(why, cap, "is too long or contains a NUL byte");
		return GFS_ERR_CONFIG;
	}
	if (slice_starts_with(uri, SLICE_LIT("file://")))
		return from_file_uri(site, slice_of(uri.p + 7, uri.n - 7), why, cap);
	if (slice_starts_with(uri, SLICE_LIT("s3://")))
		return from_s3_uri(site, slice_of(uri.p + 5, uri.n - 5), why, cap);
	snprintf(why, cap, "must begin with file:// or s3://");
	return GFS_ERR_CONFIG;
}

static void add_percent(struct strbuf *out, const char *s, const char *keep)
{
	for (; *s; s++) {
		if (isalnum((unsigned char)*s) || strchr(keep, *s))
			strbuf_addc(out, *s);
		else
			strbuf_addf(out, "%%%02X", (unsigned char)*s);
	}
}

void site_conf_uri(const struct site_conf *site, struct strbuf *out)
{
	char sep = '?';

	if (site->kind == SITE_KIND_FILE) {
		strbuf_adds(out, "file://");
		add_percent(out, site->file_path, "/._-~:@+,=");
		return;
	}
	strbuf_addf(out, "s3://%s", site->s3_bucket);
	if (is_set(site->prefix)) {
		strbuf_addc(out, '/');
		add_percent(out, site->prefix, "/._-~:@+,=");
	}
	if (is_set(site->s3_region)) {
		strbuf_addf(out, "%cregion=", sep);
		add_percent(out, site->s3_region, "._-");
		sep = '&';
	}
	if (is_set(site->s3_endpoint)) {
		strbuf_addf(out, "%cendpoint=", sep);
		add_percent(out, site->s3_endpoint, "/._-~:[]");
		sep = '&';
	}
	strbuf_addf(out, "%caddressing=%s", sep, site->addressing == S3_PATH ? "path" : "virtual");
}

/* ---- checks ---- */

static bool only(const char *s, const char *also)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr(also, *s))
			return false;
	return true;
}

static const char *check_name(const struct site_conf *site)
{
	if (!is_set(site->name))
		return "is missing";
	if (strlen(site->name) > SITE_NAME_MAX || !only(site->name, "._-"))
		return "must be at most 63 of A-Z a-z 0-9 . _ -";
	return NULL;
}

static const char *check_role(const struct site_conf *site)
{
	return site->role < ROLE_COUNT ? NULL : "must be primary, backup or burst";
}

/* Segments "." and ".." would leave the folder or name it twice. */
static bool has_dot_segment(const char *path)
{
	for (const char *p = path, *end; *p; p = *end ? end + 1 : end) {
		end = strchrnul(p, '/');
		if ((end - p == 1 && p[0] == '.') || (end - p == 2 && p[0] == '.' && p[1] == '.'))
			return true;
	}
	return false;
}

static const char *check_path(const struct site_conf *site)
{
	if (site->kind != SITE_KIND_FILE)
		return NULL;
	if (!is_set(site->file_path) || site->file_path[0] != '/')
		return "must be an absolute path";
	if (strlen(site->file_path) > SITE_TEXT_MAX)
		return "is too long";
	if (has_dot_segment(site->file_path))
		return "must not contain . or .. segments";
	return NULL;
}

static const char *check_bucket(const struct site_conf *site)
{
	size_t n;

	if (site->kind != SITE_KIND_S3)
		return NULL;
	if (!is_set(site->s3_bucket))
		return "is missing";
	n = strlen(site->s3_bucket);
	if (n < 3 || n > 63 || !only(site->s3_bucket, ".-_") || !isalnum((unsigned char)site->s3_bucket[0]) ||
	    strstr(site->s3_bucket, ".."))
		return "must be a bucket name: 3 to 63 of a-z 0-9 . -";
	return NULL;
}

static const char *check_region(const struct site_conf *site)
{
	return !is_set(site->s3_region) || (strlen(site->s3_region) <= 64 && only(site->s3_region, "-_")) ? NULL
	       : "must be a region such as us-east-1";
}

/* scheme://host[:port][/], nothing else. */
static bool is_base_url(const char *url)
{
	const char *host, *p;

	if (strncmp(url, "http://", 7) == 0)
		host = url + 7;
	else if (strncmp(url, "https://", 8) == 0)
		host = url + 8;
	else
		return false;
	p = *host == '[' ? strchr(host, ']') : host + strcspn(host, ":/");
	if (!p || p == host || p - host > 255)
		return false;
	for (const char *q = host; q < p; q++)
		if (!isalnum((unsigned char)*q) && !strchr("._-[:%", *q))
			return false;
	p += *p == ']';
	if (*p == ':') {
		char *end;
		unsigned long port = isdigit((unsigned char)p[1]) ? strtoul(p + 1, &end, 10) : 0;

		if (port == 0 || port > 65535)
			return false;
		p = end;
	}
	return *p == '\0' || strcmp(p, "/") == 0;
}

static const char *check_endpoint(const struct site_conf *site)
{
	return !is_set(site->s3_endpoint) || is_base_url(site->s3_endpoint) ? NULL
	       : "must be http://HOST[:PORT] or https://HOST[:PORT]";
}

static bool is_printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
			return false;
	return true;
}

static const char *check_proxy(const struct site_conf *site)
{
	return !is_set(site->proxy) || (strncmp(site->proxy, "http", 4) == 0 && strstr(site->proxy, "://") && is_printable(site->proxy))
	       ? NULL : "must be the URL of an HTTP proxy";
}

static const char *check_prefix(const struct site_conf *site)
{
	const char *p = site->prefix;

	if (!is_set(p))
		return NULL;
	if (strlen(p) > 512)
		return "is longer than 512 bytes";
	if (p[0] == '/' || strstr(p, "//") || has_dot_segment(p))
		return "must not begin with a slash or contain empty, . or .. segments";
	if (!utf8_valid(slice_str(p)))
		return "must be UTF-8";
	if (strncmp(p, ".globalfs", 9) == 0 && (p[9] == '\0' || p[9] == '/'))
		return "must not be .globalfs, which is GlobalFS's own";
	return NULL;
}

static const char *check_access(const struct site_conf *site)
{
	if (is_set(site->access_key) != is_set(site->secret_key))
		return "access_key and secret_key belong together";
	if (is_set(site->session_token) && !is_set(site->access_key))
		return "session_token needs access_key and secret_key";
	if (is_set(site->access_key) && (!is_printable(site->access_key) || !is_printable(site->secret_key)))
		return "must be printable, without spaces";
	return NULL;
}

int site_conf_check(const struct site_conf *site, const char **field_out, char *why, size_t cap)
{
	static const struct {
		const char *field;
		const char *(*check)(const struct site_conf *site);
	} checks[] = {
		{"name", check_name}, {"role", check_role}, {"file.path", check_path}, {"objectfs.s3_bucket", check_bucket},
		{"objectfs.s3_region", check_region}, {"objectfs.s3_endpoint", check_endpoint}, {"prefix", check_prefix},
		{"credentials", check_access}, {"proxy", check_proxy},
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		const char *text = checks[i].check(site);

		if (text) {
			*field_out = checks[i].field;
			snprintf(why, cap, "%s", text);
			return GFS_ERR_CONFIG;
		}
	}
	return 0;
}
