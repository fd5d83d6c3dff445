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

e11
