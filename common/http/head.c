/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request heads: a strict walk over the bytes first (check_*), which refuses every shape that two parsers could read in two
 * ways, then http_parser, which splits the head. The walk owns what concerns framing; what http_parser finds must agree
 * with it or the head is refused. Called by the connections of routerd; no state between calls.
 */
#include "config.h"

#include "head.h"

#include <limits.h>
#include <stddef.h>

#define http_method http_parser_method /* its tag is ours too */
#include <http_parser.h>
#undef http_method

#define HEAD_BYTES_MAX (1u << 20)
#define LEADING_LINES_MAX 2

/* Which bytes may stand where: RFC 9110 section 5.6.2 (token) and 5.5 (field value), RFC 3986 for the target. */
#define CHAR_TOKEN 1
#define CHAR_TARGET 2
#define CHAR_VALUE 4
#define CHAR_HOST 8

#define T CHAR_TOKEN
#define U CHAR_TARGET
#define V CHAR_VALUE
#define H CHAR_HOST
static const unsigned char char_classes[256] = {
	['\t'] = V, [' '] = V, ['!'] = T | U | V | H, ['"'] = V, ['#'] = T | V, ['$'] = T | U | V | H, ['%'] = T | U | V | H,
	['&'] = T | U | V | H, ['\''] = T | U | V | H, ['('] = U | V | H, [')'] = U | V | H, ['*'] = T | U | V | H,
	['+'] = T | U | V | H, [','] = U | V | H, ['-'] = T | U | V | H, ['.'] = T | U | V | H, ['/'] = U | V,
	['0' ... '9'] = T | U | V | H, [':'] = U | V | H, [';'] = U | V | H, ['<'] = U | V, ['='] = U | V | H, ['>'] = U | V,
	['?'] = U | V, ['@'] = U | V, ['A' ... 'Z'] = T | U | V | H, ['['] = U | V | H, ['\\'] = U | V, [']'] = U | V | H,
	['^'] = T | U | V, ['_'] = T | U | V | H, ['`'] = T | U | V, ['a' ... 'z'] = T | U | V | H, ['{'] = U | V,
	['|'] = T | U | V, ['}'] = U | V, ['~'] = T | U | V | H, [0x80 ... 0xff] = V,
};
#undef T
#undef U
#undef V
#undef H

static bool all_of(struct slice s, unsigned char classes)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(char_classes[(unsigned char)s.p[i]] & classes))
			return false;
	return true;
}

/* Length of an empty line at p, 0 when there is none; *more when the bytes so far do not tell. */
static size_t empty_line(const char *p, size_t n, bool *more)
{
	*more = n == 0 || (n == 1 && p[0] == '\r');
	if (n >= 1 && p[0] == '\n')
		return 1;
	if (n >= 2 && p[0] == '\r' && p[1] == '\n')
		return 2;
	return 0;
}

size_t http_head_length(const char *p, size_t n, size_t *scanned_io)
{
	size_t start = 0, i;
	bool more;

	for (unsigned lines = 0; lines <= LEADING_LINES_MAX; lines++) {
		size_t len = empty_line(p + start, n - start, &more);

		if (more)
			return 0;
		if (len == 0)
			break;
		start += len;
		if (lines == LEADING_LINES_MAX)
			return start; /* http_head_parse() will refuse it */
	}
	for (i = *scanned_io > start ? *scanned_io : start; i < n; i++) {
		const char *lf = memchr(p + i, '\n', n - i);
		size_t len;

		if (!lf)
			break;
		i = (size_t)(lf - p);
		len = empty_line(lf + 1, n - i - 1, &more);
		if (len)
			return i + 1 + len;
		if (more) {
			*scanned_io = i;
			return 0;
		}
	}
	*scanned_io = n;
	return 0;
}

/* ---- the walk ---- */

struct walk {
	const char *p, *end;
	unsigned n_fields, max_fields;
	unsigned hosts, lengths, codings;
	int64_t content_length;
	int minor;
	const char *why;
};

static int refuse(struct walk *w, int err, const char *why)
{
	w->why = why;
	return err;
}

/* The next line without its CRLF. */
static int take_line(struct walk *w, struct slice *line)
{
	const char *lf = memchr(w->p, '\n', (size_t)(w->end - w->p));

	if (!lf)
		return refuse(w, GFS_ERR_INVALID, "head is not complete");
	if (lf == w->p || lf[-1] != '\r')
		return refuse(w, GFS_ERR_INVALID, "line ends without CR LF");
	*line = slice_of(w->p, (size_t)(lf - 1 - w->p));
	if (memchr(line->p, '\r', line->n))
		return refuse(w, GFS_ERR_INVALID, "bare CR");
	w->p = lf + 1;
	return 0;
}

