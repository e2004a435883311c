/* SPDX-License-Identifier: Apache-2.0 */
/* commands.def as tables, the parser and the help. Contract in args.h. */
#include "config.h"

#include "args.h"

#include <stdio.h>
#include <string.h>

const struct command commands[CMD_COUNT] = {
	[CMD_global] = {"", "", "", 0, 0},
#define COMMAND(id, words, operands, min, max, prose) [CMD_##id] = {words, operands, prose, min, max},
#include "commands.def"
};

const struct option_row option_rows[] = {
#define OPTION(id, name, letter, value, prose) {CMD_##id, name, letter, value, prose},
#include "commands.def"
};
const size_t n_option_rows = sizeof(option_rows) / sizeof(option_rows[0]);

/* The row of an option: by letter, or by the first n bytes of name. */
static const struct option_row *find_option(enum command_id cmd, char letter, const char *name, size_t n)
{
	for (size_t i = 0; i < n_option_rows; i++) {
		const struct option_row *row = &option_rows[i];

		if (row->command != CMD_global && row->command != cmd)
			continue;
		if (letter ? row->letter == letter : strlen(row->name) == n && strncmp(row->name, name, n) == 0)
			return row;
	}
	return NULL;
}

/* Whether an option of any command of that spelling takes a value: needed to find the command behind options. */
static bool takes_value(const char *arg)
{
	size_t n = strlen(arg);

	if (strchr(arg, '='))
		return false;
	for (size_t i = 0; i < n_option_rows; i++) {
		const struct option_row *row = &option_rows[i];

		if (!row->value[0])
			continue;
		if (arg[1] == '-' ? strcmp(row->name, arg + 2) == 0 : n == 2 && row->letter == arg[1])
			return true;
	}
	return false;
}

static bool is_option(const char *arg)
{
	return arg[0] == '-' && arg[1] != '\0';
}

/* The command is the first one or two words. Marks them in used[]. */
static enum command_id find_command(int argc, char **argv, int used[2], const char **unknown)
{
	char both[128];
	int words[2] = {0, 0}, n = 0;

	for (int i = 1; i < argc && n < 2 && strcmp(argv[i], "--") != 0; i++) {
		if (!is_option(argv[i]))
			words[n++] = i;
		else if (takes_value(argv[i]))
			i++;
	}
	*unknown = n ? argv[words[0]] : NULL;
	snprintf(both, sizeof(both), "%s %s", n ? argv[words[0]] : "", n > 1 ? argv[words[1]] : "");
	for (int c = 1; c < CMD_COUNT; c++) {
		if (n > 1 && strcmp(commands[c].words, both) == 0) {
			used[0] = words[0];
			used[1] = words[1];
			return (enum command_id)c;
		}
		if (n > 0 && strcmp(commands[c].words, argv[words[0]]) == 0) {
			used[0] = words[0];
			return (enum command_id)c;
		}
	}
	return CMD_global;
}

static int add_value(struct args *a, const struct option_row *row, const char *value, char *why, size_t cap)
{
	if (a->n_values == ARGS_MAX_VALUES) {
		snprintf(why, cap, "too many options");
		return GFS_ERR_USAGE;
	}
	if (strcmp(row->name, "help") == 0)
		a->help = true;
	a->values[a->n_values].row = row;
	a->values[a->n_values++].value = value;
	return 0;
}

/* One option at argv[*i]; moves *i over its value. */
static int parse_option(struct args *a, int argc, char **argv, int *i, char *why, size_t cap)
{
	const char *arg = argv[*i], *eq = strchr(arg, '='), *value = NULL;
	bool is_long = arg[1] == '-';
	const struct option_row *row = is_long
		? find_option(a->command, 0, arg + 2, eq ? (size_t)(eq - arg) - 2 : strlen(arg + 2))
		: find_option(a->command, arg[1], NULL, 0);

	if (!row) {
		snprintf(why, cap, "unknown option %.60s", arg);
		return GFS_ERR_USAGE;
	}
	if (is_long && eq)
		value = eq + 1;
	else if (!is_long && arg[2])
		value = arg + 2;
	if (!row->value[0] && value) {
		snprintf(why, cap, "option --%s takes no value", row->name);
		return GFS_ERR_USAGE;
	}
	if (row->value[0] && !value) {
		if (*i + 1 >= argc) {
			snprintf(why, cap, "option --%s needs a value: %s", row->name, row->value);
			return GFS_ERR_USAGE;
		}
		value = argv[++*i];
	}
	return add_value(a, row, value, why, cap);
}

static int check_operands(const struct args *a, char *why, size_t cap)
{
	const struct command *cmd = &commands[a->command];

	if (a->help)
		return 0;
	if (a->n_operands < cmd->min) {
		snprintf(why, cap, "%s: %s is missing", cmd->words, cmd->operands);
		return GFS_ERR_USAGE;
	}
	if (a->n_operands > cmd->max) {
		snprintf(why, cap, "%s: '%.60s' is one operand too many", cmd->words, a->operands[cmd->max]);
		return GFS_ERR_USAGE;
	}
	return 0;
}

/* "object put, object get, ..." when the word begins commands. */
static void explain_unknown(const char *word, char *why, size_t cap)
{
	size_t n = strlen(word), at = 0;

	why[0] = '\0';
	for (int c = 1; c < CMD_COUNT && at < cap; c++) {
		const char *words = commands[c].words;

		if (n > 0 && strncmp(words, word, n) == 0 && words[n] == ' ')
			at += (size_t)snprintf(why + at, cap - at, "%s%s", at ? ", " : "which one: ", words);
	}
	if (at == 0)
		snprintf(why, cap, "unknown command '%.60s'; gfsctl --help lists them", word);
}

