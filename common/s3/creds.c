/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of S3 sites (creds.h). Called by the S3 site before it signs a request; owns the text of the credentials file it
 * read last. The file is small and local, so it is read on the loop.
 */
#include "config.h"

#include "creds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../conf/conf.h"
#include "../log.h"
#include "../xalloc.h"

#define FILE_MAX (1 << 20)
#define LOOK_EVERY_MS 1000

struct s3_creds {
	const struct site_conf *conf;
	char *text; /* of the file; the view borrows it */
	struct stat seen;
	bool loaded;
	int64_t looked_ms;
	int err;
	struct s3_creds_view view;
	char why[512];
};

static bool is_set(const char *s)
{
	return s && *s;
}

struct s3_creds *s3_creds_create(const struct site_conf *conf)
{
	struct s3_creds *c = xcalloc(1, sizeof(*c));

	c->conf = conf;
	c->looked_ms = INT64_MIN / 2;
	return c;
}

static void forget(struct s3_creds *c)
{
	if (c->text)
		explicit_bzero(c->text, strlen(c->text));
	free(c->text);
	c->text = NULL;
	c->view = (struct s3_creds_view){0};
}

void s3_creds_destroy(struct s3_creds **creds_io)
{
	struct s3_creds *c = *creds_io;

	*creds_io = NULL;
	if (!c)
		return;
	forget(c);
	free(c);
}

/* ---- the file's text ---- */

static struct slice trim(struct slice s)
{
	while (s.n > 0 && strchr(" \t\r", s.p[0]) && s.p[0])
		s = slice_of(s.p + 1, s.n - 1);
	while (s.n > 0 && s.p[s.n - 1] && strchr(" \t\r", s.p[s.n - 1]))
		s.n--;
	return s;
}

static struct slice next_line(struct slice *text)
{
	const char *nl = memchr(text->p, '\n', text->n);
	struct slice line = slice_of(text->p, nl ? (size_t)(nl - text->p) : text->n);

	*text = slice_of(line.p + line.n + (nl ? 1 : 0), text->n - line.n - (nl ? 1 : 0));
	return trim(line);
}

static bool is_section(struct slice line, const char *profile)
{
	struct slice name = line;

	if (line.n < 2 || line.p[line.n - 1] != ']')
		return false;
	name = trim(slice_of(line.p + 1, line.n - 2));
	if (slice_starts_with(name, SLICE_LIT("profile ")))
		name = trim(slice_of(name.p + 8, name.n - 8));
	return slice_eq_str(name, profile);
}

static void take_setting(struct slice line, struct s3_creds_view *out)
{
	const char *eq = memchr(line.p, '=', line.n);
	struct slice name, value;

	if (!eq)
		return;
	name = trim(slice_of(line.p, (size_t)(eq - line.p)));
	value = trim(slice_of(eq + 1, line.n - (size_t)(eq + 1 - line.p)));
	if (slice_caseeq_str(name, "aws_access_key_id"))
		out->access_key = value;
	else if (slice_caseeq_str(name, "aws_secret_access_key"))
		out->secret_key = value;
	else if (slice_caseeq_str(name, "aws_session_token"))
		out->session_token = value;
}

int s3_creds_parse(struct slice text, const char *profile, struct s3_creds_view *out)
{
	bool inside = false, found = false;

	*out = (struct s3_creds_view){0};
	while (text.n > 0) {
		struct slice line = next_line(&text);

		if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';')
			continue;
		if (line.p[0] == '[') {
			inside = is_section(line, profile);
			found = found || inside;
		} else if (inside) {
			take_setting(line, out);
		}
	}
	if (!found)
		return GFS_ERR_NO_SUCH_KEY;
	return out->access_key.n > 0 && out->secret_key.n > 0 ? 0 : GFS_ERR_INVALID;
}

/* ---- the file ---- */

