/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion scripts for four shells, from commands.def. Words and options only: nothing of the running suite is asked.
 */
#include "config.h"

#include "args.h"

#include <string.h>

static const char *second_word(const char *words)
{
	const char *space = strchr(words, ' ');

	return space ? space + 1 : "";
}

static size_t first_len(const char *words)
{
	return strcspn(words, " ");
}

/* Calls emit once for each different first word. */
static void each_first(struct strbuf *out, void (*emit)(struct strbuf *out, const char *word, size_t n, int first_command))
{
	for (int c = 1; c < CMD_COUNT; c++) {
		size_t n = first_len(commands[c].words);
		bool seen = false;

		for (int k = 1; k < c && !seen; k++)
			seen = first_len(commands[k].words) == n && strncmp(commands[k].words, commands[c].words, n) == 0;
		if (!seen)
			emit(out, commands[c].words, n, c);
	}
}

static void emit_word(struct strbuf *out, const char *word, size_t n, int c)
{
	(void)c;
	strbuf_addf(out, "%.*s ", (int)n, word);
}

static void add_seconds(struct strbuf *out, const char *word, size_t n)
{
	for (int c = 1; c < CMD_COUNT; c++)
		if (first_len(commands[c].words) == n && strncmp(commands[c].words, word, n) == 0 && second_word(commands[c].words)[0])
			strbuf_addf(out, "%s ", second_word(commands[c].words));
}

static void add_options(struct strbuf *out, enum command_id cmd)
{
	for (size_t i = 0; i < n_option_rows; i++)
		if (option_rows[i].command == cmd || option_rows[i].command == CMD_global)
			strbuf_addf(out, "--%s ", option_rows[i].name);
}

static void emit_second_case(struct strbuf *out, const char *word, size_t n, int c)
{
	if (!second_word(commands[c].words)[0])
		return;
	strbuf_addf(out, "\t%.*s) words=\"", (int)n, word);
	add_seconds(out, word, n);
	strbuf_adds(out, "\";;\n");
}

static void add_option_cases(struct strbuf *out)
{
	for (int c = 1; c < CMD_COUNT; c++) {
		strbuf_addf(out, "\t\"%s\"*) options=\"", commands[c].words);
		add_options(out, (enum command_id)c);
		strbuf_adds(out, "\";;\n");
	}
}

