#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two live processes with one identity (findings/zmq_handover.sh): a region's key directory is copied to another host, and the region started
# there, too, first with an empty store, then with a copy of the store. The second is refused by name and takes no write from then on; the
# first goes on, and what it has acknowledged is in every region at the end. A copy may take eventual writes until it meets somebody: those
# are counted.
. "$(dirname "$0")/hosts_lib.sh"
cat >"$work/topology.yaml" <<YAML
cluster: twice
regions:
  - { name: us, id: 0, datacenter: Virginia, nodes: ["10.77.0.1:7400"], is_primary: true, priority: 100 }
  - { name: eu, id: 1, datacenter: Ireland, nodes: ["10.77.0.2:7400"], priority: 50 }
  - { name: ap, id: 2, datacenter: Mumbai, nodes: ["10.77.0.3:7400"], priority: 25 }
keyspaces:
  - { name: orders, level: strong, ack: quorum }
YAML
for r in $regions; do
	cp "$work/topology.yaml" "$work/$r/"
	host $r godwit keys init --topology topology.yaml >/dev/null && host $r godwit keys export -o "$work/$r.keys" || fail "keys of $r"
done
for r in $regions; do for other in $regions; do
	host $r godwit keys import "$work/$other.keys" --rights read,write,admin --topology topology.yaml >/dev/null || fail "$r imports the keys of $other"
done; done
for r in $regions; do host $r godwit up --topology topology.yaml >>"$work/up.log" 2>&1 & starts[${number[$r]}]=$!; done
for r in $regions; do wait ${starts[${number[$r]}]} || fail "up of $r: $(cat "$work/up.log")"; done
sed '/name: us/s/ }$/, bind: "10.77.0.4" }/' "$work/topology.yaml" >"$work/app/topology.yaml"
: >"$work/acked"
puts() { host "$1" godwit put "$2" "of $1" -r us --timeout 2000 >"$work/out" 2>"$work/reason"; } # HOST KEY: in us, as it runs there
first_writes() { puts us "$1" && echo "$1" >>"$work/acked"; }
second_is_refused() {
	puts app early || { grep -q REGION_REUSED "$work/reason"; return; }
	early=$((early + 1))
	false
}
# beside WHAT: the second runs now.
beside() {
	local early=0 i command
	first_writes "before-$1" || fail "us takes no write before: $(cat "$work/reason")"
	host app timeout 30 godwit up -r us --topology topology.yaml >"$work/up.app" 2>&1 &
	command=$!
	within 20 second_is_refused || fail "the second us, with $1, is not refused: $(cat "$work/reason" "$work/up.app")"
	for i in $(seq 10); do
		first_writes "beside-$1-$i" || fail "the first us takes no write beside the second one: $(cat "$work/reason")"
		puts app "second-$i" && fail "the second us, with $1, takes writes again"
	done
	wait $command
	host us godwit put "seat-of-$1" ann -k orders --if-version absent -r us >/dev/null || fail "no strong write in the first us"
	host app godwit status >"$work/status" 2>&1 && fail "status says that all is well"
	grep -q REGION_REUSED "$work/status" || fail "status does not say why the second us is refused: $(cat "$work/status")"
	host app godwit down >/dev/null || fail "down of the second"
	rm -rf "$work/app/godwit-data/us"
	echo "twice: the second, with $1, has taken $early writes before it was refused"
}

mkdir -p "$work/app/godwit-data"
cp -r "$work/us/godwit-data/keys" "$work/app/godwit-data/"
beside "no-store"
host us godwit down >/dev/null || fail "down us"
cp -r "$work/us/godwit-data/us" "$work/app/godwit-data/"
rm -f "$work/app/godwit-data/us"/*.admin "$work/app/godwit-data/us"/*.pid
host us godwit up >>"$work/up.log" 2>&1 || fail "up of us"
beside "a-copy"

is_well() { host us godwit status >"$work/status" 2>&1; }
within 20 is_well || fail "not well when the second is gone: $(cat "$work/status")"
host us godwit verify --wait-ms 20000 >"$work/out" 2>&1 || fail "$(cat "$work/out")"
for key in $(cat "$work/acked"); do
	for r in $regions; do [ "$(host $r godwit get "$key" -r $r)" = "of us" ] || fail "$r lacks $key, which was acknowledged"; done
done
echo "twice: $(wc -l <"$work/acked") acknowledged writes are everywhere"
