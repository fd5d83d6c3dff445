#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Bad input gets one clear line on standard error, a definite exit code, and changes nothing.
. "$(dirname "$0")/lib.sh"

refused 2 "nonsense" "$GODWIT_BIN/godwit" nonsense
refused 2 "no-such-flag" godwit get k --no-such-flag
refused 2 "timeout" godwit get k --timeout soon
refused 5 "" godwit get k -r us

for actor in supervisor coordinator streamer monitor router reconciler; do
	refused 2 "no-such-flag" "$GODWIT_BIN/godwit-$actor" --no-such-flag
	refused 2 "" "$GODWIT_BIN/godwit-$actor" --region
done
refused 2 "bench\|frobnicate" "$GODWIT_BENCH" --frobnicate
refused 2 "" "$GODWIT_BENCH" --value-size -1

# Every mistake of a topology at once, each with its line.
cat >"$work/bad.yaml" <<YAML
cluster: e2e
regions:
  - { name: us, id: 0, datacenter: V, nodes: ["127.0.0.1:7400"], priority: 1 }
  - { name: us, id: 0, datacenter: V, nodes: ["127.0.0.1:7400"], priority: 1 }
keyspaces:
  - { name: orders, level: strong, ack: one }
YAML
godwit up --check --topology "$work/bad.yaml" >"$work/out" 2>"$work/err"
[ $? = 2 ] || fail "a bad topology must be exit code 2"
[ "$(grep -c 'bad.yaml:4:' "$work/err")" -ge 1 ] || fail "no line 4 in: $(cat "$work/err")"
grep -q 'bad.yaml:6:' "$work/err" || fail "no line 6 in: $(cat "$work/err")"
echo 'cluster: [' >"$work/broken.yaml"
godwit up --check --topology "$work/broken.yaml" >"$work/out" 2>"$work/err"
[ $? = 2 ] || fail "broken YAML must be exit code 2"
refused 2 "" godwit up --topology "$work/absent.yaml"

up || fail "up"
long_key=$(head -c 1025 /dev/zero | tr '\0' k)
refused 3 KEY_TOO_LARGE godwit put "$long_key" v -r us
refused 3 KEY_TOO_LARGE godwit put "" v -r us
big() { head -c 1048577 /dev/zero | godwit put big - -r us; }
big >"$work/out" 2>"$work/err"
[ $? = 3 ] && grep -q VALUE_TOO_LARGE "$work/err" || fail "a value over 1 MiB: $(cat "$work/err")"
refused 3 UNKNOWN_KEYSPACE godwit put k v -k nowhere -r us
refused 3 LEVEL_UNAVAILABLE godwit put k v --level strong -r us
refused 2 "mars" godwit put k v -r mars
refused 3 UNSUPPORTED godwit put k v --if-version 0:1 -r us
refused 2 "" godwit restart nobody
refused 3 "" godwit admin router frobnicate -r us
refused 2 "" godwit link cut us
refused 2 "mars" godwit link cut us mars
refused 2 "" godwit load "$work/absent.tsv" -r us

# The largest that is allowed goes through.
longest=$(head -c 1024 /dev/zero | tr '\0' k)
head -c 1048576 /dev/urandom >"$work/largest"
godwit put "$longest" - -r us <"$work/largest" || fail "the largest key and value"
for i in $(seq 100); do
	godwit get "$longest" -r ap 2>/dev/null | cmp -s - "$work/largest" && break
	[ "$i" = 100 ] && fail "the largest value did not arrive whole"
	sleep 0.1
done
[ "$(godwit scan -r us --json | wc -l)" = 1 ] || fail "a refused write left a row"
godwit verify --wait-ms 20000 >/dev/null || fail "verify"
