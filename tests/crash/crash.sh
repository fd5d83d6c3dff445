#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# F24, T27: every crash point (base/crash_point.h; strong.sh has those of strong transactions) is visited in real processes, under
# load. Three at a time, one a region: the process falls there, the supervisor (or this script, when it was the supervisor)
# starts it again, and then every acknowledged write is in every region and the digests are equal. A point that nobody came by
# is a failure.
#   crash.sh [PROGRAM/NAME...]    only these; PASSES=N: so often again in another order (1), drawn from SEED
. "$(dirname "$0")/lib.sh"
# With strong keyspaces much more of the log is kept than is written here.
sed -i '/level: strong/d' "$work/topology.yaml"
RANDOM=${SEED:=$((RANDOM * 32768 + RANDOM))}
echo "SEED=$SEED"
rows=1200
points=$("$CRASH_POINTS" | grep -v ' \(commit\|vote\|both\|recover\)$') || fail "no list of points"
all=$(echo "$points" | wc -l)
[ $# = 0 ] || points=$(for name in "$@"; do echo "$points" | grep "^$name " || fail "no such point: $name"; done)

# What has to be so before the region starts, so that the point is on its way.
prepare() { # REGION WAY
	local region=$1
	case $2 in
	restore) # as if the machine had gone down
		ls "$work/data/$region"/snapshots/snapshot-* >/dev/null 2>&1 || snapshot_take "$region"
		head -c 17 /dev/zero >"$work/data/$region/rows/boot" ;;
	torn) # half a group on the disk, and nobody there to cut it
		rm -f "$work/torn"
		GODWIT_CRASH_POINT=coordinator/log_partly_written:2:stop GODWIT_CRASH_POINT_HIT=$work/torn start "$region"
		ready "$region"
		load "$region" $rows 100 .torn &
		local loader=$!
		hit_wait "$work/torn" "a torn tail"
		kill_region "$region"
		kill $loader 2>/dev/null
		wait $loader 2>/dev/null
		;;
	esac
}
snapshot_take() {
	local i
	start "$1"
	ready "$1"
	godwit admin coordinator snapshot -r "$1" >/dev/null || fail "snapshot in $1"
	for i in $(seq 1000); do ls "$work/data/$1"/snapshots/snapshot-* >/dev/null 2>&1 && break; sleep 0.01; done
	kill_region "$1"
}
# load REGION ROWS SIZE [NAME]: keys of its own and a few that all write.
load() {
	awk -v r="$1" -v n="$round" -v rows="$2" -v size="$3" 'BEGIN {
		filler = sprintf("%" size "s", "");
		for (i = 0; i < rows; i++) printf "%s\t%d of round %d in %s%s\n", (i % 20 ? r "-" n "-" i : "shared-" i), i, n, r, filler }' |
		godwit load - --format tsv -r "$1" --timeout 60000 --acked "$work/acked.$round.$1${4-}" --json >>"$work/load.$1" 2>>"$work/load.$1.err"
}

# What brings the point about while the load runs.
provoke() { # REGION WAY
	case $2 in
	snapshot | drop) # one is taken when the other is done
		local end=$(($(now_ms) + hit_wait_ms))
		until [ -s "$work/hit.$1" ] || [ "$(now_ms)" -gt $end ]; do
			godwit admin coordinator snapshot -r "$1" >/dev/null 2>&1
			sleep 0.2
		done ;;
	stop) kill -TERM "${pids[$1]}" ;;
	esac
}

# The supervisor itself may have fallen, and once it was told to stop.
revive() { # REGION POINT WAY
	[ "$3" != stop ] || region_gone "$1"
	sleep 0.1
	kill -0 "${pids[$1]}" 2>/dev/null && return
	region_gone "$1"
	GODWIT_CRASH_POINT=$2 GODWIT_CRASH_POINT_HIT=$work/hit.$1 start "$1"
	ready "$1"
}

