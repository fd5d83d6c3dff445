#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# G20: a newer build in one region after the other, under load, and back again (GODWIT_NEXT, core/version.h): each protocol is spoken in the newest
# version that both sides of a connection understand, no region is cut off by it, nothing acknowledged is lost. Commands of either build serve.
. "$(dirname "$0")/rolling_lib.sh"
began=$(now_ms)
hosts_begin
load_begin
declare -A newest=([us]=1 [eu]=1 [ap]=1)
build() { # REGION PROGRAMS NEWEST
	bin[$1]=$2 newest[$1]=$3
	on "$1" restart "$1" >>"$work/$1/up.log" 2>&1 || { tail -5 "$work/$1/up.log"; fail "restart of $1 with $2"; }
	readlink /proc/"$(actor_of "$1" streamer)"/exe | grep -q "^$(realpath "$2")/" || fail "$1 runs other programs"
}
# Each pair of streamers has agreed on the lower of the two newest versions.
agreed() {
	local from to want
	for from in $regions; do
		for to in $regions; do
			[ $from != $to ] || continue
			want=$((newest[$from] < newest[$to] ? newest[$from] : newest[$to]))
			[ "$(on $from admin streamer streams -r $from | jq -r --arg to $to '.streams[] | select(.peer == $to) | .version')" = $want ] || return 1
		done
	done
}
all_agree() { within 10 agreed || fail "the streamers have not agreed on a version: $(on us admin streamer streams -r us)"; all_cross; }

all_agree
for region in us eu ap; do
	build $region "$GODWIT_NEXT" 2
	all_agree
done
for region in $regions; do [ "${newest[$region]}" = 2 ] || fail "$region was not upgraded"; done
# The first one goes back while the others stay, and the others follow; the commands of us are now the older ones again.
for region in us ap eu; do
	build $region "$GODWIT_BIN" 1
	all_agree
done
# At most one line a process and peer, of what was under way when a build went back; nothing else was refused.
refusals=$(cat "$work"/*/data/*/*.stderr | grep -c 'WRONG_VERSION')
[ "$refusals" -le 30 ] || fail "$refusals lines of WRONG_VERSION"
load_end
echo "rolling_versions: 6 restarts, $crossings crossings, $acknowledged acknowledged writes, $refusals refusals of a version, $(($(now_ms) - began)) ms"
