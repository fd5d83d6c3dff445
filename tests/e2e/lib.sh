# SPDX-License-Identifier: Apache-2.0
# What the end-to-end tests share: three real regions on loopback in a directory of their own. Sourced by bash scripts that
# meson starts with GODWIT_BIN (the build's cmd folder) and GODWIT_BENCH set.
set -u
work=$(mktemp -d "${TMPDIR:-/tmp}/godwit-e2e.XXXXXX")
regions="us eu ap"

fail() { echo "FAILED: $*" >&2; exit 1; }

# Ports of a run are drawn at random, below those that the kernel gives out, so that two runs on one machine do not meet.
base=$((12000 + RANDOM % 200 * 100))
link_base=$((base + 40))
cat >"$work/topology.yaml" <<YAML
cluster: e2e
regions:
  - { name: us, id: 0, datacenter: Virginia, nodes: ["127.0.0.1:$base"], is_primary: true, priority: 100 }
  - { name: eu, id: 1, datacenter: Ireland, nodes: ["127.0.0.1:$((base + 10))"], priority: 50 }
  - { name: ap, id: 2, datacenter: Mumbai, nodes: ["127.0.0.1:$((base + 20))"], priority: 25 }
keyspaces:
  - { name: orders, level: strong, ack: quorum }
  - { name: prices, level: eventual, strategy: priority }
YAML

godwit() { "$GODWIT_BIN/godwit" "$1" --dir "$work/data" "${@:2}"; }
up() { godwit up --topology "$work/topology.yaml" --link-base "$link_base" "$@" >>"$work/up.log" 2>&1; }

cleanup() {
	local code=$?
	trap - EXIT
	touch "$work/stop" # for what runs in the background
	kill $(jobs -p) 2>/dev/null
	godwit down >/dev/null 2>&1
	if [ $code != 0 ] || [ -n "${KEEP:-}" ]; then
		echo "kept for a look: $work" >&2
		tail -n 5 "$work"/data/*/*.stderr "$work"/up.log >&2 2>/dev/null
	else
		# Counters outlive their region on purpose; this one does not come back.
		sed -n 's|.* shm=/\([a-z0-9-]*\).*|/dev/shm/\1|p' "$work"/data/*/supervisor.stderr 2>/dev/null | sort -u | xargs -r rm -f
		rm -rf "$work"
	fi
	exit $code
}
trap cleanup EXIT
trap 'exit 1' INT TERM

now_ms() { echo $(($(date +%s%N) / 1000000)); }
