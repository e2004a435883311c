#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real S3 store for tests: one Ceph monitor, manager, in-memory OSD and radosgw on loopback, all of it under DIR and gone when it is
# stopped. Several may run at once. Packages: ceph-mon ceph-osd ceph-mgr radosgw ceph-common.
#   rgw.sh start DIR   DIR must not exist; prints lines that a shell can read:
#                      export GFS_TEST_S3_ENDPOINT=http://127.0.0.1:PORT, GFS_TEST_S3_ACCESS_KEY=..., GFS_TEST_S3_SECRET_KEY=...,
#                      GFS_TEST_S3_HTTPS=https://127.0.0.1:PORT and GFS_TEST_S3_CA=FILE for the same store by TLS;
#                      http://localhost:PORT serves BUCKET.localhost too
#   rgw.sh stop DIR    ends every process of it, checks that they are gone, and removes DIR
#   rgw.sh kill DIR    kill -9 of the gateway alone;  rgw.sh again DIR  starts it again on its port
set -uo pipefail
ACCESS=GFSTESTACCESSKEY SECRET=gfstestsecretkey0123456789
me=$(basename "$0")

die() { echo "$me: $*" >&2; exit 1; }
alive() { [[ -n $1 ]] && kill -0 "$1" 2>/dev/null && [[ $(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null) != Z ]]; }
pid_of() { cat "$D/run/$1.pid" 2>/dev/null; }

free_ports() { # count
	python3 -c 'import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in held: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])' "$1"
}

# Starts a program of Ceph's in the foreground of a session of its own, so that its pid is known at once.
spawn() { # name program args...
	local name=$1
	shift
	setsid "$@" -f </dev/null >"$D/log/$name.out" 2>&1 9>&- &
	echo $! >"$D/run/$name.pid"
}

# Waits until the command succeeds; gives up at once when the process it waits for has ended.
await() { # seconds name command...
	local end=$((SECONDS + $1)) name=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		alive "$(pid_of "$name")" || { echo "$me: $name ended early:" >&2; tail -5 "$D/log/$name.out" >&2; return 1; }
		((SECONDS < end)) || { echo "$me: $name is not ready in time" >&2; return 1; }
		sleep 0.1
	done
}

