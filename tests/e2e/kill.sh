#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# T27, T28, T30, F24: SIGKILL of any actor, a supervisor or a whole region, at random, under load, KILLS times (12; by hand 100):
# every acknowledged write is in every region at the end, digests are equal, and each restart serves writes within LIMIT_MS (5000,
# because the machine of a test run is shared; by hand 2000).
. "$(dirname "$0")/lib.sh"
kills=${KILLS:-12} limit_ms=${LIMIT_MS:-5000}
mkdir "$work/acked"
RANDOM=${SEED:=$((RANDOM * 32768 + RANDOM))}
echo "SEED=$SEED KILLS=$kills"

up || fail "up"

# One writer a region, unique keys and a few shared ones, until told to stop. What was acknowledged goes to acked.*.
writer() {
	local region=$1 round=0
	while [ ! -e "$work/stop" ]; do
		round=$((round + 1))
		awk -v r="$region" -v n="$round" 'BEGIN { for (i = 0; i < 3000; i++) printf "%s\tround %d of %s, row %d\n", (i % 20 ? r "-" n "-" i : "shared-" i), n, r, i }' |
			godwit load - --format tsv -r "$region" --pipeline 4 --timeout 30000 --acked "$work/acked/$region.$round" --json >>"$work/load.$region" 2>>"$work/load.$region.err"
	done
}
for region in $regions; do writer "$region" & writers="${writers:-} $!"; done
sleep 1

serving_ms=0 slowest=0
probe() { # REGION: waits until a write is acknowledged there
	local start=$1 region=$2
	until godwit put "probe-$region" "$(now_ms)" -r "$region" --timeout 2000 >/dev/null 2>&1; do
		[ $(($(now_ms) - start)) -lt 20000 ] || fail "$region does not serve 20 s after a kill"
		sleep 0.01
	done
	serving_ms=$(($(now_ms) - start))
	[ $serving_ms -gt $slowest ] && slowest=$serving_ms
}

names=(us eu ap)
# What was killed, one a line: a kill that meets nobody is none, and is made up for (H23).
tries=0
: >"$work/killed"
while [ "$(wc -l <"$work/killed")" -lt "$kills" ]; do
	tries=$((tries + 1))
	[ $tries -le $((kills * 20)) ] || fail "only $(wc -l <"$work/killed") of $kills kills in $tries tries"
	region=${names[RANDOM % 3]}
	case $((RANDOM % 7)) in
	0) what=supervisor pids=$(cat "$work/data/$region/supervisor.pid") ;;
	1) what=region pids=$(processes_of "$region") ;;
	*) roles=(coordinator coordinator streamer monitor router reconciler)
		role=${roles[RANDOM % 6]} what=$role
		pids=$(actor_of "$region" "$role") || { sleep 0.5; continue; } ;;
	esac
	start=$(now_ms)
	killed $pids || { sleep 0.1; continue; }
	echo "$what $region $pids" >>"$work/killed"
	if [ $what = supervisor ] || [ $what = region ]; then up || fail "up after the kill of a $what"; fi
	probe "$start" "$region"
	echo "kill $(wc -l <"$work/killed"): $what of $region, serving after $serving_ms ms"
	[ $serving_ms -lt "$limit_ms" ] || late="${late:-} $what/$region:$serving_ms"
	sleep 0.$((RANDOM % 9 + 1))
done

touch "$work/stop"
wait $writers
godwit verify --wait-ms 60000 || fail "regions differ"
cat "$work"/acked/* >"$work/all"
rows=$(wc -l <"$work/all")
[ "$rows" -gt $((kills * 500)) ] || fail "only $rows acknowledged writes: that proves nothing"
for region in $regions; do godwit verify --acked "$work/all" -r "$region" || fail "an acknowledged write is missing in $region"; done
unknown=$(jq -s 'map(.unknown) | add' "$work"/load.us "$work"/load.eu "$work"/load.ap)
echo "kills=$(wc -l <"$work/killed") acknowledged=$rows unknown=$unknown slowest_restart_ms=$slowest"
[ -z "${late:-}" ] || fail "not serving within $limit_ms ms:$late"
