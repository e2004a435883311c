/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: where options may stand, what is refused, and that every row of commands.def has its prose. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <string.h>

#include "cli/args.h"

static struct args parsed;
static char why[256];

static int parse(const char *first, ...)
{
	char *argv[16] = {strdup("gfsctl")};
	int argc = 1;
	va_list ap;

	va_start(ap, first);
	for (const char *word = first; word; word = va_arg(ap, const char *))
		argv[argc++] = strdup(word); /* the parser borrows them; the test's process ends soon */
	va_end(ap);
	return args_parse(argc, argv, &parsed, why, sizeof(why));
}

#define PARSE(...) parse(__VA_ARGS__, (const char *)NULL)

Test(args, options_stand_anywhere)
{
	cr_assert_eq(PARSE("--json", "object", "-i", "file", "put", "--content-type=text/plain", "key"), 0);
	cr_assert_eq(parsed.command, CMD_object_put);
	cr_assert(args_has(&parsed, "json"));
	cr_assert_str_eq(args_get(&parsed, "input"), "file");
	cr_assert_str_eq(args_get(&parsed, "content-type"), "text/plain");
	cr_assert_eq(parsed.n_operands, 1);
	cr_assert_str_eq(parsed.operands[0], "key");
}

Test(args, values_of_options_are_not_commands)
{
	cr_assert_eq(PARSE("--api-key", "object", "status"), 0);
	cr_assert_eq(parsed.command, CMD_status);
	cr_assert_str_eq(args_get(&parsed, "api-key"), "object");
}

Test(args, short_options_take_values_attached_or_apart)
{
	cr_assert_eq(PARSE("object", "get", "k", "-ofile"), 0);
	cr_assert_str_eq(args_get(&parsed, "output"), "file");
	cr_assert_eq(PARSE("object", "get", "k", "-o", "-"), 0);
	cr_assert_str_eq(args_get(&parsed, "output"), "-");
}

Test(args, two_dashes_end_the_options)
{
	cr_assert_eq(PARSE("object", "get", "--", "--json"), 0);
	cr_assert_str_eq(parsed.operands[0], "--json");
	cr_assert_not(args_has(&parsed, "json"));
}

Test(args, the_last_value_wins)
{
	cr_assert_eq(PARSE("object", "list", "--limit", "1", "--limit=2"), 0);
	cr_assert_str_eq(args_get(&parsed, "limit"), "2");
	cr_assert_null(args_get(&parsed, "prefix"));
}

Test(args, refuses_what_it_does_not_know)
{
	cr_assert_eq(PARSE("object"), GFS_ERR_USAGE);
	cr_assert_eq(PARSE("objekt", "put"), GFS_ERR_USAGE);
	cr_assert_eq(PARSE("object", "put"), GFS_ERR_USAGE);
	cr_assert_eq(PARSE("object", "put", "a", "b"), GFS_ERR_USAGE);
	cr_assert_eq(PARSE("object", "put", "a", "--output", "b"), GFS_ERR_USAGE);
	cr_assert_eq(PARSE("object", "put", "a", "--input"), GFS_ERR_USAGE);
	cr_assert_eq(PARSE("--json=yes", "info"), GFS_ERR_USAGE);
	cr_assert_eq(PARSE("--jso", "info"), GFS_ERR_USAGE);
	cr_assert_eq(PARSE("info", "-x"), GFS_ERR_USAGE);
	cr_assert_eq(PARSE("--"), GFS_ERR_USAGE);
}

Test(args, help_needs_no_operands)
{
	cr_assert_eq(PARSE("object", "put", "--help"), 0);
	cr_assert(parsed.help);
	cr_assert_eq(PARSE("-h"), 0);
	cr_assert(parsed.help && parsed.command == CMD_global);
}

Test(args, every_row_has_its_prose)
{
	for (int c = 1; c < CMD_COUNT; c++)
		cr_assert(commands[c].prose[0] && commands[c].words[0] && commands[c].max >= commands[c].min);
	for (size_t i = 0; i < n_option_rows; i++)
		cr_assert(option_rows[i].prose[0], "%s", option_rows[i].name);
}

/* Finding the command behind options needs one meaning per option name: with or without a value. */
Test(args, an_option_name_takes_a_value_everywhere_or_nowhere)
{
	for (size_t i = 0; i < n_option_rows; i++)
		for (size_t k = 0; k < i; k++) {
			if (strcmp(option_rows[i].name, option_rows[k].name) == 0)
				cr_assert_eq(option_rows[i].value[0] == 0, option_rows[k].value[0] == 0, "%s", option_rows[i].name);
			if (option_rows[i].letter && option_rows[i].letter == option_rows[k].letter)
				cr_assert_eq(option_rows[i].value[0] == 0, option_rows[k].value[0] == 0, "-%c", option_rows[i].letter);
		}
}

Test(args, half_a_command_is_told_the_other_halves)
{
	cr_assert_eq(PARSE("object"), GFS_ERR_USAGE);
	cr_assert_str_eq(why, "which one: object put, object get, object head, object delete, object where, object list");
	cr_assert_eq(PARSE("site", "lst"), GFS_ERR_USAGE);
	cr_assert(strstr(why, "site list, site add"));
	cr_assert_eq(PARSE("obj"), GFS_ERR_USAGE);
	cr_assert_str_eq(why, "unknown command 'obj'; gfsctl --help lists them");
	cr_assert_eq(PARSE(""), GFS_ERR_USAGE);
}
