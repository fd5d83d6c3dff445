#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# F24: commands print what is so, for people and as JSON, and end with the exit code that they promise: rows, links, versions, doubts.
. "$(dirname "$0")/lib.sh"
up || fail "up"

# prints CODE PATTERN COMMAND...: ends so; all of its standard output matches PATTERN (extended), newlines as |.
prints() {
	local want=$1 pattern=$2 found code
	shift 2
	found=$("$@" 2>"$work/err" </dev/null)
	code=$?
	found=${found//$'\n'/|}
	[ $code = "$want" ] || fail "exit code $code, not $want: $* ($(cat "$work/err"))"
	grep -Eqx -- "$pattern" <<<"$found" || fail "'$found' is not '$pattern': $*"
}

# ---- links ----
open='0 +0 +unlimited +open'
prints 0 "FROM +TO +DELAY MS +JITTER MS +KIB/S +STATE\|us +eu +$open\|us +ap +$open\|eu +us +$open\|eu +ap +$open\|ap +us +$open\|ap +eu +$open" godwit link list
prints 0 "FROM .*\|us +eu +20 +0 +unlimited +open" godwit link delay us eu 20
prints 0 "FROM .*\|ap +us +0 +0 +unlimited +cut\|ap +eu +0 +0 +unlimited +cut" godwit link cut ap '*'
prints 0 '.*"from":"us","to":"eu","delay_ms":20,"jitter_ms":0,.*"cut":false.*"from":"ap","to":"us","delay_ms":0,.*"cut":true.*' godwit link list --json
prints 0 "FROM .*\|us +eu +20 +0 +unlimited +open\|.*ap +eu +$open" godwit link heal '*' '*'
godwit link delay us eu 0 >/dev/null || fail "link delay"

# ---- rows ----
printf 'a\t1\nb\t22\nc\t333\n' >"$work/rows.tsv"
figures='in [0-9.]+ s, [0-9]+/s; latency p50 [0-9.]+ m?s, p99 [0-9.]+ m?s'
prints 0 "3 rows written \(9 B\) $figures" godwit load "$work/rows.tsv"
prints 0 '\{"read":3,"skipped":0,"ok":3,"refused":0,"unknown":0,"unreachable":0,"retried":0,"bytes":9,"seconds":[0-9.]+,"rows_per_second":[0-9.]+,"p50_ms":[0-9.]+,"p99_ms":[0-9.]+\}' godwit load "$work/rows.tsv" --json
prints 0 $'a\t1\\|b\t22\\|c\t333' godwit scan
row() { echo "\{\"key\":\"$1\",\"value\":\"$2\",\"version\":\"0:[0-9]+\",\"hlc\":\"[0-9]+\",\"siblings\":1\}"; }
prints 0 "$(row a 1)\|$(row b 22)\|$(row c 333)" godwit export
prints 0 "$(row b 22)" godwit scan --json --prefix b
prints 0 "$(row a 1)" godwit scan --json --limit 1
grep -q 'there are more than 1 rows' "$work/err" || fail "scan --limit does not say that there is more"
prints 0 22 godwit get b
prints 0 '\{"key":"b","value":"22","version":"0:[0-9]+","hlc":"[0-9]+","siblings":1,"took_us":[0-9]+\}' godwit get b --json
prints 0 '\{"key":"b","version":"0:[0-9]+","hlc":"[0-9]+","took_us":[0-9]+\}' godwit del b --json
prints 1 '' godwit get b
grep -q '^NOT_FOUND: ' "$work/err" || fail "get of nothing: $(cat "$work/err")"
printf 'd\t4\nno tab\n' >"$work/bad.tsv"
prints 3 '.*' godwit load "$work/bad.tsv"
grep -q 'bad.tsv:2: no tab between key and value' "$work/err" || fail "load: $(cat "$work/err")"

# ---- what is there ----
prints 0 'KEYSPACE +LEVEL +STRATEGY +ACK\|default +eventual +lww +one\|orders +strong +lww +quorum\|ledger +strong +lww +all\|prices +eventual +priority +one' godwit keyspace list
prints 0 'no undecided transactions' godwit indoubt
prints 0 "no conflicts in this region's history" godwit conflicts list
even default
region() { echo "\{\"name\":\"$1\",\"rows\":3,\"digest\":\"([0-9a-f]{32})\",\"applied\":\"0:[0-9]+\"\}"; }
prints 0 '\{"identical":true,"comparable":true,"digest":"[0-9a-f]{32}","reason":"","waited_ms":[0-9]+,"divergent_rows":0,"divergent":\[\],"regions":\['"$(region us),$(region eu),$(region ap)"'\]\}' godwit verify -k default --json
prints 0 'godwit [0-9.]+' "$GODWIT_BIN/godwit" --version
echo "commands print what is so"
