#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# G18 (findings/zmq_refused_once.sh): something that listens without keys in the place of a region, and a region whose secret is away when
# an actor starts: the others name the reason and go on, and all is well again by itself once the keys are there, without a restart of
# anybody else. FOREIGN_PEER is the program beside this script.
. "$(dirname "$0")/lib.sh"
is_well() { godwit status >"$work/status" 2>&1; }
others() { echo "$(processes_of us) $(processes_of ap)"; }
tells() { godwit status >"$work/status" 2>&1; grep -q "$1" "$work/status"; }
writes_go_on() { # KEY
	local region
	for region in us ap; do
		godwit put "$1-$region" row -r $region >/dev/null || fail "$region takes no write: $1"
		godwit put "$1-$region" row -k orders -r $region >/dev/null || fail "$region takes no strong write: $1"
	done
}
up || fail "up: $(cat "$work/up.log")"
even default
before=$(others)

# Another mechanism (NULL against CURVE), after which libzmq by itself makes no further attempt.
godwit down --region eu >/dev/null || fail "down"
"$FOREIGN_PEER" keyless $(for service in 0 1 2 3 4; do echo "tcp://127.0.0.1:$((base + 10 + service))"; done) &
keyless=$!
for region in us ap; do within 20 tells "^$region to eu is key refused: it has another key" || fail "$region does not tell: $(cat "$work/status")"; done
grep -q 'key_differs peer=eu' "$work/data/us/monitor.stderr" || fail "us's log: $(tail -3 "$work/data/us/monitor.stderr")"
refused 5 "" godwit get k -r eu --timeout 1500
writes_go_on keyless
kill -0 $keyless || fail "nobody was there without keys"
kill $keyless
wait $keyless 2>/dev/null
up --region eu || fail "up of eu: $(tail -3 "$work/up.log")"
within 20 is_well || fail "eu with its keys: $(cat "$work/status")"
even default orders
[ "$(godwit get keyless-ap -r eu)" = row ] || fail "eu does not have what was written meanwhile"

# An actor that starts while its region's secret is away.
mv "$work/data/keys/eu.secret" "$work/eu.secret"
killed $(actor_of eu streamer) || fail "kill"
names_it() { grep -q 'eu.secret' "$work/data/eu/streamer.stderr"; }
within 10 names_it || fail "eu's log does not name its secret: $(tail -3 "$work/data/eu/streamer.stderr")"
for region in us ap; do within 10 tells "^$region to eu is unstreamed" || fail "status is well without a streamer: $(cat "$work/status")"; done
writes_go_on secret
mv "$work/eu.secret" "$work/data/keys/eu.secret"
within 30 is_well || fail "eu with its secret: $(cat "$work/status")"
even default orders
[ "$(others)" = "$before" ] || fail "a process of another region is another one: $before, $(others)"
