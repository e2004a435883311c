#!/bin/bash
# No function of the product is longer than 100 lines, no file longer than 800.
cd "$(dirname "$0")/../.."
long=$(git ls-files 'common/*.c' 'routerd/*.c' 'healthd/*.c' 'repld/*.c' 'cached/*.c' 'cli/*.c' 'client/*.c' 2>/dev/null |
	ctags --fields=+ne --kinds-c=f -o - -L - | awk -F'\t' '{l=e=0; for (i=4; i<=NF; i++) { if ($i ~ /^line:/) l=substr($i,6);
	if ($i ~ /^end:/) e=substr($i,5) } if (e && e-l+1 > 100) print e-l+1, $2, $1}')
big=$(git ls-files '*.c' | grep -v ^tests/ | xargs wc -l | awk '$2 != "total" && $1 > 800')
[ -z "$long$big" ] || { printf '%s\n' "$long" "$big"; exit 1; }