int args_parse(int argc, char **argv, struct args *out, char *why, size_t cap)
{
	const char *unknown;
	int used[2] = {0, 0}, err = 0;
	bool options = true;

	memset(out, 0, sizeof(*out));
	out->command = find_command(argc, argv, used, &unknown);
	for (int i = 1; i < argc && !err; i++) {
		if (i == used[0] || i == used[1])
			continue;
		if (options && strcmp(argv[i], "--") == 0)
			options = false;
		else if (options && is_option(argv[i]))
			err = parse_option(out, argc, argv, &i, why, cap);
		else if (out->n_operands < sizeof(out->operands) / sizeof(out->operands[0]))
			out->operands[out->n_operands++] = argv[i];
	}
	if (out->command == CMD_global && !out->help) {
		if (unknown)
			explain_unknown(unknown, why, cap);
		else if (!err)
			snprintf(why, cap, "a command is missing; gfsctl --help lists them");
		return GFS_ERR_USAGE;
	}
	return err ? err : check_operands(out, why, cap);
}

const char *args_get(const struct args *a, const char *name)
{
	for (size_t i = a->n_values; i > 0; i--)
		if (strcmp(a->values[i - 1].row->name, name) == 0)
			return a->values[i - 1].value;
	return NULL;
}

bool args_has(const struct args *a, const char *name)
{
	for (size_t i = 0; i < a->n_values; i++)
		if (strcmp(a->values[i].row->name, name) == 0)
			return true;
	return false;
}

/* ---- help ---- */

static void add_wrapped(struct strbuf *out, unsigned indent, const char *text)
{
	size_t col = indent, n;

	while (*text) {
		n = strcspn(text, " ");
		if (col > indent && col + 1 + n > 100) {
			strbuf_addf(out, "\n%*s", (int)indent, "");
			col = indent;
		} else if (col > indent) {
			strbuf_addc(out, ' ');
			col++;
		}
		strbuf_add(out, text, n);
		col += n;
		text += n + (text[n] == ' ');
	}
	strbuf_addc(out, '\n');
}

static void help_options(enum command_id cmd, struct strbuf *out)
{
	char left[64];

	for (size_t i = 0; i < n_option_rows; i++) {
		const struct option_row *row = &option_rows[i];

		if (row->command != cmd)
			continue;
		if (row->letter)
			snprintf(left, sizeof(left), "  -%c, --%s %s", row->letter, row->name, row->value);
		else
			snprintf(left, sizeof(left), "      --%s %s", row->name, row->value);
		strbuf_addf(out, "%-32s ", left);
		add_wrapped(out, 33, row->prose);
	}
}

void args_help(enum command_id cmd, struct strbuf *out)
{
	if (cmd != CMD_global) {
		strbuf_addf(out, "usage: gfsctl [options] %s %s\n\n", commands[cmd].words, commands[cmd].operands);
		add_wrapped(out, 0, commands[cmd].prose);
		strbuf_adds(out, "\n");
		help_options(cmd, out);
	} else {
		strbuf_adds(out, "usage: gfsctl [options] COMMAND ...\n\n");
		for (int c = 1; c < CMD_COUNT; c++) {
			char left[64];

			snprintf(left, sizeof(left), "  %s %s", commands[c].words, commands[c].operands);
			strbuf_addf(out, "%-32s ", left);
			add_wrapped(out, 33, commands[c].prose);
		}
		strbuf_adds(out, "\n");
	}
	help_options(CMD_global, out);
}

static void mdoc_text(struct strbuf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\')
			strbuf_adds(out, "\\e");
		else if (*text == '-' && text[1] == '-')
			strbuf_adds(out, "\\-\\-"), text++;
		else
			strbuf_addc(out, *text);
		if (*text == '.' && text[1] == ' ') {
			strbuf_addc(out, '\n');
			text++;
		}
	}
	strbuf_addc(out, '\n');
}

static void mdoc_options(enum command_id cmd, struct strbuf *out)
{
	bool any = false;

	for (size_t i = 0; i < n_option_rows; i++) {
		const struct option_row *row = &option_rows[i];

		if (row->command != cmd)
			continue;
		if (!any)
			strbuf_adds(out, ".Bl -tag -width Ds\n");
		any = true;
		strbuf_adds(out, ".It");
		if (row->letter)
			strbuf_addf(out, " Fl %c%s%s ,", row->letter, row->value[0] ? " Ar " : "", row->value);
		strbuf_addf(out, " Fl -%s", row->name);
		if (row->value[0])
			strbuf_addf(out, " Ar %s", row->value);
		strbuf_addc(out, '\n');
		mdoc_text(out, row->prose);
	}
	if (any)
		strbuf_adds(out, ".El\n");
}

void args_mdoc(struct strbuf *out)
{
	strbuf_adds(out, "Options of every command:\n");
	mdoc_options(CMD_global, out);
	strbuf_adds(out, ".Sh COMMANDS\n.Bl -tag -width Ds\n");
	for (int c = 1; c < CMD_COUNT; c++) {
		strbuf_addf(out, ".It Ic %s", commands[c].words);
		if (commands[c].operands[0] == '[')
			strbuf_addf(out, " Op Ar %.*s", (int)strlen(commands[c].operands) - 2, commands[c].operands + 1);
		else if (commands[c].operands[0])
			strbuf_addf(out, " Ar %s", commands[c].operands);
		strbuf_addc(out, '\n');
		mdoc_text(out, commands[c].prose);
		mdoc_options((enum command_id)c, out);
	}
	strbuf_adds(out, ".El\n");
}
