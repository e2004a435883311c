#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds, and runs everything: unit tests, golden configurations, fuzzers' corpora, style, man pages,
# the unit tests once more under ASan and UBSan, and the scenarios against real daemons and real stores.
# Ends with "N passed, N failed". Options: --fast (no sanitizers, no radosgw).
set -uo pipefail
cd "$(dirname "$0")"
top=$PWD
fast=""
[[ ${1:-} == --fast ]] && fast=1
build=${GFS_BUILD_DIR:-$top/build}
passed=0 failed=0
jobs=$(nproc)

say() { printf '\n== %s (%ss)\n' "$*" $SECONDS; }
count() { # passed failed: adds to the totals
	passed=$((passed + $1)) failed=$((failed + $2))
}
finish() {
	printf '\n%d passed, %d failed\n' "$passed" "$failed"
	[[ $failed -eq 0 && $passed -gt 0 ]]
	exit
}
must() { # what command...: a step that everything after depends on
	local what=$1
	shift
	"$@" || { echo "FAILED: $what"; count 0 1; finish; }
}

# Adds up what `make check` reports: Criterion's synthesis lines and automake's results for the programs without one.
count_unit_logs() { # dir
	local log p f
	for log in $(find "$1/tests" -name '*.log'); do
		if grep -q 'Synthesis: Tested:' "$log"; then
			p=$(sed -n 's/.*Passing: [^0-9]*\([0-9]*\).*/\1/p' "$log" | tail -1)
			f=$(sed -n 's/.*Failing: [^0-9]*\([0-9]*\).*/\1/p' "$log" | tail -1)
			f=$((${f:-0} + $(sed -n 's/.*Crashing: [^0-9]*\([0-9]*\).*/\1/p' "$log" | tail -1)))
			count "${p:-0}" "$f"
		elif grep -q ':test-result: \(PASS\|SKIP\)' "${log%.log}.trs" 2>/dev/null; then
			count 1 0
		elif [[ -f ${log%.log}.trs ]]; then
			count 0 1
		fi
	done
}

unit() { # name dir configure-args...
	local name=$1 dir=$2
	shift 2
	say "$name"
	mkdir -p "$dir"
	(cd "$dir" && { [[ -f Makefile ]] || "$top/configure" -q --enable-werror "$@"; }) || { count 0 1; return; }
	make -C "$dir" --no-print-directory -s -j"$jobs" all >"$dir/build.log" 2>&1 || { tail -30 "$dir/build.log"; count 0 1; return; }
	if ! make -C "$dir" --no-print-directory -s -j"$jobs" check >"$dir/check.log" 2>&1; then
		grep -E '^(FAIL|ERROR|XPASS)' "$dir/check.log"
		for log in $(find "$dir/tests" -name '*.trs' -exec grep -lE ':test-result: (FAIL|ERROR)' {} +); do tail -25 "${log%.trs}.log"; done
		[[ -n $(find "$dir/tests" -name '*.trs') ]] || { tail -30 "$dir/check.log"; count 0 1; }
	fi
	count_unit_logs "$dir"
}

say "packages"
must "packages" ./deps.sh build test
say "configure"
[[ -x configure && configure -nt configure.ac && -z $(find . -name Makefile.inc -newer configure) ]] || must "bootstrap" ./bootstrap >/dev/null 2>&1

unit "build and unit tests" "$build"
say "style"
for t in tests/style/*.sh; do
	if "$t" "$build"; then count 1 0; else count 0 1; echo "FAILED: $t"; fi
done
[[ -n $fast ]] || unit "unit tests under ASan and UBSan" "$build-asan" --enable-sanitizers CFLAGS="-O1 -g"

say "scenarios"
[[ -n $fast ]] && export GFS_SKIP_RGW=1
export GFS_BUILD=$build
/usr/bin/python3 -m pytest -q -p no:cacheprovider --tb=short -n 2 --dist loadfile tests/system 2>&1 | tee "$build/system.log"
line=$(grep -E '^(=+ )?([0-9]+ (passed|failed|error|skipped))' "$build/system.log" | tail -1)
p=$(grep -oE '[0-9]+ passed' <<<"$line" | cut -d' ' -f1)
f=$(grep -oE '[0-9]+ (failed|error)' <<<"$line" | awk '{s += $1} END {print s + 0}')
count "${p:-0}" "${f:-0}"
[[ -n $p ]] || count 0 1
finish
