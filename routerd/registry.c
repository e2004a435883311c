/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The site registry (registry.h). A change is made on a copy, written to disk, and only then becomes the registry: a disk that
 * refuses leaves the old table serving. Used by the supervisor at start and by its control socket; one process holds it.
 */
#include "config.h"

#include "registry.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/board/sites_board.h"
#include "common/log.h"
#include "common/xalloc.h"

#define REGISTRY_BYTES_MAX (16u << 20)

struct past_site {
	char *place;
	uint32_t id;
	bool claimed; /* it left the configuration file, it was not removed by command: its marker must still be there */
};

/* Everything the file says. */
struct content {
	struct site_table table;
	uint32_t next_id;
	char **removed; /* names */
	size_t n_removed;
	struct past_site *past;
	size_t n_past;
};

struct registry {
	char *dir, *path;
	struct content c;
	char *saved; /* text of the file as it is */
};

/* ---- content ---- */

static void content_free(struct content *c)
{
	size_t i;

	for (i = 0; i < c->table.n; i++)
		site_conf_free(&c->table.v[i]);
	free(c->table.v);
	for (i = 0; i < c->n_removed; i++)
		free(c->removed[i]);
	free(c->removed);
	for (i = 0; i < c->n_past; i++)
		free(c->past[i].place);
	free(c->past);
	*c = (struct content){0};
}

/* Takes site. */
static void content_add_site(struct content *c, const struct site_conf *site)
{
	c->table.v = xreallocarray(c->table.v, c->table.n + 1, sizeof(*c->table.v));
	c->table.v[c->table.n++] = *site;
}

static bool content_is_removed(const struct content *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->n_removed; i++)
		if (strcmp(c->removed[i], name) == 0)
			return true;
	return false;
}

static void content_add_removed(struct content *c, const char *name)
{
	if (content_is_removed(c, name))
		return;
	c->removed = xreallocarray(c->removed, c->n_removed + 1, sizeof(*c->removed));
	c->removed[c->n_removed++] = xstrdup(name);
}

static void content_add_past(struct content *c, const char *place, uint32_t id, bool claimed)
{
	c->past = xreallocarray(c->past, c->n_past + 1, sizeof(*c->past));
	c->past[c->n_past++] = (struct past_site){xstrdup(place), id, claimed};
}

static void content_copy(struct content *dst, const struct content *src)
{
	struct site_conf site;
	size_t i;

	*dst = (struct content){.next_id = src->next_id};
	dst->table.epoch = src->table.epoch;
	memcpy(dst->table.namespace_id, src->table.namespace_id, sizeof(dst->table.namespace_id));
	for (i = 0; i < src->table.n; i++) {
		site_conf_copy(&site, &src->table.v[i]);
		content_add_site(dst, &site);
	}
	for (i = 0; i < src->n_removed; i++)
		content_add_removed(dst, src->removed[i]);
	for (i = 0; i < src->n_past; i++)
		content_add_past(dst, src->past[i].place, src->past[i].id, src->past[i].claimed);
}

static struct site_conf *content_site(const struct content *c, struct slice name)
{
	size_t i;

	for (i = 0; i < c->table.n; i++)
		if (slice_eq_str(name, c->table.v[i].name))
			return &c->table.v[i];
	return NULL;
}

/* Where a site's objects lie. Two sites of one place would be one; credentials and timeouts do not count, nor, when
 * store is false, how the store is reached. Returns owned. */
static char *site_place(const struct site_conf *s, bool store)
{
	if (s->kind == SITE_KIND_FILE)
		return xasprintf("file:%s:%s", s->file_path, s->prefix ? s->prefix : "");
	return xasprintf("s3:%s/%s/%s", store && s->s3_endpoint ? s->s3_endpoint : "", s->s3_bucket, s->prefix ? s->prefix : "");
}

