/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gfsctl object put, head, delete, where, list: the objects of the namespace. Reading one is download.c. Memory is flat whatever
 * the size of an object or the length of a list.
 */
#include "config.h"

#include "ctl.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"

#define MD5_LIMIT ((int64_t)64 << 20) /* larger objects have an ETag of parts */

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
	bool ended;
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
	put->ended = n == 0;
	progress_update(&put->progress, put->sent);
	if (put->sent > MD5_LIMIT) {
		EVP_MD_CTX_free(put->md5);
		put->md5 = NULL;
	}
	return (long)n;
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

#define META_MAX 64

/* The options as the library takes them; metadata names are owned, and freed by the caller. false after an error was told. */
static bool put_options(struct ctl *ctl, struct globalfs_pair pairs[META_MAX], struct globalfs_put_options *out)
{
	*out = (struct globalfs_put_options){
		.content_type = args_get(ctl->args, "content-type"), .if_match = args_get(ctl->args, "if-match"),
		.if_none_match = args_get(ctl->args, "if-none-match"), .metadata = pairs,
	};
	for (size_t i = 0; i < ctl->args->n_values; i++) {
		const char *pair = ctl->args->values[i].value, *eq;

		if (strcmp(ctl->args->values[i].row->name, "meta") != 0)
			continue;
		eq = strchr(pair, '=');
		if (!eq || eq == pair || strcspn(pair, ": \t\r\n") < (size_t)(eq - pair)) {
			ctl_error("--meta must be NAME=VALUE: %s", pair);
			return false;
		}
		if (out->n_metadata == META_MAX) {
			ctl_error("too many --meta");
			return false;
		}
		pairs[out->n_metadata++] = (struct globalfs_pair){xstrndup(pair, (size_t)(eq - pair)), eq + 1};
	}
	return true;
}

/* A plain ETag is the MD5 of what was stored: it must be that of what was sent. */
static bool put_is_intact(struct put *put, const char *etag)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char hex[33];

	if (!put->md5 || strlen(etag) != 32 || strspn(etag, "0123456789abcdef") != 32)
		return true;
	if (!EVP_DigestFinal_ex(put->md5, digest, NULL))
		return true;
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return strcmp(etag, hex) == 0;
}

static int put_send(struct ctl *ctl, struct put *put, const char *key, const struct globalfs_put_options *options)
{
	char *what = ctl_object_name(key);
	const char *etag;
	int err, code = EXIT_OK;

	progress_begin(&put->progress, what, 0, put->size, !args_has(ctl->args, "no-progress"));
	err = globalfs_put_stream(ctl->api, key, put_source, put, put->size, options, &etag);
	progress_end(&put->progress);
	if (put->error) {
		ctl_error("%s: cannot read the input: %s", what, strerror(put->error));
		code = EXIT_FAILED;
	} else if (err == GLOBALFS_ERR_USAGE && put->ended) {
		ctl_error("%s: the input ended early, at %" PRId64 " of %" PRId64 " bytes", what, put->sent, put->size);
		code = EXIT_FAILED;
	} else if (err) {
		code = ctl_failed(ctl, err, what);
	} else if (!put_is_intact(put, etag)) {
		ctl_error("%s: what was stored is not what was sent (ETag %s)", what, etag);
		code = EXIT_FAILED;
	} else {
		ctl->out->object_stored(key, put->sent);
	}
	free(what);
	return code;
}

int run_object_put(struct ctl *ctl)
{
	const char *key = ctl->args->operands[0], *input = args_get(ctl->args, "input");
	struct globalfs_pair pairs[META_MAX];
	struct globalfs_put_options options;
	struct put put = {.fd = STDIN_FILENO};
	struct stat st;
	int code = EXIT_USAGE;

	if (!check_key(key) || !ctl_api(ctl))
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
	if (put_options(ctl, pairs, &options))
		code = put_send(ctl, &put, key, &options);
	for (size_t i = 0; i < options.n_metadata; i++)
		free((char *)(uintptr_t)pairs[i].name);
	EVP_MD_CTX_free(put.md5);
	if (put.fd != STDIN_FILENO)
		close(put.fd);
	return code;
}

/* ---- head, delete, where ---- */

