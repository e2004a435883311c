/* SPDX-License-Identifier: Apache-2.0 */
/* Where credentials come from, in which order, and that a changed file is seen. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/conf/conf.h"
#include "common/s3/creds.h"

static char dir[64], path[128];
static struct site_conf conf;

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void set(char **at, const char *value)
{
	free(*at);
	*at = strdup(value);
}

static void setup(void)
{
	strcpy(dir, "/tmp/gfs-creds-XXXXXX");
	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/credentials", dir);
	unsetenv("AWS_ACCESS_KEY_ID");
	unsetenv("AWS_SECRET_ACCESS_KEY");
	unsetenv("AWS_SESSION_TOKEN");
	unsetenv("AWS_PROFILE");
	setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
	site_conf_init(&conf);
}

static void teardown(void)
{
	unlink(path);
	rmdir(dir);
	site_conf_free(&conf);
}

static void found(struct s3_creds *c, int64_t now_ms, const char *access, const char *secret, const char *token)
{
	struct s3_creds_view v;
	char why[512] = "";

	cr_assert_eq(s3_creds_get(c, now_ms, &v, why, sizeof(why)), 0, "%s", why);
	cr_assert(slice_eq_str(v.access_key, access), "%.*s", (int)v.access_key.n, v.access_key.p);
	cr_assert(slice_eq_str(v.secret_key, secret));
	cr_assert(slice_eq_str(v.session_token, token));
}

static void missing(struct s3_creds *c, int64_t now_ms, const char *part)
{
	struct s3_creds_view v;
	char why[512] = "";

	cr_assert_eq(s3_creds_get(c, now_ms, &v, why, sizeof(why)), GFS_ERR_FORBIDDEN);
	cr_assert(strstr(why, part), "%s", why);
}

TestSuite(s3_creds, .init = setup, .fini = teardown);

Test(s3_creds, order)
{
	struct s3_creds *c = s3_creds_create(&conf);

	missing(c, 0, path);
	write_file("[default]\naws_access_key_id = FA\naws_secret_access_key=FS\n");
	found(c, 1000, "FA", "FS", "");
	setenv("AWS_ACCESS_KEY_ID", "EA", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
	setenv("AWS_SESSION_TOKEN", "ET", 1);
	found(c, 1000, "EA", "ES", "ET");
	set(&conf.profile, "default");
	found(c, 3000, "FA", "FS", "");
	set(&conf.access_key, "SA");
	set(&conf.secret_key, "SS");
	found(c, 3000, "SA", "SS", "");
	s3_creds_destroy(&c);
}

Test(s3_creds, a_changed_file_is_read_again)
{
	struct s3_creds *c = s3_creds_create(&conf);

	write_file("[default]\naws_access_key_id=A\naws_secret_access_key=B\n");
	found(c, 0, "A", "B", "");
	write_file("[default]\naws_access_key_id=C2\naws_secret_access_key=D\n");
	found(c, 999, "A", "B", "");
	found(c, 1000, "C2", "D", "");
	unlink(path);
	missing(c, 2000, "No such file");
	write_file("[default]\naws_access_key_id=A\n");
	missing(c, 3000, "lacks");
	write_file("[other]\n");
	missing(c, 4000, "has no section [default]");
	s3_creds_destroy(&c);
}

Test(s3_creds, file_format)
{
	static const char text[] = "; comment\r\n[default]\r\naws_access_key_id = D\r\naws_secret_access_key = s=1/+ \r\n\r\n"
		"# x\n[profile hpc site]\n  AWS_ACCESS_KEY_ID=H\n aws_secret_access_key\t=\tT\naws_session_token=K\nregion ="
		     " x\nnonsense\n[empty]";
	struct s3_creds_view v;

	cr_assert_eq(s3_creds_parse(SLICE_LIT(text), "default", &v), 0);
	cr_assert(slice_eq_str(v.access_key, "D"));
	cr_assert(slice_eq_str(v.secret_key, "s=1/+"));
	cr_assert_eq(s3_creds_parse(SLICE_LIT(text), "hpc site", &v), 0);
	cr_assert(slice_eq_str(v.access_key, "H"));
	cr_assert(slice_eq_str(v.secret_key, "T"));
	cr_assert(slice_eq_str(v.session_token, "K"));
	cr_assert_eq(s3_creds_parse(SLICE_LIT(text), "empty", &v), GFS_ERR_INVALID);
	cr_assert_eq(s3_creds_parse(SLICE_LIT(text), "none", &v), GFS_ERR_NO_SUCH_KEY);
	cr_assert_eq(s3_creds_parse(SLICE_LIT(""), "none", &v), GFS_ERR_NO_SUCH_KEY);
}
