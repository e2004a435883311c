/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The site table as JSON and back, see sites.h: one table of members, with their places in struct site_conf. Used by the
 * supervisor (registry, SITES), by every child (SITES), and by workers that add a site.
 */
#include "config.h"

#include "sites.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "board/sites_board.h"
#include "xalloc.h"

#define TABLE_BYTES_MAX (16u << 20)

enum member_type { M_STR, M_SECRET, M_BOOL, M_U32, M_MS, M_ROLE, M_KIND, M_ADDRESSING };

static const struct member {
	const char *name;
	enum member_type type;
	size_t off;
} members[] = {
#define MEMBER(name, type) {#name, type, offsetof(struct site_conf, name)}
	MEMBER(id, M_U32), MEMBER(claimed, M_BOOL), MEMBER(drained, M_BOOL), MEMBER(runtime, M_BOOL), MEMBER(name, M_STR),
	MEMBER(role, M_ROLE), MEMBER(kind, M_KIND), MEMBER(prefix, M_STR), MEMBER(file_path, M_STR), MEMBER(s3_bucket, M_STR),
	MEMBER(s3_region, M_STR), MEMBER(s3_endpoint, M_STR), MEMBER(addressing, M_ADDRESSING), MEMBER(access_key, M_SECRET),
	MEMBER(secret_key, M_SECRET), MEMBER(session_token, M_SECRET), MEMBER(profile, M_STR), MEMBER(credentials_file, M_STR),
	MEMBER(ca_file, M_STR), MEMBER(tls_verify, M_BOOL), MEMBER(proxy, M_SECRET), MEMBER(connect_timeout_ms, M_MS),
	MEMBER(first_byte_timeout_ms, M_MS), MEMBER(stall_timeout_ms, M_MS), MEMBER(max_connections, M_U32),
	MEMBER(mount_point, M_STR), MEMBER(cargoship_endpoint, M_STR), MEMBER(cargoship_enabled, M_BOOL),
#undef MEMBER
};

#define MEMBERS (sizeof(members) / sizeof(members[0]))

/* ---- print ---- */

static void print_value(const struct member *m, const void *v, struct strbuf *out)
{
	const char *s;

	switch (m->type) {
	case M_STR:
	case M_SECRET:
		memcpy(&s, v, sizeof(s));
		strbuf_add_json(out, slice_str(s));
		return;
	case M_BOOL:
		strbuf_adds(out, *(const bool *)v ? "true" : "false");
		return;
	case M_U32:
		strbuf_addf(out, "%" PRIu32, *(const uint32_t *)v);
		return;
	case M_MS:
		strbuf_addf(out, "%" PRId64, *(const int64_t *)v);
		return;
	case M_ROLE:
		strbuf_addf(out, "\"%s\"", site_role_name(*(const enum site_role *)v));
		return;
	case M_KIND:
		strbuf_adds(out, *(const enum site_kind *)v == SITE_KIND_S3 ? "\"s3\"" : "\"file\"");
		return;
	case M_ADDRESSING:
		strbuf_adds(out, *(const enum s3_addressing *)v == S3_VIRTUAL ? "\"virtual\"" : "\"path\"");
		return;
	}
}

void site_json_print(const struct site_conf *site, bool with_secrets, struct strbuf *out)
{
	const char *sep = "{";

	for (size_t i = 0; i < MEMBERS; i++) {
		if (members[i].type == M_SECRET && !with_secrets)
			continue;
		strbuf_addf(out, "%s\"%s\":", sep, members[i].name);
		print_value(&members[i], (const char *)site + members[i].off, out);
		sep = ",";
	}
	strbuf_addc(out, '}');
}

void site_table_print(const struct site_table *t, bool with_secrets, struct strbuf *out)
{
	strbuf_addf(out, "{\"epoch\":%" PRIu64 ",\"namespace_id\":", t->epoch);
	strbuf_add_json(out, slice_str(t->namespace_id));
	strbuf_adds(out, ",\"sites\":[");
	for (size_t i = 0; i < t->n; i++) {
		strbuf_adds(out, i ? "," : "");
		site_json_print(&t->v[i], with_secrets, out);
	}
	strbuf_adds(out, "]}\n");
}

