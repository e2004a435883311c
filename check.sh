#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds, and runs everything: unit tests, golden configurations, fuzzers' corpora, style, man pages,
# the unit tests once more under ASan and UBSan, and the scenarios against real daemons and real stores.
# Ends with "N passed, N failed". Options: --fast (no sanitizers, no radosgw).
# GFS_BUILD_DIR: where to build (default ./build; the sanitizers' build lies beside it).
set -uo pipefail
top=$(cd "$(dirname "$0")" && pwd)
build=$(realpath -m "${GFS_BUILD_DIR:-$top/build}")
cd "$top" || exit 1
fast=""
case "${1:-}" in
--fast) fast=1 ;;
"") ;;
*) echo "usage: check.sh [--fast]" >&2; exit 2 ;;
esac
passed=0 failed=0 skipped=0
jobs=$(nproc)

say() { printf '\n== %s (%ss)\n' "$*" $SECONDS; }
count() { # passed failed skipped: adds to the totals
	passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + ${3:-0}))
}
finish() {
	trap - EXIT
	[[ $skipped -eq 0 ]] || printf '\n%d skipped\n' "$skipped"
	printf '\n%d passed, %d failed\n' "$passed" "$failed"
	[[ $failed -eq 0 && $passed -gt 0 ]]
	exit
}
trap 'count 0 1; finish' EXIT # an early end is a failure, and says so
trap 'exit 130' INT TERM
must() { # what command...: a step that everything after depends on
	local what=$1
	shift
	"$@" || { echo "FAILED: $what"; count 0 1; finish; }
}

# Adds up what `make check` left: Criterion's synthesis lines, and automake's verdict for programs without one. A program that
# automake calls failed counts at least once, whatever its tests say.
count_unit_logs() { # dir
	local trs log verdict line tested p f n=0
	while read -r trs; do
		n=$((n + 1)) p=0 f=0
		log=${trs%.trs}.log
		verdict=$(sed -n 's/^:test-result: \([A-Z]*\).*/\1/p' "$trs" | head -1)
		line=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep 'Synthesis: Tested:' | tail -1)
		if [[ -n $line ]]; then
			tested=$(sed 's/.*Tested: *\([0-9]*\).*/\1/' <<<"$line")
			p=$(sed 's/.*Passing: *\([0-9]*\).*/\1/' <<<"$line")
			f=$((tested - p))
		elif [[ $verdict == PASS ]]; then
			p=1
		elif [[ $verdict == SKIP ]]; then
			count 0 0 1
		fi
		[[ $verdict == PASS || $verdict == SKIP || $f -gt 0 ]] || f=1
		[[ $verdict == PASS || $verdict == SKIP ]] || { echo "FAILED: ${trs%.trs}"; tail -25 "$log"; }
		count "$p" "$f"
	done < <(find "$1/tests" -name '*.trs')
	[[ $n -gt 0 ]] # none at all: make itself failed
}

unit() { # name dir configure-args...
	local name=$1 dir=$2 status
	shift 2
	say "$name"
	mkdir -p "$dir"
	if ! (cd "$dir" && { [[ -f Makefile ]] || "$top/configure" -q --enable-werror "$@"; }); then
		echo "FAILED: configure in $dir"
		count 0 1
		return 1
	fi
	if ! make -C "$dir" --no-print-directory -s -j"$jobs" all >"$dir/build.log" 2>&1; then
		tail -30 "$dir/build.log"
		count 0 1
		return 1
	fi
	find "$dir/tests" \( -name '*.trs' -o -name '*.log' \) -delete # of an earlier run
	make -C "$dir" --no-print-directory -s -j"$jobs" check >"$dir/check.log" 2>&1
	status=$?
	local before=$failed
	if ! count_unit_logs "$dir" || [[ $status -ne 0 && $failed -eq $before ]]; then
		tail -30 "$dir/check.log"
		count 0 1
	fi
}

# The numbers are pytest's own report. When it did not end as it should (0: all passed, 1: some failed), that is a failure more.
scenarios() { # name build pytest-args...
	local name=$1 status numbers xml
	say "$name"
	export GFS_BUILD=$2
	shift 2
	xml=$GFS_BUILD/scenarios.xml
	rm -f "$xml"
	/usr/bin/python3 -m pytest -q -p no:cacheprovider --tb=short --show-capture=stdout --durations=5 --durations-min=5 --junitxml="$xml" "$@"
	status=$?
	numbers=$(/usr/bin/python3 - "$xml" <<-'PY'
		import sys, xml.etree.ElementTree as tree
		passed = failed = skipped = 0
		for case in tree.parse(sys.argv[1]).iter("testcase"):
		    kinds = {child.tag for child in case}
		    if kinds & {"failure", "error"}:
		        failed += 1
		    elif "skipped" in kinds:
		        skipped += 1
		    else:
		        passed += 1
		print(passed, failed, skipped)
	PY
	) || numbers="0 0 0"
	# shellcheck disable=SC2086 # three numbers
	count $numbers
	[[ $status -eq 0 || ($status -eq 1 && ${numbers#* } != 0\ *) ]] || { echo "FAILED: pytest ended with $status"; count 0 1; }
}

say "packages"
must "packages" ./deps.sh build test
say "configure"
if [[ ! -x configure || ! -f Makefile.in || configure -ot configure.ac || -n $(find . -name Makefile.inc -newer configure -not -path './build*') ]]; then
	./bootstrap >"$top/bootstrap.log" 2>&1 || { tail -20 "$top/bootstrap.log"; must "bootstrap" false; }
fi

unit "build and unit tests" "$build"
say "style"
for t in tests/style/*.sh; do
	if "$t" "$build"; then count 1 0; else count 0 1; echo "FAILED: $t"; fi
done
if [[ -z $fast ]]; then unit "unit tests under ASan and UBSan" "$build-asan" --enable-sanitizers CFLAGS="-O1 -g"; fi

[[ -z $fast ]] || export GFS_SKIP_RGW=1
if [[ -x $build/routerd/routerd ]]; then
	scenarios "scenarios that hold the suite to a time" "$build" -m timed tests/system
	scenarios "scenarios" "$build" -m "not timed" -n 3 --dist loadgroup tests/system
fi
if [[ -z $fast && -x $build-asan/routerd/routerd ]]; then
	scenarios "scenarios under ASan and UBSan" "$build-asan" -n 2 --dist loadgroup -k "(test_http or files) and not one_gib" \
		tests/system/test_http.py tests/system/test_objects.py
fi
finish
