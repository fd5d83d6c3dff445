# SPDX-License-Identifier: Apache-2.0
# B1: lines of the topology file that are moved, put in or taken out move no rows from one keyspace to another.
. "$(dirname "$0")/lib.sh"

again() { godwit down >/dev/null || fail "down"; up || { cat "$work/up.log" >&2; fail "up"; }; }
shows() { # KEYSPACE KEY VALUE, in every region
	local region got
	for region in $regions; do
		got=$(godwit get "$2" -k "$1" -r "$region") || fail "$2 is not in $1 of $region"
		[ "$got" = "$3" ] || fail "$1/$2 in $region is '$got', not '$3'"
	done
}

up || { cat "$work/up.log" >&2; fail "up"; }
godwit put k of-orders -k orders -r us >/dev/null && godwit put k of-ledger -k ledger -r eu >/dev/null || fail "put"
godwit put k of-prices -k prices -r us >/dev/null && godwit put k of-default -r us >/dev/null || fail "put"
even prices default orders ledger

# In another order, and with a new one above: each row is where it was, in weak and strong keyspaces.
sed -i '/name: orders/d; /name: ledger/d; /name: prices/d' "$work/topology.yaml"
cat >>"$work/topology.yaml" <<YAML
  - { name: fresh, level: eventual }
  - { name: prices, level: eventual, strategy: priority }
  - { name: ledger, level: strong, ack: all }
  - { name: orders, level: strong, ack: quorum }
YAML
again
shows orders k of-orders
shows ledger k of-ledger
shows prices k of-prices
shows default k of-default
refused 1 NOT_FOUND godwit get k -k fresh -r us
godwit put k of-fresh -k fresh -r ap >/dev/null || fail "put into the new one"
even fresh prices default orders ledger

# One taken out, one renamed: refused with the names, and nothing is started or changed.
godwit down >/dev/null || fail "down"
cp "$work/topology.yaml" "$work/good.yaml"
sed -i '/name: prices/d' "$work/topology.yaml"
up && fail "a keyspace with rows was dropped by taking its line out"
grep -q "keyspace 'prices' (id 3), which the topology does not name" "$work/up.log" || { cat "$work/up.log" >&2; fail "the reason is not told"; }
sed 's/name: prices/name: costs/' "$work/good.yaml" >"$work/topology.yaml"
godwit down >/dev/null 2>&1
: >"$work/up.log"
up && fail "a keyspace was renamed by its line"
grep -q "'prices' (id 3).*'costs'" "$work/up.log" || { cat "$work/up.log" >&2; fail "not both names"; }
godwit down >/dev/null 2>&1
cp "$work/good.yaml" "$work/topology.yaml"
up || { cat "$work/up.log" >&2; fail "up with the right file"; }
shows prices k of-prices
shows orders k of-orders
