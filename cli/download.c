/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gfsctl object get. Into a file: the bytes go to FILE.gfs-part beside it, its ETag to FILE.gfs-part.etag; what breaks off is
 * taken up by Range and If-Match, by itself and by the next run; the file appears by rename when length and, where the ETag is
 * an MD5, content are checked. To standard output: the same within one run.
 */
#include "config.h"

#include "ctl.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/xalloc.h"

#define TRIES 6 /* without a byte in between */
#define ETAG_TEXT_MAX 128

struct download {
	struct ctl *ctl;
	const char *key;
	char *what;
	const char *range; /* of --range, or NULL */
	/* where to */
	int fd;
	char *file, *part, *etag_file; /* NULL: standard output or a device */
	/* how far */
	char etag[ETAG_TEXT_MAX]; /* with its quotes, as in If-Match; "" when not known */
	int64_t base;   /* first byte that is wanted */
	int64_t offset; /* bytes written */
	int64_t wanted; /* bytes in all; -1 before the first head */
	bool accepted;  /* this answer's head fits: its body is ours */
	bool fresh;     /* the part was begun anew for this answer */
	bool restarted; /* the object changed once */
	EVP_MD_CTX *md5;
	int error;
	const char *refused; /* why an answer does not fit */
	struct progress progress;
};

/* ---- checks ---- */

static bool is_md5_etag(const char *etag)
{
	return strlen(etag) == 34 && etag[0] == '"' && strspn(etag + 1, "0123456789abcdef") == 32;
}

static void md5_begin(struct download *d)
{
	EVP_MD_CTX_free(d->md5);
	d->md5 = NULL;
	if (d->range || !is_md5_etag(d->etag))
		return;
	d->md5 = EVP_MD_CTX_new();
	if (d->md5 && !EVP_DigestInit_ex(d->md5, EVP_md5(), NULL)) {
		EVP_MD_CTX_free(d->md5);
		d->md5 = NULL;
	}
}

static bool md5_fits(struct download *d)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char hex[33];

	if (!d->md5 || !EVP_DigestFinal_ex(d->md5, digest, NULL))
		return true;
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return strncmp(d->etag + 1, hex, 32) == 0;
}

/* Reads what is there already into the MD5. false: it cannot be read. */
static bool md5_catch_up(struct download *d)
{
	char buf[65536];
	int64_t at = 0;
	ssize_t n;

	md5_begin(d);
	while (d->md5 && at < d->offset) {
		n = pread(d->fd, buf, sizeof(buf), at);
		if (n <= 0)
			return false;
		if (n > d->offset - at)
			n = (ssize_t)(d->offset - at);
		if (!EVP_DigestUpdate(d->md5, buf, (size_t)n))
			return false;
		at += n;
	}
	return true;
}

/* ---- the part file ---- */

/* Empties the part and forgets its version. */
static bool part_restart(struct download *d)
{
	d->offset = 0;
	d->wanted = -1;
	d->etag[0] = '\0';
	if (!d->part)
		return true;
	unlink(d->etag_file);
	if (ftruncate(d->fd, 0) == 0 && lseek(d->fd, 0, SEEK_SET) == 0)
		return true;
	d->error = errno;
	return false;
}

/* Before the first byte of a version: so that a part never lies beside another version's ETag. */
static bool etag_save(struct download *d)
{
	int fd;
	ssize_t n;

	if (!d->part || d->range || !d->etag[0])
		return true;
	fd = open(d->etag_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd >= 0) {
		n = write(fd, d->etag, strlen(d->etag));
		if (close(fd) == 0 && n == (ssize_t)strlen(d->etag))
			return true;
	}
	d->error = errno;
	return false;
}

static void etag_load(struct download *d)
{
	int fd = open(d->etag_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, d->etag, sizeof(d->etag) - 1);
	struct stat st;

	if (fd >= 0)
		close(fd);
	d->etag[n > 0 ? n : 0] = '\0';
	d->etag[strcspn(d->etag, "\r\n")] = '\0';
	if (d->etag[0] != '"' || d->range || fstat(d->fd, &st) != 0 || st.st_size == 0) {
		d->etag[0] = '\0';
		return;
	}
	d->offset = st.st_size;
	if (lseek(d->fd, d->offset, SEEK_SET) < 0 || !md5_catch_up(d))
		d->etag[0] = '\0';
}

