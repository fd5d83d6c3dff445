# SPDX-License-Identifier: Apache-2.0
# Hosts that are network namespaces, each with a folder of its own, connected by wan.c and by nothing else; keys go from one to the other as
# files. Sourced by bash scripts that meson starts with GODWIT_BIN, GODWIT_BENCH, GODWIT_CHECK and WAN set. Exit code 77: skipped.
set -u
work=$(mktemp -d "${TMPDIR:-/tmp}/gw-hosts.XXXXXX")
regions="us eu ap"
hosts="us eu ap app" # a region each; on the last one only applications
declare -A number=([us]=0 [eu]=1 [ap]=2 [app]=3)
tag=gw$$
export PATH=$GODWIT_BIN:$PATH
unset GODWIT_DIR GODWIT_KEYS
folder_of() { echo "$work/$1/godwit-data/$1"; } # REGION
. "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

skip() { echo "SKIPPED: $*"; exit 77; }

host() { # HOST COMMAND...: there, in its folder
	local name=$1
	shift
	(cd "$work/$name" && exec ip netns exec "$tag-$name" "$@")
}
# names HOST "ADDRESS NAME"...: what names mean there; taken from then on by what is started there.
names() {
	mkdir -p "/etc/netns/$tag-$1" && printf '%s\n' "127.0.0.1 localhost" "${@:2}" >"/etc/netns/$tag-$1/hosts"
}

# Round trips of oceans, half of them each way; and cut what is named: "FROM>TO", or "FROM" for both ways of all. Returns when it is so.
# wan_lost is how many packets cuts have taken until then.
wan_lost=0
wan_set() { # CUT...
	local from to cut word lines
	lines=$(grep -cs ^lost "$work/wan.out")
	for from in $regions; do
		for to in $regions; do
			[ $from != $to ] || continue
			case "$from $to" in
			"us eu" | "eu us") word=${DELAY_US_EU:-37} ;;
			"eu ap" | "ap eu") word=${DELAY_EU_AP:-55} ;;
			*) word=${DELAY_US_AP:-95} ;;
			esac
			for cut in "$@"; do
				case $cut in "$from>$to" | "$from" | "$to") word=cut ;; esac
			done
			echo "${number[$from]} ${number[$to]} $word"
		done
	done >"$work/wan.new" && mv "$work/wan.new" "$work/wan"
	[ -n "${wan_pid:-}" ] || return 0
	wan_told() { [ "$(grep -c ^lost "$work/wan.out")" -gt "${lines:-0}" ]; }
	within 5 wan_told || fail "the network does not take new delays and cuts"
	wan_lost=$(sed -n 's/^lost //p' "$work/wan.out" | tail -1)
}

cleanup() {
	local code=$? name
	trap - EXIT
	kill $(jobs -p) 2>/dev/null
	for name in $regions; do [ -e "$work/$name" ] && host $name godwit down >/dev/null 2>&1; done
	[ -z "${wan_pid:-}" ] || kill "$wan_pid" 2>/dev/null
	for name in $hosts; do
		ip netns del "$tag-$name" 2>/dev/null
		rm -rf "/etc/netns/$tag-$name"
	done
	if { [ $code != 0 ] && [ $code != 77 ]; } || [ -n "${KEEP:-}" ]; then
		echo "kept for a look: $work" >&2
		tail -n 5 "$work"/*/godwit-data/*/*.stderr "$work"/up.log >&2 2>/dev/null
		[ -z "$failure" ] || echo "$failure" >&2 # again: of a long log only the end may be seen
	else
		rm -rf "$work"
	fi
	exit $code
}
trap cleanup EXIT
trap 'exit 1' INT TERM

[ "$(id -u)" = 0 ] || skip "network namespaces need root"
command -v ip >/dev/null || skip "iproute2 is not installed"
[ -c /dev/net/tun ] || skip "no /dev/net/tun"
for name in $hosts; do
	ip netns add "$tag-$name" 2>"$work/err" || skip "no network namespaces here: $(cat "$work/err")"
	mkdir "$work/$name"
done
wan_set
"$WAN" "$work/wan" "$tag-us=10.77.0.1" "$tag-eu=10.77.0.2" "$tag-ap=10.77.0.3" "$tag-app=10.77.0.4" >"$work/wan.out" 2>"$work/wan.err" &
wan_pid=$!
disown $wan_pid
for _ in $(seq 100); do
	grep -qs ready "$work/wan.out" && break
	kill -0 $wan_pid 2>/dev/null || { wan_pid=; skip "no TUN device here: $(cat "$work/wan.err")"; }
	sleep 0.05
done
grep -qs ready "$work/wan.out" || fail "the network does not come up"