static const struct site_conf *content_site_at(const struct content *c, const char *place)
{
	const struct site_conf *found = NULL;
	size_t i;

	for (i = 0; i < c->table.n && !found; i++) {
		char *other = site_place(&c->table.v[i], true);

		if (strcmp(other, place) == 0)
			found = &c->table.v[i];
		free(other);
	}
	return found;
}

/* Numbers a site that is not in the table: with its old id when it lies where a former site lay. False: all ids are used up. */
static bool content_number(struct content *c, struct site_conf *site)
{
	char *place = site_place(site, true);
	size_t i;

	site->id = 0;
	site->claimed = false;
	for (i = 0; i < c->n_past && !site->id; i++) {
		if (strcmp(c->past[i].place, place) == 0) {
			site->id = c->past[i].id;
			site->claimed = c->past[i].claimed;
			free(c->past[i].place);
			c->past[i] = c->past[--c->n_past];
		}
	}
	free(place);
	if (!site->id && c->next_id < SITES_BOARD_MAX)
		site->id = c->next_id++;
	return site->id != 0;
}

static void content_drop_site(struct content *c, struct site_conf *site)
{
	size_t i = (size_t)(site - c->table.v);
	char *place = site_place(site, true);

	content_add_past(c, place, site->id, false);
	free(place);
	site_conf_free(site);
	memmove(site, site + 1, (--c->table.n - i) * sizeof(*site));
}

/* ---- the file ---- */

static char *content_print(const struct content *c)
{
	struct strbuf sb = STRBUF_INIT;
	size_t i;

	site_table_print(&c->table, true, &sb);
	/* Ours go in front of the brace that ends the table. */
	while (sb.n > 0 && sb.p[sb.n - 1] != '}')
		strbuf_truncate(&sb, sb.n - 1);
	if (sb.n > 0)
		strbuf_truncate(&sb, sb.n - 1);
	strbuf_addf(&sb, ",\"next_id\":%" PRIu32 ",\"removed\":[", c->next_id);
	for (i = 0; i < c->n_removed; i++) {
		strbuf_adds(&sb, i ? "," : "");
		strbuf_add_json(&sb, slice_str(c->removed[i]));
	}
	strbuf_adds(&sb, "],\"past\":[");
	for (i = 0; i < c->n_past; i++) {
		strbuf_addf(&sb, "%s{\"id\":%" PRIu32 ",\"claimed\":%s,\"place\":", i ? "," : "", c->past[i].id,
		            c->past[i].claimed ? "true" : "false");
		strbuf_add_json(&sb, slice_str(c->past[i].place));
		strbuf_addc(&sb, '}');
	}
	strbuf_adds(&sb, "]}\n");
	return strbuf_steal(&sb);
}

static int parse_ours(json_t *j, struct content *c)
{
	json_int_t next = json_integer_value(json_object_get(j, "next_id"));
	json_t *list, *item;
	size_t i;

	if (next < 1 || next > SITES_BOARD_MAX)
		return GFS_ERR_INVALID;
	c->next_id = (uint32_t)next;
	list = json_object_get(j, "removed");
	json_array_foreach(list, i, item) {
		if (!json_is_string(item))
			return GFS_ERR_INVALID;
		content_add_removed(c, json_string_value(item));
	}
	list = json_object_get(j, "past");
	json_array_foreach(list, i, item) {
		const char *place = json_string_value(json_object_get(item, "place"));
		json_int_t id = json_integer_value(json_object_get(item, "id"));

		if (!place || id < 1 || id >= next)
			return GFS_ERR_INVALID;
		content_add_past(c, place, (uint32_t)id, json_is_true(json_object_get(item, "claimed")));
	}
	for (i = 0; i < c->table.n; i++)
		if (c->table.v[i].id >= c->next_id)
			return GFS_ERR_INVALID;
	return 0;
}

static int content_parse(struct slice text, struct content *c)
{
	struct site_table *table;
	json_t *j;
	int err = site_table_parse(text, &table);

	*c = (struct content){0};
	if (err)
		return err;
	/* The table's insides move into c. */
	c->table = *table;
	*table = (struct site_table){0};
	site_table_destroy(&table);
	j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
	err = j ? parse_ours(j, c) : GFS_ERR_INVALID;
	json_decref(j);
	if (err)
		content_free(c);
	return err;
}

