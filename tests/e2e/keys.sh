#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# G18: regions with a key of their own each, as on three hosts (which hosts.sh has, in network namespaces): what is missing is refused
# before anything starts, what is wrong is named by status and by the log, what is brought is taken without a restart. The rights of an
# application's key; a rotation under load.
. "$(dirname "$0")/lib.sh"
t=(--topology "$work/topology.yaml")
as() { local who=$1; shift; GODWIT_KEYS=$work/$who godwit "$@"; }
up_of() { as "$1" up -r "$1" "${t[@]}" --link-base "$link_base" "${@:2}"; }
for r in $regions; do
	as "$r" keys init -r "$r" "${t[@]}" >/dev/null || fail "init $r"
	as "$r" keys export -o "$work/$r.pub" || fail "export $r"
	[ "$(ls "$work/$r"/*.secret | xargs -n1 basename | tr '\n' ' ')" = "$(printf 'client.secret\n%s.secret\n' "$r" | sort | tr '\n' ' ')" ] || fail "$r holds other secrets than its own"
done
refused 2 "public key of eu is not in" up_of us
refused 2 "secret of eu is not in" as us up -r eu "${t[@]}" --link-base "$link_base"
[ ! -e "$work/us/eu.secret" ] || fail "up made the secret of another host's region"
as us keys check "${t[@]}" >"$work/check" && fail "check takes missing keys for right"
grep -q "^eu .*missing" "$work/check" || fail "check does not name what is missing: $(cat "$work/check")"
import() { as "$1" keys import "$2" "${t[@]}" "${@:3}" >>"$work/import" || fail "import of $2 by $1"; }
for r in $regions; do for other in $regions; do [ "$r" = "$other" ] || import "$r" "$work/$other.pub" --rights read,write,admin; done; done
as us keys check "${t[@]}" >"$work/check" || fail "check: $(cat "$work/check")"
for r in $regions; do up_of "$r" >>"$work/up.log" 2>&1 || fail "up $r"; done
export GODWIT_KEYS=$work/us
godwit put first row -r us >/dev/null || fail "put"
even default
[ "$(as ap get first -r eu)" = row ] || fail "ap's own client key in eu"

# An application's key, made on its own host, with a right on one keyspace.
godwit keys init --client shop --keys "$work/shop" >/dev/null && godwit keys export --keys "$work/shop" -o "$work/shop.pub" || fail "shop"
for r in $regions; do as shop keys import "$work/$r.pub" >/dev/null || fail "shop's keys"; done
refused 5 "refused the keys" as shop get first -r eu --timeout 1500
grep -q 'key_refused .*key=' "$work/data/eu/router.stderr" || fail "the router's log does not name the key"
for r in $regions; do import "$r" "$work/shop.pub" --rights read --keyspaces default; done
[ "$(as shop get first -r eu)" = row ] || fail "shop may read"
refused 3 "NOT_PERMITTED.*the key 'shop'" as shop put first other -r eu
refused 3 NOT_PERMITTED as shop get seat -k orders -r eu
[ "$(printf 'put a 1\n' | as shop txn -k orders -r eu 2>&1 | grep -c NOT_PERMITTED)" = 1 ] || fail "shop's transaction"
grep -q 'not_permitted name=shop' "$work/data/eu/router.stderr" || fail "the log does not name shop"
for r in $regions; do import "$r" "$work/shop.pub" --rights read,write --keyspaces default,orders; done
import eu "$work/shop.pub" # without --rights: they stay
sleep 1.1
as shop put seat ann -k orders --if-version absent -r eu >/dev/null || fail "shop's new rights"
# One half of the rights, and the other stays: no write into prices has become permitted.
import eu "$work/shop.pub" --rights read,write
sleep 1.1
as shop put seat bob -k orders -r eu >/dev/null || fail "shop's rights with --rights given"
refused 3 NOT_PERMITTED as shop put bread 3 -k prices -r eu
refused 3 "there is no keyspace 'ordres'" as eu keys import "$work/shop.pub" --keyspaces ordres "${t[@]}"
refused 2 "the secret of shop is not in" as eu keys export shop "${t[@]}"

# eu takes another key for us's: two hosts have made one, as every `up` once did.
godwit keys init -r us --keys "$work/wrong" "${t[@]}" >/dev/null || fail "wrong"
as eu down -r eu >/dev/null || fail "down eu"
right=$(cat "$work/eu/us.public")
cp "$work/wrong/us.public" "$work/eu/us.public"
began=$SECONDS
up_of eu >"$work/up.eu" 2>&1
grep -q 'eu to us: key refused, it has another key' "$work/up.eu" || fail "up says nothing: $(cat "$work/up.eu")"
godwit status >"$work/status" && fail "status is well"
grep -q "^us to eu is key refused: its host does not let in this region's key" "$work/status" || fail "us's line: $(cat "$work/status")"
grep -q "^eu to us is key refused: it has another key than the one known for it here" "$work/status" || fail "eu's line: $(cat "$work/status")"
grep -q 'key_refused_by peer=eu name=us key=' "$work/data/us/monitor.stderr" || fail "us's log"
grep -q "key_refused .*key=$(printf '%s' "$right" | sed 's/[].*^$[\\]/\\&/g')" "$work/data/eu/monitor.stderr" || fail "eu's log does not have the key that it refused"
[ "$(cat "$work/data/eu"/*.stderr | grep -c key_refused)" -le $((16 * (1 + (SECONDS - began) / 60))) ] || fail "the log fills"
printf '%s\n' "$right" >"$work/eu/us.public"
godwit put second row -r us >/dev/null || fail "put"
even default
for _ in $(seq 100); do godwit status >"$work/status" && break; sleep 0.1; done
godwit status >"$work/status" || fail "after the key was mended: $(cat "$work/status")"

# A rotation: at no moment is us out for longer than its restart takes.
as us keys rotate us "${t[@]}" >/dev/null && as us keys export us -o "$work/us.next" || fail "rotate"
for r in eu ap shop; do as "$r" keys import "$work/us.next" "${t[@]}" >/dev/null || fail "import of the next key"; done
as us keys rotate us --finish "${t[@]}" >/dev/null || fail "finish"
as us restart us >>"$work/up.log" 2>&1 || fail "restart us"
[ "$(as shop get first -r us)" = row ] || fail "an application with the former key as the present one"
godwit put third row -r us >/dev/null || fail "put"
even default
as us keys export us -o "$work/us.now"
for r in eu ap shop; do as "$r" keys import "$work/us.now" "${t[@]}" >>"$work/import" || fail "import of the key of now"; [ ! -e "$work/$r/us.next.public" ] || fail "$r keeps the former key"; done
godwit put fourth row -k orders -r us >/dev/null || fail "a strong put"
even default orders

chmod 644 "$work/us/us.secret"
as us keys check "${t[@]}" >"$work/check" && fail "a secret that everybody can read"
grep -q 'us.secret: mode 644' "$work/check" || fail "check: $(cat "$work/check")"
refused 2 "us.secret: mode 644" as us restart us
refused 2 "us.secret: mode 644" as us restart router -r us
godwit put fifth row -r us >/dev/null || fail "a restart that is refused stops the region"
echo "keys: missing, wrong, permitted, rotated"
