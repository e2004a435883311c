#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The speed of lists: the union of two directory sites through the HTTP API, as keys per second, beside `find` over both trees, sorted and
# merged, in the same run; and how much a worker's memory grows by it. Shapes: KEYS objects in directories of 1,000, and KEYS in one
# directory, both put there behind our back at both sites; and a smaller number written through us (with sidecars).
# bench/list.sh [KEYS per site, default 1000000]. The build is $GFS_BUILD (default build). The trees take minutes to make: they are
# kept in $GFS_LIST_TREES when that is set (2 GiB of inodes for a million keys), else in a fresh directory under $TMPDIR.
set -euo pipefail
cd "$(dirname "$0")/.."
keys=${1:-1000000}
build=$(realpath "${GFS_BUILD:-build}")
work=$(mktemp -d)
trees=${GFS_LIST_TREES:-$work/trees}
pid=
cleanup() {
	[[ -z $pid ]] || { kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; }
	rm -rf "$work"
}
trap cleanup EXIT

make_tree() { # directory shape: files of 16 bytes
	[[ ! -e $1.done ]] || return 0
	echo "making $1 ($keys files)" >&2
	python3 - "$1" "$2" "$keys" <<-'P'
		import os, sys
		top, shape, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
		def fill(path, names):
		    os.makedirs(path, exist_ok=True)
		    d = os.open(path, os.O_RDONLY)
		    for name in names:
		        fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=d)
		        os.write(fd, b"sixteen bytes...")
		        os.close(fd)
		    os.close(d)
		if shape == "flat":
		    fill(f"{top}/flat", (f"object-{i:08d}.dat" for i in range(n)))
		else:
		    for i in range((n + 999) // 1000):
		        fill(f"{top}/project-{i % 10}/run-{i:05d}", (f"sample-{k:04d}.dat" for k in range(min(1000, n - i * 1000))))
	P
	touch "$1.done"
}

start() { # path of site a, of site b
	api=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
	rm -rf "$work/run" "$work/state" "$1/.globalfs" "$2/.globalfs"
	cat >"$work/globalfs.yaml" <<-Y
		global: {log_level: WARN, run_dir: $work/run, state_dir: $work/state}
		coordinator: {listen_addr: "127.0.0.1:$api", workers: 1}
		sites:
		  - {name: a, role: primary, file: {path: $1}}
		  - {name: b, role: primary, file: {path: $2}}
	Y
	"$build/routerd/routerd" -f -c "$work/globalfs.yaml" 2>"$work/log" & pid=$!
	until [[ $(curl -s -o "$work/null" -w '%{http_code}' "http://127.0.0.1:$api/readyz") == 200 ]]; do sleep 0.05; done
	until [[ -e $1/.globalfs/site && -e $2/.globalfs/site ]]; do sleep 0.05; done
	worker=$(pgrep -P "$pid" -f 'worker' | head -1)
}
stop() { kill "$pid"; wait "$pid" || true; pid=; }
rss() { awk '/VmRSS/ {print $2}' "/proc/$worker/status"; }
peak() { awk '/VmHWM/ {print $2}' "/proc/$worker/status"; }
list() { # query: seconds
	curl -s -o "$work/out" -w '%{time_total}' "http://127.0.0.1:$api/api/v1/objects?$1"
}
count() { tail -c 200 "$work/out" | sed -n 's/.*"count":\([0-9]*\).*/\1/p'; }
median() { sort -n | sed -n 2p; }
listing() { find "$1" -path "$1/.globalfs" -prune -o -type f -printf '%P\t%s\t%T@\n' | LC_ALL=C sort -S 64M -k1,1; }
peer() { # the same union, by the tools at hand: seconds
	local t0=$EPOCHREALTIME
	LC_ALL=C sort -mu -t $'\t' -k1,1 <(listing "$1") <(listing "$2") >"$work/peer"
	awk -v a="$t0" -v b="$EPOCHREALTIME" 'BEGIN {print b - a}'
}
row() { # name site-a site-b
	local a=() b=() i before n t p
	list 'limit=1000' >"$work/t"; before=$(peak)
	for i in 1 2 3; do
		a+=("$(list '')"); n=$(count)
		b+=("$(peer "$2" "$3")")
	done
	t=$(printf '%s\n' "${a[@]}" | median) p=$(printf '%s\n' "${b[@]}" | median)
	[[ $n == "$(wc -l <"$work/peer")" ]] || { echo "$n keys listed, the peer has $(wc -l <"$work/peer")" >&2; tail -3 "$work/log" >&2; exit 1; }
	awk -v w="$1" -v n="$n" -v t="$t" -v p="$p" -v g="$(($(peak) - before))" \
		'BEGIN {printf "| %-44s | %10.0f | %10.0f | %5.2f | %5.1f |\n", w, n/t, n/p, p/t, g/1024}'
}

mkdir -p "$trees"
for shape in deep flat; do
	for s in a b; do make_tree "$trees/$keys-$shape-$s" "$shape"; done
done
echo "| listed from two directory sites | keys/s | find + sort, keys/s | ratio | peak memory over that of 1,000 keys, MiB |"
echo "|---|---|---|---|---|"
for shape in deep flat; do
	start "$trees/$keys-$shape-a" "$trees/$keys-$shape-b"
	[[ $shape == deep ]] && name="$keys keys, directories of 1,000" || name="$keys keys in one directory"
	row "$name" "$trees/$keys-$shape-a" "$trees/$keys-$shape-b"
	stop
done
# Written through us: every object has a sidecar.
written=$((keys / 50))
mkdir -p "$work"/{a,b}
start "$work/a" "$work/b"
python3 - "$api" "$written" <<-'P'
	import http.client, sys, threading
	port, n = int(sys.argv[1]), int(sys.argv[2])
	def put(first):
	    c = http.client.HTTPConnection("127.0.0.1", port)
	    for i in range(first, n, 16):
	        c.request("PUT", f"/api/v1/objects/w/{i // 1000:05d}/{i % 1000:04d}", b"sixteen bytes...")
	        r = c.getresponse()
	        r.read()
	        assert r.status == 201, r.status
	ts = [threading.Thread(target=put, args=(k,)) for k in range(16)]
	[t.start() for t in ts]
	[t.join() for t in ts]
P
row "$written keys written through us" "$work/a" "$work/b"
stop