static void print_place(const struct site_conf *conf, struct strbuf *out)
{
	struct site_conf copy;

	site_conf_copy(&copy, conf);
	copy.claimed = copy.drained = false;
	site_json_print(&copy, true, out);
	site_conf_free(&copy);
}

bool site_conf_same(const struct site_conf *a, const struct site_conf *b)
{
	struct strbuf pa = STRBUF_INIT, pb = STRBUF_INIT;
	bool same;

	print_place(a, &pa);
	print_place(b, &pb);
	same = !strbuf_failed(&pa) && !strbuf_failed(&pb) && slice_eq(strbuf_slice(&pa), strbuf_slice(&pb));
	strbuf_free(&pa);
	strbuf_free(&pb);
	return same;
}

/* ---- parse ---- */

static bool parse_str(json_t *j, void *v)
{
	char *old, *s;

	if (!json_is_string(j) || strlen(json_string_value(j)) != json_string_length(j))
		return false;
	s = xstrdup(json_string_value(j));
	memcpy(&old, v, sizeof(old));
	free(old);
	memcpy(v, &s, sizeof(s));
	return true;
}

static bool parse_words(json_t *j, const char *zero, const char *one, unsigned *out)
{
	const char *s = json_string_value(j);

	if (!s || (strcmp(s, zero) && strcmp(s, one)))
		return false;
	*out = strcmp(s, one) == 0;
	return true;
}

static bool parse_value(const struct member *m, json_t *j, void *v)
{
	json_int_t n = json_integer_value(j);
	unsigned second;

	switch (m->type) {
	case M_STR:
	case M_SECRET:
		return parse_str(j, v);
	case M_BOOL:
		*(bool *)v = json_is_true(j);
		return json_is_boolean(j);
	case M_U32:
		*(uint32_t *)v = (uint32_t)n;
		return json_is_integer(j) && n >= 0 && n <= UINT32_MAX;
	case M_MS:
		*(int64_t *)v = n;
		return json_is_integer(j) && n >= 0;
	case M_ROLE:
		return json_is_string(j) && site_role_parse(slice_str(json_string_value(j)), v);
	case M_KIND:
		if (!parse_words(j, "file", "s3", &second))
			return false;
		*(enum site_kind *)v = second ? SITE_KIND_S3 : SITE_KIND_FILE;
		return true;
	case M_ADDRESSING:
		if (!parse_words(j, "path", "virtual", &second))
			return false;
		*(enum s3_addressing *)v = second ? S3_VIRTUAL : S3_PATH;
		return true;
	}
	return false;
}

static int site_from_json(json_t *j, struct site_conf *out)
{
	site_conf_init(out);
	for (size_t i = 0; i < MEMBERS; i++) {
		json_t *value = json_object_get(j, members[i].name);

		if (value && !parse_value(&members[i], value, (char *)out + members[i].off)) {
			site_conf_free(out);
			return GFS_ERR_INVALID;
		}
	}
	if (json_is_object(j) && out->name && *out->name)
		return GFS_OK;
	site_conf_free(out);
	return GFS_ERR_INVALID;
}

int site_json_parse(struct slice json, struct site_conf *out)
{
	json_t *j = json_loadb(json.n ? json.p : "", json.n, JSON_REJECT_DUPLICATES, NULL);
	int err = j ? site_from_json(j, out) : GFS_ERR_INVALID;

	json_decref(j);
	return err;
}

/* Ids are rows of the sites board, names and ids are unique: what everybody after this relies on. */
static bool site_fits(const struct site_table *t, const struct site_conf *site)
{
	if (site->id == 0 || site->id >= SITES_BOARD_MAX || site_table_by_id(t, site->id))
		return false;
	return !site_table_by_name(t, site->name);
}

