# SPDX-License-Identifier: Apache-2.0
# What the crash tests share beside ../e2e/lib.sh: regions with a supervisor of their own, so that each has its own environment.
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/lib.sh"
hit_wait_ms=20000
declare -A pids

# start REGION: a supervisor of our own, so that the region has an environment of its own. Stores are wiped on purpose: each is said to be
# of a new cluster, so that it takes writes at once.
start() {
	local region=$1 dir=$work/data/$1
	: >"$work/ready.$region"
	setsid "$GODWIT_BIN/godwit-supervisor" --dir "$work/data" --region "$region" --topology "$work/topology.yaml" \
		--link-base "$link_base" --actor-flag coordinator:--log-segment-mib=4 --actor-flag coordinator:--new-cluster --ready-fd 9 9>>"$work/ready.$region" \
		>>"$dir/supervisor.stderr" 2>&1 </dev/null &
	pids[$region]=$!
	disown $!
}
ready() { # REGION: until it has said so, or its supervisor is gone
	local i
	for i in $(seq 2000); do
		grep -q ready "$work/ready.$1" && return
		kill -0 "${pids[$1]}" 2>/dev/null || return
		sleep 0.01
	done
	fail "$1 is not ready after 20 s"
}
kill_region() { kill -9 "${pids[$1]}" 2>/dev/null; region_gone "$1"; }
hit_wait() { # FILE WHAT
	local end=$(($(now_ms) + hit_wait_ms))
	until [ -s "$1" ]; do
		[ "$(now_ms)" -lt $end ] || fail "never came by: $2"
		sleep 0.01
	done
}

# The link emulator is started by `godwit up`; the supervisors are ours, and their logs begin with small segments.
begin_anew() {
	wipe
	up || fail "up"
	for region in $regions; do pids[$region]=$(cat "$work/data/$region/supervisor.pid"); kill_region "$region"; done
	for region in $regions; do rm -rf "$work/data/$region"/{log,rows,snapshots}; done
}
