#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two-phase commit, killed, paused or cut off at each point: the coordinator of one region comes by a crash point (base/crash_point.h)
# while clients write and read ten keys of a strong keyspace; then the region comes back. After that nothing is in doubt, the
# digests are equal, and the history with what every region holds in the end is linearizable: what was acknowledged is there.
#   strong.sh [PLAY...]    only these lines of the table below, by number; SEED: who plays which part
#
# At first clients write in one region only, so that the victim is a coordinator (own) or a participant (others), or in all three
# (all). Then:  kill: it dies and is started again   pause: it stands still for a second and a half, or three
#               cut: it is cut off from then on, for as long   gone: its whole region is away until the others have settled all
# `of DEAD`: a third region is killed under load, so that the victim recovers what that one began; it comes back at the end.
# The counts at which a point is due are such that of two neighbours one is of PREPARE, the other of COMMIT.
plays='
commit_part_sent:20     own     kill       PREPARE sent to some, or COMMIT sent to some; nothing or all durable
commit_part_sent:21     own     kill       the other one of these
commit_part_sent:30     own     gone       the same, coordinator gone for good
commit_part_sent:31     own     gone
commit_sent:20          own     kill       before anything is durable, or COMMIT sent to all, before the answer
commit_sent:21          own     kill       the other one of these; in the first case also: after the answer to the one before
commit_sent:31          own     pause      old coordinator comes back
commit_sent:30          own     cut
commit_appended:9       own     kill       votes in, decision not durable
commit_appended:9       own     gone       voted and waiting, coordinator gone for good
commit_appended:9       own     pause      old coordinator comes back, after its transaction was recovered
commit_appended:9       own     cut        the same, and cannot tell anybody what it decides
log_partly_written:9    own     kill       decision half written
commit_durable:9        own     kill       decision durable at the coordinator only; COMMIT twice: by the stream and by messages
commit_durable:9        own     gone       the same, and nobody else knows
commit_durable:9        own     cut        the same, and its stream comes later than the recovery
commit_unanswered:9     own     kill       before the answer
commit_vote_appended:9  others  kill       participant: PREPARE received
commit_vote_appended:9  others  pause      a late vote
commit_durable:9        others  kill       participant: durable, vote not sent
commit_sent:20          others  kill       participant: voted and waiting
commit_streamed:9       others  kill       participant: COMMIT received, not applied
applied_unpublished:9   others  kill       participant: applied, acknowledgement lost
commit_noted            all     kill of    COMMIT twice: told of before its stream brings it
commit_promise_appended all     kill of    recovery killed: promised
commit_promise_appended all     pause of   two recoverers at once
commit_accept_appended  all     kill of    recovery killed: accepted
commit_accept_appended  all     pause of   two recoverers at once
commit_abort_appended   all     kill of    recovery killed: an abort
'
. "$(dirname "$0")/lib.sh"
RANDOM=${SEED:=$((RANDOM * 32768 + RANDOM))}
echo "SEED=$SEED"
names=($regions)
plays=$(grep . <<<"$plays")
points=$("$CRASH_POINTS") || fail "no list of points"
for name in $(grep ' \(commit\|vote\|both\|recover\)$' <<<"$points" | sed 's/ .*//; s/.*\///'); do
	grep -q "^$name[ :]" <<<"$plays" || fail "$name is in no play"
done

others_of() { echo "us eu ap" | sed "s/$1//"; }
# bench NAME REGIONS CLIENTS PIPELINE READS SECONDS: a part of the history of this play.
bench() {
	"$GODWIT_BENCH" --dir "$work/data" --topology "$work/topology.yaml" --keyspace orders --keys 10 --value-size 40 --apart --json \
		--warmup 0 --timeout 3000 --regions "$2" --clients "$3" --pipeline "$4" --read-ratio "$5" --seconds "$6" \
		--history "$work/history.$1" >"$work/bench.$1" 2>&1
	# Clients of each part have numbers of their own.
	sed -i "s/\"client\":/\"client\":${1#*.}/; s/\"session\":/\"session\":${1#*.}/" "$work/history.$1"
}
export_all() { # NAME
	for region in $regions; do godwit export -k orders --level eventual -r "$region" >"$work/$1.$region" || fail "export of $region"; done
}
sleep_ms() { sleep $(($1 / 1000)).$(printf %03d $(($1 % 1000))); }
links() { godwit link "$1" "$2" "$3" >/dev/null || fail "link $1"; }

