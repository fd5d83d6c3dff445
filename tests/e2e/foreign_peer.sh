#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A peer with an unknown key, a truncated or oversized message or frame, a wrong version, another's name: refused, counted,
# logged once, nothing applied. FOREIGN_PEER is the program beside this script.
. "$(dirname "$0")/lib.sh"
up || fail "up"
keys=$work/data/keys

rows_of() { godwit scan -r eu --json | md5sum; }
log_lines() { grep -c refused "$work/data/eu/$1.stderr" 2>/dev/null; }
godwit put honest row -r us || fail "put"
godwit verify --wait-ms 20000 >/dev/null || fail "verify"
before=$(rows_of)

# counted COUNTER ACTOR refused|heard ARGUMENT...: the counter of eu's actor rises and nothing else changes; the program is not let in, or goes
# on until it is ended here.
counted() {
	local counter=$1 actor=$2 want=$3 was now code program
	shift 3
	was=$(stat_of "$actor" eu "$counter")
	risen() { now=$(stat_of "$actor" eu "$counter") && [ "$now" -gt "$was" ]; }
	"$FOREIGN_PEER" "$@" &
	program=$!
	within 10 risen || fail "$counter of $actor stays at $was: $*"
	[ $want = refused ] || kill $program 2>/dev/null
	wait $program
	code=$?
	[ $want = heard ] || [ $code = 3 ] || fail "exit code $code, not 3: $*"
	[ "$(rows_of)" = "$before" ] || fail "something was applied: $*"
}

stream=tcp://127.0.0.1:$((base + 11)) health=tcp://127.0.0.1:$((base + 12)) front=tcp://127.0.0.1:$((base + 10))
digest=tcp://127.0.0.1:$((base + 14))
counted keys_refused streamer refused visit "$keys" "" eu "$stream" subscribe
counted keys_refused streamer refused visit "$keys" client eu "$stream" subscribe # a client is no region
counted keys_refused router refused visit "$keys" "" eu "$front" garbage
for what in garbage truncated version cluster region; do counted frames_refused streamer heard visit "$keys" us eu "$stream" $what; done
for what in garbage truncated version region; do counted frames_refused monitor heard visit "$keys" us eu "$health" $what; done
counted frames_refused reconciler heard visit "$keys" us eu "$digest" garbage
counted frames_refused router heard visit "$keys" client eu "$front" garbage
# Above ZMQ_MAXMSGSIZE the library closes the connection before any of it is kept; so no counter of ours, but no growth either.
"$FOREIGN_PEER" visit "$keys" us eu "$stream" oversized
code=$?
[ $code = 4 ] || fail "exit code $code, not 4: an oversized message leaves the connection open"
[ "$(rows_of)" = "$before" ] || fail "an oversized message changed something"

# The same fault again and again is one line in the log.
lines=$(log_lines streamer)
for _ in 1 2 3; do counted frames_refused streamer heard visit "$keys" us eu "$stream" cluster; done
[ "$(log_lines streamer)" = "$lines" ] || fail "a repeated refusal is logged again"

# A neighbour that answers subscriptions with rubbish, in the place of a region that is down.
godwit down --region us >/dev/null || fail "down us"
godwit link list >/dev/null || fail "the links must stay"
store=$work/data/us/rows/store.id
for what in checksum cut bomb lz4 record version; do
	counted frames_refused streamer heard pose "$keys" us 0 "tcp://127.0.0.1:$((base + 1))" $what "$store"
done
received=$(stat_of streamer eu records_received)
"$FOREIGN_PEER" pose "$keys" us 0 "tcp://127.0.0.1:$((base + 1))" epoch "$store" || fail "pose epoch"
[ "$(stat_of streamer eu records_received)" = "$received" ] || fail "a frame of an old epoch was taken"
[ "$(rows_of)" = "$before" ] || fail "something was applied"

up || fail "up"
godwit put after-all fine -r us || fail "put"
is_heard() { [ "$(godwit get after-all -r eu 2>/dev/null)" = fine ]; }
within 10 is_heard || fail "the honest region is not heard any more"
godwit verify --wait-ms 20000 >/dev/null || fail "verify"

# H23: what was refused above would have been taken if it had been sound: the same frame, unspoilt, is.
godwit down --region us >/dev/null || fail "down us"
"$FOREIGN_PEER" pose "$keys" us 0 "tcp://127.0.0.1:$((base + 1))" good "$store" &
is_taken() { [ "$(godwit get poison -r eu 2>/dev/null)" = good ]; }
within 15 is_taken || fail "an unspoilt frame is refused, too: what was refused above proves nothing"
