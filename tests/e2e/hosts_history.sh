#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The three-host run: three hosts (namespaces) with the round trips of oceans, 75, 110 and 190 ms, made outside of the product, a fourth
# with the clients. For SECONDS_RUN (15; by hand 600): links cut both ways or one way only, a region cut off, actors and whole
# regions killed or paused, and, in builds with crash points, wall clocks set off by minutes both ways. After each fault every region
# takes strong and eventual writes again within OUT_MS (10000). Then both histories are judged, nothing is in doubt, all regions are
# the same, and nothing acknowledged is missing. RATE: operations a second of each level (100). SEED repeats the order of faults.
. "$(dirname "$0")/hosts_lib.sh"
seconds=${SECONDS_RUN:-15} out_ms=${OUT_MS:-10000} rate=${RATE:-100}
RANDOM=${SEED:=$((RANDOM * 32768 + RANDOM))}
clocks=0
grep -q GODWIT_CLOCK_FILE "$GODWIT_BIN/godwit-coordinator" && clocks=1
echo "SEED=$SEED SECONDS_RUN=$seconds RATE=$rate clock jumps: $([ $clocks = 1 ] && echo yes || echo "no, the build has no crash points")"
names=($regions)

cat >"$work/topology.yaml" <<YAML
cluster: hosts
regions:
  - { name: us, id: 0, datacenter: Virginia, nodes: ["10.77.0.1:7400"], is_primary: true, priority: 100 }
  - { name: eu, id: 1, datacenter: Ireland, nodes: ["10.77.0.2:7400"], priority: 50 }
  - { name: ap, id: 2, datacenter: Mumbai, nodes: ["10.77.0.3:7400"], priority: 25 }
keyspaces:
  - { name: orders, level: strong, ack: quorum }
  - { name: prices, level: eventual, strategy: lww }
YAML
for r in $regions; do
	cp "$work/topology.yaml" "$work/$r/"
	echo 0 >"$work/$r/clock"
	host $r godwit keys init --topology topology.yaml >/dev/null && host $r godwit keys export -o "$work/$r.keys" || fail "keys of $r"
done
mkdir -p "$work/app/godwit-data"
cp "$work/topology.yaml" "$work/app/godwit-data/"
host app godwit keys init --client load >/dev/null && host app godwit keys export -o "$work/app.keys" || fail "keys of the clients"
for r in $hosts; do for other in $hosts; do
	host $r godwit keys import "$work/$other.keys" --rights read,write,admin --topology "$work/topology.yaml" >/dev/null || fail "$r imports the keys of $other"
done; done
up() { GODWIT_CLOCK_FILE="$work/$1/clock" host "$1" godwit up --topology topology.yaml "${@:2}" >>"$work/up.log" 2>&1 || fail "up of $1: $(tail -3 "$work/up.log")"; }
up us --new-cluster; up eu; up ap
app() { host app godwit "$@"; }

bench() { # NAME FLAG...
	host app "$GODWIT_BENCH" --dir ./godwit-data --clients 6 --pipeline 4 --rate "$rate" --timeout 4000 --warmup 0 --value-size 40 --read-ratio 0.4 \
		--apart --json --history "$work/history.$1" "${@:2}" >"$work/bench.$1" 2>"$work/bench.$1.err"
}
bench strong --seconds $((seconds + 22)) --level strong --keyspace orders --keys $((10 + seconds / 10)) --cas-ratio 0.2 & strong_pid=$!
bench eventual --seconds $((seconds + 22)) --level eventual --keyspace prices --keys 2000 & eventual_pid=$!
sleep 3