static void completion_bash(struct strbuf *out)
{
	strbuf_adds(out, "# bash completion of gfsctl: source it, or put it into /etc/bash_completion.d\n"
	            "_gfsctl() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} line=\"${COMP_WORDS[*]:1}\" words=\"\" options=\"\"\n"
	            "\tcase \"$line\" in\n");
	add_option_cases(out);
	strbuf_adds(out, "\t*) options=\"");
	add_options(out, CMD_global);
	strbuf_adds(out, "\";;\n\tesac\n\tif [[ $cur == -* ]]; then\n"
	            "\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n\t\treturn\n\tfi\n"
	            "\tcase $COMP_CWORD in\n\t1) words=\"");
	each_first(out, emit_word);
	strbuf_adds(out, "\";;\n\t2) case ${COMP_WORDS[1]} in\n");
	each_first(out, emit_second_case);
	strbuf_adds(out, "\tcompletion) words=\"bash zsh fish powershell\";;\n\tesac;;\n\tesac\n"
	            "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	            "\t((${#COMPREPLY[@]})) || COMPREPLY=($(compgen -f -- \"$cur\"))\n}\ncomplete -o filenames -F _gfsctl gfsctl\n");
}

static void completion_zsh(struct strbuf *out)
{
	strbuf_adds(out, "#compdef gfsctl\n# zsh completion of gfsctl: put it into a directory of fpath as _gfsctl\n"
	            "_gfsctl() {\n\tlocal line=\"${words[2,-1]}\" options=\"\" words_2=\"\"\n\tcase \"$line\" in\n");
	add_option_cases(out);
	strbuf_adds(out, "\t*) options=\"");
	add_options(out, CMD_global);
	strbuf_adds(out, "\";;\n\tesac\n\tif [[ $PREFIX == -* ]]; then compadd -- ${=options}; return; fi\n"
	            "\tif (( CURRENT == 2 )); then compadd -- ");
	each_first(out, emit_word);
	strbuf_adds(out, "; return; fi\n\tif (( CURRENT == 3 )); then\n"
	            "\tlocal words=\"$words_2\" first=${line%% *}\n\tcase $first in\n");
	each_first(out, emit_second_case);
	strbuf_adds(out, "\tcompletion) words=\"bash zsh fish powershell\";;\n\tesac\n"
	            "\t[[ -n $words ]] && { compadd -- ${=words}; return; }\n\tfi\n\t_files\n}\ncompdef _gfsctl gfsctl\n");
}

static void fish_quoted(struct strbuf *out, const char *s)
{
	strbuf_addc(out, '\'');
	for (; *s; s++) {
		if (*s == '\'' || *s == '\\')
			strbuf_addc(out, '\\');
		strbuf_addc(out, *s);
	}
	strbuf_addc(out, '\'');
}

static void emit_fish_first(struct strbuf *out, const char *word, size_t n, int c)
{
	strbuf_addf(out, "complete -c gfsctl -f -n __fish_use_subcommand -a %.*s", (int)n, word);
	if (!second_word(commands[c].words)[0]) {
		strbuf_adds(out, " -d ");
		fish_quoted(out, commands[c].prose);
	}
	strbuf_addc(out, '\n');
}

static void fish_option(struct strbuf *out, const struct option_row *row)
{
	const char *words = commands[row->command].words, *second = second_word(words);

	strbuf_adds(out, "complete -c gfsctl");
	if (row->command != CMD_global)
		strbuf_addf(out, " -n '__fish_seen_subcommand_from %.*s%s%s'", (int)first_len(words), words,
		            *second ? "; and __fish_seen_subcommand_from " : "", second);
	strbuf_addf(out, " -l %s", row->name);
	if (row->letter)
		strbuf_addf(out, " -s %c", row->letter);
	strbuf_adds(out, row->value[0] ? " -r -d " : " -d ");
	fish_quoted(out, row->prose);
	strbuf_addc(out, '\n');
}

static void completion_fish(struct strbuf *out)
{
	strbuf_adds(out, "# fish completion of gfsctl: put it into ~/.config/fish/completions/gfsctl.fish\n");
	each_first(out, emit_fish_first);
	for (int c = 1; c < CMD_COUNT; c++) {
		const char *words = commands[c].words, *second = second_word(words);

		if (!*second)
			continue;
		strbuf_addf(out, "complete -c gfsctl -f -n '__fish_seen_subcommand_from %.*s' -a %s -d ", (int)first_len(words),
		            words, second);
		fish_quoted(out, commands[c].prose);
		strbuf_addc(out, '\n');
	}
	strbuf_adds(out, "complete -c gfsctl -f -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish powershell'\n");
	for (size_t i = 0; i < n_option_rows; i++)
		fish_option(out, &option_rows[i]);
}

static void add_ps_list(struct strbuf *out, struct strbuf *words)
{
	char *save, *word;
	const char *sep = "";

	for (word = words->p ? strtok_r(words->p, " ", &save) : NULL; word; word = strtok_r(NULL, " ", &save)) {
		strbuf_addf(out, "%s'%s'", sep, word);
		sep = ",";
	}
	strbuf_reset(words);
}

static void emit_ps_second(struct strbuf *out, const char *word, size_t n, int c)
{
	struct strbuf words = STRBUF_INIT;

	if (!second_word(commands[c].words)[0])
		return;
	strbuf_addf(out, "    '%.*s' = @(", (int)n, word);
	add_seconds(&words, word, n);
	add_ps_list(out, &words);
	strbuf_adds(out, ")\n");
	strbuf_free(&words);
}

static void completion_powershell(struct strbuf *out)
{
	struct strbuf words = STRBUF_INIT;

	strbuf_adds(out, "# PowerShell completion of gfsctl: run it in your profile\n"
	            "Register-ArgumentCompleter -Native -CommandName gfsctl -ScriptBlock {\n"
	            "  param($word, $ast, $cursor)\n  $first = @(");
	each_first(&words, emit_word);
	add_ps_list(out, &words);
	strbuf_adds(out, ")\n  $second = @{\n");
	each_first(out, emit_ps_second);
	strbuf_adds(out, "    'completion' = @('bash','zsh','fish','powershell')\n  }\n  $options = @{\n");
	for (int c = 0; c < CMD_COUNT; c++) {
		strbuf_addf(out, "    '%s' = @(", commands[c].words);
		add_options(&words, (enum command_id)c);
		add_ps_list(out, &words);
		strbuf_adds(out, ")\n");
	}
	strbuf_adds(out, "  }\n  $said = @($ast.CommandElements | Select-Object -Skip 1 | ForEach-Object { \"$_\" } |"
	            " Where-Object { $_ -ne $word -and $_ -notlike '-*' })\n"
	            "  if ($word -like '-*') {\n    $list = $options[($said | Select-Object -First 2) -join ' ']\n"
	            "    if (-not $list -and $said.Count) { $list = $options[$said[0]] }\n"
	            "    if (-not $list) { $list = $options[''] }\n"
	            "  } elseif ($said.Count -eq 0) { $list = $first }\n"
	            "  elseif ($said.Count -eq 1) { $list = $second[$said[0]] } else { $list = @() }\n"
	            "  $list | Where-Object { $_ -like \"$word*\" } |"
	            " ForEach-Object { [System.Management.Automation.CompletionResult]::new($_) }\n}\n");
	strbuf_free(&words);
}

int args_completion(const char *shell, struct strbuf *out)
{
	static const struct {
		const char *shell;
		void (*print)(struct strbuf *out);
	} shells[] = {{"bash", completion_bash}, {"zsh", completion_zsh}, {"fish", completion_fish},
	              {"powershell", completion_powershell}};

	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
		if (strcmp(shells[i].shell, shell) == 0) {
			shells[i].print(out);
			return 0;
		}
	return GFS_ERR_USAGE;
}
