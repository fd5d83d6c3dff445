#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# F04, F05: a region whose disk is full refuses writes before they are in its log, still answers reads, and lets what other regions
# send wait; once there is room it goes on by itself, and has lost and skipped nothing. Needs to mount a small tmpfs.
. "$(dirname "$0")/lib.sh"
mkdir -p "$work/data/us"
if ! mount -t tmpfs -o size=256m tmpfs "$work/data/us" 2>/dev/null; then
	echo "SKIPPED: cannot mount a tmpfs here (needs root)"
	exit 77
fi
unmount() {
	local code=$?
	trap - EXIT
	[ $code = 0 ] || tail -n 8 "$work"/data/us/*.stderr >&2
	godwit down >/dev/null 2>&1
	umount -l "$work/data/us"
	(exit $code)
	cleanup
}
trap unmount EXIT

up || fail "up"
godwit put base "from before" -r us || fail "put"
has_base() { [ "$(godwit get base -r "$1" 2>/dev/null)" = "from before" ]; }
within 5 has_base eu || fail "a write does not reach eu"

# Nothing is left; what the region has set aside for itself it may still use.
dd if=/dev/zero of="$work/data/us/filler" bs=1M 2>/dev/null
[ "$(df --output=avail "$work/data/us" | tail -1)" -eq 0 ] || fail "the disk is not full"
# All that run; later without those that are killed here.
running() { echo "$(cat "$work/data/us/supervisor.pid") $(pgrep -P "$(cat "$work/data/us/supervisor.pid")" ${1:+-f "$1"} | sort | tr '\n' ' ')"; }
untouched='godwit-(monitor|reconciler)'
from_before=$(running "$untouched")
[ "$(wc -w <<<"$from_before")" = 3 ] || fail "no monitor or reconciler: $from_before"
all_before=$(running)

# More than that arrives from another region, and from clients.
rows=1400
awk -v rows=$rows 'BEGIN { for (v = "x"; length(v) < 65536;) v = v v; for (i = 0; i < rows; i++) printf "big-%d\t%s\n", i, v }' |
	godwit load - --format tsv -r eu --timeout 60000 >/dev/null || fail "load in eu"
for i in $(seq 300); do
	refusal=$(godwit put "probe" "$i" -r us --timeout 1000 2>&1) && taken=$i
	code=$?
	[ $code = 3 ] && break
	sleep 0.1
done
[ $code = 3 ] && grep -q DISK_FULL <<<"$refusal" || fail "a write is not refused with DISK_FULL: exit code $code, $refusal"
for i in $(seq 5); do
	godwit put refused "never to be seen" -r us >/dev/null 2>&1
	[ $? = 3 ] || fail "a write to the full region is not refused"
done
[ "$(godwit get base -r us)" = "from before" ] || fail "a full region does not answer reads"
godwit put elsewhere "while us is full" -r ap || fail "another region does not take writes"
has_last() { godwit get big-$((rows - 1)) -r ap >/dev/null 2>&1; }
within 20 has_last || fail "another region is held up"
held=0
for i in $(seq 0 50 $((rows - 1))); do godwit get "big-$i" -r us >/dev/null 2>&1 || held=$((held + 50)); done
[ $held -gt 0 ] || fail "everything fitted in: that proves nothing"

[ "$(running)" = "$all_before" ] || fail "a process of the region died when its disk was full: $all_before, $(running)"

# Killed while the disk is full, it starts again, reads and streams; its other processes as well.
for role in coordinator router streamer; do
	kill -9 "$(actor_of us $role)" || fail "no $role"
done
within 10 has_base us || fail "a region killed on a full disk does not come back"
is_another() { local now; now=$(actor_of us "$1") && [[ " $all_before " != *" $now "* ]] && godwit admin "$1" ping -r us >/dev/null 2>&1; }
for role in coordinator router streamer; do within 10 is_another $role || fail "the $role of us does not come back: $(running)"; done
processes=$(running)

rm "$work/data/us/filler" && mount -o remount,size=2g "$work/data/us" || fail "remount"
start=$(now_ms)
until godwit put after "there is room" -r us >/dev/null 2>&1; do
	[ $(($(now_ms) - start)) -lt 15000 ] || fail "writes are still refused 15 s after there is room"
	sleep 0.1
done
recovered_ms=$(($(now_ms) - start))
godwit verify --wait-ms 60000 || fail "regions differ"
[ "$(godwit get elsewhere -r us)" = "while us is full" ] || fail "a write of another region is lost"
for region in $regions; do
	godwit get refused -r "$region" >/dev/null 2>&1 && fail "a refused write is in $region"
	[ -z "${taken:-}" ] || [ "$(godwit get probe -r "$region")" = "$taken" ] || fail "probe in $region is not the last one acknowledged"
done
[ "$processes" = "$(running)" ] || fail "a process of the full region died: $processes, $(running)"
[ "$from_before" = "$(running "$untouched")" ] || fail "a process that nobody killed is another one: $from_before, $(running "$untouched")"
echo "held=$held of $rows recovered_ms=$recovered_ms"
