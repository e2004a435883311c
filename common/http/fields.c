/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges, conditionals and reason phrases (RFC 9110 sections 13 to 15). Pure; called by the front doors.
 */
#include "config.h"

#include "fields.h"

static struct slice trim(struct slice s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* ---- ranges ---- */

/* A run of digits; a number too large for us is larger than any object, so it stays at the top. */
static bool take_number(struct slice *s, uint64_t *out)
{
	uint64_t v = 0;
	size_t i = 0;

	for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
		unsigned digit = (unsigned)(s->p[i] - '0');

		v = v > (UINT64_MAX - digit) / 10 ? UINT64_MAX : v * 10 + digit;
	}
	s->p += i;
	s->n -= i;
	*out = v;
	return i > 0;
}

void http_range_parse(struct slice value, struct http_range *out)
{
	struct slice s = trim(value);
	bool has_first, has_last;
	uint64_t first, last;

	*out = (struct http_range){.kind = HTTP_RANGE_NONE};
	if (s.n < 6 || strncasecmp(s.p, "bytes=", 6) != 0)
		return;
	s = trim(slice_of(s.p + 6, s.n - 6));
	has_first = take_number(&s, &first);
	if (s.n == 0 || s.p[0] != '-')
		return;
	s.p++, s.n--;
	has_last = take_number(&s, &last);
	if (s.n != 0 || (!has_first && !has_last) || (has_first && has_last && last < first))
		return;
	if (!has_first)
		*out = (struct http_range){.kind = HTTP_RANGE_SUFFIX, .last = last};
	else if (!has_last)
		*out = (struct http_range){.kind = HTTP_RANGE_FROM, .first = first};
	else
		*out = (struct http_range){.kind = HTTP_RANGE_SPAN, .first = first, .last = last};
}

bool http_range_resolve(const struct http_range *r, uint64_t size, uint64_t *off_out, uint64_t *len_out)
{
	uint64_t end;

	*off_out = 0;
	*len_out = size;
	switch (r->kind) {
	case HTTP_RANGE_NONE:
		return true;
	case HTTP_RANGE_SUFFIX:
		if (r->last == 0 || size == 0)
			return false;
		*len_out = r->last < size ? r->last : size;
		*off_out = size - *len_out;
		return true;
	case HTTP_RANGE_FROM:
	case HTTP_RANGE_SPAN:
		if (r->first >= size)
			return false;
		end = r->kind == HTTP_RANGE_SPAN && r->last < size ? r->last + 1 : size;
		*off_out = r->first;
		*len_out = end - r->first;
		return true;
	}
	return false;
}

/* ---- conditionals ---- */

/* The next entity tag of a list: its text without quotes. Clients of S3 send bare tags too, so they are taken. */
static bool next_etag(struct slice *list, struct slice *tag_out, bool *weak_out)
{
	const char *end;

	while (list->n && (list->p[0] == ' ' || list->p[0] == '\t' || list->p[0] == ','))
		list->p++, list->n--;
	if (list->n == 0)
		return false;
	*weak_out = list->n >= 3 && memcmp(list->p, "W/\"", 3) == 0;
	if (*weak_out)
		list->p += 2, list->n -= 2;
	if (list->p[0] == '"') {
		end = memchr(list->p + 1, '"', list->n - 1);
		if (!end)
			return false;
		*tag_out = slice_of(list->p + 1, (size_t)(end - list->p - 1));
		list->n -= tag_out->n + 2;
		list->p = end + 1;
		return true;
	}
	end = memchr(list->p, ',', list->n);
	*tag_out = trim(slice_of(list->p, end ? (size_t)(end - list->p) : list->n));
	list->n = end ? list->n - (size_t)(end - list->p) : 0;
	list->p = end ? end : list->p;
	return true;
}

static bool etag_list_has(struct slice list, const char *etag, bool strong)
{
	struct slice tag;
	bool weak;

	if (slice_eq_str(trim(list), "*"))
		return true;
	if (!etag || !*etag)
		return false;
	while (next_etag(&list, &tag, &weak))
		if (slice_eq_str(tag, etag) && !(strong && weak))
			return true;
	return false;
}

/* Dates have whole seconds: an object changed within the second counts as of that second. */
static bool modified_since(struct slice date, int64_t mtime_ms, bool *known)
{
	int64_t since_ms;

	*known = http_date_parse(trim(date), &since_ms) == 0;
	return *known && mtime_ms / 1000 > since_ms / 1000;
}

enum http_cond http_conditions_check(const struct http_conditions *c, bool is_read, bool exists, const char *etag, int64_t mtime_ms)
{
	bool known;

	if (c->if_match.p) {
		if (!exists || !etag_list_has(c->if_match, etag, true))
			return HTTP_COND_FAILED;
	} else if (c->if_unmodified_since.p && exists) {
		if (modified_since(c->if_unmodified_since, mtime_ms, &known))
			return HTTP_COND_FAILED;
	}
	if (c->if_none_match.p) {
		if (exists && etag_list_has(c->if_none_match, etag, false))
			return is_read ? HTTP_COND_NOT_MODIFIED : HTTP_COND_FAILED;
	} else if (is_read && exists && c->if_modified_since.p) {
		if (!modified_since(c->if_modified_since, mtime_ms, &known) && known)
			return HTTP_COND_NOT_MODIFIED;
	}
	return HTTP_COND_PASS;
}

bool http_conditions_any(const struct http_conditions *c)
{
	return c->if_match.p || c->if_none_match.p || c->if_modified_since.p || c->if_unmodified_since.p;
}

bool http_if_range_ok(struct slice if_range, const char *etag, int64_t mtime_ms)
{
	int64_t date_ms;

	if (!if_range.p)
		return true;
	if_range = trim(if_range);
	if (http_date_parse(if_range, &date_ms) == 0)
		return date_ms / 1000 == mtime_ms / 1000;
	if (slice_eq_str(if_range, "*"))
		return false;
	return etag_list_has(if_range, etag, true);
}

/* ---- reason phrases ---- */

const char *http_reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} rows[] = {
		{100, "Continue"}, {200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"},
		{206, "Partial Content"}, {207, "Multi-Status"}, {301, "Moved Permanently"}, {302, "Found"},
		{303, "See Other"}, {304, "Not Modified"}, {307, "Temporary Redirect"}, {308, "Permanent Redirect"},
		{400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
		{405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"},
		{411, "Length Required"}, {412, "Precondition Failed"}, {413, "Content Too Large"}, {414, "URI Too Long"},
		{415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"}, {417, "Expectation Failed"},
		{422, "Unprocessable Content"}, {423, "Locked"}, {424, "Failed Dependency"}, {428, "Precondition Required"},
		{429, "Too Many Requests"}, {431, "Request Header Fields Too Large"}, {499, "Client Closed Request"},
		{500, "Internal Server Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
		{504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"}, {507, "Insufficient Storage"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].status == status)
			return rows[i].text;
	return "Unknown";
}
