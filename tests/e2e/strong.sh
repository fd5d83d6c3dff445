#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Strong keyspaces: what one region has answered ok is read in every other one at once; conditions and transactions hold or abort
# everywhere; a region without a majority refuses (NO_QUORUM) and lies about nothing (B17); a request is applied once whatever is
# killed meanwhile (B08); what was acknowledged outlives the disk of the region that acknowledged it, LOSSES times (10), and that
# region has no vote any more, nor has one whose disk was put back from an older copy (T39). Figures are printed.
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-50} losses=${LOSSES:-10}
names=($regions)
up || fail "up"

# is CODE TEXT COMMAND...: ends with it, having printed just that.
is() {
	local want=$1 text=$2 found code
	shift 2
	found=$("$@" 2>"$work/err")
	code=$?
	[ $code = "$want" ] && [ "$found" = "$text" ] || fail "exit code $code and '$found', not $want and '$text': $* ($(cat "$work/err"))"
}
strong() { godwit "$1" "${@:2}" -k orders; }
version_of() { strong get "$1" -r "$2" --json | jq -r .version; }
others_of() { echo "us eu ap" | sed "s/$1//"; }

# Until a region that was just started knows that the others are there.
serving() {
	local start
	start=$(now_ms)
	until strong put warm up -r "$1" --timeout 2000 2>"$work/err"; do
		[ $(($(now_ms) - start)) -lt 60000 ] || fail "$1 takes no writes: $(cat "$work/err")"
		sleep 0.05
	done
}
for region in $regions; do serving "$region"; done

# ---- one key ----
for i in $(seq "$rounds"); do
	writer=${names[i % 3]} key=k$((i % 7)) readers=$(others_of "${names[i % 3]}")
	strong put "$key" "$i" -r "$writer" || fail "put $i in $writer"
	for reader in $readers; do is 0 "$i" strong get "$key" -r "$reader"; done
	[ $((i % 5)) = 0 ] || continue
	strong del "$key" -r "$writer" || fail "del $i in $writer"
	for reader in $readers; do is 1 "" strong get "$key" -r "$reader"; done
done
for writer in $regions; do
	set -- $(others_of "$writer")
	key=cas-$writer
	strong put "$key" 1 --if-version absent -r "$writer" || fail "put if absent in $writer"
	first=$(version_of "$key" "$1")
	refused 1 CHECK_FAILED strong put "$key" 2 --if-version absent -r "$2"
	strong put "$key" 2 --if-version "$first" -r "$1" || fail "put if version in $1"
	refused 1 CHECK_FAILED strong put "$key" 3 --if-version "$first" -r "$2"
	refused 1 CHECK_FAILED strong del "$key" --if-version "$first" -r "$writer"
	is 0 2 strong get "$key" -r "$2"
	strong del "$key" --if-version "$(version_of "$key" "$writer")" -r "$2" || fail "del if version in $2"
	refused 1 NOT_FOUND strong get "$key" -r "$1"
	strong put "$key" 4 --if-version absent -r "$1" || fail "put if absent after a delete in $1"
done

# ---- transactions ----
txn() { cat >"$work/txn"; godwit txn "$work/txn" "$@"; }
for writer in $regions; do
	set -- $(others_of "$writer")
	txn -r "$writer" >/dev/null <<<"$(printf 'in orders put a-%s 1\nin ledger put b-%s 2\nin orders put "c c" 3' "$writer" "$writer")" || fail "txn in $writer"
	for reader in $1 $2; do
		is 0 1 godwit get "a-$writer" -k orders -r "$reader"
		is 0 2 godwit get "b-$writer" -k ledger -r "$reader"
	done
	echo "in orders check a-$writer $(version_of "a-$writer" "$1")
in orders del a-$writer
in ledger put b-$writer 3" >"$work/txn"
	godwit txn "$work/txn" -r "$1" >/dev/null || fail "txn with a check in $1"
	is 1 "" godwit get "a-$writer" -k orders -r "$2"
	is 0 3 godwit get "b-$writer" -k ledger -r "$2"
	# The same again: what is checked is gone.
	refused 1 CHECK_FAILED godwit txn "$work/txn" -r "$2"
	printf 'in ledger put b-%s 4\nin ledger put new-%s 4\nin orders check a-%s 1.0@0\n' "$writer" "$writer" "$writer" >"$work/txn"
	refused 1 CHECK_FAILED godwit txn "$work/txn" -r "$writer"
	for reader in $regions; do
		is 0 3 godwit get "b-$writer" -k ledger -r "$reader"
		is 1 "" godwit get "new-$writer" -k ledger -r "$reader"
	done