static int open_part(struct download *d)
{
	d->part = xasprintf("%s.gfs-part", d->file);
	d->etag_file = xasprintf("%s.gfs-part.etag", d->file);
	d->fd = open(d->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (d->fd < 0) {
		ctl_error("%s: %s", d->part, strerror(errno));
		return EXIT_FAILED;
	}
	if (flock(d->fd, LOCK_EX | LOCK_NB) != 0) {
		ctl_error("%s: another download is writing it", d->part);
		return EXIT_FAILED;
	}
	etag_load(d);
	if (!d->etag[0] && !part_restart(d)) {
		ctl_error("%s: %s", d->part, strerror(d->error));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

/* A file is written beside itself; a device, a pipe or standard output as it comes. A symbolic link stays one. */
static int open_target(struct download *d, const char *output)
{
	struct stat st;
	char *real;

	d->fd = STDOUT_FILENO;
	if (!output || strcmp(output, "-") == 0)
		return EXIT_OK;
	if (stat(output, &st) == 0 && !S_ISREG(st.st_mode)) {
		d->fd = S_ISDIR(st.st_mode) ? -1 : open(output, O_WRONLY | O_CLOEXEC);
		if (d->fd >= 0)
			return EXIT_OK;
		ctl_error("%s: %s", output, S_ISDIR(st.st_mode) ? "is a directory" : strerror(errno));
		return EXIT_FAILED;
	}
	real = realpath(output, NULL);
	d->file = real ? real : xstrdup(output);
	return open_part(d);
}

static int sync_dir(const char *file)
{
	char *copy = xstrdup(file);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = fd < 0 ? errno : 0;

	if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL)
		err = errno;
	if (fd >= 0)
		close(fd);
	free(copy);
	return err;
}

/* Makes the part the file, with the permissions of the file that it replaces. */
static int publish(struct download *d)
{
	struct stat st;
	int err = 0;

	if (!d->part)
		return EXIT_OK;
	if (stat(d->file, &st) == 0)
		(void)!fchmod(d->fd, st.st_mode & 07777);
	if (fsync(d->fd) != 0 || rename(d->part, d->file) != 0)
		err = errno;
	unlink(d->etag_file);
	if (!err)
		err = sync_dir(d->file);
	if (!err)
		return EXIT_OK;
	ctl_error("%s: %s", d->file, strerror(err));
	return EXIT_FAILED;
}

/* ---- the answer ---- */

/* Decides once per answer whether its body goes on where we are. The library has seen to it that a range is the one asked for. */
static bool accept_head(struct download *d, const struct globalfs_object *object)
{
	if (d->range && !object->is_range)
		return d->refused = "the server does not take ranges", false;
	if (!object->is_range && d->offset > 0) { /* the whole object instead of its rest */
		if (!d->part)
			return d->refused = "the rest cannot be read: the server does not take ranges", false;
		if (!part_restart(d))
			return false;
	}
	if (d->offset > 0) {
		if (object->range_first != d->base + d->offset)
			return d->refused = "the answer is not the range that was asked for", false;
		if (d->wanted < 0)
			d->wanted = object->size; /* a part of an earlier run */
	} else {
		d->base = object->range_first;
		d->wanted = object->range_size;
		d->etag[0] = '\0';
		if (*object->etag && strlen(object->etag) < sizeof(d->etag) - 2 && strncmp(object->etag, "W/", 2) != 0)
			snprintf(d->etag, sizeof(d->etag), "\"%s\"", object->etag);
		md5_begin(d);
		if (!etag_save(d))
			return false;
	}
	progress_begin(&d->progress, d->what, d->offset, d->wanted, !args_has(d->ctl->args, "no-progress"));
	return d->accepted = true;
}

static bool write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return false;
		p += w;
		n -= (size_t)w;
	}
	return true;
}

static int download_sink(void *arg, const struct globalfs_object *object, const void *p, size_t n)
{
	struct download *d = arg;

	if (!d->accepted && !accept_head(d, object))
		return -1;
	if (d->wanted >= 0 && (int64_t)n > d->wanted - d->offset)
		return d->refused = "the answer is longer than it says", -1;
	if (!write_all(d->fd, p, n)) {
		d->error = errno;
		return -1;
	}
	if (d->md5 && !EVP_DigestUpdate(d->md5, p, n))
		return d->refused = "the MD5 cannot be computed", -1;
	d->offset += (int64_t)n;
	progress_update(&d->progress, d->offset);
	return 0;
}

/* ---- attempts ---- */

enum attempt { ATTEMPT_DONE, ATTEMPT_AGAIN, ATTEMPT_FAILED };

