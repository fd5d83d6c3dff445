#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The programs of examples/, as a user would run them, in the default regions (on other ports).
. "$(dirname "$0")/lib.sh"
sed -i "s/name: us,/name: us-east-1,/; s/name: eu,/name: eu-west-1,/; s/name: ap,/name: ap-south-1,/" "$work/topology.yaml"
up || fail "up"
us=tcp://127.0.0.1:$base ap=tcp://127.0.0.1:$((base + 20))
"$GODWIT_EXAMPLES/example-put-get" "$work/data" "$us" "$ap" | grep -q "ap-south-1 reads: hello" || fail "put_get"
"$GODWIT_EXAMPLES/example-pipelined" "$work/data" 20000 "$us" || fail "pipelined"
godwit verify --wait-ms 20000 >/dev/null || fail "verify"
[ "$(godwit scan --prefix example/ --limit 100000 --json -r eu-west-1 | wc -l)" = 20001 ] || fail "the rows written are not all in eu-west-1"
