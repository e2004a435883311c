/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gfsctl: the operator's and user's command. Parses by commands.def, finds the output and runs the command. Objects and sites go
 * over the HTTP API, through libglobalfs; "router show" and its kin over the daemons' sockets; "config" needs neither.
 */
#include "config.h"

#include "ctl.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf/conf.h"
#include "common/xalloc.h"

static int (*const runs[CMD_COUNT])(struct ctl *ctl) = {
#define COMMAND(id, words, operands, min, max, prose) [CMD_##id] = run_##id,
#include "commands.def"
};

static int print_help(enum command_id command)
{
	struct strbuf text = STRBUF_INIT;

	args_help(command, &text);
	fputs(strbuf_str(&text), stdout);
	strbuf_free(&text);
	return ctl_flush(EXIT_OK);
}

/* Sources of the man pages, for the build only. */
static int print_mdoc(const char *what)
{
	struct strbuf text = STRBUF_INIT;

	if (strcmp(what, "conf") == 0)
		conf_print_mdoc(&text);
	else
		args_mdoc(&text);
	fputs(strbuf_str(&text), stdout);
	strbuf_free(&text);
	return ctl_flush(EXIT_OK);
}

/* Other users of this machine can read a program's arguments. */
static char *hide_api_key(struct args *args)
{
	char *copy = NULL;

	for (size_t i = 0; i < args->n_values; i++) {
		const char *value = args->values[i].value;

		if (strcmp(args->values[i].row->name, "api-key") != 0)
			continue;
		free(copy);
		copy = xstrdup(value);
		memset((char *)(uintptr_t)value, 'x', strlen(value));
		args->values[i].value = copy;
	}
	return copy;
}

int main(int argc, char **argv)
{
	struct args args;
	char *api_key;
	struct ctl ctl = {.args = &args};
	char why[256];
	int code;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(argv[1], "--mdoc") == 0)
		return print_mdoc(argv[2]);
	if (args_parse(argc, argv, &args, why, sizeof(why)) != 0) {
		ctl_error("%s", why);
		return EXIT_USAGE;
	}
	if (args.help)
		return print_help(args.command);
	api_key = hide_api_key(&args);
	ctl.out = args_has(&args, "json") ? &output_json : &output_text;
	code = runs[args.command](&ctl);
	globalfs_close(&ctl.api);
	free(api_key);
	return ctl_flush(code);
}
