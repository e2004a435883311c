/* SPDX-License-Identifier: Apache-2.0 */
/* Makes globalfs-metrics.7 at build time: copies the page from stdin, with the families of stats.def in place of "@METRICS@". */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct row {
	const char *kind, *family, *labels, *help;
	int of_site;
} rows[] = {
#define STAT(id, kind, family, labels, help) {#kind, family, labels, help, 0},
#include "common/stats.def"
#define SITE_STAT(id, kind, family, labels, help) {#kind, family, labels, help, 1},
#include "common/stats.def"
#define SITE_FACT(id, kind, family, labels, help) {#kind, family, labels, help, 1},
#include "common/stats.def"
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static const char *type_of(const char *kind)
{
	if (strcmp(kind, "COUNTER") == 0)
		return "counter";
	return strcmp(kind, "HISTOGRAM") == 0 || strcmp(kind, "QUICK") == 0 ? "histogram" : "gauge";
}

/* The value of the n-th label of labels (name="value",name="value"), NULL when there are fewer. Both are static buffers. */
static const char *label(const char *labels, size_t n, const char **name_out)
{
	static char name[64], value[64];

	for (; *labels; labels += *labels == ',') {
		if (sscanf(labels, "%63[^=]=\"%63[^\"]\"", name, value) != 2)
			abort();
		labels += strlen(name) + strlen(value) + 3;
		if (n-- == 0) {
			*name_out = name;
			return value;
		}
	}
	return NULL;
}

static int seen_before(size_t begin, size_t row, size_t n, const char *value)
{
	const char *name, *other;
	char mine[64];

	snprintf(mine, sizeof(mine), "%s", value);
	for (; begin < row; begin++) {
		other = label(rows[begin].labels, n, &name);
		if (other && strcmp(other, mine) == 0)
			return 1;
	}
	return 0;
}

/* Each label of the family with the values that it takes. */
static void print_labels(size_t begin, size_t end)
{
	const char *name, *value;

	if (rows[begin].of_site)
		printf(".br\n.Li site\n");
	for (size_t n = 0; label(rows[begin].labels, n, &name); n++) {
		printf(".br\n.Li %s :\n", name);
		for (size_t i = begin; i < end; i++) {
			value = label(rows[i].labels, n, &name);
			if (value && !seen_before(begin, i, n, value)) {
				value = label(rows[i].labels, n, &name); /* the buffers were used again */
				printf("%s%s", i > begin ? ", " : "", value);
			}
		}
		printf("\n");
	}
}

int main(void)
{
	char line[4096];
	size_t i, end;

	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "@METRICS@\n") != 0) {
			fputs(line, stdout);
			continue;
		}
		printf(".Bl -tag -width Ds\n");
		for (i = 0; i < N_ROWS; i = end) {
			for (end = i + 1; end < N_ROWS && strcmp(rows[end].family, rows[i].family) == 0; end++)
				;
			printf(".It Ic %s , No %s\n%s.\n", rows[i].family, type_of(rows[i].kind), rows[i].help);
			print_labels(i, end);
		}
		printf(".El\n");
	}
	return fflush(stdout) || ferror(stdin) ? EXIT_FAILURE : EXIT_SUCCESS;
}
