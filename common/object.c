/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata lists and object_info: construction, copies, release. Used by doors, sites and repld. */
#include "config.h"

#include "object.h"

#include <stdlib.h>

#include "xalloc.h"

static char *meta_lower_name(struct slice name)
{
	char *low;
	size_t i;

	if (name.n == 0 || name.n > META_BYTES_MAX)
		return NULL;
	low = xstrndup(name.p, name.n);
	for (i = 0; i < name.n; i++) {
		if (low[i] >= 'A' && low[i] <= 'Z')
			low[i] = (char)(low[i] - 'A' + 'a');
		if (!((low[i] >= 'a' && low[i] <= 'z') || (low[i] >= '0' && low[i] <= '9') || (low[i] && strchr("._-", low[i]))))
			break;
	}
	if (i == name.n && strncmp(low, "gfs-", 4) != 0)
		return low;
	free(low);
	return NULL;
}

static bool meta_value_valid(struct slice value)
{
	size_t i;

	for (i = 0; i < value.n; i++)
		if (value.p[i] < 0x20 || value.p[i] > 0x7e)
			return false;
	return value.n <= META_BYTES_MAX;
}

static size_t meta_bytes(const struct meta *m)
{
	size_t i, n = 0;

	for (i = 0; i < m->n; i++)
		n += strlen(m->v[i].name) + strlen(m->v[i].value);
	return n;
}

static struct meta_pair *meta_find(const struct meta *m, const char *name)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		if (strcmp(m->v[i].name, name) == 0)
			return &m->v[i];
	return NULL;
}

int meta_add(struct meta *m, struct slice name, struct slice value)
{
	char *low = meta_lower_name(name), *joined;
	struct meta_pair *pair;

	if (!low)
		return GFS_ERR_META_INVALID;
	pair = meta_find(m, low);
	if (!meta_value_valid(value) || meta_bytes(m) + (pair ? 1 : name.n) + value.n > META_BYTES_MAX) {
		free(low);
		return GFS_ERR_META_INVALID;
	}
	if (pair) {
		free(low);
		joined = xasprintf("%s,%.*s", pair->value, (int)value.n, value.p ? value.p : "");
		free(pair->value);
		pair->value = joined;
		return 0;
	}
	m->v = xreallocarray(m->v, m->n + 1, sizeof(*m->v));
	m->v[m->n].name = low;
	m->v[m->n].value = xstrndup(value.p ? value.p : "", value.n);
	m->n++;
	return 0;
}

const char *meta_get(const struct meta *m, const char *name)
{
	const struct meta_pair *pair = meta_find(m, name);

	return pair ? pair->value : NULL;
}

void meta_copy(struct meta *dst, const struct meta *src)
{
	size_t i;

	*dst = (struct meta){0};
	if (src->n == 0)
		return;
	dst->v = xcalloc(src->n, sizeof(*dst->v));
	dst->n = src->n;
	for (i = 0; i < src->n; i++) {
		dst->v[i].name = xstrdup(src->v[i].name);
		dst->v[i].value = xstrdup(src->v[i].value);
	}
}

void meta_free(struct meta *m)
{
	size_t i;

	for (i = 0; i < m->n; i++) {
		free(m->v[i].name);
		free(m->v[i].value);
	}
	free(m->v);
	*m = (struct meta){0};
}

void object_info_copy(struct object_info *dst, const struct object_info *src)
{
	*dst = *src;
	dst->content_type = src->content_type ? xstrdup(src->content_type) : NULL;
	meta_copy(&dst->meta, &src->meta);
}

void object_info_free(struct object_info *info)
{
	free(info->content_type);
	info->content_type = NULL;
	meta_free(&info->meta);
}
