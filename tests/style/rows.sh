#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every acceptance row, G1 to G59 and W1 to W28, is named by at least one scenario: def test_G30_what_it_shows(...) in tests/system. A
# test may show several: test_W3_W5_... Excused are only the rows below, each for the reason beside it; an excuse that is not needed any
# more fails too, as does a row that does not exist.
cd "$(dirname "$0")/../.." || exit 1

excuses() {
	cat <<-'END'
	G44 two coordinators and a lease: several nodes work together in a later version, through etcd
	G50 the cache holds no objects in this version, and says so when it is enabled
	G51 likewise
	G52 likewise
	G53 likewise
	W11 likewise: nothing is filled, so nothing stale can be
	W23 as G44
	END
}

# The rows that a test's name begins with.
named=$(sed -nE 's/^(async )?def test_(([GW][0-9]+_)+).*/\2/p' tests/system/test_*.py | tr '_' '\n' | grep . | sort -u)
rows=$({ printf 'G%d\n' {1..59}; printf 'W%d\n' {1..28}; } | sort)
excused=$(excuses | awk '{print $1}' | sort)
bad=0
say() { # what list
	[[ -z $2 ]] && return
	echo "$1: $(sort -V <<<"$2" | tr '\n' ' ')"
	bad=1
}
say "no scenario is named by" "$(comm -23 <(comm -23 <(echo "$rows") <(echo "$named")) <(echo "$excused"))"
say "excused, though there is a scenario" "$(comm -12 <(echo "$excused") <(echo "$named"))"
say "no such row" "$(comm -13 <(echo "$rows") <(echo "$named"))"
exit $bad
