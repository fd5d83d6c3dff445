#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# F16: whoever waits says for what, and which region is behind; a deadline ends it with that reason, and an interrupt with what is known.
. "$(dirname "$0")/lib.sh"

up || fail "up: $(cat "$work/up.log")"
godwit link cut '*' ap >/dev/null || fail "link cut"
godwit link cut ap '*' >/dev/null || fail "link cut"
seq -f 'k-%g	v' 500 | godwit load - --format tsv -r us >/dev/null || fail "load"

# verify: within its deadline, with the region that is behind, and nothing of that on standard output.
start=$(now_ms)
godwit verify --wait-ms 2000 >"$work/out" 2>"$work/err"
code=$?
took=$(($(now_ms) - start))
[ $code = 1 ] || fail "verify of a region that is cut off: exit code $code"
grep -q '^waiting for the regions.*ap lacks 500 writes of us' "$work/err" || fail "no progress: $(cat "$work/err")"
grep -q 'after 2000 ms: ap lacks 500 writes of us' "$work/err" || fail "verify does not say who is behind: $(cat "$work/err")"
grep -qE 'waiting|lacks' "$work/out" && fail "progress on standard output: $(cat "$work/out")"
[ $took -ge 2000 ] || fail "over after $took ms"
godwit verify --wait-ms 1000 --json >"$work/out" 2>"$work/err"
[ "$(wc -l <"$work/out")" = 1 ] && jq -e '.comparable == false and (.reason | contains("ap lacks 500 writes of us"))' "$work/out" >/dev/null ||
	fail "JSON: $(cat "$work/out")"
# A wait that is over at once says nothing.
godwit verify -k orders --wait-ms 0 >"$work/out" 2>"$work/err"
grep -q '^waiting' "$work/err" && fail "progress of a wait of no time: $(cat "$work/err")"

interrupted() { # COMMAND...: once it has said that it waits; the exit code in $code
	: >"$work/err"
	"$@" >"$work/out" 2>"$work/err" &
	local pid=$!
	within 10 grep -q 'waiting for .*ap lacks 500 writes of us' "$work/err" || fail "does not say that it waits: $* ($(cat "$work/err"))"
	kill -TERM $pid
	wait $pid
	code=$?
}
start=$(now_ms)
interrupted "$GODWIT_BIN/godwit" verify --dir "$work/data" --wait-ms 60000
[ $code = 130 ] || fail "verify, interrupted: exit code $code: $(cat "$work/err")"
grep -q 'so far (interrupted): ap lacks 500 writes of us' "$work/err" || fail "verify, interrupted: $(cat "$work/err")"
grep -q '^ap ' "$work/out" || fail "verify, interrupted, does not show what it knows: $(cat "$work/out")"

# godwit-bench: the same before a run ...
"$GODWIT_BENCH" --dir "$work/data" --seconds 1 --warmup 0 --wait-secs 2 -r us,eu >"$work/out" 2>"$work/err" && fail "bench does not wait"
grep -q 'waiting for the regions to be even.*ap lacks 500 writes of us' "$work/err" || fail "bench: no progress: $(cat "$work/err")"
grep -q 'after 2 s of waiting (--wait-secs): ap lacks 500 writes of us' "$work/err" || fail "bench: $(cat "$work/err")"
[ ! -s "$work/out" ] || fail "bench: $(cat "$work/out")"
interrupted "$GODWIT_BENCH" --dir "$work/data" --seconds 1 -r us,eu
[ $code = 130 ] && grep -q 'interrupted before anything was measured; ap lacks 500' "$work/err" || fail "bench, interrupted: $code $(cat "$work/err")"
# ... and in the middle of one: the figures are of the time that it ran.
godwit link heal '*' '*' >/dev/null || fail "link heal"
godwit verify --wait-ms 20000 >/dev/null 2>&1 || fail "the regions are not even"
writes() { godwit admin coordinator stats -r us | jq .counters.writes; }
"$GODWIT_BENCH" --dir "$work/data" --seconds 120 --warmup 0 --json --rate 500 >"$work/out" 2>"$work/err" &
bench=$!
before=$(writes)
has_written() { [ "$(writes)" -gt $((before + 300)) ]; }
within 30 has_written || fail "bench writes nothing: $(cat "$work/err")"
kill -INT $bench
wait $bench
code=$?
[ $code = 130 ] || fail "bench, interrupted in its run: exit code $code: $(cat "$work/err")"
jq -e '.seconds > 0.2 and .seconds < 60 and .writes_per_s > 250 and .writes_per_s < 750' "$work/out" >/dev/null || fail "bench: $(cat "$work/out")"
[ $(($(now_ms) - start)) -lt 120000 ] || fail "an interrupt ends nothing"
