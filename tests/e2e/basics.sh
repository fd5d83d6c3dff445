#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A write in any region is read in every region; conflicts are siblings with one winner everywhere; restarts keep all.
. "$(dirname "$0")/lib.sh"

up || fail "up"
up || fail "up again must leave running regions alone"

wait_for() { # REGION KEY VALUE
	local i
	for i in $(seq 100); do
		[ "$(godwit get "$2" -r "$1" 2>/dev/null)" = "$3" ] && return
		sleep 0.05
	done
	fail "$2 in $1 is '$(godwit get "$2" -r "$1" 2>&1)', not '$3'"
}

for writer in $regions; do godwit put "from-$writer" "value of $writer" -r "$writer" || fail "put in $writer"; done
for writer in $regions; do for reader in $regions; do wait_for "$reader" "from-$writer" "value of $writer"; done; done

godwit del from-us -r eu || fail "del"
for i in $(seq 100); do godwit get from-us -r ap >/dev/null 2>&1; code=$?; [ $code = 1 ] && break; sleep 0.05; done
[ "$code" = 1 ] || fail "a deleted key answers with exit code $code, not 1"

# Three writes at once, apart from each other: two conflicts in every region, the same winner everywhere.
godwit link cut '*' '*' >/dev/null || fail "link cut"
for writer in $regions; do godwit put torn "by $writer" -r "$writer" || fail "put while cut off"; done
godwit link heal '*' '*' >/dev/null || fail "link heal"
godwit verify --wait-ms 20000 || fail "regions differ after healing"
winner=$(godwit get torn -r us)
[ "$winner" = "by ap" ] || fail "last writer wins: '$winner', not 'by ap'"
for reader in $regions; do
	[ "$(godwit get torn -r "$reader")" = "$winner" ] || fail "another winner in $reader"
	found=$(godwit conflicts list -r "$reader" --json | wc -l)
	[ "$found" = 2 ] || fail "$found conflicts in $reader, not 2"
done

# The next write supersedes all siblings.
godwit put torn settled -r eu || fail "put over siblings"
for reader in $regions; do wait_for "$reader" torn settled; done

# E13c: a mark that an editor puts in front of a file, and its ends of lines, are no part of a key; a key may begin like one.
mark=$(printf '\357\273\277')
printf '%s%sodd\t1\r\nplain\t2\r\n' "$mark" "$mark" >"$work/marked.tsv"
godwit load "$work/marked.tsv" -r eu --acked "$work/marked.acked" >/dev/null || fail "load of a file with a mark"
[ "$(godwit get "${mark}odd" -r eu)" = 1 ] && [ "$(godwit get plain -r eu)" = 2 ] || fail "keys of a file with a mark"
godwit verify --acked "$work/marked.acked" -r eu >/dev/null || fail "acked: $(cat "$work/marked.acked")"
grep plain "$work/marked.acked" | { printf '%s' "$mark"; sed 's/$/\r/'; } >"$work/edited.acked"
godwit verify --acked "$work/edited.acked" -r eu >/dev/null || fail "an edited list of what was acknowledged"

for actor in coordinator streamer monitor router reconciler; do
	godwit restart "$actor" -r eu >/dev/null || fail "restart $actor"
	godwit admin "$actor" ping -r eu >/dev/null || fail "ping $actor"
	godwit admin "$actor" stats -r eu | jq -e .counters.cpu_us >/dev/null || fail "stats of $actor"
done
wait_for eu torn settled
godwit restart eu >/dev/null || fail "restart of a region"
wait_for eu torn settled
godwit down || fail "down"
godwit get torn -r us >/dev/null 2>&1
[ $? = 5 ] || fail "a region that is down must be exit code 5"
up || fail "up after down"
for reader in $regions; do wait_for "$reader" torn settled; done
godwit verify --wait-ms 20000 || fail "regions differ after a restart of all"
