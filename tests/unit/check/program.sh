#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The program's exit codes and what it prints: program.sh GODWIT_CHECK
set -u
check=$1
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
failed=0

put() { echo "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"$1\",\"outcome\":\"${4:-ok}\",\"start_ns\":$2,\"end_ns\":$3}"; }
get() { echo "{\"client\":2,\"op\":\"get\",\"key\":\"k\",\"value\":\"$1\",\"outcome\":\"ok\",\"start_ns\":$2,\"end_ns\":$3}"; }
expect() { # exit code, text that the output must hold, arguments...
	wanted=$1 text=$2
	shift 2
	"$check" "$@" >"$work/out" 2>&1
	code=$?
	[ $code = "$wanted" ] || { echo "exit code $code instead of $wanted: $*"; cat "$work/out"; failed=1; }
	grep -q -- "$text" "$work/out" || { echo "no \"$text\" from: $*"; cat "$work/out"; failed=1; }
}

{ put a 1 2; get a 3 4; put b 5 6; get b 7 8; } >"$work/good"
{ put a 1 2; put b 3 4; get a 5 6; } >"$work/stale"
{ put a 1 2 fail; get a 3 4; } >"$work/failed"
put a 1 2 fail >"$work/nothing"
echo '{"client":1}' >"$work/malformed"
{ put a 1 2; put a 3 4; } >"$work/twice"
printf '{"key":"k","value_base64":"Yg=="}\n' >"$work/final"
printf '{"key":"k","value":"a"}\n' >"$work/final_old"
for n in 1 2 3 4 5 6 7 8; do echo "{\"client\":$n,\"op\":\"put\",\"key\":\"k\",\"value\":$n,\"outcome\":\"ok\",\"start_ns\":1,\"end_ns\":9}"; done >"$work/hard"
get 3 10 11 >>"$work/hard"

expect 0 '^fine$' "$work/good"
expect 0 '^final  *fine  *2 regions' --level eventual --final "$work/final" --final "$work/final" "$work/good"
expect 0 '"verdict":"fine"' --json "$work/good"
# E13c: from an editor that puts a mark in front, and ends lines in its own way.
for file in good final; do { printf '\357\273\277'; sed 's/$/\r/' "$work/$file"; printf '\r\n'; } >"$work/$file.edited"; done
expect 0 '^final  *fine  *1 regions' --level eventual --final "$work/final.edited" "$work/good.edited"
{ get old 1 2; put new_and_long 3 4; get new_ 5 6; } >"$work/later"
printf '{"key":"k","value":"old"}\n' >"$work/initial"
printf '{"key":"k","value":"new_and_much_longer"}\n' >"$work/final_long"
expect 1 'nobody wrote it' --value-bytes 4 "$work/later"
expect 1 'nobody wrote it' --initial "$work/initial" "$work/later"
expect 0 '^fine$' --initial "$work/initial" --value-bytes 4 --final "$work/final_long" "$work/later"
expect 1 'client 2: get k = a ok \[5, 6\]' "$work/stale"
expect 0 '^fine$' --level causal "$work/stale"
expect 1 'although its write failed' --level eventual "$work/failed"
expect 1 'regions differ at k' --level eventual --final "$work/final" --final "$work/final_old" "$work/good"
expect 1 '"verdict":"violation"' --json "$work/stale"
expect 2 'usage:'
expect 2 'eventually cannot be used' --level eventually "$work/good"
expect 2 'No such file' "$work/none"
expect 2 'malformed:1: no "' "$work/malformed"
expect 2 'a second time' "$work/twice"
expect 3 'needs 1' "$work/nothing"
expect 3 '^proves nothing$' --min-ok 3 "$work/good"
expect 3 '^too hard$' --effort 5 "$work/hard"
expect 0 '^fine$' "$work/hard"
exit $failed
