#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# E11, E9, E10: one client, or a stranger, against a region. RUDE_CLIENT is the program beside this script.
. "$(dirname "$0")/lib.sh"

stat_of() { godwit admin "$1" stats -r "$2" | jq ".counters.$3"; }

# E11. Strangers hold on each port more connections than the region may have descriptors, and never speak. The log goes on into new
# segments, writes are taken, the operator is answered, and what was refused is counted and told once.
e11() {
	local before port rude log
	(ulimit -n 400; up) || fail "up"
	before=$(processes_of us | tr ' ' '\n' | sort)
	log=$(ls "$work/data/us/log" | grep -c '\.log$')
	for port in 0 1 2 3 4; do "$RUDE_CLIENT" silent $((base + port)) 600 25 & done
	rude=$(jobs -p)
	for _ in $(seq 100); do
		[ "$(stat_of coordinator us connections_refused)" -gt 100 ] && break
		sleep 0.1
	done
	[ "$(stat_of coordinator us connections_refused)" -gt 100 ] || fail "E11: no connection of the strangers was refused"
	"$GODWIT_BENCH" --dir "$work/data" --regions us --seconds 8 --read-ratio 0 --value-size 65536 --keys 200 >"$work/bench" 2>&1 ||
		fail "E11: bench: $(cat "$work/bench")"
	[ "$(ls "$work/data/us/log" | grep -c '\.log$')" -gt "$log" ] || fail "E11: the log did not reach its next segment"
	kill $rude
	wait 2>/dev/null
	[ "$(processes_of us | tr ' ' '\n' | sort)" = "$before" ] || fail "E11: an actor died"
	[ "$(grep -c connections_refused "$work/data/us/coordinator.stderr")" = 1 ] || fail "E11: not told once"
	godwit put after strangers -r us || fail "E11: put after them"
	wipe
}

# Anonymous memory of a process, KiB; what it has mapped of the rows is not its own.
memory_of() { awk '/RssAnon/ {print $2}' "/proc/$1/status"; }
probe() { "$RUDE_CLIENT" probe "$work/data/keys" us "tcp://127.0.0.1:$base" "$@"; }
rude() { local what=$1; shift; "$RUDE_CLIENT" "$what" "$work/data/keys" us "tcp://127.0.0.1:$base" "$@"; }

# E9. One message of 4,096 questions that each look at every row, a client with a thousand scans, and 64 more clients with scans: somebody
# who asks for one row is answered as if they were not there, and who connects is let in. All answers come, in order, each once.
e9() {
	local rude answered refused count longest failed
	up || fail "up"
	"$GODWIT_BENCH" --dir "$work/data" --regions us --load --keys 100000 --seconds 1 --warmup 0 >"$work/bench" 2>&1 || fail "E9: bench: $(cat "$work/bench")"
	godwit put short answer -r us || fail "E9: put"
	rude ask bucket 4096 4096 30 >"$work/buckets" &
	for _ in $(seq 64); do rude ask bucket 64 64 30 >/dev/null & done
	sleep 0.5
	read -r count longest failed < <(probe short 8)
	echo "E9: $count gets beside them, the longest $longest us, $failed failed"
	[ "$failed" = 0 ] && [ "$count" -gt 30 ] && [ "$longest" -lt "${E9_LONGEST_US:-1000000}" ] || fail "E9: $count gets, the longest $longest us, $failed failed"
	kill $(jobs -p); wait 2>/dev/null
	rude ask scan 1024 256 60 >"$work/scans" &
	sleep 0.2
	for _ in 1 2 3; do godwit get short -r us >/dev/null 2>"$work/err" || fail "E9: a get beside 1,024 scans: $(cat "$work/err")"; done
	wait $!
	read -r answered refused <"$work/scans"
	[ "$answered" = 1024 ] && [ "$refused" = 0 ] || fail "E9: of 1024 scans $answered were answered, $refused of them OVERLOADED"
	wipe
}

# E10. Clients that ask for large values and do not read. The router holds no more of it than docs/architecture.md says, others are served,
# and the connections are closed in time.
e10() {
	local router before now rude count longest failed
	up || fail "up"
	head -c 1048576 /dev/urandom >"$work/large"
	godwit put large - -r us <"$work/large" || fail "E10: put"
	godwit put short answer -r us || fail "E10: put"
	router=$(actor_of us router)
	before=$(memory_of "$router")
	for _ in $(seq "${E10_CLIENTS:-24}"); do rude hoard large 512 60 & done
	sleep 3
	now=$(memory_of "$router")
	[ "$now" -gt $((before + 32 * 1024)) ] || fail "E10: they hold nothing, $now KiB"
	read -r count longest failed < <(probe short 4)
	[ "$(memory_of "$router")" -lt "$now" ] || now=$(memory_of "$router")
	echo "E10: $((before / 1024)) MiB before, $((now / 1024)) MiB with them; $count gets beside them, the longest $longest us, $failed failed"
	[ "$now" -lt $((256 * 1024)) ] || fail "E10: $((now / 1024)) MiB"
	[ "$failed" = 0 ] || fail "E10: $failed of $count gets failed"
	[ "$(actor_of us router)" = "$router" ] || fail "E10: the router died"
	for _ in $(seq 40); do
		[ "$(memory_of "$router")" -lt $((64 * 1024)) ] && break
		sleep 1
	done
	[ "$(memory_of "$router")" -lt $((64 * 1024)) ] || fail "E10: still $(($(memory_of "$router") / 1024)) MiB after 40 s"
	kill $(jobs -p); wait 2>/dev/null
	godwit get large -r us | cmp -s - "$work/large" || fail "E10: get after them"
	wipe
}

for item in ${ITEMS:-e11 e9 e10}; do $item; done
