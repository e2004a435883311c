/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gfsctl object put, head, delete, list: the objects of the namespace. Reading one is download.c. Memory is flat whatever the size
 * of an object or the length of a list.
 */
#include "config.h"

#include "ctl.h"
#include "progress.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/xalloc.h"

#define OBJECTS_PATH "/api/v1/objects"
#define PAGE_LIMIT 1000
#define MD5_LIMIT ((int64_t)64 << 20) /* larger objects have an ETag of parts */

/* What errors are about. Returns owned. */
static char *object_name(const char *key)
{
	char *safe = printable(key), *name = xasprintf("object %s", safe);

	free(safe);
	return name;
}

static bool check_key(const char *key)
{
	if (*key)
		return true;
	ctl_error("the key is empty");
	return false;
}

/* ---- put ---- */

struct put {
	int fd;
	int64_t size; /* -1: unknown */
	int64_t sent;
	int error;
	EVP_MD_CTX *md5; /* NULL: given up, too large for a plain ETag */
	struct progress progress;
};

static long put_source(void *arg, void *buf, size_t cap)
{
	struct put *put = arg;
	ssize_t n;

	do
		n = read(put->fd, buf, cap);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		put->error = errno;
		return -1;
	}
	if (n > 0 && put->md5 && !EVP_DigestUpdate(put->md5, buf, (size_t)n))
		put->error = EIO;
	put->sent += n;
	if (put->sent > MD5_LIMIT) {
		EVP_MD_CTX_free(put->md5);
		put->md5 = NULL;
	}
	return (long)n;
}

static void put_progress(void *arg, int64_t done, int64_t total)
{
	struct put *put = arg;

	(void)total;
	progress_update(&put->progress, done);
}

/* The exact length of what is to come from fd, or -1: a pipe, a terminal, a device. */
static int64_t input_size(int fd)
{
	struct stat st;
	off_t at;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return -1;
	at = lseek(fd, 0, SEEK_CUR);
	if (at < 0 || st.st_size == 0) /* files of /proc say 0 */
		return -1;
	return st.st_size > at ? st.st_size - at : 0;
}

#define PUT_HEADERS_MAX 80

/* The request's headers from the options; freed by the caller. false after an error was told. */
static bool put_headers(struct ctl *ctl, char *headers[PUT_HEADERS_MAX + 1])
{
	static const char *const plain[][2] = {{"content-type", "Content-Type"}, {"if-match", "If-Match"},
	                                       {"if-none-match", "If-None-Match"}};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		const char *value = args_get(ctl->args, plain[i][0]);

		if (value && i > 0 && strcmp(value, "*") != 0 && value[0] != '"')
			headers[n++] = xasprintf("%s: \"%s\"", plain[i][1], value);
		else if (value)
			headers[n++] = xasprintf("%s: %s", plain[i][1], value);
	}
	for (size_t i = 0; i < ctl->args->n_values; i++) {
		const char *pair = ctl->args->values[i].value, *eq;

		if (strcmp(ctl->args->values[i].row->name, "meta") != 0)
			continue;
		eq = strchr(pair, '=');
		if (!eq || eq == pair || strcspn(pair, ": \t\r\n") < (size_t)(eq - pair)) {
			ctl_error("--meta must be NAME=VALUE: %s", pair);
			return false;
		}
		if (n == PUT_HEADERS_MAX) {
			ctl_error("too many --meta");
			return false;
		}
		/* curl sends a header without a value only when it ends in a semicolon */
		headers[n++] = eq[1] ? xasprintf("X-GlobalFS-Meta-%.*s: %s", (int)(eq - pair), pair, eq + 1)
		                     : xasprintf("X-GlobalFS-Meta-%.*s;", (int)(eq - pair), pair);
	}
	for (size_t i = 0; i < n; i++)
		if (strpbrk(headers[i], "\r\n")) {
			ctl_error("a header must not contain a line break");
			return false;
		}
	return true;
}

/* A plain ETag is the MD5 of what was stored: it must be that of what was sent. */
static bool put_is_intact(struct put *put, const struct http_answer *answer)
{
	const char *etag = http_header(answer, "etag");
	unsigned char digest[EVP_MAX_MD_SIZE];
	char hex[33];

	if (!etag || !put->md5 || !EVP_DigestFinal_ex(put->md5, digest, NULL))
		return true;
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	etag += *etag == '"';
	if (strspn(etag, "0123456789abcdef") != 32 || (etag[32] != '\0' && etag[32] != '"'))
		return true;
	return strncmp(etag, hex, 32) == 0;
}

