#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The programs of examples/, as a user would compile and run them: against what `meson install` puts down, outside of this tree, in the default
# regions (on other ports), which the installed godwit starts with the actors beside it.
. "$(dirname "$0")/lib.sh"
sed -i "s/name: us,/name: us-east-1,/; s/name: eu,/name: eu-west-1,/; s/name: ap,/name: ap-south-1,/" "$work/topology.yaml"
meson install -C "$GODWIT_BUILD" --no-rebuild --destdir "$work/root" >"$work/install.log" 2>&1 || fail "meson install: $(tail -3 "$work/install.log")"
pc=$(find "$work/root" -name godwit.pc)
export PKG_CONFIG_LIBDIR=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$work/root
export LD_LIBRARY_PATH=${PKG_CONFIG_LIBDIR%/*}
bin=$(find "$work/root" -name godwit -type f -perm -u+x)
GODWIT_BIN=${bin%/*}
mkdir "$work/examples"
for example in put_get pipelined compare_and_set transaction scan; do
	(cd "$work/examples" && ${CC:-cc} -Wall -Wextra -Werror "$GODWIT_SOURCE/examples/$example.c" $(pkg-config --cflags --libs godwit) -pthread \
		-o "$example") || fail "$example does not compile outside of the tree"
done
example() { "$work/examples/$1" "$work/data" "${@:2}"; }

up || fail "up: $(cat "$work/up.log")"
us=tcp://127.0.0.1:$base ap=tcp://127.0.0.1:$((base + 20))
example put_get "$us" "$ap" | grep -q "ap-south-1 reads: hello" || fail "put_get"
example pipelined 20000 "$us" || fail "pipelined"
example scan example/ "$us" >"$work/rows" || fail "scan"
[ "$(wc -l <"$work/rows")" = 20001 ] || fail "the scan shows $(wc -l <"$work/rows") rows, not 20001"
LC_ALL=C sort -c "$work/rows" || fail "the scan is not in the order of the keys"
example compare_and_set "$us" "$ap" | grep -q "raised from 0 to 21" || fail "compare_and_set"
example transaction "$us" "$ap" | grep -q "^20 transfers" || fail "transaction"
godwit verify --wait-ms 20000 >/dev/null || fail "verify"
[ "$(godwit scan --prefix example/ --limit 100000 --json -r eu-west-1 | wc -l)" = 20001 ] || fail "the rows written are not all in eu-west-1"
