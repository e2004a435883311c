/* SPDX-License-Identifier: Apache-2.0 */
/* The faults of the fault proxy as lines, see fault_rule.h. */
#include "config.h"

#include "fault_rule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

enum fault_arg { ARG_NEVER, ARG_MAYBE, ARG_MUST };

static const struct {
	const char *name;
	enum fault_kind kind;
	enum fault_arg arg;
} kinds[] = {
	{"refuse", FAULT_REFUSE, ARG_NEVER}, {"freeze", FAULT_FREEZE, ARG_NEVER}, {"mute", FAULT_MUTE, ARG_NEVER},
	{"hang", FAULT_HANG, ARG_NEVER},
	{"reset", FAULT_RESET, ARG_MAYBE}, {"lost", FAULT_LOST, ARG_NEVER}, {"first-byte", FAULT_FIRST_BYTE, ARG_MUST},
	{"slow", FAULT_SLOW, ARG_MUST}, {"cut", FAULT_CUT, ARG_MUST}, {"stall", FAULT_STALL, ARG_MUST},
	{"cut-up", FAULT_CUT_UP, ARG_MUST}, {"wrong-length", FAULT_LENGTH, ARG_MUST}, {"wrong-etag", FAULT_ETAG, ARG_NEVER},
	{"wrong-bytes", FAULT_BYTES, ARG_MAYBE},
};

bool fault_kind_is_global(enum fault_kind kind)
{
	return kind == FAULT_REFUSE || kind == FAULT_FREEZE || kind == FAULT_MUTE;
}

static bool number(const char *text, int64_t *out)
{
	char *end;

	*out = strtoll(text, &end, 10);
	return end != text && *end == '\0';
}

static const char *parse_kind(struct fault_rule *r, const char *word)
{
	const char *colon = strchr(word, ':');
	size_t n = colon ? (size_t)(colon - word) : strlen(word);
	int64_t status;

	r->arg = -1;
	snprintf(r->name, sizeof(r->name), "%s", word);
	if (number(word, &status)) {
		r->kind = FAULT_STATUS;
		r->arg = status;
		return status >= 400 && status <= 599 ? NULL : "a status is 400 to 599";
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strlen(kinds[i].name) != n || strncmp(kinds[i].name, word, n) != 0)
			continue;
		r->kind = kinds[i].kind;
		if (!colon)
			return kinds[i].arg == ARG_MUST ? "the fault needs an argument" : NULL;
		if (kinds[i].arg == ARG_NEVER || !number(colon + 1, &r->arg))
			return "a bad argument of the fault";
		return r->arg < 0 && r->kind != FAULT_LENGTH ? "a negative argument" : NULL;
	}
	return "no such fault";
}

static const char *parse_option(struct fault_rule *r, char *word, int64_t now_ms)
{
	char *value = strchr(word, '=');
	int64_t n = 0;

	if (!value)
		return "an option without =";
	*value++ = '\0';
	if (strcmp(word, "method") == 0)
		snprintf(r->method, sizeof(r->method), "%s", value);
	else if (strcmp(word, "path") == 0)
		snprintf(r->path, sizeof(r->path), "%s", value);
	else if (strcmp(word, "p") == 0)
		r->p = strtod(value, NULL);
	else if (!number(value, &n) || n < 0)
		return "not a number";
	else if (strcmp(word, "times") == 0)
		r->times = n ? n : -1;
	else if (strcmp(word, "at") == 0)
		r->from_ms = now_ms + n;
	else if (strcmp(word, "for") == 0)
		r->until_ms = n ? n : INT64_MAX; /* an interval until the line is read */
	else if (strcmp(word, "retry-after") == 0)
		r->retry_after_s = (unsigned)n;
	else
		return "no such option";
	return NULL;
}

struct fault_rule *fault_rule_parse(char *line, int64_t now_ms, const char **why_out)
{
	struct fault_rule *r = xcalloc(1, sizeof(*r));
	char *save = NULL, *word = strtok_r(line, " \t\r\n", &save);

	r->p = 1;
	r->times = -1;
	r->from_ms = now_ms;
	r->until_ms = INT64_MAX;
	*why_out = word ? parse_kind(r, word) : "no fault";
	while (!*why_out && (word = strtok_r(NULL, " \t\r\n", &save)))
		*why_out = parse_option(r, word, now_ms);
	if (!*why_out && fault_kind_is_global(r->kind) && (r->method[0] || r->path[0] || r->p < 1 || r->times >= 0))
		*why_out = "this fault is the whole store's";
	if (*why_out) {
		free(r);
		return NULL;
	}
	if (r->until_ms != INT64_MAX)
		r->until_ms += r->from_ms;
	return r;
}

bool fault_rule_fits(const struct fault_rule *r, const char *method, const char *path)
{
	if (fault_kind_is_global(r->kind) || r->times == 0)
		return false;
	if (r->method[0] && strcmp(r->method, method) != 0)
		return false;
	return strncmp(path, r->path, strlen(r->path)) == 0;
}

bool fault_rule_takes(struct fault_rule *r, const char *method, const char *path, double dice)
{
	if (!fault_rule_fits(r, method, path) || dice >= r->p)
		return false;
	if (r->times > 0)
		r->times--;
	return true;
}
