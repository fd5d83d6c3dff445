# SPDX-License-Identifier: Apache-2.0
# Three hosts on one machine, each with a directory, keys and a topology file of its own, and a load on all of them that loses nothing. Sourced
# by bash scripts in the place of lib.sh.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
folder_of() { echo "$work/$1/data/$1"; } # REGION
# on REGION COMMAND ARGUMENT...: as on the host of that region, with the programs of bin.REGION.
declare -A bin=([us]=$GODWIT_BIN [eu]=$GODWIT_BIN [ap]=$GODWIT_BIN)
on() { "${bin[$1]}/godwit" "$2" --dir "$work/$1/data" --keys "$work/$1/keys" "${@:3}"; }
godwit() { # of all hosts at once, for what lib.sh does; otherwise of the first
	local region
	[ "$1" = down ] || { on us "$@"; return; }
	for region in $regions; do on "$region" "$@"; done
}

# A link emulator for each host, on ports of its own.
hosts_begin() { # FLAG-OF-UP...
	local region other bases=$base
	declare -gA links
	for region in $regions; do
		base=$((12000 + RANDOM % 200 * 100))
		while case " $bases " in *" $base "*) true ;; *) ports_taken ;; esac; do base=$((12000 + RANDOM % 200 * 100)); done
		links[$region]=$base
		bases="$bases $base"
	done
	printf '%s\n' $bases >"$work/ports"
	for region in $regions; do
		mkdir -p "$work/$region/data"
		on $region keys init --topology "$work/topology.yaml" -r $region >>"$work/up.log" 2>&1 && on $region keys export -o "$work/$region.public" >/dev/null || fail "keys of $region"
	done
	for region in $regions; do
		for other in $regions; do
			on $region keys import "$work/$other.public" --topology "$work/topology.yaml" --rights read,write,admin >>"$work/up.log" 2>&1 || fail "keys"
		done
	done
	for region in $regions; do host_up $region "$work/topology.yaml" "$@" & starts="${starts:-} $!"; done
	for pid in $starts; do wait "$pid" || { cat "$work"/*/up.log; fail "up"; }; done
}
host_up() { on "$1" up --topology "$2" -r "$1" --link-base "${links[$1]}" "${@:3}" >>"$work/$1/up.log" 2>&1; }

# Writers of both levels in each region, until the file `stop` is there; what was acknowledged goes to acked.
load_begin() {
	mkdir "$work/acked"
	local region keyspace
	for region in $regions; do
		for keyspace in default orders; do writer $region $keyspace & writers="${writers:-} $!"; done
	done
}
writer() { # REGION KEYSPACE
	local round=0
	while [ ! -e "$work/stop" ]; do
		round=$((round + 1))
		awk -v r="$1" -v n="$round" 'BEGIN { for (i = 0; i < 200; i++) printf "%s-%d-%d\tround %d\n", r, n, i, n }' |
			on "$1" load - --format tsv -k "$2" -r "$1" --pipeline 4 --timeout 30000 --acked "$work/acked/$2.$1.$round" --json \
				>>"$work/load.$1.$2" 2>>"$work/load.$1.$2.err"
		sleep 0.05
	done
}
# Nothing acknowledged is missing anywhere, and the regions are the same.
load_end() {
	local keyspace
	touch "$work/stop"
	wait $writers
	for keyspace in default orders; do
		[ -n "$(ls "$work/acked/$keyspace".*)" ] || fail "nothing was acknowledged in $keyspace"
		cat "$work/acked/$keyspace".* >"$work/acked.$keyspace"
		on us verify -k $keyspace --wait-ms 30000 --acked "$work/acked.$keyspace" >"$work/verify" 2>&1 || { cat "$work/verify"; fail "$keyspace: not the same, or something acknowledged is missing"; }
	done
	acknowledged=$(cat "$work"/acked/* | wc -l)
	[ "$acknowledged" -gt 500 ] || fail "only $acknowledged writes were acknowledged"
}

crossings=0
# crosses FROM TO: what is written there now arrives here, and strong writes go on.
crosses() {
	crossings=$((crossings + 1))
	local key=crossing-$crossings arrived
	on "$1" put $key "$1" -r "$1" >/dev/null || fail "an eventual write in $1 is refused ($2)"
	arrived() { [ "$(on "$2" get "$key" -r "$2" 2>/dev/null)" = "$1" ]; }
	within 10 arrived "$1" "$2" || fail "the stream from $1 to $2 stands: $(tail -3 "$(folder_of "$2")/streamer.stderr")"
	on "$1" put $key "$1" -k orders -r "$1" --timeout 5000 >/dev/null || fail "a strong write in $1 is refused"
	[ "$(on "$2" get $key -k orders -r "$2" --timeout 5000)" = "$1" ] || fail "$2 reads no strong write of $1"
}
all_cross() {
	local from to
	for from in $regions; do for to in $regions; do [ $from = $to ] || crosses $from $to; done; done
}