/* The whole file, owned; NULL with errno. */
static char *read_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), saved;
	struct strbuf sb;
	char buf[8192];
	ssize_t n;

	if (fd < 0)
		return NULL;
	strbuf_init(&sb, REGISTRY_BYTES_MAX);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		strbuf_add(&sb, buf, (size_t)n);
	saved = n < 0 ? errno : EFBIG;
	close(fd);
	if (n < 0)
		strbuf_free(&sb);
	errno = saved;
	return n < 0 ? NULL : strbuf_steal(&sb);
}

static bool write_all(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t n = write(fd, text, left);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			text += n;
			left -= (size_t)n;
		}
	}
	return fsync(fd) == 0;
}

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = -1;

	if (fd >= 0) {
		err = fsync(fd);
		close(fd);
	}
	return err;
}

/* A crash leaves the old file or the new one, never a piece. Mode 0600: it holds credentials. */
static int registry_write(const struct registry *r, const char *text, char *why, size_t cap)
{
	char *fresh = xasprintf("%s.new", r->path);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && write_all(fd, text);

	if (fd >= 0 && close(fd) != 0)
		ok = false;
	if (!ok || rename(fresh, r->path) != 0 || sync_dir(r->dir) != 0) {
		snprintf(why, cap, "%s: cannot be written: %s", r->path, strerror(errno));
		unlink(fresh);
		ok = false;
	}
	free(fresh);
	return ok ? 0 : GFS_ERR_IO;
}

/* Makes next, which is taken, the registry, unless it cannot be saved. Without a difference nothing happens. */
static int registry_commit(struct registry *r, struct content *next, char *why, size_t cap)
{
	char *text = content_print(next);
	int err = text ? 0 : GFS_ERR_NOMEM;

	if (err)
		snprintf(why, cap, "out of memory");
	else if (!r->saved || strcmp(text, r->saved) != 0) {
		next->table.epoch = r->c.table.epoch + 1;
		free(text);
		text = content_print(next);
		err = text ? registry_write(r, text, why, cap) : GFS_ERR_NOMEM;
	}
	if (err) {
		free(text);
		content_free(next);
		return err;
	}
	free(r->saved);
	r->saved = text;
	content_free(&r->c);
	r->c = *next;
	return 0;
}

/* ---- joining the configuration ---- */

static int make_namespace(char out[37])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char b[16];
	size_t i, n = 0;

	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return GFS_ERR_IO;
	b[6] = (b[6] & 0x0f) | 0x40; /* RFC 9562 section 5.4: version 4 */
	b[8] = (b[8] & 0x3f) | 0x80;
	for (i = 0; i < sizeof(b); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[n++] = '-';
		out[n++] = digits[b[i] >> 4];
		out[n++] = digits[b[i] & 15];
	}
	out[n] = '\0';
	return 0;
}

/* Before its marker was written nothing can lie at a site, so it may still move. */
static int check_same_place(const struct site_conf *old, const struct site_conf *now, char *why, size_t cap)
{
	char *a = site_place(old, false), *b = site_place(now, false);
	bool same = !old->claimed || strcmp(a, b) == 0;

	if (!same)
		snprintf(why, cap, "site %s now points elsewhere (it was %s, now %s): remove it and add it under another name", old->name,
		         a,
		         b);
	free(a);
	free(b);
	return same ? 0 : GFS_ERR_CONFIG;
}

