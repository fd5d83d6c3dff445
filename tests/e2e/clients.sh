#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# E11, E9, E10: neither strangers nor greedy clients keep a region from serving others. RUDE_CLIENT is the program beside this script.
. "$(dirname "$0")/lib.sh"

# E11. Strangers open to each port more connections than an actor may have descriptors, and never speak. The region takes writes, its log
# begins the next segment, its operator gets answers; it counts the connections that it refuses, and logs one line.
segments() { ls "$work/data/us/log" | grep -c '\.log$'; }
refuses_many() { [ "$(stat_of coordinator us connections_refused)" -gt 100 ]; }
e11() {
	local before port rude log
	(ulimit -n 400; up) || fail "up"
	before=$(processes_of us | tr ' ' '\n' | sort)
	log=$(segments)
	for port in 0 1 2 3 4; do "$RUDE_CLIENT" silent $((base + port)) 600 120 & done
	rude=$(jobs -p)
	within 10 refuses_many || fail "E11: no connection of the strangers was refused"
	for _ in $(seq 10); do
		"$GODWIT_BENCH" --dir "$work/data" --regions us --seconds 2 --warmup 0 --apart --read-ratio 0 --value-size 65536 --keys 200 >"$work/bench" 2>&1 ||
			fail "E11: bench: $(cat "$work/bench")"
		[ "$(segments)" = "$log" ] || break
	done
	[ "$(segments)" -gt "$log" ] || fail "E11: the log did not reach its next segment"
	stay $rude
	kill $rude
	wait 2>/dev/null
	[ "$(processes_of us | tr ' ' '\n' | sort)" = "$before" ] || fail "E11: an actor died"
	[ "$(grep -c connections_refused "$work/data/us/coordinator.stderr")" = 1 ] || fail "E11: not told once"
	godwit put after strangers -r us || fail "E11: put after them"
	wipe
}

stay() { local pid; for pid in "$@"; do kill -0 "$pid" 2>/dev/null || fail "a client that was to be there all the time is gone"; done; }
# Anonymous memory of a process, KiB; what it has mapped of the rows is not its own.
memory_of() { awk '/RssAnon/ {print $2}' "/proc/$1/status"; }
probe() { "$RUDE_CLIENT" probe "$work/data/keys" us "tcp://127.0.0.1:$base" "$@"; }
# In the background only: what jobs -p names is then the program, and not a shell around it.
rude() { local what=$1; shift; exec "$RUDE_CLIENT" "$what" "$work/data/keys" us "tcp://127.0.0.1:$base" "$@"; }

# E9. Beside one message of 4,096 questions that each look at every row, and 64 clients with 64 such questions, a client that asks for one row
# has each answer within a second. Beside 256 scans (more bytes than the router keeps in all), a new client connects and has its answer; all
# answers to the scans come, in order, each once.
is_asked() { [ "$(stat_of router us reads)" -gt $((already + 10)) ]; }
e9() {
	local already answered refused count longest failed
	up || fail "up"
	"$GODWIT_BENCH" --dir "$work/data" --regions us --load --keys 100000 --seconds 1 --warmup 0 >"$work/bench" 2>&1 || fail "E9: bench: $(cat "$work/bench")"
	godwit put short answer -r us || fail "E9: put"
	already=$(stat_of router us reads)
	rude ask bucket 4096 4096 60 >"$work/buckets" &
	for _ in $(seq 64); do rude ask bucket 64 64 60 >/dev/null & done
	within 10 is_asked || fail "E9: the router has nothing to do"
	read -r count longest failed < <(probe short 4)
	stay $(jobs -p)
	echo "E9: $count gets beside them, the longest $longest us, $failed failed"
	[ "$failed" = 0 ] && [ "$count" -gt 30 ] && [ "$longest" -lt "${E9_LONGEST_US:-1000000}" ] || fail "E9: $count gets, the longest $longest us, $failed failed"
	kill $(jobs -p); wait 2>/dev/null
	already=$(stat_of router us reads)
	rude ask scan 256 256 60 >"$work/scans" &
	within 10 is_asked || fail "E9: the router has nothing to do"
	for _ in 1 2 3; do godwit get short -r us >/dev/null 2>"$work/err" || fail "E9: a get beside 256 scans: $(cat "$work/err")"; done
	stay $!
	wait $!
	read -r answered refused <"$work/scans"
	[ "$answered" = 256 ] && [ "$refused" = 0 ] || fail "E9: of 256 scans $answered were answered, $refused of them OVERLOADED"
	wipe
}

# E10. Clients ask for large values and do not read. The router's memory stays below 256 MiB, another client gets its answers, and the router
# gives the memory back when their connections are closed.
e10() {
	local router before now rude count longest failed
	up || fail "up"
	head -c 1048576 /dev/urandom >"$work/large"
	godwit put large - -r us <"$work/large" || fail "E10: put"
	godwit put short answer -r us || fail "E10: put"
	router=$(actor_of us router)
	before=$(memory_of "$router")
	for _ in $(seq "${E10_CLIENTS:-24}"); do rude hoard large 512 60 & done
	holds_much() { now=$(memory_of "$router") && [ "$now" -gt $((before + 32 * 1024)) ]; }
	within 10 holds_much || fail "E10: they hold nothing, $now KiB"
	read -r count longest failed < <(probe short 4)
	stay $(jobs -p)
	[ "$(memory_of "$router")" -lt "$now" ] || now=$(memory_of "$router")
	echo "E10: $((before / 1024)) MiB before, $((now / 1024)) MiB with them; $count gets beside them, the longest $longest us, $failed failed"
	[ "$now" -lt $((256 * 1024)) ] || fail "E10: $((now / 1024)) MiB"
	[ "$failed" = 0 ] || fail "E10: $failed of $count gets failed"
	[ "$(actor_of us router)" = "$router" ] || fail "E10: the router died"
	holds_little() { [ "$(memory_of "$router")" -lt $((64 * 1024)) ]; }
	within 40 holds_little || fail "E10: still $(($(memory_of "$router") / 1024)) MiB after 40 s"
	kill $(jobs -p); wait 2>/dev/null
	godwit get large -r us | cmp -s - "$work/large" || fail "E10: get after them"
	wipe
}

for item in ${ITEMS:-e11 e9 e10}; do $item; done
