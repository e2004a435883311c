/* SPDX-License-Identifier: Apache-2.0 */
/* Tables line up by characters, not bytes, and nothing from outside reaches the terminal as a command. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"

Test(output, columns_line_up_and_end_without_blanks)
{
	const char *cells[] = {"NAME", "ROLE", "WHY", "b\xc3\xbc", "primary", "", "longer", "x", "z"};
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	table_print(f, cells, 3, 3);
	fclose(f);
	cr_assert_str_eq(text, "NAME    ROLE     WHY\nb\xc3\xbc      primary\nlonger  x        z\n");
	free(text);
}

Test(output, control_characters_are_shown)
{
	char *s = printable("a\x1b[2J\n\x7f\xc3\xbc");

	cr_assert_str_eq(s, "a\\x1b[2J\\x0a\\x7f\xc3\xbc");
	free(s);
}