static int table_from_json(json_t *j, struct site_table *t)
{
	json_t *epoch = json_object_get(j, "epoch"), *ns = json_object_get(j, "namespace_id");
	json_t *sites = json_object_get(j, "sites"), *item;
	size_t i;

	if (!json_is_integer(epoch) || json_integer_value(epoch) < 0 || json_string_length(ns) != 36 || !json_is_array(sites) ||
	    json_array_size(sites) > SITES_BOARD_MAX)
		return GFS_ERR_INVALID;
	t->epoch = (uint64_t)json_integer_value(epoch);
	memcpy(t->namespace_id, json_string_value(ns), 37);
	t->v = xcalloc(json_array_size(sites) + 1, sizeof(*t->v));
	json_array_foreach(sites, i, item) {
		struct site_conf site;

		if (site_from_json(item, &site))
			return GFS_ERR_INVALID;
		if (!site_fits(t, &site)) {
			site_conf_free(&site);
			return GFS_ERR_INVALID;
		}
		t->v[t->n++] = site;
	}
	return GFS_OK;
}

int site_table_parse(struct slice json, struct site_table **out)
{
	struct site_table *t = xcalloc(1, sizeof(*t));
	json_t *j = json_loadb(json.n ? json.p : "", json.n, JSON_REJECT_DUPLICATES, NULL);
	int err = j ? table_from_json(j, t) : GFS_ERR_INVALID;

	json_decref(j);
	if (err)
		site_table_destroy(&t);
	*out = t;
	return err;
}

/* ---- descriptors and files ---- */

static int write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return GFS_ERR_IO;
		s = slice_of(s.p + n, s.n - (size_t)n);
	}
	return GFS_OK;
}

int site_table_to_memfd(const struct site_table *t, bool with_secrets, int *fd_out)
{
	struct strbuf sb = STRBUF_INIT;
	int fd = memfd_create("globalfs-sites", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;

	*fd_out = -1;
	if (fd < 0)
		return GFS_ERR_IO;
	site_table_print(t, with_secrets, &sb);
	err = strbuf_failed(&sb) ? GFS_ERR_NOMEM : write_all(fd, strbuf_slice(&sb));
	strbuf_free(&sb);
	if (!err && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		err = GFS_ERR_IO;
	if (err)
		close(fd);
	else
		*fd_out = fd;
	return err;
}

/* By pread: all children of an epoch share one file offset. */
int site_table_from_fd(int fd, struct site_table **out)
{
	struct stat st;
	size_t n = 0;
	char *buf;
	int err;

	*out = NULL;
	if (fstat(fd, &st) || st.st_size < 0)
		return GFS_ERR_IO;
	if (!S_ISREG(st.st_mode) || st.st_size > TABLE_BYTES_MAX)
		return GFS_ERR_INVALID;
	buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		return GFS_ERR_NOMEM;
	while (n < (size_t)st.st_size) {
		ssize_t got = pread(fd, buf + n, (size_t)st.st_size - n, (off_t)n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	err = site_table_parse(slice_of(buf, n), out);
	free(buf);
	return err;
}

int site_table_from_file(const char *path, struct site_table **out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), err;

	*out = NULL;
	if (fd < 0)
		return GFS_ERR_IO;
	err = site_table_from_fd(fd, out);
	close(fd);
	return err;
}

/* ---- the rest ---- */

void site_table_destroy(struct site_table **t_io)
{
	struct site_table *t = *t_io;

	*t_io = NULL;
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		site_conf_free(&t->v[i]);
	free(t->v);
	free(t);
}

const struct site_conf *site_table_by_id(const struct site_table *t, uint32_t id)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->v[i].id == id)
			return &t->v[i];
	}
	return NULL;
}

const struct site_conf *site_table_by_name(const struct site_table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->v[i].name, name) == 0)
			return &t->v[i];
	}
	return NULL;
}
