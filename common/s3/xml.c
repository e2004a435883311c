/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One bounded walk over a document (expat), with a function per kind that takes each element's text as it ends. Called by the S3
 * site with whole bodies, whose size it has bounded before.
 */
#include "config.h"

#include "xml.h"

#include <expat.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../http/fields.h"
#include "../utf8.h"
#include "../xalloc.h"

#define DEPTH_MAX 8
#define TEXT_MAX (8 * 1024) /* a key of 1024 bytes is at most 3072 when it is encoded */
#define NAME_MAX_LEN 64

struct walk {
	XML_Parser parser;
	int depth;
	char name[DEPTH_MAX][NAME_MAX_LEN]; /* local names of the open elements */
	struct strbuf text;                 /* of the innermost */
	bool failed;
	int err;
	void (*begin)(struct walk *w, const char *name);
	void (*end)(struct walk *w, const char *name, const char *parent, struct slice text);
	void *out;
	bool in_entry;
	bool altered; /* the text is not all the store's own */
};

static void walk_fail(struct walk *w, int err)
{
	if (w->failed)
		return;
	w->failed = true;
	w->err = err;
	XML_StopParser(w->parser, XML_FALSE);
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attrs)
{
	const char *colon = strrchr(name, ':');
	struct walk *w = arg;

	(void)attrs;
	if (w->failed)
		return;
	if (w->depth >= DEPTH_MAX) {
		walk_fail(w, GFS_ERR_PROTOCOL);
		return;
	}
	snprintf(w->name[w->depth++], NAME_MAX_LEN, "%s", colon ? colon + 1 : name);
	strbuf_reset(&w->text);
	if (w->begin)
		w->begin(w, w->name[w->depth - 1]);
}

static void on_end(void *arg, const XML_Char *name)
{
	struct walk *w = arg;

	(void)name;
	if (w->failed)
		return;
	if (strbuf_failed(&w->text)) {
		walk_fail(w, GFS_ERR_PROTOCOL);
		return;
	}
	w->depth--;
	w->end(w, w->name[w->depth], w->depth ? w->name[w->depth - 1] : "", strbuf_slice(&w->text));
	strbuf_reset(&w->text);
}

static void on_text(void *arg, const XML_Char *s, int n)
{
	struct walk *w = arg;

	if (!w->failed)
		strbuf_add(&w->text, s, (size_t)n);
}

/* Entities can only be declared there; S3 declares none. */
static void on_doctype(void *arg, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid, int internal)
{
	(void)name;
	(void)sysid;
	(void)pubid;
	(void)internal;
	walk_fail(arg, GFS_ERR_PROTOCOL);
}

/* Length of what XML 1.0 does not allow at p, 0 when it is fine: control characters, their references, U+FFFE, U+FFFF, and what is
 * not UTF-8. */
static size_t forbidden_at(const char *p, size_t n)
{
	unsigned char c = (unsigned char)p[0];
	unsigned long v;
	char text[16] = "", *end;
	const char *semi;
	bool hex;

	if (c < 0x20)
		return c != '\t' && c != '\n' && c != '\r';
	if (c == 0xef && n >= 3 && (unsigned char)p[1] == 0xbf && (unsigned char)p[2] >= 0xbe)
		return 3;
	if (c >= 0x80)
		return utf8_step(p, n) == 0;
	if (c != '&' || n < 4 || p[1] != '#')
		return 0;
	semi = memchr(p, ';', n < 12 ? n : 12);
	if (!semi)
		return 0;
	hex = p[2] == 'x';
	memcpy(text, p + (hex ? 3 : 2), (size_t)(semi - p) - (hex ? 3 : 2));
	v = strtoul(text, &end, hex ? 16 : 10);
	if (!text[0] || *end || (v >= 0x20 && v != 0xfffe && v != 0xffff) || v == '\t' || v == '\n' || v == '\r')
		return 0;
	return (size_t)(semi + 1 - p);
}

