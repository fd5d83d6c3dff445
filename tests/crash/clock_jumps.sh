#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# C5: one region's wall clock jumps, 1 s to 1 day, forward or back, for HOLD seconds (3; by hand 10) under load, JUMPS times (3; by
# hand 30). Only in builds with crash points, where a file sets a region's clock off. No other region answers anything but ok, none
# stalls for longer than STALL_MS (3000, because the machine of a test run is shared; by hand 1000), 2 s after the clock is right all
# is as before, and in the end nothing acknowledged is missing and both histories are judged.
. "$(dirname "$0")/../e2e/lib.sh"
jumps=${JUMPS:-3} hold=${HOLD:-3} stall_ms=${STALL_MS:-3000}
RANDOM=${SEED:=$((RANDOM * 32768 + RANDOM))}
echo "SEED=$SEED JUMPS=$jumps HOLD=$hold"
names=($regions)
for region in $regions; do
	echo 0 >"$work/clock.$region"
	GODWIT_CLOCK_FILE="$work/clock.$region" up -r "$region" || fail "up of $region"
done

seconds=$((jumps * (hold + 5) + 6))
bench() { # NAME FLAG...
	"$GODWIT_BENCH" --dir "$work/data" --topology "$work/topology.yaml" --clients 3 --pipeline 2 --rate 300 --timeout 4000 --warmup 0 \
		--value-size 40 --read-ratio 0.3 --seconds "$seconds" --apart --json --history "$work/history.$1" "${@:2}" \
		>"$work/bench.$1" 2>"$work/bench.$1.err"
}
bench strong --level strong --keyspace orders --keys 12 --cas-ratio 0.2 & strong_pid=$!
bench eventual --level eventual --keyspace prices --keys 2000 & eventual_pid=$!
sleep 3

clock_of() { godwit status --json | jq -r --arg r "$1" 'select(.name == $r) | .clock_ahead_ms // "unknown"'; }
sizes=(1000 3000 40000 600000 7200000 86400000)
refused=0 began=$(monotonic_ns)
for number in $(seq "$jumps"); do
	region=${names[RANDOM % 3]} ms=${sizes[RANDOM % 6]}
	[ $((RANDOM % 2)) = 0 ] || ms=-$ms
	echo "$(monotonic_ns) $region" >>"$work/windows"
	echo "$ms" >"$work/clock.$region"
	sleep 1
	told=$(clock_of "$region")
	if [ "$ms" -gt 0 ]; then
		for keyspace in orders prices; do
			godwit put clock-probe x -k "$keyspace" -r "$region" >"$work/out" 2>&1 && fail "$region takes writes of $keyspace, $ms ms ahead"
			grep -q 'CLOCK_AHEAD.*ms ahead of the majority' "$work/out" || fail "refused otherwise: $(cat "$work/out")"
			refused=$((refused + 1))
		done
	fi
	[ "$told" != unknown ] && [ $((told > ms ? told - ms : ms - told)) -lt 200 ] || fail "status tells $told ms, the clock of $region is $ms ms off"
	sleep $((hold - 1))
	echo 0 >"$work/clock.$region"
	sleep 2
	for other in $regions; do
		for keyspace in orders prices; do
			start=$(now_ms)
			godwit put "after-$number-$other" "$number" -k "$keyspace" -r "$other" --timeout 4000 >"$work/out" 2>&1 ||
				fail "2 s after $region's clock was right, $other does not take a write of $keyspace: $(cat "$work/out")"
			took=$(($(now_ms) - start))
			[ $took -lt "$stall_ms" ] || fail "2 s after $region's clock was right, a write of $keyspace in $other took $took ms"
		done
	done
	for other in $regions; do
		for _ in $(seq 100); do [ "$(godwit get "after-$number-$region" -k prices -r "$other" 2>/dev/null)" = "$number" ] && continue 2; sleep 0.02; done
		fail "what $region wrote 2 s after its clock was right does not reach $other"
	done
	echo "jump $number: $region by $ms ms, status told $told ms"
done
ended=$(monotonic_ns)
wait $strong_pid || fail "godwit-bench: $(cat "$work/bench.strong.err")"
wait $eventual_pid || fail "godwit-bench: $(cat "$work/bench.eventual.err")"

# Of the regions whose clock was right: the slowest operation, and what was not ok, while another's was wrong and for 2 s after.
for level in strong eventual; do
	jq -r '[.region, .call_ns // .start_ns // .begin_ns, .return_ns // .end_ns, .outcome] | @tsv' "$work/history.$level" |
		awk -v hold="$hold" -v level="$level" 'NR == FNR { at[n++] = $1; who[n - 1] = $2; next }
			{ for (i = 0; i < n; i++) if ($1 != who[i] && $2 < at[i] + (hold + 2) * 1e9 && $3 > at[i]) { count++
				if (($3 - $2) / 1e6 > most) { most = ($3 - $2) / 1e6; worst = $1 }
				if ($4 != "ok" && $4 != "fail" && $4 != "missing") bad[$4]++ ; break } }
			END { printf "%s: %d operations of other regions, slowest %.0f ms (%s)", level, count, most, worst
				for (b in bad) printf ", %s %d", b, bad[b]; print ""; print most > "/dev/stderr" }' "$work/windows" - 2>"$work/most"
	most=$(cat "$work/most")
	[ "${most%.*}" -lt "$stall_ms" ] || fail "$level: an operation of another region took $most ms"
done
even orders
even prices
for level in strong eventual; do
	keyspace=$([ $level = strong ] && echo orders || echo prices) finals=""
	for region in $regions; do
		godwit export -k $keyspace --level eventual -r "$region" >"$work/final.$level.$region" || fail "export of $region"
		finals="$finals --final $work/final.$level.$region"
	done
	"$GODWIT_CHECK" --level $level --value-bytes 24 --min-ok 20 --other-keys --clock-skew-ms 90000000 $finals "$work/history.$level" >"$work/judged"
	code=$?
	cat "$work/judged"
	[ $code = 0 ] || fail "godwit-check of $level: exit code $code"
done
echo "jumps=$jumps refused=$refused seconds=$(((ended - began) / 1000000000))"
