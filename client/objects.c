/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: get, head, put, delete. Bytes stream; what an answer says of its object stands in its head. Contract in globalfs.h. */
#include "config.h"

#include "client/impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define META_FIELD "X-GlobalFS-Meta-"
#define OBJECTS "/api/v1/objects/"

/* ---- the head of an answer ---- */

static const char *header_or_none(const struct globalfs *h, const char *name)
{
	const char *value = globalfs_header(h, name);

	return value ? value : "";
}

static const char *unquoted(struct globalfs *h, const char *etag)
{
	size_t n = strlen(etag);

	if (n < 2 || etag[0] != '"' || etag[n - 1] != '"')
		return etag;
	return gfsc_keep(h, strndup(etag + 1, n - 2));
}

/* HTTP's date as RFC 3339, UTC; as it came when it is no date. */
static const char *rfc3339(struct globalfs *h, const char *http_date)
{
	time_t t = *http_date ? curl_getdate(http_date, NULL) : -1;
	struct tm tm;
	char buf[32];

	if (t == -1 || !gmtime_r(&t, &tm) || strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return http_date;
	return gfsc_keep(h, strdup(buf));
}

static int take_metadata(struct globalfs *h, struct globalfs_object *o)
{
	const size_t prefix = sizeof(META_FIELD) - 1;
	struct globalfs_pair *pairs = gfsc_keep(h, calloc(h->n_headers + 1, sizeof(*pairs)));

	if (!pairs)
		return GLOBALFS_ERR_NOMEM;
	for (size_t i = 0; i < h->n_headers; i++)
		if (strncasecmp(h->headers[i].name, META_FIELD, prefix) == 0)
			pairs[o->n_metadata++] = (struct globalfs_pair){h->headers[i].name + prefix, h->headers[i].value};
	o->metadata = pairs;
	return 0;
}

/* A decimal number that ends at end; -1 for anything else. */
static int64_t number(const char *text, char end)
{
	char *stop;
	long long v;

	if (*text < '0' || *text > '9' || strspn(text, "0123456789") > 18)
		return -1;
	v = strtoll(text, &stop, 10);
	return *stop == end ? (int64_t)v : -1;
}

/* "bytes A-B/SIZE", or the size alone of "bytes *" "/SIZE". */
static bool take_content_range(struct globalfs_object *o, const char *text)
{
	const char *dash = strchr(text, '-'), *slash = strchr(text, '/');
	int64_t last;

	if (strncmp(text, "bytes ", 6) != 0 || !slash)
		return false;
	o->size = number(slash + 1, '\0');
	if (!dash || dash > slash)
		return false;
	o->range_first = number(text + 6, '-');
	last = number(dash + 1, '/');
	o->range_size = last - o->range_first + 1;
	return o->range_first >= 0 && last >= o->range_first && o->size > last;
}

/* Reads the head into h->object. */
static int object_fill(struct globalfs *h, const char *key)
{
	struct globalfs_object *o = &h->object;
	bool is_range = h->error.status == 206;
	const char *stale = header_or_none(h, "x-globalfs-stale"), *consistency = header_or_none(h, "x-globalfs-consistency");
	int64_t length = number(header_or_none(h, "content-length"), '\0');

	*o = (struct globalfs_object){.size = -1, .range_size = -1, .is_range = is_range};
	o->key = gfsc_keep(h, strdup(key));
	o->etag = unquoted(h, header_or_none(h, "etag"));
	o->last_modified = rfc3339(h, header_or_none(h, "last-modified"));
	o->content_type = header_or_none(h, "content-type");
	o->checksum = header_or_none(h, "x-globalfs-checksum");
	o->generation = header_or_none(h, "x-globalfs-generation");
	o->site = header_or_none(h, "x-globalfs-site");
	o->is_stale = strcmp(stale, "true") == 0;
	o->is_unverified = strcmp(consistency, "unverified") == 0;
	if (!o->key || !o->etag || !o->last_modified || take_metadata(h, o) != 0)
		return gfsc_fail(h, GLOBALFS_ERR_NOMEM, "out of memory");
	if (h->error.status == 200)
		o->size = o->range_size = length;
	else if (!take_content_range(o, header_or_none(h, "content-range")) && is_range)
		return gfsc_fail(h, GLOBALFS_ERR_PROTOCOL, "the answer's Content-Range makes no sense");
	else if (is_range && length >= 0 && length != o->range_size)
		return gfsc_fail(h, GLOBALFS_ERR_PROTOCOL, "the answer's length does not fit its Content-Range");
	return 0;
}

/* ---- get, head ---- */

struct get {
	const char *key, *range;
	globalfs_sink_cb *sink;
	void *arg;
	bool begun;
};

/* "5-9", "5-", "-5" */
static bool is_range(const char *text)
{
	size_t a = strspn(text, "0123456789"), b = text[a] == '-' ? strspn(text + a + 1, "0123456789") : 0;

	return text[a] == '-' && text[a + 1 + b] == '\0' && a + b > 0 && a < 19 && b < 19;
}

static int get_begin(struct globalfs *h, struct get *get)
{
	int err = object_fill(h, get->key);

	get->begun = true;
	if (err || !h->object.is_range)
		return err;
	if (!get->range)
		return gfsc_fail(h, GLOBALFS_ERR_PROTOCOL, "the answer is a range that nobody asked for");
	if (get->range[0] != '-' && h->object.range_first != strtoll(get->range, NULL, 10))
		return gfsc_fail(h, GLOBALFS_ERR_PROTOCOL, "the answer is not the range that was asked for");
	return 0;
}

static int get_sink(struct globalfs *h, void *arg, const void *p, size_t n)
{
	struct get *get = arg;
	int err = get->begun ? 0 : get_begin(h, get);

	if (err)
		return err;
	return get->sink(get->arg, &h->object, p, n) ? GLOBALFS_ERR_CANCELLED : 0;
}

static void add_condition(struct gfsc_call *call, const char *name, const char *etag)
{
	char *quoted = gfsc_quoted(etag);

	if (etag && (!quoted || strpbrk(quoted, "\r\n")))
		call->failed = true;
	else
		gfsc_add_header(call, name, quoted);
	free(quoted);
}

static bool one_line(const char *s)
{
	for (; s && *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

/* The part that get and head have in common: path, conditions, call, what the head says. */
static int get_object(struct globalfs *h, const char *method, struct get *get, const struct globalfs_get_options *options,
                      const struct globalfs_object **object_out)
{
	static const struct globalfs_get_options none;
	const struct globalfs_get_options *o = options ? options : &none;
	struct gfsc_call call = {.method = method, .source_size = -1, .is_transfer = get->sink, .sink = get->sink ? get_sink : NULL,
	                         .arg = get};
	struct gfsc_buf path = {0}, range = {.err = 0};
	int err = gfsc_path(h, &path, OBJECTS, get->key, "/"), fill;

	get->range = get->sink ? o->range : NULL;
	if (!err && (!one_line(o->if_match) || !one_line(o->if_none_match) || (get->range && !is_range(get->range))))
		err = gfsc_fail(h, GLOBALFS_ERR_USAGE, "a range is A-B, A- or -N; an ETag has no control characters");
	if (!err) {
		call.path = &path;
		if (get->range) {
			gfsc_buf_adds(&range, "bytes=");
			gfsc_buf_adds(&range, get->range);
			gfsc_add_header(&call, "Range", gfsc_buf_str(&range));
			call.failed = call.failed || range.err;
		}
		add_condition(&call, "If-Match", o->if_match);
		add_condition(&call, "If-None-Match", o->if_none_match);
		gfsc_add_header(&call, "X-GlobalFS-Consistency", o->current ? "current" : NULL);
		err = gfsc_perform(h, &call);
		if (!get->begun && h->error.status) {
			fill = err || !get->sink ? object_fill(h, get->key) : get_begin(h, get);
			err = err ? err : fill;
		}
		if (object_out && h->error.status)
			*object_out = &h->object;
	}
	gfsc_buf_free(&path);
	gfsc_buf_free(&range);
	return err;
}

int globalfs_get(struct globalfs *h, const char *key, const struct globalfs_get_options *options, globalfs_sink_cb *sink,
                 void *arg, const struct globalfs_object **object_out)
{
	struct get get = {.key = key, .sink = sink, .arg = arg};
	int err = gfsc_begin(h);

	if (object_out)
		*object_out = NULL;
	if (!err && !sink)
		err = gfsc_fail(h, GLOBALFS_ERR_USAGE, "no sink");
	return err ? err : get_object(h, "GET", &get, options, object_out);
}

int globalfs_head(struct globalfs *h, const char *key, const struct globalfs_get_options *options,
                  const struct globalfs_object **object_out)
{
	struct get get = {.key = key};
	int err = gfsc_begin(h);

	if (object_out)
		*object_out = NULL;
	return err ? err : get_object(h, "HEAD", &get, options, object_out);
}

static int memory_sink(void *arg, const struct globalfs_object *object, const void *p, size_t n)
{
	struct gfsc_buf *b = arg;

	if (object->range_size > 0 && (uint64_t)object->range_size > b->max)
		b->err = GLOBALFS_ERR_TOO_LARGE;
	gfsc_buf_add(b, p, n);
	return b->err;
}

int globalfs_get_memory(struct globalfs *h, const char *key, const struct globalfs_get_options *options, size_t max,
                        void **data_out, size_t *size_out)
{
	struct gfsc_buf data = {.max = max ? max : 1};
	int err;

	*data_out = NULL;
	*size_out = 0;
	err = globalfs_get(h, key, options, memory_sink, &data, NULL);
	if (!data.err && !err)
		gfsc_buf_add(&data, "", 0); /* an empty object is not NULL */
	if (!data.err && !err && data.n > max)
		data.err = GLOBALFS_ERR_TOO_LARGE;
	if (data.err)
		err = gfsc_fail(h, data.err, "%s", globalfs_code_text(data.err));
	if (err) {
		gfsc_buf_free(&data);
		return err;
	}
	*data_out = data.p;
	*size_out = data.n;
	return 0;
}

/* ---- put ---- */

static int add_metadata(struct globalfs *h, struct gfsc_call *call, const struct globalfs_put_options *o)
{
	for (size_t i = 0; i < o->n_metadata; i++) {
		const char *name = o->metadata[i].name, *value = o->metadata[i].value;
		struct gfsc_buf field = {0};

		if (!name || !*name || strpbrk(name, ": \t\r\n") || !one_line(name) || !value || !one_line(value))
			return gfsc_fail(h, GLOBALFS_ERR_USAGE, "metadata: a name must be a header's, a value one line");
		gfsc_buf_adds(&field, META_FIELD);
		gfsc_buf_adds(&field, name);
		gfsc_add_header(call, gfsc_buf_str(&field), value);
		call->failed = call->failed || field.err;
		gfsc_buf_free(&field);
	}
	return 0;
}

static int put(struct globalfs *h, const char *key, struct gfsc_call *call, const struct globalfs_put_options *options,
               const char **etag_out)
{
	static const struct globalfs_put_options none;
	const struct globalfs_put_options *o = options ? options : &none;
	struct gfsc_buf path = {0};
	int err = gfsc_path(h, &path, OBJECTS, key, "/");

	if (!err && (!one_line(o->content_type) || !one_line(o->if_match) || !one_line(o->if_none_match)))
		err = gfsc_fail(h, GLOBALFS_ERR_USAGE, "a content type or an ETag has no control characters");
	if (!err)
		err = add_metadata(h, call, o);
	if (!err) {
		call->method = "PUT";
		call->path = &path;
		call->is_transfer = true;
		gfsc_add_header(call, "Content-Type", o->content_type && *o->content_type ? o->content_type : NULL);
		add_condition(call, "If-Match", o->if_match);
		add_condition(call, "If-None-Match", o->if_none_match);
		err = gfsc_perform(h, call);
	}
	if (!err && etag_out) {
		*etag_out = unquoted(h, header_or_none(h, "etag"));
		if (!*etag_out)
			*etag_out = "";
	}
	curl_slist_free_all(call->headers);
	gfsc_buf_free(&path);
	return err;
}

int globalfs_put_stream(struct globalfs *h, const char *key, globalfs_source_cb *source, void *arg, int64_t size,
                        const struct globalfs_put_options *options, const char **etag_out)
{
	struct gfsc_call call = {.source = source, .source_size = size < 0 ? -1 : size, .arg = arg};
	int err = gfsc_begin(h);

	if (etag_out)
		*etag_out = "";
	if (!err && !source)
		err = gfsc_fail(h, GLOBALFS_ERR_USAGE, "no source");
	return err ? err : put(h, key, &call, options, etag_out);
}

struct memory {
	const char *p;
	size_t n, at;
};

static long memory_source(void *arg, void *buf, size_t cap)
{
	struct memory *m = arg;
	size_t n = m->n - m->at < cap ? m->n - m->at : cap;

	if (n)
		memcpy(buf, m->p + m->at, n);
	m->at += n;
	return (long)n;
}

static int memory_seek(void *arg, curl_off_t offset, int origin)
{
	struct memory *m = arg;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > m->n)
		return CURL_SEEKFUNC_FAIL;
	m->at = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

int globalfs_put(struct globalfs *h, const char *key, const void *data, size_t size, const struct globalfs_put_options *options,
                 const char **etag_out)
{
	struct memory m = {.p = data, .n = size};
	struct gfsc_call call = {.source = memory_source, .seek = memory_seek, .source_size = (int64_t)size, .arg = &m};
	int err = gfsc_begin(h);

	if (etag_out)
		*etag_out = "";
	return err ? err : put(h, key, &call, options, etag_out);
}

int globalfs_delete(struct globalfs *h, const char *key)
{
	struct gfsc_buf path = {0};
	int err = gfsc_begin(h);

	if (!err)
		err = gfsc_path(h, &path, OBJECTS, key, "/");
	if (!err)
		err = gfsc_ask(h, "DELETE", &path, NULL, false);
	gfsc_buf_free(&path);
	return err;
}
