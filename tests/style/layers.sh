#!/bin/sh
# A daemon's folder never includes another daemon's; common includes only common.
cd "$(dirname "$0")/../.."
bad=$(for d in routerd healthd repld cached cli; do
	grep -nE '#include "(routerd|healthd|repld|cached|cli)/' $d/*.[ch] 2>/dev/null | grep -v "\"$d/"
done
grep -rnE '#include "(\.\./)*(routerd|healthd|repld|cached|cli)/' common)
[ -z "$bad" ] || { echo "includes across layers:"; echo "$bad"; exit 1; }