/* Stores echo keys with control characters (as text, as references) into fields that are not encoded, which no XML parser takes: a
 * '?' stands for each. Returns true, with the text in out, when there were any. */
static bool make_well_formed(struct slice body, struct strbuf *out)
{
	size_t done = 0, bad;

	for (size_t i = 0; i < body.n; i++) {
		bad = forbidden_at(body.p + i, body.n - i);
		if (bad == 0) {
			if ((unsigned char)body.p[i] >= 0x80)
				i += utf8_step(body.p + i, body.n - i) - 1;
			continue;
		}
		strbuf_add(out, body.p + done, i - done);
		strbuf_addc(out, '?');
		i += bad - 1;
		done = i + 1;
	}
	if (done > 0)
		strbuf_add(out, body.p + done, body.n - done);
	return done > 0;
}

static int parse(struct walk *w, struct slice body)
{
	enum XML_Status status;

	strbuf_init(&w->text, TEXT_MAX);
	if (body.n > INT32_MAX / 2)
		return GFS_ERR_PROTOCOL;
	w->parser = XML_ParserCreate(NULL);
	if (!w->parser)
		return GFS_ERR_NOMEM;
	XML_SetUserData(w->parser, w);
	XML_SetElementHandler(w->parser, on_start, on_end);
	XML_SetCharacterDataHandler(w->parser, on_text);
	XML_SetStartDoctypeDeclHandler(w->parser, on_doctype);
	status = XML_Parse(w->parser, body.n ? body.p : "", (int)body.n, 1);
	if (status != XML_STATUS_OK && !w->failed)
		w->err = GFS_ERR_PROTOCOL;
	XML_ParserFree(w->parser);
	strbuf_free(&w->text);
	return w->err;
}

static int walk_run(struct walk *w, struct slice body)
{
	struct strbuf clean = STRBUF_INIT;
	int err;

	w->altered = make_well_formed(body, &clean);
	err = strbuf_failed(&clean) ? GFS_ERR_NOMEM : parse(w, w->altered ? strbuf_slice(&clean) : body);
	strbuf_free(&clean);
	return err;
}

static void take_text(char *out, size_t cap, struct slice text)
{
	size_t n = text.n < cap - 1 ? text.n : cap - 1;

	/* for people and logs: no control characters */
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f ? ' ' : text.p[i];
	out[n] = '\0';
}

static bool take_u64(struct slice text, uint64_t *out)
{
	uint64_t v = 0;

	if (text.n < 1 || text.n > 19)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(text.p[i] - '0');
	}
	*out = v;
	return true;
}

void s3_etag_unquote(struct slice text, char out[ETAG_MAX])
{
	if (text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
		text = slice_of(text.p + 1, text.n - 2);
	out[0] = '\0';
	if (text.n >= ETAG_MAX)
		return;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] == '"' || text.p[i] >= 0x7f)
			return;
	memcpy(out, text.p, text.n);
	out[text.n] = '\0';
}

/* ---- Error ---- */

static void error_field(struct s3xml_error *e, const char *name, struct slice text)
{
	if (strcmp(name, "Code") == 0)
		take_text(e->code, sizeof(e->code), text);
	else if (strcmp(name, "Message") == 0)
		take_text(e->message, sizeof(e->message), text);
	else if (strcmp(name, "Region") == 0)
		take_text(e->region, sizeof(e->region), text);
	else if (strcmp(name, "Endpoint") == 0)
		take_text(e->endpoint, sizeof(e->endpoint), text);
	else if (strcmp(name, "BucketName") == 0)
		take_text(e->bucket, sizeof(e->bucket), text);
	else if (strcmp(name, "ActualObjectSize") == 0)
		e->has_actual_size = take_u64(text, &e->actual_size);
}

static void error_end(struct walk *w, const char *name, const char *parent, struct slice text)
{
	if (w->depth == 1 && strcmp(parent, "Error") == 0)
		error_field(w->out, name, text);
}