done

# ---- mistakes, and what is not to be had ----
refused 3 LEVEL_UNAVAILABLE strong scan -r us
refused 3 LEVEL_UNAVAILABLE strong export -r us
refused 3 LEVEL_UNAVAILABLE strong put k v --level eventual -r us
refused 3 LEVEL_UNAVAILABLE godwit get k -k prices --level strong -r us
refused 3 UNSUPPORTED godwit put k v -k prices --if-version absent -r us
refused 3 UNSUPPORTED strong put k v --context 0:1 -r us
refused 2 if-version strong put k v --if-version soon -r us
refused 2 if-version strong put k v --if-version 0:1 -r us
refused 2 level strong get k --level sometimes -r us
refused 3 KEY_TOO_LARGE strong put "" v -r us
refused 3 KEY_TOO_LARGE strong get "$(head -c 1025 /dev/zero | tr '\0' k)" -r us
refused 2 absent godwit txn "$work/absent" -r us
for line in 'in prices put k v' 'in nowhere put k v' 'in orders check k' 'in orders put k' 'frobnicate k v' 'in orders check k soon'; do
	echo "$line" >"$work/txn"
	godwit txn "$work/txn" -r us >/dev/null 2>"$work/err"
	[ $? = 2 ] && grep -q 'txn:1:' "$work/err" && grep -q 'nothing was sent' "$work/err" || fail "'$line' in a transaction: $(cat "$work/err")"
done
is 0 "$(strong get cas-us -r us)" strong get cas-us --level eventual -r us
[ "$(strong scan --level eventual -r us --prefix cas- | wc -l)" = 3 ] || fail "scan --level eventual"
even orders ledger

# ---- a minority ----
strong put seen before -r us || fail "put"
island=${names[RANDOM % 3]}
set -- $(others_of "$island")
# A write is under way when the links are cut, however slow the machine: the others do not get to vote before (H22).
stopped="$(actor_of "$1" coordinator) $(actor_of "$2" coordinator)"
kill -STOP $stopped || fail "pause"
start=$(now_ms) code=5
while [ $code = 5 ]; do # 5: it was not even sent in that time
	strong put island 0 -r "$island" --timeout 500 >/dev/null 2>"$work/err"
	code=$?
	[ $(($(now_ms) - start)) -lt 10000 ] || break
done
[ $code = 4 ] || fail "a write that nobody can vote for: exit code $code ($(cat "$work/err"))"
until godwit indoubt -r "$island" --json 2>/dev/null | grep -q '"island"'; do
	[ $(($(now_ms) - start)) -lt 10000 ] || fail "indoubt does not list what the island cannot decide"
done
godwit link cut '*' "$island" >/dev/null && godwit link cut "$island" '*' >/dev/null || fail "link cut"
kill -CONT $stopped || fail "go on"
# Until the island knows that it is one: whoever waits behind an undecided write is certainly not applied, the write may be.
start=$(now_ms) unknown=" 0 "
for ((i = 1; ; i++)); do
	[ $(($(now_ms) - start)) -lt 60000 ] || fail "a minority is not refused after 60 s: exit code $code ($(cat "$work/err"))"
	strong put island "$i" -r "$island" --timeout 100 >/dev/null 2>"$work/err"
	code=$?
	[ $code = 4 ] && unknown="$unknown$i " && continue
	[ $code = 5 ] && continue
	[ $code = 3 ] && grep -q NO_QUORUM "$work/err" || fail "in a minority: exit code $code ($(cat "$work/err"))"
	grep -q "too few regions" "$work/err" && break
done
no_quorum_ms=$(($(now_ms) - start))
refused 3 NO_QUORUM strong put seen wrong -r "$island"
refused 3 NO_QUORUM strong del seen -r "$island"
refused 3 NO_QUORUM strong get seen -r "$island"
echo 'in orders put seen wrong' >"$work/txn"
refused 3 NO_QUORUM godwit txn "$work/txn" -r "$island"
is 0 before strong get seen --level eventual -r "$island"
godwit put weak "of the island" -k prices -r "$island" || fail "an eventual keyspace needs no majority"
godwit indoubt -r "$island" --json | grep -q '"island"' || fail "indoubt has lost what the island cannot decide"
# The others go on, among themselves; but not where all regions have to agree.
serving "$1"
serving "$2"
for i in $(seq 10); do
	strong put seen "$i" -r "$1" || fail "put in $1 while $island is cut off"
	is 0 "$i" strong get seen -r "$2"
