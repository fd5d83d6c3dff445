#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# T45, T46, B27: clients in all regions read and write a few hot keys of a strong keyspace while coordinators are killed or paused,
# links cut, one region or all of them killed at random, for SECONDS_RUN (15; by hand 600); then the history is judged
# linearizable (transactions: strictly serializable), every region holds what it says and the same as the others, and nothing is
# in doubt. FAULTS=0: no fault at all. BENCH_FLAGS: more for godwit-bench. SEED repeats the order of faults, not their effect.
. "$(dirname "$0")/lib.sh"
seconds=${SECONDS_RUN:-15} faults=${FAULTS:-1} keyspace=${KEYSPACE:-orders}
RANDOM=${SEED:=$((RANDOM * 32768 + RANDOM))}
echo "SEED=$SEED SECONDS_RUN=$seconds FAULTS=$faults"
names=($regions)
up || fail "up"

bench() { # SECONDS FLAG...
	exec "$GODWIT_BENCH" --dir "$work/data" --topology "$work/topology.yaml" --level strong --keyspace "$keyspace" --keys 10 --read-ratio 0.5 \
		--value-size 40 --clients 6 --pipeline 4 --rate "${RATE:-0}" --timeout 1500 --warmup 0 --apart --json --seconds "$@" ${BENCH_FLAGS:-}
}

# A fault counts when it has happened: a link that is not cut, or a process that was not there, is none (H23).
quiet() { "$@" >"$work/quiet" 2>&1 || fail "$*: $(cat "$work/quiet")"; }
declare -A caused
fault() {
	local region=${names[RANDOM % 3]} other pids what
	case $((RANDOM % 9)) in
	0 | 1) what=kill
		pids=$(actor_of "$region" coordinator) && killed $pids || return ;;
	2 | 3) what=pause
		pids=$(actor_of "$region" coordinator) && kill -STOP $pids 2>/dev/null || return
		{ sleep $((1 + RANDOM % 3)).$((RANDOM % 10)); kill -CONT $pids; } 2>/dev/null & ;;
	4) what=cut_off
		quiet godwit link cut '*' "$region"
		quiet godwit link cut "$region" '*'
		between 500 3000
		quiet godwit link heal '*' '*' ;;
	5 | 6) what=cut other=${names[RANDOM % 3]}
		[ "$region" != "$other" ] || return
		quiet godwit link cut "$region" "$other"
		[ $((RANDOM % 2)) = 0 ] || quiet godwit link cut "$other" "$region"
		between 500 3000
		quiet godwit link heal '*' '*' ;;
	7) what=region
		pids=$(processes_of "$region") && killed $pids || fail "kill of $region: $pids"
		region_gone "$region"
		between 1 1500
		up || fail "up after the kill of $region" ;;
	8) what=all_regions
		for other in $regions; do
			pids=$(processes_of "$other") && killed $pids || fail "kill of $other: $pids"
		done
		for other in $regions; do region_gone "$other"; done
		up || fail "up after the kill of all" ;;
	esac
	caused[$what]=$((${caused[$what]:-0} + 1))
}

run=$seconds expected=0
[ "$faults" = 0 ] || run=600 expected=130 # interrupted three seconds after the last fault
bench "$run" --history "$work/history" >"$work/bench" 2>"$work/bench.err" &
bench_pid=$!
sleep 2
window=""
if [ "$faults" != 0 ]; then
	begin=$(monotonic_ns) end_ms=$(($(now_ms) + seconds * 1000))
	while [ "$(now_ms)" -lt $end_ms ]; do
		fault
		between 100 800
	done
	window="--fault $begin:$(monotonic_ns)"
	[ ${#caused[@]} -gt 0 ] || fail "no fault happened in $seconds s: that proves nothing"
	sleep 3
	kill -INT $bench_pid
fi
wait $bench_pid
code=$?
[ $code = $expected ] || fail "godwit-bench: exit code $code: $(cat "$work/bench.err")"
wait
even "$keyspace"
finals=""
for region in $regions; do
	godwit export -k "$keyspace" --level eventual -r "$region" >"$work/final.$region" || fail "export of $region"
	finals="$finals --final $work/final.$region"
done
"$GODWIT_CHECK" --level strong --value-bytes 24 --min-ok 20 $window $finals "$work/history" >"$work/judged"
code=$?
cat "$work/judged"
[ $code = 0 ] || fail "godwit-check: exit code $code"
jq -r '"bench " + ([.regions[]? | "\(.name): \(.writes // .writes_per_s)"] | join(" "))' "$work/bench" 2>/dev/null
for region in $regions; do
	echo "$region $(grep "\"region\":\"$region\"" "$work/history" | grep -o '"outcome":"[a-z]*"' | sort | uniq -c | awk '{ gsub(/"outcome":|"/, "", $2); printf " %s=%s", $2, $1 }')"
done
echo "faults:$(for what in "${!caused[@]}"; do echo -n " $what=${caused[$what]}"; done) digests equal, nothing in doubt"