int s3xml_parse_error(struct slice body, struct s3xml_error *out)
{
	struct walk w = {.end = error_end, .out = out};
	int err;

	memset(out, 0, sizeof(*out));
	err = walk_run(&w, body);
	return err ? err : out->code[0] ? 0 : GFS_ERR_PROTOCOL;
}

/* ---- ListBucketResult ---- */

static void key_free(struct slice *key)
{
	free((void *)(uintptr_t)key->p);
	*key = (struct slice){0};
}

static struct s3xml_entry *list_last(struct s3xml_list *list)
{
	return &list->v[list->n - 1];
}

static void list_begin(struct walk *w, const char *name)
{
	struct s3xml_list *list = w->out;
	bool group = strcmp(name, "CommonPrefixes") == 0;

	if (w->depth == 1 && strcmp(name, "ListBucketResult") != 0) {
		walk_fail(w, GFS_ERR_PROTOCOL);
		return;
	}
	if (w->depth != 2 || (strcmp(name, "Contents") != 0 && !group))
		return;
	if (list->n >= S3XML_LIST_MAX) {
		walk_fail(w, GFS_ERR_PROTOCOL);
		return;
	}
	if (list->n == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 64;
		struct s3xml_entry *v = reallocarray(list->v, cap, sizeof(*v));

		if (!v) {
			walk_fail(w, GFS_ERR_NOMEM);
			return;
		}
		list->v = v;
		list->cap = cap;
	}
	list->v[list->n++] = (struct s3xml_entry){.group = group};
	w->in_entry = true;
}

static void entry_field(struct walk *w, struct s3xml_entry *e, const char *name, struct slice text)
{
	int err = 0;

	if (strcmp(name, e->group ? "Prefix" : "Key") == 0 && !e->key.p && text.n > 0)
		e->key = slice_of(xmemdup(text.p, text.n), text.n);
	else if (strcmp(name, "Size") == 0)
		err = take_u64(text, &e->size) ? 0 : GFS_ERR_PROTOCOL;
	else if (strcmp(name, "ETag") == 0)
		s3_etag_unquote(text, e->etag);
	else if (strcmp(name, "LastModified") == 0)
		err = http_rfc3339_parse(text, &e->mtime_ms);
	if (err)
		walk_fail(w, GFS_ERR_PROTOCOL);
}

static void list_end(struct walk *w, const char *name, const char *parent, struct slice text)
{
	struct s3xml_list *list = w->out;

	if (w->depth == 2 && w->in_entry && strcmp(parent, list_last(list)->group ? "CommonPrefixes" : "Contents") == 0) {
		entry_field(w, list_last(list), name, text);
	} else if (w->depth == 1 && w->in_entry && (strcmp(name, "Contents") == 0 || strcmp(name, "CommonPrefixes") == 0)) {
		w->in_entry = false;
		if (!list_last(list)->key.p)
			walk_fail(w, GFS_ERR_PROTOCOL);
	} else if (w->depth == 1 && strcmp(name, "IsTruncated") == 0) {
		list->truncated = slice_eq_str(text, "true");
	} else if (w->depth == 1 && strcmp(name, "EncodingType") == 0) {
		list->encoded = slice_eq_str(text, "url");
	}
}

/* In a url-encoded list some stores write a space as '+', and all write a plus as %2B. */
static int decode_key(struct slice *key)
{
	struct strbuf plain, text;
	int err;

	strbuf_init(&plain, 0);
	strbuf_init(&text, 0);
	for (size_t i = 0; i < key->n; i++)
		strbuf_addc(&text, key->p[i] == '+' ? ' ' : key->p[i]);
	err = url_decode(strbuf_slice(&text), &plain);
	if (!err && strbuf_failed(&plain))
		err = GFS_ERR_NOMEM;
	if (!err) {
		key_free(key);
		key->n = plain.n;
		key->p = strbuf_steal(&plain);
	}
	strbuf_free(&plain);
	strbuf_free(&text);
	return err ? GFS_ERR_PROTOCOL : 0;
}

