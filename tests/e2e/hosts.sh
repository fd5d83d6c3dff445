#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# G18: the lines of docs/operating.md, done as they stand there, on three hosts that share nothing but a network (hosts_lib.sh); then
# an application's host, and what each host does without the others' keys. ROOT: the source tree.
. "$(dirname "$0")/hosts_lib.sh"
document=${ROOT:-$(dirname "$0")/../..}/docs/operating.md
section() { sed -n "/^## $1\$/,/^## /p" "$document"; }
lines() { section "$1" | grep -E '^ {4,}godwit ' | sed -E 's/^ +//; s/ {3,}.*//; s/ +\(.*//'; }

section "Three machines from nothing" | sed -n 's/^    //; /^cluster:/,/^  - { name: orders/p' >"$work/topology.yaml"
for r in $regions; do cp "$work/topology.yaml" "$work/$r/topology.yaml"; done
host us godwit up --topology topology.yaml >"$work/out" 2>&1 && fail "up without keys"
grep -q 'no secret of a region of this machine' "$work/out" || fail "up without keys: $(cat "$work/out")"

done_lines=0
lines "Three machines from nothing" >"$work/lines"
while read -r line; do
	case $line in
	"godwit keys init"* | "godwit keys export"*)
		for r in $regions; do host $r bash -c "${line//us.keys/$r.keys}" >>"$work/up.log" 2>&1 || fail "$r: $line"; done ;;
	"godwit keys import us.keys"*)
		# Before anything is brought, each host refuses to start, and says what it misses.
		for r in $regions; do
			host $r godwit up --topology topology.yaml >"$work/out" 2>&1 && fail "$r starts without the others' keys"
			grep -q 'the public key of .* is not in' "$work/out" || fail "$r: $(cat "$work/out")"
		done
		for r in $regions; do for to in $regions; do cp "$work/$r/$r.keys" "$work/$to/$r.keys.came" && mv "$work/$to/$r.keys.came" "$work/$to/$r.keys"; done; done
		for r in $regions; do host $r bash -c "$line" >>"$work/up.log" 2>&1 || fail "$r: $line"; done ;;
	"godwit keys"*)
		for r in $regions; do host $r bash -c "$line" >>"$work/up.log" 2>&1 || fail "$r: $line"; done ;;
	"godwit up"*)
		# All at once, as three people would: each waits for the others for a while.
		for r in $regions; do host $r bash -c "$line" >>"$work/up.log" 2>&1 & starts[${number[$r]}]=$!; done
		for r in $regions; do wait ${starts[${number[$r]}]} || fail "$r: $line"; done ;;
	*)
		[ "$line" != "godwit verify" ] || line="godwit verify --wait-ms 20000"
		ok=
		for _ in $(seq 50); do host ap bash -c "$line" >"$work/out" 2>&1 && { ok=1; break; } || sleep 0.2; done
		[ -n "$ok" ] || fail "$line: $(cat "$work/out")"
		cat "$work/out" >>"$work/up.log" ;;
	esac
	done_lines=$((done_lines + 1))
done <"$work/lines"
[ $done_lines -ge 11 ] || fail "only $done_lines lines were found in $document"
for r in $regions; do
	[ "$(find "$work/$r" -name '*.secret' | wc -l)" = 2 ] && [ -e "$work/$r/godwit-data/keys/$r.secret" ] || fail "$r holds secrets of others"
	[ "$(host $r godwit get greeting -r $r)" = hello ] || fail "$r does not have it"
done
host ap godwit put seat ann -k orders --if-version absent -r ap >/dev/null || fail "a strong write"
[ "$(host eu godwit get seat -k orders -r eu)" = ann ] || fail "a strong read"

# The application's host. Each line of the document is for one of the two sides.
cp "$work/topology.yaml" "$work/app/"
app_lines=0 waited=0
while read -r line; do
	case $line in
	*"shop.keys --rights"*)
		for r in $regions; do cp "$work/app/shop.keys" "$work/$r/"; host $r bash -c "$line" >>"$work/up.log" 2>&1 || fail "$r: $line"; done ;;
	*)
		for r in $regions; do cp "$work/$r/$r.keys" "$work/app/"; done
		host app bash -c "$line" >>"$work/up.log" 2>&1 || fail "app: $line" ;;
	esac
	app_lines=$((app_lines + 1))
done < <(lines "An application's key")
[ $app_lines = 4 ] || fail "$app_lines lines for an application in $document"
shop() { host app godwit "$1" --keys ./keys --topology topology.yaml "${@:2}"; }
shop put cart full -k orders -r us >/dev/null || fail "the application writes"
[ "$(shop get cart -k orders -r us)" = full ] || fail "the application reads"
shop put cart full -r us >"$work/out" 2>&1 && fail "the application writes where it has no right"
grep -q "NOT_PERMITTED.*'shop'" "$work/out" || fail "$(cat "$work/out")"

# A host that comes back while it is cut off: it starts, says who is missing, and is there once the network is.
host ap godwit down >/dev/null || fail "down"
wan_set ap
host ap godwit up >>"$work/up.log" 2>&1 || fail "up while cut off"
host us godwit put late row -r us >/dev/null || fail "put"
wan_set
ok=
for _ in $(seq 150); do [ "$(host ap godwit get late -r ap 2>/dev/null)" = row ] && { ok=1; break; } || sleep 0.1; done
[ -n "$ok" ] || fail "ap does not catch up"
host us godwit verify --wait-ms 20000 >"$work/out" 2>&1 || fail "$(cat "$work/out")"
# G20: what differs in a host's topology is named in the logs of the others; all go on (rolling.sh has the rest).
cp "$work/ap/topology.yaml" "$work/right.yaml"
sed -i 's/ack: quorum/ack: all/' "$work/ap/topology.yaml"
cmp -s "$work/right.yaml" "$work/ap/topology.yaml" && fail "the document's topology has no ack: quorum"
host ap godwit restart ap --topology topology.yaml >>"$work/up.log" 2>&1
for r in us eu; do
	until grep -qs "topology_differs peer=ap reason=.*here 'keyspace [0-9]* orders strong [a-z]* quorum', there 'keyspace [0-9]* orders strong [a-z]* all'" "$(folder_of $r)/streamer.stderr"; do
		[ $((waited += 1)) -lt 300 ] || fail "$r does not say what differs: $(tail -3 "$(folder_of $r)/streamer.stderr")"
		sleep 0.1
	done
done
host us godwit put agreed strong -k orders -r us >/dev/null || fail "a strong write of the two that agree"
host us godwit put agreed eventual -r us >/dev/null || fail "an eventual write of the two that agree"
[ "$(host eu godwit get agreed -k orders -r eu)" = strong ] || fail "eu reads no strong write of us"
until [ "$(host eu godwit get agreed -r eu 2>/dev/null)" = eventual ]; do
	[ $((waited += 1)) -lt 300 ] || fail "the stream from us to eu stands"
	sleep 0.1
done
cp "$work/right.yaml" "$work/ap/topology.yaml"
host ap godwit restart ap --topology topology.yaml >>"$work/up.log" 2>&1 || fail "ap with the right topology: $(tail -5 "$work/up.log")"
host us godwit verify --wait-ms 20000 >"$work/out" 2>&1 || fail "$(cat "$work/out")"
echo "hosts: $done_lines lines of the document on three hosts, $app_lines for an application"