static json_t *object_json(const struct globalfs_object *o)
{
	json_t *meta = json_object();

	for (size_t i = 0; i < o->n_metadata; i++)
		json_object_set_new(meta, o->metadata[i].name, json_text(o->metadata[i].value));
	return json_pack("{s:o, s:I, s:o, s:o, s:o, s:o, s:o}", "key", json_text(o->key), "size",
	                 (json_int_t)(o->size < 0 ? 0 : o->size), "last_modified", json_text(o->last_modified), "etag",
	                 json_text(o->etag), "content_type", json_text(o->content_type), "metadata", meta, "checksum",
	                 json_text(o->checksum));
}

int run_object_head(struct ctl *ctl)
{
	const char *key = ctl->args->operands[0];
	const struct globalfs_object *object;
	int err, code = EXIT_OK;
	json_t *json;
	char *what;

	if (!check_key(key) || !ctl_api(ctl))
		return EXIT_USAGE;
	what = ctl_object_name(key);
	err = globalfs_head(ctl->api, key, NULL, &object);
	if (err) {
		code = ctl_failed(ctl, err, what);
	} else {
		json = object_json(object);
		ctl->out->object_head(json);
		json_decref(json);
	}
	free(what);
	return code;
}

int run_object_delete(struct ctl *ctl)
{
	const char *key = ctl->args->operands[0];
	int err, code = EXIT_OK;
	char *what;

	if (!check_key(key) || !ctl_api(ctl))
		return EXIT_USAGE;
	what = ctl_object_name(key);
	err = globalfs_delete(ctl->api, key);
	if (err)
		code = ctl_failed(ctl, err, what);
	else
		ctl->out->object_deleted(key);
	free(what);
	return code;
}

int run_object_where(struct ctl *ctl)
{
	const char *key = ctl->args->operands[0];
	const struct globalfs_where *where;
	json_t *json;
	char *what;
	int code;

	if (!check_key(key) || !ctl_api(ctl))
		return EXIT_USAGE;
	what = ctl_object_name(key);
	code = ctl_document(ctl, globalfs_where(ctl->api, key, &where), what, &json);
	if (code == EXIT_OK)
		ctl->out->object_where(where, json);
	json_decref(json);
	free(what);
	return code;
}

/* ---- list ---- */

struct listing {
	struct ctl *ctl;
	struct list_output out;
};

static int list_entry(void *arg, const struct globalfs_entry *entry)
{
	struct listing *l = arg;

	l->ctl->out->list_entry(&l->out, entry);
	return ferror(stdout); /* nobody reads any more */
}

static void warn_partial(const struct globalfs_list_result *list)
{
	struct strbuf names = STRBUF_INIT;

	for (size_t i = 0; i < list->n_partial; i++)
		strbuf_addf(&names, "%s%s", i ? ", " : "", list->partial[i]);
	if (names.n)
		ctl_error("the list may be incomplete: no answer from %s", strbuf_str(&names));
	if (list->unverified)
		ctl_error("the list may have entries that were deleted or changed: it could not be asked what is current");
	strbuf_free(&names);
}

static bool parse_limit(const char *text, int64_t *out)
{
	char *end;

	*out = 0;
	if (!text)
		return true;
	errno = 0;
	*out = strtoll(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

int run_object_list(struct ctl *ctl)
{
	struct globalfs_list_options options = {
		.prefix = args_get(ctl->args, "prefix"), .delimiter = args_get(ctl->args, "delimiter"),
		.start_after = args_get(ctl->args, "start-after"), .strict = args_has(ctl->args, "strict"),
	};
	const struct globalfs_list_result *result;
	struct listing l = {.ctl = ctl};
	int err;

	if (!parse_limit(args_get(ctl->args, "limit"), &options.limit)) {
		ctl_error("--limit must be a number");
		return EXIT_USAGE;
	}
	if (!ctl_api(ctl))
		return EXIT_USAGE;
	ctl->out->list_begin(&l.out);
	err = globalfs_list(ctl->api, &options, list_entry, &l, &result);
	ctl->out->list_end(&l.out, err == 0);
	if (err == GLOBALFS_ERR_CANCELLED) /* the flush at the end tells why */
		return EXIT_FAILED;
	if (err)
		return ctl_failed(ctl, err, "list");
	warn_partial(result);
	return EXIT_OK;
}
