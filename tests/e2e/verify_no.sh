#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# H23: `verify` says no. Regions that hold other rows under equal vectors are divergent, and the rows are named; regions that cannot get
# equal are not comparable; a write that was acknowledged and is not there is missing, in either kind of keyspace.
. "$(dirname "$0")/lib.sh"
up || fail "up"
for i in $(seq 20); do printf 'same-%s\tvalue %s\n' "$i" "$i"; done >"$work/rows.tsv"
godwit load "$work/rows.tsv" -k prices -r us --acked "$work/acked" >/dev/null || fail "load"
for i in $(seq 5); do printf 'strong-%s\tvalue %s\n' "$i" "$i"; done >"$work/strong.tsv"
godwit load "$work/strong.tsv" -k orders -r us --acked "$work/acked.strong" >/dev/null || fail "load"
even default prices orders

# says CODE PATTERN COMMAND...: ends so, and PATTERN is in what it prints.
says() {
	local want=$1 pattern=$2 code
	shift 2
	"$@" >"$work/out" 2>&1
	code=$?
	[ $code = "$want" ] && grep -q -- "$pattern" "$work/out" || fail "exit code $code, not $want, or no '$pattern': $* ($(cat "$work/out"))"
}

# ---- acknowledged writes ----
says 0 '^20 acknowledged writes checked, 0 missing$' godwit verify --acked "$work/acked" -k prices -r ap
says 0 '^5 acknowledged writes checked, 0 missing$' godwit verify --acked "$work/acked.strong" -k orders -r ap
# One that no region has: a number above all that were given, and a key that is nowhere.
sed '3s/[0-9]*$/9999/' "$work/acked" >"$work/forged"
says 1 'line 3: same-3: acknowledged as .*9999, the region has seen' godwit verify --acked "$work/forged" -k prices -r ap
grep -q '^20 acknowledged writes checked, 1 missing$' "$work/out" && grep -q 'CHECK_FAILED: 1 acknowledged writes are missing' "$work/out" ||
	fail "$(cat "$work/out")"
sed 's/^same-7\t/gone-7\t/' "$work/acked" >"$work/forged"
says 1 'gone-7: acknowledged as' godwit verify --acked "$work/forged" -k prices -r ap
says 1 '"checked":20,"missing":1,"unanswered":0,"deleted_since":0,"named":\[{"key":"gone-7","line":7,' godwit verify --acked "$work/forged" -k prices -r ap --json
# In a strong keyspace a later version is: of a key that is there, and one of which nothing is known.
last=$(tail -1 "$work/acked.strong" | cut -f3)
godwit put strong-1 later -k orders -r eu --json >"$work/later" || fail "put"
even orders
says 0 '^5 acknowledged writes checked, 0 missing$' godwit verify --acked "$work/acked.strong" -k orders -r ap
sed "2s/[^\t]*$/$(jq -r .version "$work/later")/" "$work/acked.strong" >"$work/forged"
[ "$(sed -n 2p "$work/forged" | cut -f3)" != "$last" ] || fail "nothing is forged"
says 1 'line 2: strong-2: acknowledged as' godwit verify --acked "$work/forged" -k orders -r ap
sed 's/^strong-4\t/gone-4\t/' "$work/acked.strong" >"$work/forged"
says 1 'CHECK_FAILED: 1 acknowledged writes are missing' godwit verify --acked "$work/forged" -k orders -r ap
# Deleted since is no loss, and is counted; what cannot be read is neither there nor missing.
godwit del same-9 -k prices -r us || fail "del"
even prices
says 0 '"missing":0,"unanswered":0,"deleted_since":1' godwit verify --acked "$work/acked" -k prices -r ap --json
says 5 'line 1: same-1: UNKNOWN_KEYSPACE' godwit verify --acked "$work/acked" -k nowhere -r ap
grep -q 'UNREACHABLE: 20 keys could not be read' "$work/out" || fail "$(cat "$work/out")"
printf 'no tabs here\n' >"$work/forged"
says 3 ':1: not KEY TAB REGION TAB VERSION' godwit verify --acked "$work/forged" -k prices -r ap

# ---- not comparable ----
godwit link cut us ap >/dev/null && godwit link cut eu ap >/dev/null || fail "link cut"
godwit put apart x -k prices -r us || fail "put"
says 1 'not comparable: the regions have not applied the same writes after 300 ms' godwit verify -k prices --wait-ms 300
says 1 '"identical":false,"comparable":false' godwit verify -k prices --wait-ms 300 --json
godwit link heal '*' '*' >/dev/null || fail "link heal"
even prices
godwit down --region ap >/dev/null || fail "down"
says 1 'not comparable: no answer from ap' godwit verify -k prices --wait-ms 300

# ---- divergent ----
# Two lives of one cluster that begin alike: us and eu are taken from the one, ap from the other, so that all vectors are equal.
up || fail "up"
even default prices orders
godwit down >/dev/null || fail "down"
cp -a "$work/data" "$work/other"
life() { # VALUE: 3 writes under the same numbers; one key is there in both, with another value
	up || fail "up"
	godwit put torn "$1" -k prices -r us && godwit put "only-$1" "$1" -k prices -r us && godwit put after same -k prices -r us || fail "put"
	godwit verify -k prices --wait-ms 30000 >/dev/null || fail "verify"
	godwit down >/dev/null || fail "down"
}
life one
mv "$work/data" "$work/first"
mv "$work/other" "$work/data"
life two
rm -rf "$work/data/us" "$work/data/eu"
mv "$work/first/us" "$work/first/eu" "$work/data/"
up || fail "up"
differ() { godwit verify -k prices --wait-ms 100 >"$work/out" 2>&1; grep -q 'rows differ' "$work/out"; }
within 60 differ || fail "the rows do not differ: $(cat "$work/out")"
says 1 'rows differ between regions that applied the same writes' godwit verify -k prices --wait-ms 10000
# shown KEY PATTERN: its digests, of us, eu and ap. A digest is of eight digits; "absent" begins with some.
d='\([0-9a-f]\{8\}\)'
shown() { grep -q "prices/$1: $2\$" "$work/out" || fail "$1 is not '$2': $(cat "$work/out")"; }
for key in torn after; do # after: the same value by another write is another row
	shown $key "us $d, eu \\1, ap $d"
	grep -q "prices/$key: us $d, eu \\1, ap \\1\$" "$work/out" && fail "$key is named, and is the same everywhere: $(cat "$work/out")"
done
shown only-one "us $d, eu \\1, ap absent"
shown only-two "us absent, eu absent, ap $d"
[ "$(grep -c prices/ "$work/out")" = 4 ] || fail "others are named, too: $(cat "$work/out")"
godwit verify -k prices --json 2>/dev/null >"$work/json"
[ $? = 1 ] || fail "exit code of verify --json"
jq -e '.identical == false and .comparable and .divergent_rows == 4 and (.divergent | length) == 4 and ([.divergent[].key] | index("torn"))' "$work/json" >/dev/null ||
	fail "$(cat "$work/json")"
says 0 identical godwit verify -k orders --wait-ms 10000
echo "divergent rows named: $(jq .divergent_rows "$work/json")"
