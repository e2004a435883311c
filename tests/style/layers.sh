#!/bin/sh
# A daemon's folder never includes another daemon's; common includes only common, client only client. gfsctl uses client.
cd "$(dirname "$0")/../.."
bad=$(for d in routerd healthd repld cached cli; do
	grep -nE '#include "(routerd|healthd|repld|cached|cli)/' $d/*.[ch] 2>/dev/null | grep -v "\"$d/"
done
grep -rnE '#include "(\.\./)*(routerd|healthd|repld|cached|cli|client)/' common
grep -rnE '#include "(\.\./)*client/' routerd healthd repld cached
grep -nE '#include "' client/*.[ch] | grep -vE '"(client/[a-z_]+\.h|config\.h)"')
[ -z "$bad" ] || { echo "includes across layers:"; echo "$bad"; exit 1; }