static bool passing(long status)
{
	return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* A call that failed. object: of its answer, may be NULL. */
static enum attempt judge(struct download *d, int err, const struct globalfs_object *object, int *code)
{
	long status = err == GLOBALFS_ERR_STATUS ? globalfs_error(d->ctl->api)->status : 0;
	bool lost = err == GLOBALFS_ERR_IO || err == GLOBALFS_ERR_TIMEOUT || err == GLOBALFS_ERR_CONNECT;

	if (d->error || d->refused) {
		if (d->error != EPIPE || d->part) /* who reads knows that it stopped */
			ctl_error("%s: %s", d->error && d->file ? d->part : d->what, d->error ? strerror(d->error) : d->refused);
		*code = EXIT_FAILED;
		return ATTEMPT_FAILED;
	}
	if (status == 416 && d->offset > 0 && object && object->size == d->base + d->offset && !d->range) {
		d->wanted = d->offset; /* the part was whole already */
		return ATTEMPT_DONE;
	}
	if ((status == 412 || status == 416) && d->offset > 0 && d->part && !d->restarted) {
		d->restarted = true; /* changed since: from the start */
		return part_restart(d) ? ATTEMPT_AGAIN : ATTEMPT_FAILED;
	}
	if (status == 412 && d->offset > 0) {
		ctl_error("%s: was changed while it was read", d->what);
		*code = EXIT_FAILED;
		return ATTEMPT_FAILED;
	}
	*code = -1; /* told by the caller when no try is left */
	return d->offset > 0 && (lost || passing(status)) ? ATTEMPT_AGAIN : ATTEMPT_FAILED;
}

static enum attempt attempt(struct download *d, bool last, int *code)
{
	struct globalfs_get_options options = {.range = d->range};
	const struct globalfs_object *object;
	int64_t before = d->offset;
	enum attempt next;
	char range[64];
	int err;

	if (d->offset > 0) {
		if (d->range && d->wanted >= 0)
			snprintf(range, sizeof(range), "%" PRId64 "-%" PRId64, d->base + d->offset, d->base + d->wanted - 1);
		else
			snprintf(range, sizeof(range), "%" PRId64 "-", d->base + d->offset);
		options.range = range;
		options.if_match = d->etag;
	}
	d->accepted = false;
	err = globalfs_get(d->ctl->api, d->key, &options, download_sink, d, &object);
	progress_end(&d->progress);
	if (!err && (d->accepted || accept_head(d, object))) { /* an empty object never reached the sink */
		next = ATTEMPT_DONE;
		if (d->wanted < 0)
			d->wanted = d->offset; /* chunked, and whole */
	} else {
		next = judge(d, err, object, code);
		if (next == ATTEMPT_AGAIN && !d->etag[0] && d->offset > 0)
			next = ATTEMPT_FAILED; /* nothing to say which version the rest must be of */
		if ((next == ATTEMPT_FAILED || (last && d->offset <= before)) && *code == -1)
			*code = ctl_failed(d->ctl, err, d->what);
	}
	return next;
}

static void pause_before(int tries)
{
	static const int waits_ms[] = {0, 200, 500, 1000, 2000, 4000};
	int ms = waits_ms[tries < 6 ? tries : 5];

	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* Until it is whole, or no try brings a byte any more. */
static int download(struct download *d)
{
	int code = -1, tries = 0;
	int64_t before;

	for (;;) {
		before = d->offset;
		code = -1;
		switch (attempt(d, tries + 1 >= TRIES, &code)) {
		case ATTEMPT_DONE:
			return EXIT_OK;
		case ATTEMPT_FAILED:
			return code < 0 ? EXIT_FAILED : code;
		case ATTEMPT_AGAIN:
			tries = d->offset > before ? 1 : tries + 1;
			if (tries >= TRIES)
				return code < 0 ? EXIT_FAILED : code;
			pause_before(tries);
		}
	}
}

static int finish(struct download *d)
{
	int code;

	if (d->wanted != d->offset) {
		ctl_error("%s: %" PRId64 " of %" PRId64 " bytes came", d->what, d->offset, d->wanted);
		return EXIT_FAILED;
	}
	if (!md5_fits(d)) {
		ctl_error("%s: the bytes do not fit its ETag: they were damaged on the way", d->what);
		if (d->part) {
			unlink(d->part);
			unlink(d->etag_file);
		}
		return EXIT_FAILED;
	}
	code = publish(d);
	if (code == EXIT_OK && d->file)
		d->ctl->out->object_saved(d->key, args_get(d->ctl->args, "output"), d->offset);
	return code;
}

int run_object_get(struct ctl *ctl)
{
	struct download d = {.ctl = ctl, .key = ctl->args->operands[0], .range = args_get(ctl->args, "range"), .fd = -1, .wanted = -1};
	int code;

	if (!*d.key) {
		ctl_error("the key is empty");
		return EXIT_USAGE;
	}
	if (!ctl_api(ctl))
		return EXIT_USAGE;
	d.what = ctl_object_name(d.key);
	code = open_target(&d, args_get(ctl->args, "output"));
	if (code == EXIT_OK)
		code = download(&d);
	if (code == EXIT_OK)
		code = finish(&d);
	if (code != EXIT_OK && d.part && d.offset == 0 && d.fd >= 0) {
		unlink(d.part); /* nothing in it worth keeping */
		unlink(d.etag_file);
	}
	if (d.fd >= 0 && d.fd != STDOUT_FILENO)
		close(d.fd);
	EVP_MD_CTX_free(d.md5);
	free(d.file);
	free(d.part);
	free(d.etag_file);
	free(d.what);
	return code;
}
