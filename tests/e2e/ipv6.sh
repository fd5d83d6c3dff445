#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# G19: an IPv6 address, a name, and an address that is only bound, as the nodes of three regions of one machine.
. "$(dirname "$0")/lib.sh"
grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 2>/dev/null || { echo "SKIPPED: no IPv6 here"; exit 77; }
sed -i -e "s/127.0.0.1:$base\"/[::1]:$base\"/" -e "s/127.0.0.1:$((base + 10))\"/localhost:$((base + 10))\"/" \
	-e "s/nodes: \[\"127.0.0.1:$((base + 20))\"\]/nodes: [\"ap.invalid:$((base + 20))\"], bind: \"127.0.0.1\"/" "$work/topology.yaml"
up || fail "up: $(cat "$work/up.log")"
grep -q "^us .*tcp://\[::1\]:$base" "$work/up.log" || fail "us is not at [::1]: $(cat "$work/up.log")"
for from in $regions; do godwit put "from-$from" "$from" -r "$from" >/dev/null || fail "put in $from"; done
even default
for from in $regions; do for at in $regions; do [ "$(godwit get "from-$from" -r "$at")" = "$from" ] || fail "$at does not have what $from wrote"; done; done
godwit put seat ann -k orders --if-version absent -r us >/dev/null || fail "a strong write"
[ "$(godwit get seat -k orders -r ap)" = ann ] || fail "a strong read"
godwit up --check | grep -q '"bind": "127.0.0.1"' || fail "up --check does not print bind"
# The region that runs is the one that is asked.
godwit down -r us >/dev/null || fail "down us"
[ "$(godwit get from-ap)" = ap ] || fail "us is down, and eu is not asked"
GODWIT_DIR=$work/data "$GODWIT_BENCH" --topology "$work/topology.yaml" -r eu,ap --seconds 1 --warmup 0 --clients 2 --apart --json >"$work/bench" 2>&1 || fail "godwit-bench: $(cat "$work/bench")"
refused 2 "bind: 'not an address'" godwit up --topology <(sed 's/bind: "127.0.0.1"/bind: "not an address"/' "$work/topology.yaml")
echo "ipv6: addresses, names, bind"