static int check_version(struct walk *w, struct slice version)
{
	if (version.n != 8 || memcmp(version.p, "HTTP/", 5) != 0 || version.p[6] != '.' || version.p[5] < '0' ||
	    version.p[5] > '9' || version.p[7] < '0' || version.p[7] > '9')
		return refuse(w, GFS_ERR_INVALID, "request line is malformed");
	if (version.p[5] != '1' || version.p[7] > '1')
		return refuse(w, GFS_ERR_UNSUPPORTED, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	w->minor = version.p[7] - '0';
	return 0;
}

static int check_request_line(struct walk *w, struct slice line)
{
	const char *sp1 = memchr(line.p, ' ', line.n);
	const char *sp2 = sp1 ? memchr(sp1 + 1, ' ', (size_t)(line.p + line.n - sp1 - 1)) : NULL;
	struct slice method, target;
	int err;

	if (!sp2)
		return refuse(w, GFS_ERR_INVALID, "request line is malformed");
	method = slice_of(line.p, (size_t)(sp1 - line.p));
	target = slice_of(sp1 + 1, (size_t)(sp2 - sp1 - 1));
	if (method.n == 0 || !all_of(method, CHAR_TOKEN))
		return refuse(w, GFS_ERR_INVALID, "method is not a token");
	err = check_version(w, slice_of(sp2 + 1, (size_t)(line.p + line.n - sp2 - 1)));
	if (err)
		return err;
	if (target.n == 0 || !all_of(target, CHAR_TARGET))
		return refuse(w, GFS_ERR_INVALID, "request target has bytes that must be percent-encoded");
	if (target.p[0] != '/' && !(slice_eq_str(target, "*") && slice_eq_str(method, "OPTIONS")))
		return refuse(w, GFS_ERR_INVALID, "request target must begin with '/'");
	return 0;
}

static int parse_length(struct slice s, int64_t *out)
{
	int64_t v = 0;

	if (s.n == 0)
		return GFS_ERR_INVALID;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, s.p[i] - '0', &v))
			return GFS_ERR_INVALID;
	}
	*out = v;
	return 0;
}

static struct slice trim(struct slice s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* The three fields that decide where the message ends and to whom it goes. */
static int check_framing_field(struct walk *w, struct slice name, struct slice value)
{
	switch (name.n) {
	case 4:
		if (!slice_caseeq_str(name, "host"))
			return 0;
		if (w->hosts++ || !all_of(value, CHAR_HOST))
			return refuse(w, GFS_ERR_INVALID, w->hosts > 1 ? "more than one Host" : "Host is malformed");
		return 0;
	case 14:
		if (!slice_caseeq_str(name, "content-length"))
			return 0;
		if (w->lengths++)
			return refuse(w, GFS_ERR_INVALID, "more than one Content-Length");
		if (parse_length(value, &w->content_length))
			return refuse(w, GFS_ERR_INVALID, "Content-Length is not a number");
		return 0;
	case 17:
		if (!slice_caseeq_str(name, "transfer-encoding"))
			return 0;
		if (w->codings++ || !slice_caseeq_str(value, "chunked"))
			return refuse(w, GFS_ERR_INVALID, "Transfer-Encoding must be exactly \"chunked\"");
		return 0;
	default:
		return 0;
	}
}

static int check_field(struct walk *w, struct slice line)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct slice name, value;

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return refuse(w, GFS_ERR_INVALID, "folded header field");
	if (!colon)
		return refuse(w, GFS_ERR_INVALID, "header field without colon");
	name = slice_of(line.p, (size_t)(colon - line.p));
	if (name.n == 0 || !all_of(name, CHAR_TOKEN))
		return refuse(w, GFS_ERR_INVALID, "header field name is not a token");
	value = trim(slice_of(colon + 1, (size_t)(line.p + line.n - colon - 1)));
	if (!all_of(value, CHAR_VALUE))
		return refuse(w, GFS_ERR_INVALID, "header field value has control characters");
	if (++w->n_fields > w->max_fields)
		return refuse(w, GFS_ERR_TOO_LARGE, "too many header fields");
	return check_framing_field(w, name, value);
}

static int check_framing(struct walk *w)
{
	if (w->codings && w->lengths)
		return refuse(w, GFS_ERR_INVALID, "Content-Length together with Transfer-Encoding");
	if (w->codings && w->minor == 0)
		return refuse(w, GFS_ERR_INVALID, "Transfer-Encoding in HTTP/1.0");
	if (w->minor == 1 && w->hosts != 1)
		return refuse(w, GFS_ERR_INVALID, "Host is missing");
	return 0;
}

static int walk_head(struct walk *w)
{
	struct slice line;
	bool more;
	int err;

	for (int i = 0; i < LEADING_LINES_MAX; i++)
		w->p += empty_line(w->p, (size_t)(w->end - w->p), &more);
	err = take_line(w, &line);
	if (!err)
		err = check_request_line(w, line);
	while (!err) {
		err = take_line(w, &line);
		if (err)
			break;
		if (line.n == 0) {
			if (w->p != w->end)
				return refuse(w, GFS_ERR_INVALID, "bytes behind the head");
			return check_framing(w);
		}
		err = check_field(w, line);
	}
	return err;
}

/* ---- http_parser ---- */

