#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# G20: another topology file in one region after the other, under load: a keyspace is added, an ack and a priority are changed, and no stream is
# cut; the majority that has a keyspace uses it; the stream to the region that has not stands at its first record and says so, and goes
# on when it has; a level that changes under rows is refused by name before anything is stopped.
. "$(dirname "$0")/rolling_lib.sh"
began=$(now_ms)
hosts_begin
load_begin
sed 's/name: ledger, level: strong, ack: all/name: ledger, level: strong, ack: quorum/; s/priority: 50/priority: 60/' "$work/topology.yaml" >"$work/next.yaml"
echo "  - { name: carts, level: strong }" >>"$work/next.yaml"
roll() { on "$1" restart "$1" --topology "$work/$2.yaml" >>"$work/$1/up.log" 2>&1 || { tail -5 "$work/$1/up.log"; fail "restart of $1 with $2.yaml"; }; }

roll us next
all_cross
refused 3 "NO_QUORUM.*defines this keyspace otherwise, or not at all, in eu ap" on us put c 1 -k carts -r us
roll eu next
all_cross
on eu put l quorum -k ledger -r eu >/dev/null || fail "the changed ack"

# us and eu are the majority that has carts. ap takes no part in it, and in everything else.
on us put c 1 -k carts -r us --timeout 5000 >/dev/null || fail "a strong write of the two that have the keyspace"
[ "$(on eu get c -k carts -r eu)" = 1 ] || fail "eu reads no cart"
held() { on us status --json 2>/dev/null | jq -r 'select(.name == "us") | .peers[] | select(.name == "ap") | .state + ": " + .reason' | grep -q '^held: .*keyspace carts'; }
within 10 held || { on us status --json; fail "status does not say that the stream to ap is held for carts"; }
grep -q 'stream_held from=us keyspace="carts"' "$(folder_of ap)/streamer.stderr" || fail "ap does not say what is held"
grep -q "topology_differs peer=us .*there is no 'keyspace [0-9]* carts strong.*' here" "$(folder_of ap)/streamer.stderr" || fail "ap does not say what differs"
for pair in "ap us" "ap eu" "eu ap" "us eu" "eu us"; do crosses $pair; done
refused 3 UNKNOWN_KEYSPACE on ap put c 2 -k carts -r ap
roll ap next
all_cross
[ "$(on ap get c -k carts -r ap)" = 1 ] || fail "ap reads no cart"
on ap put c 2 -k carts -r ap --timeout 5000 >/dev/null || fail "ap has no say in carts"

# The level of a keyspace with rows: refused before the region is stopped, whichever way.
pid=$(cat "$(folder_of ap)/supervisor.pid")
sed 's/name: carts, level: strong/name: carts, level: eventual/' "$work/next.yaml" >"$work/wrong.yaml"
on ap restart ap --topology "$work/wrong.yaml" >"$work/out" 2>&1 && fail "a level was changed under rows"
grep -q "keyspace carts holds rows that are strong" "$work/out" || fail "the refusal does not name it: $(cat "$work/out")"
[ "$pid" = "$(cat "$(folder_of ap)/supervisor.pid")" ] || fail "ap was stopped first"
all_cross
load_end
echo "rolling: $crossings crossings, $acknowledged acknowledged writes, $(($(now_ms) - began)) ms"