round=0
play() { # REGION POINT WAY, for each region
	local regions_here="" region size
	round=$((round + 1))
	declare -A point way
	while [ $# -gt 0 ]; do
		regions_here="$regions_here $1" point[$1]=$2 way[$1]=$3
		shift 3
	done
	for region in $regions_here; do kill_region "$region"; prepare "$region" "${way[$region]}"; done
	for region in $regions_here; do
		rm -f "$work/hit.$region"
		GODWIT_CRASH_POINT=${point[$region]}$(visits "${point[$region]}") GODWIT_CRASH_POINT_HIT=$work/hit.$region start "$region"
	done
	# One that fell already is started again by its supervisor, or further down.
	for region in $regions; do ready "$region"; done
	local loaders="" provokers=""
	for region in $regions; do
		case ${way[$region]-} in roll | drop) size=5000 ;; *) size=100 ;; esac
		load "$region" $rows $size &
		loaders="$loaders $!"
	done
	for region in $regions_here; do
		provoke "$region" "${way[$region]}" &
		provokers="$provokers $!"
	done
	# Others may need the ones that fell to come by their own point.
	local end=$(($(now_ms) + hit_wait_ms)) waiting=$regions_here
	while [ -n "$waiting" ]; do
		for region in $waiting; do
			if [ -s "$work/hit.$region" ]; then
				waiting=$(echo " $waiting " | sed "s/ $region / /; s/^ *//; s/ *$//")
				revive "$region" "${point[$region]}" "${way[$region]}"
			fi
		done
		[ "$(now_ms)" -lt $end ] || fail "never came by:$(for region in $waiting; do echo " ${point[$region]}"; done)"
		sleep 0.01
	done
	wait $provokers
	wait $loaders
	# Nothing is refused or given up. Unknown is what a log of a few seconds (a segment was dropped) can no longer tell.
	for region in $regions; do
		tail -n 1 "$work/load.$region" | jq -e '.ok + .unknown == .read and .ok > 0' >/dev/null ||
			{ tail -n 1 "$work/load.$region"; tail -n 3 "$work/load.$region.err"; fail "not every write in $region was taken after${point[*]/#/ }"; }
	done
	godwit verify --wait-ms 30000 >"$work/verify" 2>&1 || { cat "$work/verify"; fail "regions differ after${point[*]/#/ }"; }
	cat "$work/acked.$round".* >"$work/acked"
	for region in $regions; do
		godwit verify --acked "$work/acked" -r "$region" >"$work/verify" 2>&1 ||
			{ cat "$work/verify"; fail "an acknowledged write is missing in $region after${point[*]/#/ }"; }
	done
	# What a fall left behind was never taken for anything but what it was.
	if grep -h ' error ' "$work"/data/*/*.stderr; then fail "errors after${point[*]/#/ }"; fi
	echo "$(($(now_ms) - began)) ms:${point[*]/#/ }: $(wc -l <"$work/acked") acknowledged writes are everywhere"
	visited=$((visited + $(echo $regions_here | wc -w)))
}
# Not the first time for what happens all the time: then there is something before it to be lost.
visits() {
	case $1 in
	*/log_entry_buffered | */rows_half_applied | */record_appended) echo :400 ;;
	*/inbound_appended | */ring_taken | */ring_written | */ring_published | */frame_half_delivered) echo :300 ;;
	# With time for the other thread to say too early what is not so yet.
	*/log_written | */log_synced | */log_group_taken | */log_partly_written) echo :3:delay=100:kill ;;
	*/rows_committed | */rows_uncommitted) echo :2 ;;
	coordinator/vector_*) echo :2 ;;
	esac
}

began=$(now_ms) visited=0
# Keys are made by `godwit up` itself, before anything runs.
while read -r name way; do
	[ "$way" = keys ] || continue
	rm -rf "$work/hit"
	wipe
	GODWIT_CRASH_POINT=$name GODWIT_CRASH_POINT_HIT=$work/hit up && fail "up goes on behind $name"
	hit_wait "$work/hit" "$name"
	visited=$((visited + 1))
	up || fail "up after $name"
	[ -z "$(find "$work/data/keys" -name '*.tmp' -newer "$work/hit")" ] || fail "$name: half a key is left"
	godwit put "after-${name##*/}" "x" -r us >/dev/null || fail "put after $name"
	godwit down >/dev/null || fail "down after $name"
done <<<"$points"

# What a region does once in its life.
while read -r name way; do
	[ "$way" = first ] || continue
	begin_anew
	rm -f "$work/hit.us"
	GODWIT_CRASH_POINT=$name GODWIT_CRASH_POINT_HIT=$work/hit.us start us
	start eu
	start ap
	hit_wait "$work/hit.us" "$name"
	revive us "$name" first
	for region in $regions; do ready "$region"; done
	godwit put "after-${name##*/}" x -r us --timeout 20000 >/dev/null || fail "put after $name"
	godwit verify --wait-ms 20000 >/dev/null || fail "regions differ after $name"
	for region in $regions; do kill_region "$region"; done
	visited=$((visited + 1))
done <<<"$points"
begin_anew
for region in $regions; do start "$region"; done
for region in $regions; do ready "$region"; done

names=($regions) batch=()
pass() { # lines of points
	local name way
	batch=()
	while read -r name way; do
		[ "$way" = keys ] || [ "$way" = first ] && continue
		batch+=("${names[${#batch[@]} / 3]}" "$name" "$way")
		[ ${#batch[@]} = 9 ] && { play "${batch[@]}"; batch=(); }
	done <<<"$1"
	[ ${#batch[@]} = 0 ] || play "${batch[@]}"
}
shuffled() { echo "$points" | awk -v seed="$SEED$1" 'BEGIN { srand(seed) } { print rand() "\t" $0 }' | sort -n | cut -f2-; }
pass "$points"
first_pass=$visited
# Once more in other company, in other regions, and where a process comes by first.
visits() { case $1 in */log_group_taken | */snapshot_*) echo :delay=100:kill ;; esac; }
for number in $(seq "${PASSES:-1}"); do pass "$(shuffled "$number")"; done

[ $# -gt 0 ] || [ $first_pass = "$all" ] || fail "$first_pass points visited of $all"
cat "$work"/acked.*.* >"$work/acked"
for region in $regions; do godwit verify --acked "$work/acked" -r "$region" >/dev/null || fail "an acknowledged write was lost later on in $region"; done
unknown=$(jq -s 'map(.unknown) | add' "$work"/load.{us,eu,ap})
echo "points=$visited acknowledged=$(wc -l <"$work/acked") unknown=$unknown seconds=$((($(now_ms) - began) / 1000))"
