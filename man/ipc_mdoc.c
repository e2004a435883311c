/* SPDX-License-Identifier: Apache-2.0 */
/* Makes gfs-ipc.7 at build time: copies the page from stdin, with the table of messages.def in place of the line "@MESSAGES@". */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ipc/msg_table.h"

static void print_senders(unsigned senders)
{
	const char *sep = "";

	if (senders == PEER_ANY) {
		printf("anybody");
		return;
	}
	for (unsigned bit = 1; bit < PEER_ANY; bit <<= 1) {
		if (senders & bit) {
			printf("%s%s", sep, peer_role_name(bit));
			sep = ", ";
		}
	}
}

static void print_row(const struct msg_row *row)
{
	const struct msg_field *f;
	size_t n;

	printf(".It Sy %s , No %d , from ", row->name, row->type);
	print_senders(row->senders);
	printf("\n%s.\n", row->prose);
	f = row->fields(&n);
	if (n == 0)
		return;
	printf(".Bl -tag -width Ds -compact\n");
	for (size_t i = 0; i < n; i++)
		printf(".It Ic %s Pq %s%s\n%s\n", f[i].name, msg_field_type_name(f[i].type), f[i].required ? "" : ", optional", f[i].prose);
	printf(".El\n");
}

int main(void)
{
	char line[4096];

	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "@MESSAGES@\n") != 0) {
			fputs(line, stdout);
			continue;
		}
		printf(".Bl -tag -width Ds\n");
		for (const struct msg_row *row = NULL; (row = msg_table_next(row));)
			print_row(row);
		printf(".El\n");
	}
	return fflush(stdout) || ferror(stdin) ? EXIT_FAILURE : EXIT_SUCCESS;
}