static int join_site(struct content *next, const struct content *old, const struct site_conf *file, char *why, size_t cap)
{
	const struct site_conf *known = content_site(old, slice_str(file->name));
	struct site_conf site;

	if (content_is_removed(old, file->name)) {
		content_add_removed(next, file->name);
		return 0;
	}
	if (known && known->runtime) {
		log_warn("event=sites site=%s why=\"added at run time, so the configuration file's is not used\"", file->name);
		return 0;
	}
	if (known && check_same_place(known, file, why, cap))
		return GFS_ERR_CONFIG;
	site_conf_copy(&site, file);
	site.runtime = false;
	site.drained = known && known->drained;
	if (known) {
		site.claimed = known->claimed;
		site.id = known->id;
	} else if (!content_number(next, &site)) {
		snprintf(why, cap, "site %s: all %d site ids are used up", file->name, SITES_BOARD_MAX - 1);
		site_conf_free(&site);
		return GFS_ERR_CONFIG;
	}
	content_add_site(next, &site);
	return 0;
}

static bool conf_has_site(const struct conf *conf, const char *name)
{
	size_t i;

	for (i = 0; i < conf->n_sites; i++)
		if (strcmp(conf->sites[i].name, name) == 0)
			return true;
	return false;
}

static void join_past(struct content *next, const struct content *old, const struct conf *conf)
{
	size_t i;

	for (i = 0; i < old->n_past; i++)
		content_add_past(next, old->past[i].place, old->past[i].id, old->past[i].claimed);
	for (i = 0; i < old->table.n; i++) {
		const struct site_conf *s = &old->table.v[i];

		if (!s->runtime && !conf_has_site(conf, s->name)) {
			char *place = site_place(s, true);

			content_add_past(next, place, s->id, s->claimed);
			free(place);
		}
	}
}

/* The past comes first, so that a site that only got another name in the file keeps its id; run-time sites come last. */
static int join(struct content *next, const struct content *old, const struct conf *conf, char *why, size_t cap)
{
	struct site_conf site;
	size_t i;
	int err = 0;

	*next = (struct content){.next_id = old->next_id};
	next->table.epoch = old->table.epoch;
	memcpy(next->table.namespace_id, old->table.namespace_id, sizeof(next->table.namespace_id));
	join_past(next, old, conf);
	for (i = 0; i < conf->n_sites && !err; i++)
		err = join_site(next, old, &conf->sites[i], why, cap);
	for (i = 0; i < old->table.n; i++) {
		if (old->table.v[i].runtime) {
			site_conf_copy(&site, &old->table.v[i]);
			content_add_site(next, &site);
		}
	}
	if (!err && next->table.n > CONF_SITES_MAX) {
		snprintf(why, cap, "with those added at run time there are %zu sites: at most %d are served", next->table.n,
		         CONF_SITES_MAX);
		err = GFS_ERR_CONFIG;
	}
	if (err)
		content_free(next);
	return err;
}

static int registry_load(struct registry *r, char *why, size_t cap)
{
	r->saved = read_file(r->path);
	if (r->saved) {
		if (content_parse(slice_str(r->saved), &r->c) == 0)
			return 0;
		snprintf(why, cap, "%s is damaged: restore it from a copy; without it the sites would not know this namespace", r->path);
		return GFS_ERR_INVALID;
	}
	if (errno != ENOENT) {
		snprintf(why, cap, "%s: %s", r->path, strerror(errno));
		return GFS_ERR_IO;
	}
	r->c.next_id = 1;
	if (make_namespace(r->c.table.namespace_id)) {
		snprintf(why, cap, "no random numbers for a namespace id: %s", strerror(errno));
		return GFS_ERR_IO;
	}
	return 0;
}

int registry_open(const char *state_dir, const struct conf *conf, struct registry **out, char *why, size_t cap)
{
	struct registry *r = xcalloc(1, sizeof(*r));
	struct content next;
	int err;

	r->dir = xstrdup(state_dir);
	r->path = xasprintf("%s/sites", state_dir);
	err = registry_load(r, why, cap);
	if (!err)
		err = join(&next, &r->c, conf, why, cap);
	if (!err)
		err = registry_commit(r, &next, why, cap);
	if (err)
		registry_destroy(&r);
	*out = r;
	return err;
}

