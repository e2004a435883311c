#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that are missing: deps.sh build | test ... Used by quickstart.sh and check.sh.
set -eu

build="gcc libc6-dev make autoconf automake autoconf-archive libtool pkg-config libevent-dev libcurl4-openssl-dev libyaml-dev
  libjansson-dev libmsgpack-dev libsqlite3-dev libhttp-parser-dev libexpat1-dev libssl-dev zlib1g-dev mandoc curl ca-certificates python3"
test="libcriterion-dev python3 python3-pytest python3-pytest-xdist universal-ctags awscli s3cmd rclone nginx-light wrk valgrind
  procps psmisc prometheus ceph-mon ceph-osd ceph-mgr radosgw ceph-common uuid-runtime zsh fish"

want=""
for set in "$@"; do
	case $set in
	build) want="$want $build" ;;
	test) want="$want $test" ;;
	*) echo "usage: deps.sh build|test ..." >&2; exit 2 ;;
	esac
done
missing=""
for p in $want; do
	dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || { echo "deps.sh: not root and no sudo; please install:$missing" >&2; exit 1; }
	as_root="sudo"
fi
echo "Installing:$missing"
apt="$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -o DPkg::Lock::Timeout=300"
# An installation that was interrupted, perhaps an earlier run of this script, would block every later one.
$as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >/dev/null
$apt update
# No service of an installed package may start: the tests bring their own nginx and Ceph.
$apt install -y --no-install-recommends $missing >/dev/null
