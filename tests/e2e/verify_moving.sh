#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A verdict while writes go on, when the regions never hold the same writes at one moment (B2); and a row whose bytes were altered in
# one region's file is neither served nor called identical by those who look at the rows.
. "$(dirname "$0")/lib.sh"

up || fail "up: $(cat "$work/up.log")"
for i in $(seq 300); do printf 'quiet-%s\tvalue of the quiet %s\n' "$i" "$i"; done >"$work/quiet.tsv"
godwit load "$work/quiet.tsv" -k prices -r us >/dev/null || fail "load"
"$GODWIT_BENCH" --dir "$work/data" --topology "$work/topology.yaml" --seconds 60 --keyspace prices --keys 2000 --clients 6 --pipeline 16 --rate 5000 >"$work/bench.out" 2>&1 &
bench=$!
godwit link delay us ap 300 >/dev/null || fail "link delay"
godwit link delay eu ap 300 >/dev/null || fail "link delay"
has_written() { [ "$(stat_of coordinator us writes)" -gt 1000 ]; }
within 20 has_written && kill -0 $bench || fail "bench: $(cat "$work/bench.out")"
godwit verify -k prices --wait-ms 1500 >"$work/verify.out" 2>&1 || fail "no verdict under load: $(cat "$work/verify.out")"
grep -q "identical" "$work/verify.out" || fail "$(cat "$work/verify.out")"
grep -q "while writes go on" "$work/verify.out" || fail "nothing was written meanwhile: $(cat "$work/verify.out")"

# Altered in the file of eu: an error by name, from weak reads and from verify.
python3 - "$work/data/eu/rows/rows.mdb" <<'PY'
import mmap, os, sys
with open(sys.argv[1], "r+b") as f:
    m = mmap.mmap(f.fileno(), 64 << 20)
    old, at, n = b"value of the quiet 77", 0, 0
    while (at := m.find(old, at)) >= 0:
        m[at:at + len(old)] = b"VALUE of the quiet 77"
        n += 1
        at += 1
    sys.exit(0 if n else 1)
PY
[ $? = 0 ] || fail "the value is not in the file"
[ "$(godwit get quiet-77 -k prices -r us)" = "value of the quiet 77" ] || fail "us does not serve"
refused 3 'quiet-77.*damaged in eu' godwit get quiet-77 -k prices -r eu
kill -0 $bench || fail "the bench has ended: $(cat "$work/bench.out")"
if godwit verify -k prices --wait-ms 1500 >"$work/verify.out" 2>&1; then fail "verify says identical: $(cat "$work/verify.out")"; fi
grep -q "ROW_DAMAGED" "$work/verify.out" || fail "$(cat "$work/verify.out")"