stop_all() {
	local f pid pids=() end
	for f in "$D"/run/*.pid; do
		pid=$(cat "$f" 2>/dev/null)
		alive "$pid" && pids+=("$pid") && kill "$pid" 2>/dev/null
	done
	end=$((SECONDS + 5))
	for pid in "${pids[@]}"; do
		while alive "$pid" && ((SECONDS < end)); do sleep 0.05; done
		alive "$pid" && kill -9 "$pid" 2>/dev/null
	done
	for pid in "${pids[@]}"; do
		for _ in $(seq 40); do alive "$pid" || break; sleep 0.05; done
		alive "$pid" && die "process $pid of $D does not end"
	done
	return 0
}

write_conf() { # gateway-port monitor-port gateway-tls-port
	cat >"$CONF" <<C
[global]
fsid = $FSID
mon host = [v2:127.0.0.1:$2/0]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
ms bind ipv6 = false
keyring = $D/keyring
log file = $D/log/\$name.log
admin socket = $D/run/\$name.asok
run dir = $D/run
mon data = $D/mon
osd data = $D/osd
mgr data = $D/mgr
rgw data = $D/rgw
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
mon data avail warn = 2
mon max pg per osd = 1000
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 8589934592
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:$1 ssl_endpoint=127.0.0.1:$3 ssl_certificate=$D/tls.pem tcp_nodelay=1
rgw dns name = localhost
C
}

# A certificate for the gateway, signed by itself.
write_certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
		-addext 'subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:*.localhost' -keyout "$D/key.pem" -out "$D/ca.pem" &&
		cat "$D/key.pem" "$D/ca.pem" >"$D/tls.pem"
} >"$D/log/tls.out" 2>&1

write_keys() {
	local k=$D/keyring
	ceph-authtool --create-keyring "$k" --gen-key -n mon. --cap mon 'allow *' &&
		ceph-authtool "$k" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' &&
		ceph-authtool "$k" --gen-key -n client.rgw.a --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' &&
		ceph-authtool "$k" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' --cap mgr 'allow profile osd' &&
		ceph-authtool "$k" --gen-key -n mgr.x --cap mon 'allow profile mgr' --cap osd 'allow *'
} >"$D/log/keys.out" 2>&1

ceph_cmd() { timeout 20 ceph -c "$CONF" --connect-timeout 5 "$@"; }
user_there() { timeout 20 radosgw-admin -c "$CONF" -n client.rgw.a user info --uid=main; }
gateway() { spawn gateway radosgw -c "$CONF" -n client.rgw.a; }
answers() { curl -s -o /dev/null --noproxy '*' --max-time 5 "http://127.0.0.1:$PORT/"; }

try_start() {
	local mon tls osd
	mkdir -p "$D"/{mon,osd,mgr,rgw,run,log} || return 1
	read -r PORT mon tls < <(free_ports 3)
	FSID=$(cat /proc/sys/kernel/random/uuid) osd=$(cat /proc/sys/kernel/random/uuid)
	echo "$PORT" >"$D/port"
	HTTPS=https://127.0.0.1:$tls
	write_conf "$PORT" "$mon" "$tls"
	write_certificate && write_keys || return 1
	monmaptool --create --fsid "$FSID" --addv a "[v2:127.0.0.1:$mon]" "$D/monmap" >"$D/log/monmap.out" 2>&1 || return 1
	ceph-mon -c "$CONF" --mkfs -i a --monmap "$D/monmap" --keyring "$D/keyring" >"$D/log/mkfs.out" 2>&1 || return 1
	spawn monitor ceph-mon -c "$CONF" -i a
	await 30 monitor ceph_cmd auth import -i "$D/keyring" || return 1
	ceph_cmd osd new "$osd" 0 >"$D/log/osd-new.out" 2>&1 || return 1
	ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$osd" >>"$D/log/mkfs.out" 2>&1 || return 1
	spawn osd ceph-osd -c "$CONF" -i 0
	spawn manager ceph-mgr -c "$CONF" -i x
	gateway
	await 90 gateway answers || return 1
	timeout 60 radosgw-admin -c "$CONF" -n client.rgw.a user create --uid=main --display-name=main --email=main@example.com \
		--access-key="$ACCESS" --secret-key="$SECRET" >"$D/log/user.out" 2>&1 || user_there >/dev/null 2>&1
}

start() {
	[[ ! -e $D ]] || die "$D exists already"
	for _ in 1 2 3; do
		if try_start; then
			echo "export GFS_TEST_S3_ENDPOINT=http://127.0.0.1:$PORT"
			echo "export GFS_TEST_S3_ACCESS_KEY=$ACCESS"
			echo "export GFS_TEST_S3_SECRET_KEY=$SECRET"
			echo "export GFS_TEST_S3_HTTPS=$HTTPS"
			echo "export GFS_TEST_S3_CA=$D/ca.pem"
			return 0
		fi
		stop_all
		rm -rf "$D"
	done
	die "the store does not start"
}

[[ $# -eq 2 ]] || die "usage: $me start|stop|kill|again DIR"
D=$(realpath -m "$2") CONF=$D/ceph.conf
case $1 in
start) start ;;
stop)
	[[ -d $D ]] || exit 0
	[[ -f $D/ceph.conf ]] || die "$D was not made by $me"
	stop_all
	PORT=$(cat "$D/port")
	answers && die "something still answers on port $PORT"
	rm -rf "$D"
	;;
kill)
	pid=$(pid_of gateway)
	kill -9 "$pid" 2>/dev/null
	while alive "$pid"; do sleep 0.02; done
	;;
again)
	PORT=$(cat "$D/port")
	gateway
	await 60 gateway answers || exit 1
	;;
*) die "usage: $me start|stop|kill|again DIR" ;;
esac
