#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# F15: `up --check` says what `up` would find, all of it, and both find it before anything is started.
. "$(dirname "$0")/lib.sh"

topology() { # HOST-OF-AP PORT-OF-EU LEVEL
	cat <<YAML
cluster: e2e
regions:
  - { name: us, id: 0, nodes: ["127.0.0.1:$base"] }
  - { name: eu, id: 1, nodes: ["127.0.0.1:$2"] }
  - { name: ap, id: 2, nodes: ["$1:$((base + 20))"] }
keyspaces:
  - { name: prices, level: $3 }
YAML
}
# finds PATTERN FLAGS...: both name it in a line of its own; --check shows the configuration as well; nothing runs afterwards.
finds() {
	local pattern=$1
	shift
	godwit up --check --topology "$work/t.yaml" --link-base "$link_base" "$@" >"$work/out" 2>"$work/err"
	[ $? = 2 ] || fail "--check takes what is wrong with $pattern: $(cat "$work/err")"
	grep -q "$pattern" "$work/err" || fail "--check: no '$pattern' in: $(cat "$work/err")"
	grep -q '^cluster: e2e' "$work/out" || fail "--check shows no configuration: $(cat "$work/out")"
	[ -n "${check_only:-}" ] && return
	godwit up --topology "$work/t.yaml" --link-base "$link_base" "$@" >"$work/out" 2>"$work/err"
	[ $? = 2 ] || fail "up starts in spite of $pattern: $(cat "$work/err")"
	grep -q "$pattern" "$work/err" || fail "up: no '$pattern' in: $(cat "$work/err")"
	pgrep -f -- "--dir $work/data" >/dev/null && fail "something runs in spite of $pattern"
	rm -rf "$work/data"
}
take() { # PORT: by another program; its number is in $taker
	rm -f "$work/taken" # what the one before has said
	python3 -c "import socket, sys, time; s = socket.socket(); s.bind(('127.0.0.1', $1)); s.listen(); print('taken', flush=True); time.sleep(600)" >"$work/taken" &
	taker=$!
	for i in $(seq 200); do grep -q taken "$work/taken" && return; sleep 0.02; done
	fail "nobody takes port $1"
}
give() { kill $taker; wait $taker 2>/dev/null; }

topology 127.0.0.1 $((base + 10)) eventual >"$work/t.yaml"
godwit up --check --topology "$work/t.yaml" --link-base "$link_base" >"$work/out" 2>"$work/err" || fail "--check of what is good: $(cat "$work/err")"
[ ! -s "$work/err" ] || fail "--check of what is good says: $(cat "$work/err")"
[ ! -e "$work/data" ] || fail "--check makes a directory"
# Every service of a region, and every port of the emulator.
for port in $base $((base + 3)) $((base + 13)) $((base + 24)); do
	take $port
	finds "port $port of 127.0.0.1 is taken"
	give
done
for port in $((link_base + 6)) $((link_base + 39)); do
	take $port
	finds "the link emulator.*: port $port of 127.0.0.1 is taken"
	give
done
# The last --link-base counts.
{ echo "cluster: e2e"; echo "regions:"; for i in 0 1 2 3 4 5 6 7 8 9 10; do echo "  - { name: r$i, id: $i, nodes: [\"127.0.0.1:$((base + 5 * i))\"] }"; done; } >"$work/many.yaml"
mv "$work/t.yaml" "$work/three.yaml"
cp "$work/many.yaml" "$work/t.yaml"
finds "link emulator of 11 regions takes the ports from 65000 to 65604, and there are 65535" --link-base 65000
# Those who would use such ports refuse them, too.
for program in godwit-link "godwit-supervisor --region r1" "godwit-router --region r1"; do
	"$GODWIT_BIN"/$program --dir "$work/data" --topology "$work/t.yaml" --link-base 65000 >"$work/out" 2>&1
	[ $? = 2 ] && grep -q 'takes the ports from 65000 to 65604' "$work/out" || fail "$program: $(cat "$work/out")"
done
rm -rf "$work/data"
mv "$work/three.yaml" "$work/t.yaml"
finds "port $((base + 11)) of 127.0.0.1 is wanted twice: by eu and by the link emulator" --link-base $base
# Two names of one address are one address.
topology localhost $((base + 10)) eventual | sed "s/localhost:$((base + 20))/127.1:$((base + 12))/" >"$work/t.yaml"
finds "port $((base + 12)) of 127.1 is wanted twice: by eu and by ap"
topology no-such-host.invalid $((base + 10)) eventual >"$work/t.yaml"
check_only=1 finds "ap: no-such-host.invalid: "
finds "ap belongs to no-such-host.invalid, which is not this machine" -r ap
topology 198.51.100.1 $((base + 10)) eventual | sed 's/127.0.0.1/198.51.100.2/' >"$work/t.yaml"
finds "no region of the topology has an address of this machine"
for level in session causal 'eventual, ack: quorum'; do
	topology 127.0.0.1 $((base + 10)) "$level" >"$work/t.yaml"
	check_only=1 finds "keyspace prices: level ${level%%,*} with ack .* is not there in this version"
done
# All at once, a line each.
topology no-such-host.invalid $((base + 10)) causal >"$work/t.yaml"
take $((base + 3))
check_only=1 finds "port $((base + 3))"
[ "$(wc -l <"$work/err")" = 4 ] || fail "a key, a level, a host and a port, and these lines: $(cat "$work/err")"
give

# A topology that the data was not written with is found by --check too, and what runs is no mistake.
topology 127.0.0.1 $((base + 10)) eventual >"$work/t.yaml"
godwit up --topology "$work/t.yaml" --link-base "$link_base" >"$work/up.log" 2>&1 || fail "up: $(cat "$work/up.log")"
godwit up --check --topology "$work/t.yaml" --link-base "$link_base" >"$work/out" 2>"$work/err" || fail "--check while all runs: $(cat "$work/err")"
sed 's/prices/dear/' "$work/t.yaml" >"$work/other.yaml"
godwit up --check --topology "$work/other.yaml" --link-base "$link_base" >"$work/out" 2>"$work/err" && fail "--check takes another topology than what runs"
grep -q "regions run with another topology" "$work/err" || fail "$(cat "$work/err")"
godwit down >/dev/null || fail "down"
godwit up --check --topology "$work/other.yaml" --link-base "$link_base" >"$work/out" 2>"$work/err" && fail "--check takes a topology without a keyspace that there is"
grep -q "us: .*prices" "$work/err" || fail "$(cat "$work/err")"
