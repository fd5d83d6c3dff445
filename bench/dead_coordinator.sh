#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# How long the keys of a region that is killed stay with it (A14): ap writes eight strong keys as fast as it can and is killed with
# all its processes; the time from then until us has written each of the eight. Three regions on loopback, ROUNDS (10) times.
#   GODWIT_BIN=build/cmd GODWIT_BENCH=build/bench/godwit-bench bench/dead_coordinator.sh
GODWIT_BIN=$(realpath "$GODWIT_BIN") GODWIT_BENCH=$(realpath "$GODWIT_BENCH")
. "$(dirname "$0")/../tests/e2e/lib.sh"

serving() { # REGION
	until godwit put other 1 -k orders -r "$1" --timeout 2000 2>/dev/null; do sleep 0.05; done
}
up || fail "up"
for round in $(seq "${ROUNDS:-10}"); do
	serving us
	serving ap
	"$GODWIT_BENCH" --topology "$work/topology.yaml" --dir "$work/data" -k orders --level strong --regions ap --clients 8 --pipeline 16 --keys 8 \
		--seconds 5 --warmup 0 >"$work/bench" 2>&1 &
	bench=$!
	sleep 1.5
	keys=$(godwit scan -k orders --level eventual -r us --json | jq -r .key | grep -v other)
	pids=$(processes_of ap)
	start=$(now_ms)
	killed $pids || fail "kill ap"
	for key in $keys; do
		until godwit put "$key" "$round" -k orders -r us --timeout 2000 >/dev/null 2>"$work/err"; do
			[ $(($(now_ms) - start)) -lt 30000 ] || fail "not free after 30 s: $(cat "$work/err")"
		done
	done
	echo "keys=$(wc -w <<<"$keys") free_after_ms=$(($(now_ms) - start))"
	kill $bench
	wait $bench 2>/dev/null
	region_gone ap
	up || fail "up"
done | tee "$work/rounds"
sort -t= -k3n "$work/rounds" | awk -F= '{ ms[NR] = $3 } END { print "median_ms=" ms[int((NR + 1) / 2)] " max_ms=" ms[NR] }'
