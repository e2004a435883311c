#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Golden configurations: NN-name.yaml with .ok (what `gfsctl config show` prints, warnings first) or .err (its messages, exit 1).
# `GFSCTL=... run.sh --update` writes them anew: read the difference before you commit it.
ctl=${GFSCTL:-$PWD/cli/gfsctl}
cd "$(dirname "$0")" || exit 1
bad=0 n=0
# what depends on the host and on configure
steady() { sed -E 's/^(  node_name: ).*(  # default)$/\1HOST\2/; s/^(  (run|state)_dir: ).*(  # default)$/\1DIR\3/'; }
for yaml in [0-9]*.yaml; do
	name=${yaml%.yaml}
	n=$((n + 1))
	if out=$("$ctl" config show "$yaml" 2>&1); then suffix=ok; else suffix=err; fi
	out=$(steady <<<"$out")
	if [[ ${1:-} == --update ]]; then
		rm -f "$name.ok" "$name.err"
		printf '%s\n' "$out" >"$name.$suffix"
	elif [[ ! -f $name.$suffix ]]; then
		echo "$yaml: unexpectedly $suffix:"
		printf '%s\n' "$out"
		bad=1
	elif ! diff -u "$name.$suffix" <(printf '%s\n' "$out"); then
		bad=1
	fi
done
"$ctl" config validate ../../etc/globalfs.yaml || bad=1
echo "$n configurations"
exit $bad
