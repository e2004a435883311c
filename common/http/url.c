/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs (RFC 3986): percent encoding, query strings, and the absolute URLs of the configuration. Pure; called by the front
 * doors, the sites and the configuration.
 */
#include "config.h"

#include "fields.h"

static int hex_value(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* The byte of an escape at p, or -1 when it is broken. */
static int escape_at(const char *p, size_t n)
{
	int hi = n >= 3 ? hex_value(p[1]) : -1, lo = n >= 3 ? hex_value(p[2]) : -1;

	return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

int url_decode(struct slice in, struct strbuf *out)
{
	for (size_t i = 0; i < in.n;) {
		const char *pct = memchr(in.p + i, '%', in.n - i);
		size_t plain = pct ? (size_t)(pct - in.p) - i : in.n - i;
		int byte;

		strbuf_add(out, in.p + i, plain);
		i += plain;
		if (!pct)
			break;
		byte = escape_at(pct, in.n - i);
		if (byte < 0)
			return GFS_ERR_INVALID;
		strbuf_addc(out, (char)byte);
		i += 3;
	}
	return 0;
}

void url_encode(struct slice in, bool keep_slash, struct strbuf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < in.n; i++) {
		unsigned char ch = (unsigned char)in.p[i];

		if ((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '-' || ch == '.' ||
		    ch == '_' || ch == '~' || (ch == '/' && keep_slash))
			strbuf_addc(out, (char)ch);
		else
			strbuf_add(out, (char[3]){'%', digits[ch >> 4], digits[ch & 15]}, 3);
	}
}

/* As forms do it: '+' is a space; a broken escape stands for itself. */
static void query_decode(struct slice in, struct strbuf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		int byte = in.p[i] == '%' ? escape_at(in.p + i, in.n - i) : -1;

		if (byte >= 0) {
			strbuf_addc(out, (char)byte);
			i += 2;
		} else {
			strbuf_addc(out, in.p[i] == '+' ? ' ' : in.p[i]);
		}
	}
}

static bool query_name_is(struct slice raw, const char *name)
{
	struct strbuf sb = STRBUF_INIT;
	bool same;

	if (!memchr(raw.p, '%', raw.n))
		return slice_eq_str(raw, name);
	query_decode(raw, &sb);
	same = slice_eq_str(strbuf_slice(&sb), name);
	strbuf_free(&sb);
	return same;
}

bool url_query_get(struct slice query, const char *name, struct strbuf *out)
{
	while (query.n) {
		const char *amp = memchr(query.p, '&', query.n);
		struct slice pair = slice_of(query.p, amp ? (size_t)(amp - query.p) : query.n);
		const char *eq = memchr(pair.p, '=', pair.n);
		struct slice key = slice_of(pair.p, eq ? (size_t)(eq - pair.p) : pair.n);

		if (query_name_is(key, name)) {
			strbuf_reset(out);
			if (eq)
				query_decode(slice_of(eq + 1, pair.n - key.n - 1), out);
			return true;
		}
		query.n -= pair.n + (amp ? 1 : 0);
		query.p += pair.n + (amp ? 1 : 0);
	}
	return false;
}

/* ---- absolute URLs ---- */

static bool has_only(struct slice s, const char *extra)
{
	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];

		if (!((ch >= '0' && ch <= '9') || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z') || (ch && strchr(extra, ch))))
			return false;
	}
	return true;
}

static int split_port(struct slice text, struct slice *port_out)
{
	unsigned v = 0;

	if (text.n == 0)
		return 0;
	if (text.p[0] != ':' || text.n < 2 || text.n > 6)
		return GFS_ERR_INVALID;
	*port_out = slice_of(text.p + 1, text.n - 1);
	for (size_t i = 0; i < port_out->n; i++) {
		if (port_out->p[i] < '0' || port_out->p[i] > '9')
			return GFS_ERR_INVALID;
		v = v * 10 + (unsigned)(port_out->p[i] - '0');
	}
	return v <= 65535 ? 0 : GFS_ERR_INVALID;
}

static int split_authority(struct slice text, struct url *out)
{
	const char *end;

	if (text.n && text.p[0] == '[') {
		end = memchr(text.p, ']', text.n);
		if (!end)
			return GFS_ERR_INVALID;
		out->ipv6 = true;
		out->host = slice_of(text.p + 1, (size_t)(end - text.p - 1));
		end++;
	} else {
		end = memchr(text.p, ':', text.n);
		end = end ? end : text.p + text.n;
		out->host = slice_of(text.p, (size_t)(end - text.p));
	}
	if (!has_only(out->host, out->ipv6 ? ":." : "-._~") || (out->ipv6 && !memchr(out->host.p, ':', out->host.n)))
		return GFS_ERR_INVALID;
	return split_port(slice_of(end, (size_t)(text.p + text.n - end)), &out->port);
}

int url_parse(struct slice text, struct url *out)
{
	static const char *const schemes[] = {"http", "https", "s3", "file"};
	const char *colon = memchr(text.p, ':', text.n);
	struct slice rest, authority;
	size_t i, n = sizeof(schemes) / sizeof(schemes[0]);
	int err;

	*out = (struct url){0};
	for (size_t k = 0; k < text.n; k++)
		if ((unsigned char)text.p[k] <= 0x20 || text.p[k] == 0x7f || text.p[k] == '#')
			return GFS_ERR_INVALID;
	if (!colon || (size_t)(text.p + text.n - colon) < 3 || memcmp(colon, "://", 3) != 0)
		return GFS_ERR_INVALID;
	out->scheme = slice_of(text.p, (size_t)(colon - text.p));
	for (i = 0; i < n && !slice_caseeq_str(out->scheme, schemes[i]); i++)
		;
	if (i == n)
		return GFS_ERR_INVALID;
	rest = slice_of(colon + 3, (size_t)(text.p + text.n - colon - 3));
	for (i = 0; i < rest.n && rest.p[i] != '/' && rest.p[i] != '?'; i++)
		;
	authority = slice_of(rest.p, i);
	err = split_authority(authority, out);
	/* a file has no host, everything else has one */
	if (err || (out->host.n == 0) != slice_caseeq_str(out->scheme, "file") || (out->host.n == 0 && authority.n != 0))
		return GFS_ERR_INVALID;
	rest = slice_of(rest.p + i, rest.n - i);
	for (i = 0; i < rest.n && rest.p[i] != '?'; i++)
		;
	out->path = slice_of(rest.p, i);
	out->query = i < rest.n ? slice_of(rest.p + i + 1, rest.n - i - 1) : slice_of(rest.p + i, 0);
	return 0;
}
