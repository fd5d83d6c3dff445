# SPDX-License-Identifier: Apache-2.0
# What the end-to-end tests share: three real regions on loopback in a directory of their own. Sourced by bash scripts that
# meson starts with GODWIT_BIN (the build's cmd folder) and GODWIT_BENCH set.
set -u
work=$(mktemp -d "${TMPDIR:-/tmp}/godwit-e2e.XXXXXX")
regions="us eu ap"

fail() { echo "FAILED: $*" >&2; exit 1; }

# Ports of a run are drawn at random, so that two runs on one machine do not meet.
base=$((20000 + RANDOM % 300 * 40))
link_base=$((base + 10000))
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
	godwit down >/dev/null 2>&1
	if [ $code != 0 ] || [ -n "${KEEP:-}" ]; then
		echo "kept for a look: $work" >&2
		tail -n 5 "$work"/data/*/*.stderr "$work"/up.log >&2 2>/dev/null
	else
		rm -rf "$work"
	fi
	exit $code
}
trap cleanup EXIT
trap 'exit 1' INT TERM

now_ms() { echo $(($(date +%s%N) / 1000000)); }