done
for writer in $1 $2; do # until they know that the island is gone
	start=$(now_ms)
	until godwit put probe "$writer" -k ledger -r "$writer" --timeout 1000 2>&1 | grep -q '^NO_QUORUM'; do
		[ $(($(now_ms) - start)) -lt 60000 ] || fail "ack all without $island in $writer"
	done
done
refused 3 NO_QUORUM godwit put seen wrong -k ledger -r "$1"
printf 'in orders put seen wrong\nin ledger put seen wrong\n' >"$work/txn"
refused 3 NO_QUORUM godwit txn "$work/txn" -r "$2"
is 1 "" godwit get seen -k ledger -r "$1"
godwit link heal '*' '*' >/dev/null || fail "link heal"
start=$(now_ms)
serving "$island"
healed_ms=$(($(now_ms) - start))
is 0 10 strong get seen -r "$island"
even orders ledger
for reader in $regions; do strong get island -r "$reader" 2>/dev/null; echo; done | sort -u >"$work/island"
[ "$(wc -l <"$work/island")" = 1 ] || fail "the island's write is another one elsewhere: $(cat "$work/island")"
value=$(cat "$work/island")
[ -z "$value" ] || [[ "$unknown" = *" $value "* ]] || fail "a write that was refused is there: $value"
echo "no_quorum_ms=$no_quorum_ms unknown=$(wc -w <<<"$unknown") healed_ms=$healed_ms"

# ---- applied once ----
# Adds one to the counter if nobody has since it was read, until told to stop.
count_up() { # REGION NAME
	local ok=0 unknown=0 failed=0 refused=0 row value version
	while [ ! -e "$work/stop" ]; do
		row=$(strong get counter -r "$1" --json --timeout 2000 2>/dev/null) || continue
		value=${row#*'"value":"'} version=${row#*'"version":"'}
		strong put counter $((${value%%'"'*} + 1)) --if-version "${version%%'"'*}" -r "$1" --timeout 10000 >/dev/null 2>"$work/count.$2.err"
		case $? in
		0) ok=$((ok + 1)) ;;
		1) failed=$((failed + 1)) ;;
		3 | 5) refused=$((refused + 1)) ;;
		4) unknown=$((unknown + 1)) ;;
		*) cat "$work/count.$2.err" >&2 && exit 1 ;;
		esac
	done
	echo "$1 $ok $unknown $failed $refused" >"$work/count.$2"
}
strong put counter 0 -r us || fail "put"
counting=""
for client in 1 2 3 4 5; do count_up "${names[client % 3]}" $client & counting="$counting $!"; done
kills=0
for what in us/coordinator eu/region ap/coordinator us/router eu/coordinator us/region; do
	sleep 1
	region=${what%/*} role=${what#*/}
	if [ "$role" = region ]; then pids=$(processes_of "$region"); else pids=$(actor_of "$region" "$role"); fi
	killed $pids || fail "kill $what"
	kills=$((kills + 1))
	[ "$role" != region ] || { region_gone "$region"; up || fail "up"; }
done
sleep 1
touch "$work/stop"
for pid in $counting; do wait "$pid" || fail "a counting client gave up"; done
rm "$work/stop"
even orders
count=$(strong get counter -r ap)
read -r ok unknown failed refused < <(cat "$work"/count.[1-5] | awk '{ ok += $2; unknown += $3; failed += $4; refused += $5 } END { print ok, unknown, failed, refused }')
echo "counter=$count ok=$ok unknown=$unknown condition_failed=$failed refused=$refused kills=$kills"
[ "$count" -ge "$ok" ] || fail "an acknowledged increment is lost"
[ "$count" -le $((ok + unknown)) ] || fail "an increment was applied twice, or one that was said to have failed"
[ "$ok" -ge 20 ] || fail "$ok increments: that proves nothing"
for region in $regions; do
	cat "$work"/count.[1-5] | awk -v r="$region" '$1 == r { n += $2 } END { exit n < 3 }' || fail "hardly an increment in $region"
done