static int put_send(struct ctl *ctl, struct put *put, const char *key, char **headers)
{
	char *path = ctl_object_path(key), *what = object_name(key);
	struct http_request req = {.method = "PUT", .path = path, .headers = (const char *const *)headers, .source = put_source,
	                           .source_size = put->size, .progress = put_progress, .arg = put};
	struct http_answer answer;
	int err, code = EXIT_OK;

	progress_begin(&put->progress, what, 0, put->size, !args_has(ctl->args, "no-progress"));
	err = http_send(ctl->http, &req, &answer);
	progress_end(&put->progress);
	if (put->error) {
		ctl_error("%s: cannot read the input: %s", what, strerror(put->error));
		code = EXIT_FAILED;
	} else if (err || answer.status < 200 || answer.status > 299) {
		code = ctl_call_failed(ctl, err, &answer, what);
	} else if (!put_is_intact(put, &answer)) {
		ctl_error("%s: what was stored is not what was sent (ETag %s)", what, http_header(&answer, "etag"));
		code = EXIT_FAILED;
	} else {
		ctl->out->object_stored(key, put->sent);
	}
	http_answer_free(&answer);
	free(path);
	free(what);
	return code;
}

int run_object_put(struct ctl *ctl)
{
	const char *key = ctl->args->operands[0], *input = args_get(ctl->args, "input");
	char *headers[PUT_HEADERS_MAX + 1] = {NULL};
	struct put put = {.fd = STDIN_FILENO};
	struct stat st;
	int code = EXIT_USAGE;

	if (!check_key(key) || !ctl_http(ctl))
		return EXIT_USAGE;
	if (input && strcmp(input, "-") != 0) {
		put.fd = open(input, O_RDONLY | O_CLOEXEC);
		if (put.fd < 0 || (fstat(put.fd, &st) == 0 && S_ISDIR(st.st_mode))) {
			ctl_error("%s: %s", input, put.fd < 0 ? strerror(errno) : "is a directory");
			if (put.fd >= 0)
				close(put.fd);
			return EXIT_FAILED;
		}
	}
	put.size = input_size(put.fd);
	put.md5 = EVP_MD_CTX_new();
	if (put.md5 && !EVP_DigestInit_ex(put.md5, EVP_md5(), NULL)) { /* a system without MD5: no check */
		EVP_MD_CTX_free(put.md5);
		put.md5 = NULL;
	}
	if (put_headers(ctl, headers))
		code = put_send(ctl, &put, key, headers);
	for (size_t i = 0; headers[i]; i++)
		free(headers[i]);
	EVP_MD_CTX_free(put.md5);
	if (put.fd != STDIN_FILENO)
		close(put.fd);
	return code;
}

/* ---- head, delete ---- */

static json_t *text_or_null(const char *s)
{
	return json_stringn_nocheck(s ? s : "", s ? strlen(s) : 0);
}

static json_t *unquoted(const char *etag)
{
	size_t n = etag ? strlen(etag) : 0;

	if (n >= 2 && etag[0] == '"' && etag[n - 1] == '"')
		return json_stringn(etag + 1, n - 2);
	return text_or_null(etag);
}

/* HTTP's date as RFC 3339, UTC. */
static json_t *rfc3339(const char *http_date)
{
	time_t t = http_date ? curl_getdate(http_date, NULL) : -1;
	struct tm tm;
	char buf[32];

	if (t == -1 || !gmtime_r(&t, &tm))
		return text_or_null(http_date);
	strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(buf);
}

static json_t *object_from_head(const char *key, const struct http_answer *answer)
{
	static const char prefix[] = "x-globalfs-meta-";
	json_t *object = json_object(), *meta = json_object();
	const char *checksum = http_header(answer, "x-globalfs-checksum");

	json_object_set_new(object, "key", text_or_null(key));
	json_object_set_new(object, "size", json_integer(answer->content_length < 0 ? 0 : answer->content_length));
	json_object_set_new(object, "last_modified", rfc3339(http_header(answer, "last-modified")));
	json_object_set_new(object, "etag", unquoted(http_header(answer, "etag")));
	json_object_set_new(object, "content_type", text_or_null(http_header(answer, "content-type")));
	for (size_t i = 0; i < answer->n_headers; i++)
		if (strncmp(answer->headers[i].name, prefix, sizeof(prefix) - 1) == 0)
			json_object_set_new(meta, answer->headers[i].name + sizeof(prefix) - 1, text_or_null(answer->headers[i].value));
	json_object_set_new(object, "metadata", meta);
	json_object_set_new(object, "checksum", text_or_null(checksum));
	return object;
}

