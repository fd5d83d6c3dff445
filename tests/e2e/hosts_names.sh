#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# G19: three hosts known by names. Each binds the address of its own name; on one, a name leads nowhere at first, and is found once the
# resolver knows better, without a restart; one is behind NAT (the address that others know is not one of its own: bind). The region of
# a command is the one of the host.
. "$(dirname "$0")/hosts_lib.sh"
cat >"$work/topology.yaml" <<YAML
cluster: names
regions:
  - { name: us, id: 0, datacenter: Virginia, nodes: ["us.godwit.test:7400"], is_primary: true, priority: 100 }
  - { name: eu, id: 1, datacenter: Ireland, nodes: ["eu.godwit.test:7400"], priority: 50 }
  - { name: ap, id: 2, datacenter: Mumbai, nodes: ["ap.godwit.test:7400"], bind: "10.77.0.3", priority: 25 }
keyspaces:
  - { name: orders, level: strong, ack: quorum }
YAML
right=("10.77.0.1 us.godwit.test" "10.77.0.2 eu.godwit.test" "10.77.0.3 ap.godwit.test")
names us "10.77.0.1 us.godwit.test" "10.77.0.99 eu.godwit.test" "10.77.0.3 ap.godwit.test"
names eu "${right[@]}"
# Its own name is that of its router, as far as it can see.
names ap "10.77.0.1 us.godwit.test" "10.77.0.2 eu.godwit.test" "192.0.2.7 ap.godwit.test"
for r in $regions; do
	cp "$work/topology.yaml" "$work/$r/"
	host $r godwit keys init --topology topology.yaml >"$work/out" 2>&1 && host $r godwit keys export -o "$work/$r.keys" || fail "$r does not know itself: $(cat "$work/out")"
	[ -e "$work/$r/godwit-data/keys/$r.secret" ] && [ "$(ls "$work/$r/godwit-data/keys/"*.secret | wc -l)" = 2 ] || fail "$r takes itself for another"
done
for r in $regions; do for other in $regions; do host $r godwit keys import "$work/$other.keys" --rights read,write,admin >/dev/null --topology topology.yaml || fail "import"; done; done
# All at once: each waits for the others, and the one that cannot find eu for ten seconds.
for r in $regions; do host $r godwit up --topology topology.yaml >"$work/up.$r" 2>&1 & starts[${number[$r]}]=$!; done
for r in $regions; do wait ${starts[${number[$r]}]} || fail "up of $r: $(tail -3 "$work/up.$r")"; done
for r in $regions; do host $r godwit put "from-$r" $r >/dev/null || fail "put in $r, which is the default there"; done
state=$(host us godwit status --json | jq -r 'select(.name == "us") | .peers[] | select(.name == "eu") | .state')
[ "$state" = down ] || fail "eu, under an address that it does not have, is '$state' for us"
# In place: what runs there has this very file before it.
printf '%s\n' "127.0.0.1 localhost" "${right[@]}" >"/etc/netns/$tag-us/hosts"
began=$(now_ms)
until host us godwit status >"$work/status" 2>&1; do
	[ $(($(now_ms) - began)) -lt 15000 ] || fail "us does not find eu: $(cat "$work/status")"
	sleep 0.2
done
for r in $regions; do for other in $regions; do [ "$(host $r godwit get "from-$other")" = $other ] || fail "$r does not have what $other wrote"; done; done
host ap godwit put seat ann -k orders --if-version absent >/dev/null || fail "a strong write"
echo "names: the resolver is asked again ($(($(now_ms) - began)) ms), a bound address behind another one, the region of the host"