declare -A caused worst
# Every region takes writes of both levels again; how long that takes counts from the end of the fault.
recovered() { # WHAT
	local region keyspace begun took
	begun=$(now_ms)
	for region in $regions; do
		for keyspace in orders prices; do
			until app put "probe-$region" "$begun" -k $keyspace -r "$region" --timeout 2000 >"$work/out" 2>&1; do
				[ $(($(now_ms) - begun)) -le "$out_ms" ] || fail "$region takes no writes of $keyspace $(($(now_ms) - begun)) ms after the end of: $1 ($(cat "$work/out"))"
				sleep 0.05
			done
		done
	done
	took=$(($(now_ms) - begun))
	[ $took -le "$out_ms" ] || fail "six writes, two in each region, took $took ms after the end of: $1"
	[ $took -le "${worst[$what]:-0}" ] || worst[$what]=$took
	caused[$what]=$((${caused[$what]:-0} + 1))
}
clock_is_off() { # REGION MS: and the region says so, give or take a second
	local told
	told=$(app status --json 2>/dev/null | jq -r --arg r "$1" 'select(.name == $r) | .clock_ahead_ms // empty')
	[ -n "$told" ] && [ $((told - $2)) -lt 1000 ] && [ $((told - $2)) -gt -1000 ]
}
# A fault counts when it has happened: a cut that took no packet, or a process that was not there, is none (H23).
fault() {
	local region=${names[RANDOM % 3]} other actor pids size detail lost=$wan_lost
	other=${names[RANDOM % 3]}
	[ "$region" != "$other" ] || other=${names[(${number[$region]} + 1) % 3]}
	case $((RANDOM % (8 + 2 * clocks))) in
	0) what=one_way detail="$region>$other"
		wan_set "$detail"
		between 1000 8000 ;;
	1) what=both_ways detail="$region and $other"
		wan_set "$region>$other" "$other>$region"
		between 1000 8000 ;;
	2) what=cut_off detail=$region
		wan_set "$region"
		between 1000 8000 ;;
	3) what=deaf detail="$region hears nobody" # and the others hear it
		wan_set $(for from in $regions; do [ $from = $region ] || echo "$from>$region"; done)
		between 1000 8000 ;;
	4) what=all_cut detail=""
		wan_set us eu ap
		between 1000 4000 ;;
	5) what=kill actor=$(shuf -n 1 -e coordinator streamer monitor router reconciler) detail="$actor of $region"
		pids=$(actor_of "$region" "$actor") && killed $pids || return ;;
	6) what=pause actor=$(shuf -n 1 -e coordinator streamer router) detail="$actor of $region"
		pids=$(actor_of "$region" "$actor") && kill -STOP $pids 2>/dev/null || return
		between 1000 6000
		kill -CONT $pids 2>/dev/null ;; # unless its supervisor has ended it
	7) what=region detail=$region
		pids=$(processes_of "$region") && killed $pids || fail "kill of $region: $pids"
		region_gone "$region"
		between 1 2000
		up "$region" ;;
	*) what=clock size=$(shuf -n 1 -e 2000 60000 180000 600000) detail="$region $size ms"
		[ $((RANDOM % 2)) = 0 ] || size=-$size
		echo $size >"$work/$region/clock"
		between 2000 6000
		clock_is_off "$region" "$size" || fail "the clock of $region is not $size ms off"
		echo 0 >"$work/$region/clock" ;;
	esac
	case $what in
	one_way | both_ways | cut_off | deaf | all_cut)
		wan_set
		[ "$wan_lost" -gt "$lost" ] || fail "a cut took no packet: $what $detail" ;;
	esac
	echo "$(monotonic_ns) $what $detail" >>"$work/faults"
	recovered "$what $detail"
}
begin=$(monotonic_ns) end_ms=$(($(now_ms) + seconds * 1000))
while [ "$(now_ms)" -lt $end_ms ]; do
	fault
	between 200 1500
done
[ ${#caused[@]} -gt 0 ] || fail "no fault happened in $seconds s: that proves nothing"
window="--fault $begin:$(monotonic_ns)"
wait $strong_pid || fail "godwit-bench: $(cat "$work/bench.strong.err")"
wait $eventual_pid || fail "godwit-bench: $(cat "$work/bench.eventual.err")"

settled app
for keyspace in orders prices; do
	app verify -k $keyspace --wait-ms 60000 >"$work/verify" 2>&1 || fail "the regions differ in $keyspace: $(cat "$work/verify")"
	finals=""
	for r in $regions; do
		app export -k $keyspace --level eventual -r $r | grep -v '^{"key":"probe-' >"$work/final.$keyspace.$r" || fail "export of $r"
		finals="$finals --final $work/final.$keyspace.$r"
	done
	level=strong name=strong skew=
	# A clock that was ahead leaves stamps ahead by as much; lww decides writes that crossed by stamps.
	[ $keyspace = orders ] || { level=eventual name=eventual; [ $clocks = 0 ] || skew="--clock-skew-ms 601000"; }
	"$GODWIT_CHECK" --level $level --value-bytes 24 --min-ok 20 $window $skew $finals "$work/history.$name" >"$work/judged.$name"
	code=$?
	cat "$work/judged.$name"
	[ $code = 0 ] || fail "godwit-check ($level): exit code $code"
done
for name in strong eventual; do
	echo "$name: $(grep -o '"outcome":"[a-z]*"' "$work/history.$name" | sort | uniq -c | awk '{ gsub(/"outcome":|"/, "", $2); printf " %s=%s", $2, $1 }')"
done
app status >"$work/status" || fail "status: $(cat "$work/status")"
echo "faults, and the longest time until all took writes again:$(for what in "${!caused[@]}"; do echo -n " $what=${caused[$what]} (${worst[$what]:-0} ms)"; done)"
