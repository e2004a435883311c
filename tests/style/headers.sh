#!/bin/bash
# Every header compiles alone.
cd "$(dirname "$0")/../.."
flags=$(pkg-config --cflags libevent_core libcurl jansson sqlite3 $(pkg-config --exists msgpack && echo msgpack || echo msgpack-c))
bad=0
for h in $(git ls-files '*.h'); do
	echo "#include \"$h\"" | ${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -I. -I"$1" $flags -Wall -Wextra -Werror -fsyntax-only -x c - ||
		{ echo "does not compile alone: $h"; bad=1; }
done
exit $bad