# ---- a lost disk ----
# Acknowledged in one region, which is gone with its disk before anybody else knows of more than the vote: its messages are slow,
# and what is under way when it dies does not arrive.
for number in $(seq "$losses"); do
	wipe
	up || fail "up"
	lost=${names[number % 3]}
	set -- $(others_of "$lost")
	serving "$lost"
	# What is acknowledged there is to be known to the others: they vote only when they have met each other.
	serving "$1"
	serving "$2"
	[ $((number % 3)) = 0 ] || godwit link delay "$lost" '*' 200 >/dev/null || fail "link delay"
	printf 'put last %s\nput "last too" %s\n' "$number" "$number" >"$work/txn"
	pids=$(processes_of "$lost")
	strong txn "$work/txn" -r "$lost" >/dev/null || fail "txn $number"
	killed $pids || fail "kill $lost"
	godwit link cut "$lost" '*' >/dev/null || fail "link cut"
	region_gone "$lost"
	rm -rf "$work/data/${lost:?}"
	for reader in $1 $2; do
		is 0 "$number" strong get last -r "$reader"
		is 0 "$number" strong get "last too" -r "$reader"
	done
	strong put after "$number" -r "$1" || fail "put after $lost is lost"
done
# It comes back empty: nobody takes it for the one that it was.
godwit link delay "$lost" '*' 0 >/dev/null && godwit link heal '*' '*' >/dev/null || fail "link heal"
up || fail "up"
start=$(now_ms)
until strong put k v -r "$lost" --timeout 1000 2>&1 | grep -q REGION_REUSED; do
	[ $(($(now_ms) - start)) -lt 5000 ] || fail "a wiped region is not refused: $(strong put k v -r "$lost" 2>&1)"
	sleep 0.1
done
is 0 "$losses" strong get last -r "$1"
strong put both here -r "$2" || fail "put beside a wiped region"
godwit link cut "$2" '*' >/dev/null && godwit link cut '*' "$2" >/dev/null || fail "link cut"
start=$(now_ms) code=""
until [ "$code" = 3 ] && grep -q "too few regions" "$work/err"; do
	strong put both alone -r "$1" --timeout 300 2>"$work/err"
	code=$?
	[ $code = 3 ] || [ $code = 4 ] || fail "a wiped region's vote counts: exit code $code ($(cat "$work/err"))"
	[ $(($(now_ms) - start)) -lt 5000 ] || fail "with a wiped region beside it a region takes itself for a majority"
done
refused 3 NO_QUORUM strong get last -r "$1"
echo "disks_lost=$losses"

# ---- an older copy of a disk ----
# T39: ap and us had the newest commit, and eu was away. Then ap is gone, and of us an older copy is put back: between that copy and
# eu nobody may answer, for the newest commit is on neither. All that the copy lacks are votes.
wipe
up || fail "up"
even orders
strong put copied 1 -r us || fail "put"
even orders
godwit down --region us >/dev/null || fail "down"
cp -r "$work/data/us" "$work/copy"
up || fail "up"
strong put copied 2 -r ap || fail "put"
even orders
godwit link cut '*' eu >/dev/null && godwit link cut eu '*' >/dev/null || fail "link cut"
start=$(now_ms)
until strong put copied 3 -r ap --timeout 1000 2>"$work/err"; do
	[ $(($(now_ms) - start)) -lt 10000 ] || fail "put beside a region cut off: $(cat "$work/err")"
done
is 0 3 strong get copied -r us
kill -9 $(processes_of us) || fail "kill us"
region_gone us
godwit link cut '*' ap >/dev/null && godwit link cut ap '*' >/dev/null || fail "link cut"
godwit link heal us eu >/dev/null && godwit link heal eu us >/dev/null || fail "link heal"
rm -rf "${work:?}/data/us"
mv "$work/copy" "$work/data/us"
up --region us || fail "up"
start=$(now_ms)
until strong get copied -r us --timeout 300 2>&1 | grep -q REGION_REUSED; do
	strong get copied -r eu --timeout 300 >"$work/out" 2>/dev/null && fail "an older copy has a say: eu reads $(cat "$work/out"), not 3"
	[ $(($(now_ms) - start)) -lt 10000 ] || fail "an older copy does not know that it is one: $(strong get copied -r us 2>&1)"
done
start=$(now_ms)
until strong put other alone -r eu --timeout 300 2>&1 | grep -q NO_QUORUM; do
	[ $(($(now_ms) - start)) -lt 5000 ] || fail "beside an older copy a region takes itself for a majority"
done
refused 3 NO_QUORUM strong get copied -r eu
godwit link heal '*' '*' >/dev/null || fail "link heal"
start=$(now_ms)
until [ "$(strong get copied -r eu --timeout 1000 2>/dev/null)" = 3 ]; do
	[ $(($(now_ms) - start)) -lt 10000 ] || fail "eu and ap are not a majority beside an older copy"
done
strong put copied 4 -r eu || fail "put beside an older copy"
echo "older_copy=refused"