int run_object_head(struct ctl *ctl)
{
	const char *key = ctl->args->operands[0];
	char *path, *what;
	struct http_request req = {.method = "HEAD"};
	struct http_answer answer;
	json_t *object;
	int err, code = EXIT_OK;

	if (!check_key(key) || !ctl_http(ctl))
		return EXIT_USAGE;
	req.path = path = ctl_object_path(key);
	what = object_name(key);
	err = http_send(ctl->http, &req, &answer);
	if (err || answer.status != 200) {
		code = ctl_call_failed(ctl, err, &answer, what);
	} else {
		object = object_from_head(key, &answer);
		ctl->out->object_head(object);
		json_decref(object);
	}
	http_answer_free(&answer);
	free(path);
	free(what);
	return code;
}

int run_object_delete(struct ctl *ctl)
{
	const char *key = ctl->args->operands[0];
	char *path, *what;
	struct http_request req = {.method = "DELETE"};
	int code;

	if (!check_key(key))
		return EXIT_USAGE;
	req.path = path = ctl_object_path(key);
	what = object_name(key);
	code = ctl_call(ctl, &req, what, NULL);
	if (code == EXIT_OK)
		ctl->out->object_deleted(key);
	free(path);
	free(what);
	return code;
}

/* ---- list ---- */

static char *list_path(const char *prefix, const char *start_after, unsigned limit)
{
	struct strbuf path = STRBUF_INIT;

	strbuf_addf(&path, OBJECTS_PATH "?limit=%u", limit);
	if (prefix && *prefix) {
		strbuf_adds(&path, "&prefix=");
		url_encode(&path, slice_str(prefix), "/");
	}
	if (start_after && *start_after) {
		strbuf_adds(&path, "&start_after=");
		url_encode(&path, slice_str(start_after), "/");
	}
	return strbuf_steal(&path);
}

static void warn_partial(const json_t *page)
{
	const json_t *partial = json_object_get(page, "partial");
	struct strbuf names = STRBUF_INIT;
	const json_t *name;
	size_t i;

	json_array_foreach(partial, i, name)
		strbuf_addf(&names, "%s%s", i ? ", " : "", json_string_value(name) ? json_string_value(name) : "?");
	if (names.n)
		ctl_error("the list may be incomplete: no answer from %s", strbuf_str(&names));
	strbuf_free(&names);
}

/* Where the next page begins: what the API says, else behind the last key. Returns owned, or NULL at the end. */
static char *next_start(const json_t *page, const char *start_after)
{
	const json_t *objects = json_object_get(page, "objects");
	const char *next = json_string_value(json_object_get(page, "next_start_after"));
	size_t n = json_array_size(objects);

	if (!json_is_true(json_object_get(page, "truncated")))
		return NULL;
	if (!next && n > 0)
		next = json_string_value(json_object_get(json_array_get(objects, n - 1), "key"));
	if (!next || (start_after && strcmp(next, start_after) <= 0)) {
		ctl_error("the list ends early: the API does not say where its next page begins");
		return NULL;
	}
	return xstrdup(next);
}

static bool parse_limit(const char *text, uint64_t *out)
{
	char *end;

	*out = 0;
	if (!text)
		return true;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

int run_object_list(struct ctl *ctl)
{
	const char *prefix = args_get(ctl->args, "prefix"), *after = args_get(ctl->args, "start-after");
	char *start = after ? xstrdup(after) : NULL, *path, *next;
	struct object_list_output list = {0};
	uint64_t limit, left;
	bool warned = false, begun = false;
	json_t *page;
	size_t n;
	int code = EXIT_OK;

	if (!parse_limit(args_get(ctl->args, "limit"), &limit)) {
		ctl_error("--limit must be a number");
		free(start);
		return EXIT_USAGE;
	}
	for (left = limit ? limit : UINT64_MAX; left > 0; start = next) {
		path = list_path(prefix, start, (unsigned)(left < PAGE_LIMIT ? left : PAGE_LIMIT));
		code = ctl_call(ctl, &(struct http_request){.method = "GET", .path = path}, "list", &page);
		free(path);
		if (code != EXIT_OK)
			break;
		if (!begun)
			ctl->out->objects_begin(&list);
		begun = true;
		ctl->out->objects_page(&list, json_object_get(page, "objects"));
		n = json_array_size(json_object_get(page, "objects"));
		left -= n < left ? n : left;
		if (!warned && json_array_size(json_object_get(page, "partial")) > 0) {
			warn_partial(page);
			warned = true;
		}
		next = left > 0 ? next_start(page, start) : NULL;
		json_decref(page);
		free(start);
		start = NULL;
		if (!next)
			break;
	}
	free(start);
	if (begun)
		ctl->out->objects_end(&list);
	return code;
}