static char *file_path(const struct s3_creds *c)
{
	const char *env = getenv("AWS_SHARED_CREDENTIALS_FILE"), *home = getenv("HOME");

	if (is_set(c->conf->credentials_file))
		return xstrdup(c->conf->credentials_file);
	if (is_set(env))
		return xstrdup(env);
	return is_set(home) ? xasprintf("%s/.aws/credentials", home) : NULL;
}

static const char *profile_name(const struct s3_creds *c)
{
	const char *env = getenv("AWS_PROFILE");

	return is_set(c->conf->profile) ? c->conf->profile : is_set(env) ? env : "default";
}

/* Returns owned text, or NULL with errno. */
static char *read_file(int fd, size_t size)
{
	char *text;
	size_t n = 0;
	ssize_t got;

	if (size > FILE_MAX) {
		errno = EFBIG;
		return NULL;
	}
	text = calloc(1, size + 1);
	while (text && n < size && (got = pread(fd, text + n, size - n, (off_t)n)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			free(text);
			return NULL;
		}
		n += (size_t)got;
	}
	return text;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void load_file(struct s3_creds *c, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;
	struct stat st;
	char *text;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		snprintf(c->why, sizeof(c->why), "no credentials: none in the site's settings or the environment, and %.200s: %s", path,
		         fd < 0 ? strerror(errno) : "not a regular file");
		c->err = GFS_ERR_FORBIDDEN;
		c->loaded = false;
		forget(c);
		if (fd >= 0)
			close(fd);
		return;
	}
	if (c->loaded && same_file(&st, &c->seen)) {
		close(fd);
		return;
	}
	text = read_file(fd, (size_t)st.st_size);
	close(fd);
	forget(c);
	c->text = text;
	c->seen = st;
	c->loaded = text != NULL;
	err = text ? s3_creds_parse(slice_str(text), profile_name(c), &c->view) : GFS_ERR_IO;
	c->err = err ? GFS_ERR_FORBIDDEN : 0;
	if (err)
		snprintf(c->why, sizeof(c->why), "no credentials: %.200s %s [%.100s]", path,
		         err == GFS_ERR_IO            ? "cannot be read for"
		         : err == GFS_ERR_NO_SUCH_KEY ? "has no section"
		                                      : "lacks aws_access_key_id or aws_secret_access_key in",
		         profile_name(c));
}

static int from_file(struct s3_creds *c, int64_t now_mono_ms, struct s3_creds_view *out, char *why, size_t cap)
{
	char *path;

	if (now_mono_ms - c->looked_ms >= LOOK_EVERY_MS) {
		c->looked_ms = now_mono_ms;
		path = file_path(c);
		if (path) {
			load_file(c, path);
		} else {
			c->err = GFS_ERR_FORBIDDEN;
			snprintf(c->why, sizeof(c->why), "no credentials: none in the site's settings or the environment, and no profile file "
			         "(roles of containers and instances are not supported)");
		}
		free(path);
	}
	if (c->err)
		snprintf(why, cap, "%s", c->why);
	*out = c->view;
	return c->err;
}

int s3_creds_get(struct s3_creds *c, int64_t now_mono_ms, struct s3_creds_view *out, char *why, size_t cap)
{
	const char *access, *secret;

	if (is_set(c->conf->access_key)) {
		*out = (struct s3_creds_view){slice_str(c->conf->access_key), slice_str(c->conf->secret_key),
		                              slice_str(c->conf->session_token)};
		return 0;
	}
	if (!is_set(c->conf->profile) && !is_set(c->conf->credentials_file)) {
		access = getenv("AWS_ACCESS_KEY_ID");
		secret = getenv("AWS_SECRET_ACCESS_KEY");
		if (is_set(access) && is_set(secret)) {
			*out = (struct s3_creds_view){slice_str(access), slice_str(secret), slice_str(getenv("AWS_SESSION_TOKEN"))};
			return 0;
		}
	}
	return from_file(c, now_mono_ms, out, why, cap);
}