int s3xml_parse_list(struct slice body, struct s3xml_list *out)
{
	struct walk w = {.begin = list_begin, .end = list_end, .out = out};
	int err;

	memset(out, 0, sizeof(*out));
	err = walk_run(&w, body);
	/* keys as they stand, and some cannot be told */
	if (!err && w.altered && !out->encoded && out->n > 0)
		err = GFS_ERR_PROTOCOL;
	/* known only now: the element may come after the entries, and a store that does not know the parameter omits it */
	for (size_t i = 0; !err && out->encoded && i < out->n; i++)
		err = decode_key(&out->v[i].key);
	if (err)
		s3xml_list_free(out);
	return err;
}

void s3xml_list_free(struct s3xml_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		key_free(&list->v[i].key);
	free(list->v);
	memset(list, 0, sizeof(*list));
}

/* ---- multipart ---- */

struct initiate {
	char *id;
	bool found;
};

static void initiate_end(struct walk *w, const char *name, const char *parent, struct slice text)
{
	struct initiate *in = w->out;

	if (w->depth != 1 || strcmp(parent, "InitiateMultipartUploadResult") != 0 || strcmp(name, "UploadId") != 0)
		return;
	if (text.n == 0 || text.n >= S3XML_UPLOAD_ID_MAX || memchr(text.p, '\0', text.n)) {
		walk_fail(w, GFS_ERR_PROTOCOL);
		return;
	}
	memcpy(in->id, text.p, text.n);
	in->id[text.n] = '\0';
	in->found = true;
}

int s3xml_parse_initiate(struct slice body, char upload_id[S3XML_UPLOAD_ID_MAX])
{
	struct initiate in = {.id = upload_id};
	struct walk w = {.end = initiate_end, .out = &in};
	int err;

	upload_id[0] = '\0';
	err = walk_run(&w, body);
	return err ? err : in.found ? 0 : GFS_ERR_PROTOCOL;
}

struct complete {
	char *etag;
	struct s3xml_error *error;
	bool found, is_error;
};

static void complete_end(struct walk *w, const char *name, const char *parent, struct slice text)
{
	struct complete *c = w->out;

	if (w->depth == 0) {
		if (strcmp(name, "Error") == 0)
			c->is_error = true;
		else if (strcmp(name, "CompleteMultipartUploadResult") == 0)
			c->found = true;
	} else if (w->depth == 1 && strcmp(parent, "Error") == 0) {
		error_field(c->error, name, text);
	} else if (w->depth == 1 && strcmp(name, "ETag") == 0) {
		s3_etag_unquote(text, c->etag);
	}
}

int s3xml_parse_complete(struct slice body, char etag[ETAG_MAX], struct s3xml_error *error)
{
	struct complete c = {.etag = etag, .error = error};
	struct walk w = {.end = complete_end, .out = &c};
	int err;

	etag[0] = '\0';
	memset(error, 0, sizeof(*error));
	err = walk_run(&w, body);
	if (err)
		return err;
	return c.is_error ? GFS_ERR_SITE_ERROR : c.found ? 0 : GFS_ERR_PROTOCOL;
}

void s3xml_complete_begin(struct strbuf *out)
{
	strbuf_adds(out, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
}

void s3xml_complete_part(struct strbuf *out, unsigned number, const char *etag)
{
	/* an ETag of ours is plain text without markup: s3_etag_unquote() keeps quotes out, and '<' and '&' go here */
	strbuf_addf(out, "<Part><PartNumber>%u</PartNumber><ETag>&quot;", number);
	for (const char *p = etag; *p; p++) {
		if (*p == '<')
			strbuf_adds(out, "&lt;");
		else if (*p == '&')
			strbuf_adds(out, "&amp;");
		else
			strbuf_addc(out, *p);
	}
	strbuf_adds(out, "&quot;</ETag></Part>");
}

void s3xml_complete_end(struct strbuf *out)
{
	strbuf_adds(out, "</CompleteMultipartUpload>");
}