round=0
play() { # POINT LOAD ACTION OF
	local point=$1 load=$2 action=$3 of=$4 victim dead="" benches="" part=0 hit=$work/hit end pid pause_ms
	round=$((round + 1))
	victim=${names[(SEED + round) % 3]}
	set -- $(others_of "$victim")
	[ "$of" != of ] || dead=$1
	[ "$of" = of ] && pause_ms=700 || pause_ms=$((1500 + round % 2 * 1500))
	rm -f "$hit" "$work"/history.*
	export_all initial
	kill_region "$victim"
	local how=:stop
	[ "$action" != kill ] && [ "$action" != gone ] || how=:kill
	GODWIT_CRASH_POINT=coordinator/$point$how GODWIT_CRASH_POINT_HIT=$hit start "$victim"
	ready "$victim"
	# Until it came by.
	end=$(($(now_ms) + hit_wait_ms))
	while [ ! -s "$hit" ]; do
		[ "$(now_ms)" -lt $end ] || fail "never came by: $point"
		part=$((part + 1))
		case $load in
		own) bench $round.$part "$victim" 1 1 0 1 & ;;
		others) bench $round.$part "$1,$2" 2 1 0 1 & ;;
		all) bench $round.$part us,eu,ap 6 4 0.3 2 & ;;
		esac
		pid=$!
		benches="$benches $pid"
		if [ -n "$dead" ]; then
			sleep 0.$((RANDOM % 5 + 3))
			[ -s "$hit" ] || kill_region "$dead"
		fi
		while [ ! -s "$hit" ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
		[ -s "$hit" ] || revive "$dead"
	done
	# And what becomes of that, with clients in the other regions, who meet the same keys.
	[ $action != gone ] || kill_region "$victim"
	[ $action != cut ] || { links cut "$victim" '*'; links cut '*' "$victim"; }
	read -r _ pid <"$hit"
	[ $action != cut ] || kill -CONT "$pid"
	part=$((part + 1))
	local seconds=2
	[ $action != kill ] || seconds=1
	[ -n "$dead" ] || { bench $round.$part "$1,$2" 4 2 0.3 $seconds & benches="$benches $!"; }
	case $action in
	pause) sleep_ms $pause_ms; kill -CONT "$pid" 2>/dev/null ;;
	cut) sleep_ms $pause_ms; links heal '*' '*' ;;
	gone)
		wait $benches
		settled_in "$1"
		settled_in "$2"
		start "$victim" ;;
	esac
	revive "$dead"
	wait $benches
	ready "$victim"
	judge "$point $load $action $of"
}
revive() { # [REGION]: if there is one and it was killed
	[ -n "$1" ] && flock -n "$work/data/$1/supervisor.lock" true || return
	start "$1"
	ready "$1"
}
settled_in() { # REGION: it is in doubt about nothing, though one region is away
	local i
	for i in $(seq 100); do
		[ -z "$(godwit indoubt -r "$1" --json 2>&1)" ] && return
		sleep 0.1
	done
	fail "$1 is in doubt while a majority is there: $(godwit indoubt -r "$1")"
}
judge() { # WHAT
	local region finals=""
	even orders
	export_all final
	for region in $regions; do finals="$finals --final $work/final.$region"; done
	cat "$work"/initial.?? | sort -u >"$work/initial"
	"$GODWIT_CHECK" --level strong --value-bytes 24 --initial "$work/initial" $finals "$work"/history.* >"$work/judged" 2>&1 ||
		{ cat "$work/judged"; fail "the history is wrong: $1"; }
	if grep -h ' error \|contradiction' "$work"/data/*/*.stderr; then fail "errors: $1"; fi
	operations=$((operations + $(cat "$work"/history.* | wc -l)))
	echo "$(($(now_ms) - began)) ms: $1: $(sed -n 's/^count  *fine  *//p' "$work/judged")"
}

began=$(now_ms) operations=0
begin_anew
for region in $regions; do start "$region"; done
for region in $regions; do ready "$region"; done
godwit put warm up -k orders -r us --timeout 20000 || fail "put"
even orders
number=0 played=0
while read -r point load action of _; do
	number=$((number + 1))
	[ "$of" = of ] || of=""
	[ $# = 0 ] || [[ " $* " = *" $number "* ]] || continue
	play "$point" "$load" "$action" "$of" </dev/null
	played=$((played + 1))
done <<<"$plays"

# What other keyspaces write does not stay in the log for the sake of strong ones that nobody writes to.
if [ $# = 0 ]; then
	dropped() { godwit admin coordinator stats -r us | jq .counters.segments_dropped; }
	before=$(dropped)
	for i in 1 2 3; do
		awk -v n=$i 'BEGIN { for (v = "x"; length(v) < 65536;) v = v v; for (i = 0; i < 600; i++) printf "big-%d\t%d%s\n", i, n, v }' |
			godwit load - --format tsv -r us --timeout 60000 >/dev/null || fail "load"
		sleep 1
	done
	end=$(($(now_ms) + hit_wait_ms))
	until [ "$(dropped)" -gt "$before" ]; do
		[ "$(now_ms)" -lt $end ] || fail "the log keeps all that is written"
		godwit admin coordinator snapshot -r us >/dev/null 2>&1
		sleep 0.3
	done
fi
echo "plays=$played operations=$operations seconds=$((($(now_ms) - began) / 1000))"
