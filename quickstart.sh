#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds GlobalFS, starts it on two directory sites, shows its main job, and leaves it running. Run it again at any time: it
# uses the suite that is running. `./quickstart.sh stop` ends it. Everything it makes lies in ./build-quickstart and in
# $GFS_DEMO (default ./demo); the port is $GFS_PORT (default 8090).
set -euo pipefail
cd "$(dirname "$0")"
top=$PWD
demo=${GFS_DEMO:-$top/demo}
port=${GFS_PORT:-8090}
build=$top/build-quickstart
api=http://127.0.0.1:$port
conf=$demo/globalfs.yaml
ctl=$build/cli/gfsctl
export GLOBALFS_COORDINATOR=$api

die() { echo "quickstart: $*" >&2; exit 1; }
show() { printf '\n$ %s\n' "$*"; "$@"; }
wait_for() { # what seconds command...
	local what=$1 end=$((SECONDS + $2))
	shift 2
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || die "waited in vain for $what; the log is $demo/globalfs.log"
		sleep 0.02
	done
}
program() { readlink "/proc/$(cat "$demo/routerd.pid" 2>/dev/null || echo 0)/exe" 2>/dev/null || true; }
# A program that was built anew meanwhile shows as deleted.
running() { [[ $(program) == "$build/routerd/routerd"?(" (deleted)") ]]; }
outdated() { running && [[ $(program) == *" (deleted)" ]]; }
stop() {
	kill "$(<"$demo/routerd.pid")"
	while running; do sleep 0.05; done
}
state_of() { "$ctl" --json site list | python3 -c 'import json,sys; print({s["name"]: s["state"] for s in json.load(sys.stdin)}[sys.argv[1]])' "$1"; }
is_state() { [[ $(state_of "$1") == "$2" ]]; }

if [[ ${1:-} == stop ]]; then
	running || { echo "not running"; exit 0; }
	stop
	echo "stopped"
	exit 0
fi
[[ $# -eq 0 ]] || die "usage: quickstart.sh [stop]"
if running; then
	its_port=$(sed -n 's/^  listen_addr: 127.0.0.1:\([0-9]*\)$/\1/p' "$conf")
	[[ $its_port == "$port" || -z ${GFS_PORT:-} ]] || die "it is running on port $its_port already; ./quickstart.sh stop ends it"
	port=$its_port api=http://127.0.0.1:$its_port
	export GLOBALFS_COORDINATOR=$api
fi
port_is_free() {
	if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
		die "port $port is taken by another program; choose one with GFS_PORT=..."
	fi
}
running || port_is_free # better told before the build

echo "== Packages"
./deps.sh build
echo "== Build (in $build)"
[[ -x configure && -f Makefile.in && ! configure.ac -nt configure ]] || ./bootstrap >/dev/null 2>&1 || die "bootstrap failed: run ./bootstrap to see why"
mkdir -p "$build"
(cd "$build" && { [[ -f Makefile ]] || "$top/configure" -q --disable-tests; })
make -C "$build" --no-print-directory -s -j"$(nproc)" all >"$build/build.log" 2>&1 || { tail -30 "$build/build.log"; die "the build failed"; }

mkdir -p "$demo/site-onprem" "$demo/site-cloud"
# Put back what an interrupted run of this script took away.
[[ ! -d $demo/site-onprem.away ]] || { rmdir "$demo/site-onprem" 2>/dev/null; mv "$demo/site-onprem.away" "$demo/site-onprem"; }
if outdated; then
	echo "== Stop the suite that runs an older build"
	stop
fi
if ! running; then
	port_is_free
	cat >"$conf" <<-YAML
		# Two directories as sites: writes reach "onprem" before they are acknowledged, "cloud" right after.
		global:
		  cluster_name: demo
		  log_file: $demo/globalfs.log
		  run_dir: $demo/run
		  state_dir: $demo/state
		coordinator:
		  listen_addr: 127.0.0.1:$port
		resilience:
		  health_poll_interval: 1s
		sites:
		  - name: onprem
		    role: primary
		    file:
		      path: $demo/site-onprem
		  - name: cloud
		    role: burst
		    file:
		      path: $demo/site-cloud
	YAML
	show "$ctl" config validate "$conf"
	echo "== Start"
	nohup "$build/routerd/routerd" -f -c "$conf" >"$demo/stderr.log" 2>&1 </dev/null &
	echo $! >"$demo/routerd.pid"
	wait_for "the suite to serve" 10 curl -sf "$api/readyz"
else
	echo "== Already running (pid $(<"$demo/routerd.pid"))"
fi
wait_for "both sites to be up" 10 is_state onprem up
wait_for "both sites to be up" 10 is_state cloud up

echo "== The main job"
head -c 3000000 /dev/urandom >"$demo/sample.bin"
show "$ctl" site list
show "$ctl" object put results/run-1.dat -i "$demo/sample.bin"
show "$ctl" object head results/run-1.dat
show "$ctl" object list
show "$ctl" object get results/run-1.dat -o "$demo/read-back.bin"
cmp "$demo/sample.bin" "$demo/read-back.bin" && echo "the same 3000000 bytes"
wait_for "the copy on the other site" 10 cmp "$demo/sample.bin" "$demo/site-cloud/results/run-1.dat"
echo
echo "Both sites hold it, as plain files:"
(cd "$demo" && ls -l site-*/results/run-1.dat)

echo
echo "== A site is taken away"
mv "$demo/site-onprem" "$demo/site-onprem.away"
wait_for "health to notice" 10 is_state onprem down
show "$ctl" site list
printf '\n$ curl -sI %s\n' "$api/api/v1/objects/results/run-1.dat"
curl -sI "$api/api/v1/objects/results/run-1.dat" | tr -d '\r' | grep -iE '^(HTTP|etag|content-length|x-globalfs-site)'
"$ctl" object get results/run-1.dat -o "$demo/read-back.bin" && cmp "$demo/sample.bin" "$demo/read-back.bin" &&
	echo "read from the other site: the same bytes"
mv "$demo/site-onprem.away" "$demo/site-onprem"
wait_for "the site to return" 10 is_state onprem up
echo
echo "== It is back"
show "$ctl" status
show "$ctl" info

cat <<END

GlobalFS is running (pid $(<"$demo/routerd.pid")).
  HTTP API     $api/api/v1/objects/KEY      (PUT, GET, HEAD, DELETE; list: /api/v1/objects?prefix=)
  health       $api/healthz  $api/readyz    metrics: $api/metrics
  CLI          $ctl   (GLOBALFS_COORDINATOR=$api)
  config, log  $conf  $demo/globalfs.log
  stop         ./quickstart.sh stop
END
