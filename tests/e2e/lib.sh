# SPDX-License-Identifier: Apache-2.0
# What the end-to-end tests share: three real regions on loopback in a directory of their own. Sourced by bash scripts that
# meson starts with GODWIT_BIN (the build's cmd folder) and GODWIT_BENCH set.
set -u
work=$(mktemp -d "${TMPDIR:-/tmp}/godwit-e2e.XXXXXX")
regions="us eu ap"
folder_of() { echo "$work/data/$1"; } # REGION
. "$(dirname "${BASH_SOURCE[0]}")/processes.sh"

# Ports of a run are drawn at random, below those that the kernel gives out, and claimed in a file before anybody looks at the others'
# claims, so that two runs on one machine do not meet.
ports_taken() {
	local at
	echo $base >"$work/ports"
	grep -lx $base "${work%/*}"/godwit-e2e.*/ports | grep -qvF "$work/" && return
	while read -r _ at _; do
		at=$((16#${at##*:}))
		[ $at -ge $base ] && [ $at -lt $((base + 100)) ] && return
	done < <(tail -n +2 /proc/net/tcp)
	return 1
}
base=$((12000 + RANDOM % 200 * 100))
while ports_taken; do base=$((12000 + RANDOM % 200 * 100)); done
link_base=$((base + 40))
cat >"$work/topology.yaml" <<YAML
cluster: e2e
regions:
  - { name: us, id: 0, datacenter: Virginia, nodes: ["127.0.0.1:$base"], is_primary: true, priority: 100 }
  - { name: eu, id: 1, datacenter: Ireland, nodes: ["127.0.0.1:$((base + 10))"], priority: 50 }
  - { name: ap, id: 2, datacenter: Mumbai, nodes: ["127.0.0.1:$((base + 20))"], priority: 25 }
keyspaces:
  - { name: orders, level: strong, ack: quorum }
  - { name: ledger, level: strong, ack: all }
  - { name: prices, level: eventual, strategy: priority }
YAML

godwit() { "$GODWIT_BIN/godwit" "$1" --dir "$work/data" "${@:2}"; }
up() { godwit up --topology "$work/topology.yaml" --link-base "$link_base" "$@" >>"$work/up.log" 2>&1; }
# up_apart REGION FLAG...: one that the others do not take in. `up` is ended when the region is ready, since it waits ten seconds for them.
up_apart() {
	local command
	stdbuf -oL "$GODWIT_BIN/godwit" up --dir "$work/data" --topology "$work/topology.yaml" --link-base "$link_base" -r "$@" >"$work/up.apart" 2>&1 &
	command=$!
	within 20 grep -q "^$1 *ready" "$work/up.apart" || fail "up of $1: $(cat "$work/up.apart")"
	kill $command
	wait $command 2>/dev/null
}

stat_of() { godwit admin "$1" stats -r "$2" | jq ".counters.$3"; } # ACTOR REGION COUNTER
state_of() { godwit status --json 2>/dev/null | jq -r --arg name "$1" 'select(.name == $name) | .state + ": " + .reason'; } # REGION
until_state() { # REGION PATTERN SECONDS
	is_state() { state_of "$1" | grep -q -- "$2"; }
	within "$3" is_state "$1" "$2" || fail "$1 is '$(state_of "$1")', not '$2' within $3 s"
}

# refused EXIT-CODE PATTERN COMMAND...: with one line on standard error, and PATTERN in it.
refused() {
	local want=$1 pattern=$2 lines code
	shift 2
	"$@" >"$work/out" 2>"$work/err" </dev/null
	code=$?
	lines=$(wc -l <"$work/err")
	[ $code = "$want" ] || fail "exit code $code, not $want: $* ($(cat "$work/err"))"
	[ "$lines" = 1 ] || fail "$lines lines on standard error, not 1: $* ($(cat "$work/err"))"
	grep -q -- "$pattern" "$work/err" || fail "no '$pattern' in: $(cat "$work/err")"
	[ "$(wc -c <"$work/err")" -le 400 ] || fail "a long line: $*"
}

# All regions hold the same rows of these keyspaces, and nothing is in doubt.
even() { # KEYSPACE...
	local keyspace
	settled godwit
	for keyspace in "$@"; do
		godwit verify -k "$keyspace" --wait-ms 30000 >"$work/verify" 2>&1 || { cat "$work/verify" >&2; fail "the regions differ in $keyspace"; }
	done
}

wipe() {
	godwit down >/dev/null 2>&1
	rm -rf "$work/data"
}

cleanup() {
	local code=$?
	trap - EXIT
	touch "$work/stop" # for what runs in the background
	kill $(jobs -p) 2>/dev/null
	pkill -CONT -f -- "--dir $work/data" 2>/dev/null # what a test has stopped
	godwit down >/dev/null 2>&1
	if { [ $code != 0 ] && [ $code != 77 ]; } || [ -n "${KEEP:-}" ]; then # 77: skipped
		echo "kept for a look: $work" >&2
		tail -n 5 "$work"/data/*/*.stderr "$work"/up.log >&2 2>/dev/null
		[ -z "$failure" ] || echo "$failure" >&2 # again: of a long log only the end may be seen
	else
		rm -rf "$work"
	fi
	exit $code
}
trap cleanup EXIT
trap 'exit 1' INT TERM
