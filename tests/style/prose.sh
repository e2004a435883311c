#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every row of the tables that feed help and man pages says what it is. In stats.def the first row of a family speaks for all.
cd "$(dirname "$0")/../.."
rows=$(
	{
		cat <<-'C'
		#define MESSAGE(name, NAME, number, senders, prose) @ message name : prose MSG_FIELDS_##name(FIELD)
		#define FIELD(name, type, need, prose) @ field name : prose
		#include "common/ipc/messages.def"
		#define CONF(path, type, member, def, min, max, effect, prose) @ setting path : prose
		#define SITE(kind, path, type, member, def, min, max, effect, prose) @ setting path : prose
		#define RULE(path, type, member, def, min, max, effect, prose) @ setting path : prose
		#define LEGACY(path, type, member, prose) @ setting path : prose
		#include "common/conf/schema.def"
		#define COMMAND(id, words, operands, min, max, prose) @ command id : prose
		#define OPTION(id, name, letter, value, prose) @ option id name : prose
		#include "cli/commands.def"
		#define GFS_ERROR(name, text, http, s3_code, retryable, exit_code) @ error name : text
		#include "common/error.def"
		#define STAT(id, kind, family, labels, help) @ stat family : help
		#define SITE_STAT(id, kind, family, labels, help) @ stat family : help
		#define SITE_FACT(id, kind, family, labels, help) @ stat family : help
		#include "common/stats.def"
		C
	} | ${CC:-gcc} -E -P -I. -x c - | tr '\n' ' ' | sed 's/@ /\n/g'
)
for kind in message field setting command option error stat; do
	grep -q "^$kind " <<<"$rows" || { echo "no rows of kind $kind: the table's macros have changed"; exit 1; }
done
bad=$(awk '/^(message|field|setting|command|option|error|stat) / {
	name = $0; sub(/ : .*/, "", name); prose = $0; sub(/^[^:]* : */, "", prose)
	empty = prose !~ /"[^"]*[A-Za-z][^"]*"/
	if ($1 == "stat" && empty && (name in told)) next
	told[name] = 1
	if (empty) print "no prose: " name
}' <<<"$rows")
[ -z "$bad" ] || { echo "$bad"; exit 1; }
