#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The figures of the README: GET from a directory site as a ratio to nginx that serves the same files, and durable PUT as a ratio to a
# bare program that writes as durably, each pair in the same run, alternating. bench/run.sh [SECONDS per measurement, default 5]
# The build directory is $GFS_BUILD (default build); the files lie in a fresh directory under $TMPDIR.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-5}
build=$(realpath "${GFS_BUILD:-build}")
make -C "$build" -s bench/durable
work=$(mktemp -d)
pids=()
cleanup() {
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
api=$(port) web=$(port)
mkdir -p "$work"/{site,ngx,bare}
cat >"$work/globalfs.yaml" <<Y
global: {log_level: WARN, run_dir: $work/run, state_dir: $work/state}
coordinator: {listen_addr: "127.0.0.1:$api", workers: 2}
sites:
  - {name: a, role: primary, file: {path: $work/site}}
Y
cat >"$work/nginx.conf" <<N
worker_processes 2; pid $work/ngx/pid; error_log $work/ngx/error.log; daemon off;
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; root $work/site;
  client_body_temp_path $work/ngx/b; proxy_temp_path $work/ngx/p; fastcgi_temp_path $work/ngx/f; uwsgi_temp_path $work/ngx/u;
  scgi_temp_path $work/ngx/s; server { listen 127.0.0.1:$web; } }
N
[[ $EUID -ne 0 ]] || sed -i '1i user root;' "$work/nginx.conf"
"$build/routerd/routerd" -f -c "$work/globalfs.yaml" 2>"$work/log" & pids+=($!)
nginx -c "$work/nginx.conf" & pids+=($!)
for u in "$api/readyz" "$web/"; do
	until curl -s -o "$work/null" "http://127.0.0.1:$u"; do sleep 0.05; done
done
until [[ $(curl -s -o "$work/null" -w '%{http_code}' "http://127.0.0.1:$api/readyz") == 200 ]]; do sleep 0.05; done
head -c 4096 /dev/urandom >"$work/4k"; head -c $((64<<20)) /dev/urandom >"$work/64m"
for f in 4k 64m; do
	until [[ $(curl -s -o "$work/null" -w '%{http_code}' -T "$work/$f" "http://127.0.0.1:$api/api/v1/objects/$f") == 201 ]]; do sleep 0.1; done
done

rate() { # connections url: requests per second
	wrk -t2 -c"$1" -d"${seconds}s" --timeout 30s "$2" >"$work/wrk"
	! grep -q 'Non-2xx' "$work/wrk" || { cat "$work/wrk" >&2; exit 1; }
	awk '/Requests\/sec/ {print $2}' "$work/wrk"
}
row() { awk -v n="$1" -v a="$2" -v b="$3" -v p="$4" 'BEGIN {printf "| %-34s | %10.1f | %10.1f | %5.2f | %s |\n", n, a, b, a/b, p}'; }
median() { sort -n | sed -n 2p; }
pair() { # name connections object: three alternating measurements, medians
	local a=() b=() i
	for i in 1 2 3; do
		a+=("$(rate "$2" "http://127.0.0.1:$api/api/v1/objects/$3")")
		b+=("$(rate "$2" "http://127.0.0.1:$web/$3")")
	done
	row "$1" "$(printf '%s\n' "${a[@]}" | median)" "$(printf '%s\n' "${b[@]}" | median)" "nginx static"
}
cat >"$work/put.lua" <<'L'
local id, n = 0, 0
function setup(t) t:set("id", id); id = id + 1 end
function init() wrk.method = "PUT"; wrk.body = string.rep("x", 4096); n = 0 end
function request() n = n + 1; return wrk.format(nil, "/api/v1/objects/put/" .. id .. "-" .. n) end
L
puts() {
	wrk -t2 -c16 -d"${seconds}s" --timeout 30s -s "$work/put.lua" "http://127.0.0.1:$api" >"$work/wrk"
	! grep -q 'Non-2xx' "$work/wrk" || { cat "$work/wrk" >&2; tail -5 "$work/log" >&2; exit 1; }
	awk '/Requests\/sec/ {print $2}' "$work/wrk"
}

echo "| measured (2 cores, ${seconds} s each, median of 3) | GlobalFS/s | peer/s | ratio | peer |"
echo "|---|---|---|---|---|"
pair "GET 4 KiB, 32 connections" 32 4k
pair "GET 64 MiB, 4 connections" 4 64m
a=() b=()
for i in 1 2 3; do
	a+=("$(puts)")
	b+=("$("$build/bench/durable" "$work/bare" 16 "$seconds" 4096)")
done
row "PUT 4 KiB durable, 16 at a time" "$(printf '%s\n' "${a[@]}" | median)" "$(printf '%s\n' "${b[@]}" | median)" \
	"write+fsync+rename+directory fsync, 16 threads"
