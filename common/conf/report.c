/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The errors and warnings of a configuration, collected so that an operator sees all of them at once: one line each, a
 * bounded number of lines. Filled by load.c and check.c; freed by the caller of conf_load().
 */
#include "config.h"

#include "schema.h"

#include <ctype.h>
#include <stdio.h>

static void report_line(struct strbuf *sb, const char *name, unsigned line, const char *field, const char *text)
{
	if (name && *name)
		strbuf_adds(sb, name);
	if (line)
		strbuf_addf(sb, "%s%u", name && *name ? ":" : "line ", line);
	if ((name && *name) || line)
		strbuf_adds(sb, ": ");
	if (field && *field)
		strbuf_addf(sb, "%s: ", field);
	for (; *text; text++) /* one message is one line, whatever the file holds */
		strbuf_addc(sb, iscntrl((unsigned char)*text) ? '?' : *text);
	strbuf_addc(sb, '\n');
}

static void report_add(struct strbuf *sb, unsigned *count, const char *name, unsigned line, const char *field, const char *text)
{
	if (++*count <= CONF_REPORT_MAX)
		report_line(sb, name, line, field, text);
	else if (*count == CONF_REPORT_MAX + 1)
		report_line(sb, name, 0, NULL, "there are more like these");
}

void report_error(struct conf_report *r, const char *name, unsigned line, const char *field, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_add(&r->errors, &r->n_errors, name, line, field, text);
}

void report_warning(struct conf_report *r, const char *name, unsigned line, const char *field, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report_add(&r->warnings, &r->n_warnings, name, line, field, text);
}

static void print_lines(const struct strbuf *lines, const char *who, const char *what)
{
	const char *p = strbuf_str(lines);

	while (*p) {
		const char *end = strchrnul(p, '\n');

		fprintf(stderr, "%s: %s%.*s\n", who, what, (int)(end - p), p);
		p = *end ? end + 1 : end;
	}
}

void conf_report_print(const struct conf_report *r, const char *who)
{
	print_lines(&r->warnings, who, "warning: ");
	print_lines(&r->errors, who, "");
}

void conf_report_free(struct conf_report *r)
{
	strbuf_free(&r->errors);
	strbuf_free(&r->warnings);
	r->n_errors = r->n_warnings = 0;
}
