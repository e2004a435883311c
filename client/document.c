/* SPDX-License-Identifier: Apache-2.0 */
/* Small calls whose answer is a JSON document, and reading its fields without trusting their kinds. */
#include "config.h"

#include "client/impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int gfsc_path(struct globalfs *h, struct gfsc_buf *path, const char *place, const char *name, const char *keep)
{
	if (!name || !*name)
		return gfsc_fail(h, GLOBALFS_ERR_USAGE, "the key or name is empty");
	gfsc_buf_adds(path, place);
	gfsc_buf_add_encoded(path, name, keep);
	return path->err ? gfsc_fail(h, path->err, "%s", globalfs_code_text(path->err)) : 0;
}

char *gfsc_quoted(const char *etag)
{
	size_t n = etag ? strlen(etag) + 3 : 0;
	char *out;

	if (!etag)
		return NULL;
	if (strcmp(etag, "*") == 0 || etag[0] == '"' || strncmp(etag, "W/\"", 3) == 0)
		return strdup(etag);
	out = malloc(n);
	if (out)
		snprintf(out, n, "\"%s\"", etag);
	return out;
}

int gfsc_document(struct globalfs *h, struct gfsc_call *call)
{
	json_error_t why;
	int err = gfsc_perform(h, call);

	if (err)
		return err;
	h->doc = json_loadb(gfsc_buf_str(&h->body), h->body.n, 0, &why);
	if (h->doc)
		return 0;
	if (json_error_code(&why) == json_error_out_of_memory)
		return gfsc_fail(h, GLOBALFS_ERR_NOMEM, "out of memory");
	return gfsc_fail(h, GLOBALFS_ERR_PROTOCOL, "does not answer like a GlobalFS: %s", why.text);
}

int gfsc_ask(struct globalfs *h, const char *method, struct gfsc_buf *path, char *json, bool wants_document)
{
	struct gfsc_call call = {.method = method, .path = path, .source_size = -1, .json = json};
	int err = wants_document ? gfsc_document(h, &call) : gfsc_perform(h, &call);

	free(json);
	return err;
}

const char *gfsc_text(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s ? s : "";
}

int64_t gfsc_number(const json_t *object, const char *name)
{
	const json_t *v = json_object_get(object, name);

	return json_is_integer(v) ? (int64_t)json_integer_value(v) : -1;
}

double gfsc_real(const json_t *object, const char *name)
{
	const json_t *v = json_object_get(object, name);

	return json_is_number(v) ? json_number_value(v) : -1;
}

int gfsc_flag(const json_t *object, const char *name)
{
	const json_t *v = json_object_get(object, name);

	return json_is_true(v) ? 1 : json_is_false(v) ? 0 : -1;
}
