#!/bin/bash
# Man pages are clean mdoc, and every daemon and tool has one.
cd "$(dirname "$0")/../.."
bad=0
for page in routerd.8 healthd.8 repld.8 cached.8 gfsctl.8 libglobalfs.3 globalfs.7 globalfs.yaml.5 gfs-ipc.7 globalfs-metrics.7; do
	f=man/$page
	[ -f "$f" ] || f=$1/man/$page
	[ -f "$f" ] || { echo "no page $page"; bad=1; continue; }
	mandoc -T lint -W warning "$f" || bad=1
done
exit $bad
