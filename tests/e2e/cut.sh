#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A region cut off under load (SECONDS_CUT, 6; by hand 60) catches up by itself, the others do not slow down, and memory of the
# streamers stays bounded. The rates are printed, and not judged here: a timed assertion on a shared machine says nothing.
. "$(dirname "$0")/lib.sh"
cut_s=${SECONDS_CUT:-6}
up || fail "up"

bench() { "$GODWIT_BENCH" --dir "$work/data" --topology "$work/topology.yaml" --seconds "$1" --warmup 0 --regions us,eu --clients 2 --keys 20000 --json "${@:2}"; }
memory_kib() { # largest resident size of any streamer
	local region
	for region in $regions; do
		awk '/^VmHWM/ { print $2 }' "/proc/$(actor_of "$region" streamer)/status"
	done | sort -n | tail -1
}

before=$(bench 3 | jq '.ops_per_s') || fail "bench"
memory_before=$(memory_kib)
godwit link cut '*' ap >/dev/null && godwit link cut ap '*' >/dev/null || fail "link cut"
during=$(bench "$cut_s" --apart | jq '.ops_per_s') || fail "bench during the cut"
godwit put island "written while cut off" -r ap || fail "a cut-off region must take eventual writes"
godwit get island -r us >/dev/null 2>&1 && fail "the link is not cut"
memory_during=$(memory_kib)
start=$(now_ms)
godwit link heal '*' '*' >/dev/null || fail "link heal"
godwit verify --wait-ms 120000 || fail "no catch-up"
took=$(($(now_ms) - start))
[ "$(godwit get island -r us)" = "written while cut off" ] || fail "the island's write is lost"
memory_after=$(memory_kib)
[ "$memory_after" -lt $((memory_before + 128 * 1024)) ] || fail "a streamer grew from $memory_before to $memory_after KiB"
echo "cut_s=$cut_s before_ops=$before during_ops=$during catch_up_ms=$took streamer_kib=$memory_before/$memory_during/$memory_after"