void registry_destroy(struct registry **r_io)
{
	struct registry *r = *r_io;

	*r_io = NULL;
	if (!r)
		return;
	content_free(&r->c);
	free(r->saved);
	free(r->dir);
	free(r->path);
	free(r);
}

const struct site_table *registry_table(const struct registry *r)
{
	return &r->c.table;
}

/* ---- changes ---- */

static int check_new(const struct registry *r, const struct site_conf *site, char *why, size_t cap)
{
	const struct site_conf *other;
	const char *field;
	char text[256], *place;

	if (site_conf_check(site, &field, text, sizeof(text))) {
		snprintf(why, cap, "%s: %s", field, text);
		return GFS_ERR_INVALID;
	}
	if (r->c.table.n >= CONF_SITES_MAX) {
		snprintf(why, cap, "there are %d sites already: more are not served", CONF_SITES_MAX);
		return GFS_ERR_CONFLICT;
	}
	if (content_site(&r->c, slice_str(site->name))) {
		snprintf(why, cap, "site %s: a site of that name exists already", site->name);
		return GFS_ERR_SITE_EXISTS;
	}
	place = site_place(site, true);
	other = content_site_at(&r->c, place);
	free(place);
	if (!other)
		return 0;
	snprintf(why, cap, "site %s lies there already", other->name);
	return GFS_ERR_SITE_EXISTS;
}

int registry_add(struct registry *r, const struct site_conf *site, uint32_t *id_out, char *why, size_t cap)
{
	int err = check_new(r, site, why, cap);
	struct content next;
	struct site_conf mine;
	bool numbered;

	if (err)
		return err;
	content_copy(&next, &r->c);
	site_conf_copy(&mine, site);
	mine.runtime = true;
	mine.drained = false;
	mine.line = 0;
	numbered = content_number(&next, &mine);
	content_add_site(&next, &mine);
	if (!numbered) {
		snprintf(why, cap, "all %d site ids are used up", SITES_BOARD_MAX - 1);
		content_free(&next);
		return GFS_ERR_BUSY;
	}
	err = registry_commit(r, &next, why, cap);
	if (!err)
		*id_out = mine.id;
	return err;
}

static int no_such_site(struct slice name, char *why, size_t cap)
{
	snprintf(why, cap, "no site %.*s", (int)(name.n < 64 ? name.n : 64), name.p);
	return GFS_ERR_NO_SUCH_SITE;
}

int registry_remove(struct registry *r, struct slice name, uint32_t *id_out, char *why, size_t cap)
{
	struct site_conf *site;
	struct content next;
	uint32_t id;
	int err;

	if (!content_site(&r->c, name))
		return no_such_site(name, why, cap);
	content_copy(&next, &r->c);
	site = content_site(&next, name);
	id = site->id;
	/* Also for one that was added at run time: the file may have one of that name. The next start forgets it if not. */
	content_add_removed(&next, site->name);
	content_drop_site(&next, site);
	err = registry_commit(r, &next, why, cap);
	if (!err)
		*id_out = id;
	return err;
}

int registry_drain(struct registry *r, struct slice name, bool drained, uint32_t *id_out, char *why, size_t cap)
{
	struct content next;
	struct site_conf *site;

	if (!content_site(&r->c, name))
		return no_such_site(name, why, cap);
	content_copy(&next, &r->c);
	site = content_site(&next, name);
	site->drained = drained;
	*id_out = site->id;
	return registry_commit(r, &next, why, cap);
}

int registry_claim(struct registry *r, uint32_t id, char *why, size_t cap)
{
	struct content next;
	size_t i;

	if (!site_table_by_id(&r->c.table, id)) {
		snprintf(why, cap, "no site with id %" PRIu32, id);
		return GFS_ERR_NO_SUCH_SITE;
	}
	content_copy(&next, &r->c);
	for (i = 0; i < next.table.n; i++)
		if (next.table.v[i].id == id)
			next.table.v[i].claimed = true;
	return registry_commit(r, &next, why, cap);
}