struct fill {
	struct http_head *head;
	const char *start;
	bool complete;
};

static int on_url(http_parser *parser, const char *at, size_t n)
{
	struct fill *f = parser->data;

	f->head->target = slice_of(at, n);
	return 0;
}

static int on_field(http_parser *parser, const char *at, size_t n)
{
	struct fill *f = parser->data;

	if (f->head->n_headers == HTTP_HEADERS_MAX)
		return -1;
	f->head->headers[f->head->n_headers++] = (struct http_header){.name = slice_of(at, n), .value = slice_of(at + n, 0)};
	return 0;
}

static int on_value(http_parser *parser, const char *at, size_t n)
{
	struct fill *f = parser->data;

	if (f->head->n_headers == 0)
		return -1;
	f->head->headers[f->head->n_headers - 1].value = trim(slice_of(at, n));
	return 0;
}

static int on_headers_complete(http_parser *parser)
{
	struct fill *f = parser->data;

	f->head->minor = parser->http_minor;
	f->head->keep_alive = http_should_keep_alive(parser) != 0;
	f->complete = true;
	return 1; /* the body is not http_parser's */
}

static enum http_method method_of(unsigned m)
{
	switch (m) {
	case HTTP_GET:
		return HTTP_M_GET;
	case HTTP_HEAD:
		return HTTP_M_HEAD;
	case HTTP_PUT:
		return HTTP_M_PUT;
	case HTTP_POST:
		return HTTP_M_POST;
	case HTTP_DELETE:
		return HTTP_M_DELETE;
	case HTTP_OPTIONS:
		return HTTP_M_OPTIONS;
	default:
		return HTTP_M_OTHER;
	}
}

static int run_parser(const char *p, size_t n, struct http_head *out, const char **why_out)
{
	static const http_parser_settings settings = {
		.on_url = on_url,
		.on_header_field = on_field,
		.on_header_value = on_value,
		.on_headers_complete = on_headers_complete,
	};
	struct fill f = {.head = out, .start = p};
	http_parser parser;
	size_t used;

	http_parser_set_max_header_size(HEAD_BYTES_MAX + 1); /* the limit is ours; its own is 80 KiB */
	http_parser_init(&parser, HTTP_REQUEST);
	parser.data = &f;
	used = http_parser_execute(&parser, &settings, p, n);
	if (HTTP_PARSER_ERRNO(&parser) == HPE_INVALID_METHOD) {
		*why_out = "method is not known";
		return GFS_ERR_UNSUPPORTED;
	}
	if (!f.complete || HTTP_PARSER_ERRNO(&parser) != HPE_OK || used != n) {
		*why_out = "head is malformed";
		return GFS_ERR_INVALID;
	}
	out->method = method_of(parser.method);
	return 0;
}

/* What follows from the fields, once they are split. */
static void derive(struct http_head *h, const struct walk *w)
{
	const char *q = memchr(h->target.p, '?', h->target.n);

	h->path = slice_of(h->target.p, q ? (size_t)(q - h->target.p) : h->target.n);
	h->query = q ? slice_of(q + 1, h->target.n - h->path.n - 1) : slice_of(h->target.p + h->target.n, 0);
	h->content_length = w->lengths ? w->content_length : -1;
	h->chunked = w->codings != 0;
	h->expect_continue = h->minor == 1 && slice_caseeq_str(http_head_get(h, "expect"), "100-continue");
}

int http_head_parse(const char *p, size_t n, unsigned max_headers, struct http_head *out, const char **why_out)
{
	struct walk w = {
		.p = p,
		.end = p + n,
		.max_fields = max_headers < HTTP_HEADERS_MAX ? max_headers : HTTP_HEADERS_MAX,
		.minor = -1,
	};
	const char *unused;
	const char *start;
	int err;
	bool more;

	if (!why_out)
		why_out = &unused;
	*why_out = "";
	memset(out, 0, offsetof(struct http_head, headers));
	out->content_length = -1;
	err = n > HEAD_BYTES_MAX ? refuse(&w, GFS_ERR_TOO_LARGE, "head is too large") : walk_head(&w);
	out->minor = w.minor;
	if (err) {
		*why_out = w.why;
		return err;
	}
	start = p;
	for (int i = 0; i < LEADING_LINES_MAX; i++)
		start += empty_line(start, (size_t)(p + n - start), &more);
	err = run_parser(start, (size_t)(p + n - start), out, why_out);
	if (err)
		return err;
	out->method_text = slice_of(start, (size_t)((const char *)memchr(start, ' ', n) - start));
	if (out->n_headers != w.n_fields || out->minor != w.minor || out->target.n == 0) {
		*why_out = "head is malformed";
		return GFS_ERR_INVALID;
	}
	derive(out, &w);
	return 0;
}

struct slice http_head_get(const struct http_head *h, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < h->n_headers; i++)
		if (h->headers[i].name.n == n && strncasecmp(h->headers[i].name.p, name, n) == 0)
			return h->headers[i].value;
	return (struct slice){NULL, 0};
}
