#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# E12: what a clean-up or a logout removes while regions run (memory that has a name, socket files) keeps no actor from being restarted. The
# processes of a region share one piece of memory, which has no name, ends with its supervisor, and is another one after the next start.
. "$(dirname "$0")/lib.sh"

up || fail "up: $(cat "$work/up.log")"
(
	i=0
	while [ ! -e "$work/stop" ]; do
		i=$((i + 1))
		seq -f "k-$i-%g	value" 200 | godwit load - --format tsv -r us --timeout 30000 --acked "$work/acked.$i" >/dev/null 2>>"$work/load.err"
	done
) &
writer=$!

named() { # the named memory that processes of these regions use
	local region
	for region in $regions; do
		for pid in $(processes_of $region); do grep -ho '/dev/shm/[^ ]*' /proc/$pid/maps; done
	done | sort -u
}
memory_of() { grep -ho '[0-9]* */memfd:[^ ]*' "$@" 2>/dev/null | sort -u; } # FILE...: /proc/PID/maps
# shares_memory REGION: each of its processes has the same one.
shares_memory() {
	local pid memory
	memory=$(memory_of "/proc/$(cat "$work/data/$1/supervisor.pid")/maps")
	[ "$(wc -l <<<"$memory")" = 1 ] && [ -n "$memory" ] || fail "the supervisor of $1 has '$memory'"
	for pid in $(processes_of "$1"); do [ "$(memory_of /proc/$pid/maps)" = "$memory" ] || fail "process $pid of $1 has '$(memory_of /proc/$pid/maps)', not '$memory'"; done
}
is_back() { now=$(actor_of "$1" "$2") && [ "$now" != "$3" ] && godwit admin "$2" ping -r "$1" >/dev/null 2>&1; }
back() { # REGION ACTOR PID: until another one is ready
	within 20 is_back "$@" || fail "$2 of $1 does not come back: $(tail -n 2 "$work/data/$1/$2.stderr")"
}

for file in $(named); do echo "shared memory has a name: $file" >&2; has_name=1; rm -f "$file"; done
rm -f "$work"/data/*/*.admin "$work"/data/*/coordinator.ipc
for actor in router coordinator streamer monitor reconciler; do
	pid=$(actor_of us $actor)
	kill -9 "$pid" || fail "kill $actor"
	back us $actor "$pid"
done
[ -z "${has_name:-}" ] || fail "shared memory has a name"
godwit put a 1 -k orders -r us >/dev/null || fail "a strong write in us"
# A router that starts anew finds the coordinator whose socket was removed; no coordinator of eu was started since.
pid=$(actor_of eu router)
kill -9 "$pid" || fail "kill the router of eu"
back eu router "$pid"
writes_in() { godwit put b value -r "$1" >/dev/null 2>&1; }
within 10 writes_in eu || fail "the router of eu does not find its coordinator"
# The operator's own way, right after a removal.
rm -f "$work"/data/*/*.admin "$work"/data/*/coordinator.ipc
for actor in router coordinator streamer monitor reconciler; do
	godwit restart $actor -r ap >"$work/restart.out" 2>&1 || fail "restart $actor: $(cat "$work/restart.out")"
done
is_well() { godwit status >"$work/status" 2>&1; }
within 10 is_well || fail "status: $(cat "$work/status")"
for region in $regions; do shares_memory $region; done

touch "$work/stop"
wait $writer
cat "$work"/acked.* >"$work/acked"
[ -s "$work/acked" ] || fail "nothing was written"
godwit verify --wait-ms 30000 >"$work/verify" 2>&1 || fail "verify: $(cat "$work/verify")"
for region in $regions; do godwit verify --acked "$work/acked" -r $region >/dev/null || fail "an acknowledged write is missing in $region"; done

# A supervisor that dies leaves no memory behind, and the next one makes its own.
supervisor=$(cat "$work/data/us/supervisor.pid")
former=$(memory_of "/proc/$supervisor/maps")
kill -9 "$supervisor"
region_gone us
[ "$(memory_of /proc/[0-9]*/maps | grep -cxF "$former")" = 0 ] || fail "somebody still has the memory of a region that is gone: $former"
up -r us || fail "up after a killed supervisor: $(tail -n 3 "$work/up.log")"
shares_memory us
[ "$(memory_of "/proc/$(cat "$work/data/us/supervisor.pid")/maps")" != "$former" ] || fail "the next supervisor has the memory of the last"
godwit put a 2 -k orders -r us >/dev/null || fail "a strong write after that"
