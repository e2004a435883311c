/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line against commands.def: long options with "=" or a following value, short options alone or with their value
 * attached, options anywhere before "--". Called by main.c; its help is also the source of gfsctl(8).
 */
#ifndef GFSCTL_ARGS_H
#define GFSCTL_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/error.h"
#include "common/strbuf.h"

enum command_id {
	CMD_global, /* the owner of the options of every command */
#define COMMAND(id, words, operands, min, max, prose) CMD_##id,
#include "commands.def"
	CMD_COUNT
};

struct command {
	const char *words, *operands, *prose;
	unsigned min, max;
};

struct option_row {
	enum command_id command;
	const char *name;
	char letter;
	const char *value; /* "" for a flag */
	const char *prose;
};

extern const struct command commands[CMD_COUNT];
extern const struct option_row option_rows[];
extern const size_t n_option_rows;

#define ARGS_MAX_VALUES 256

struct args {
	enum command_id command; /* CMD_global: none was given */
	bool help;
	const char *operands[4];
	size_t n_operands;
	struct {
		const struct option_row *row;
		const char *value;
	} values[ARGS_MAX_VALUES];
	size_t n_values;
};

/* Borrows argv. 0, or GFS_ERR_USAGE with a sentence. */
int args_parse(int argc, char **argv, struct args *out, char *why, size_t cap) GFS_MUST_USE;
const char *args_get(const struct args *a, const char *name); /* the last one given, or NULL */
bool args_has(const struct args *a, const char *name);

/* Help of one command, or of all (CMD_global). */
void args_help(enum command_id command, struct strbuf *out);
/* The sections of gfsctl(8) that list options and commands. */
void args_mdoc(struct strbuf *out);
/* 0, or GFS_ERR_USAGE for a shell we do not know. */
int args_completion(const char *shell, struct strbuf *out) GFS_MUST_USE;

#endif
