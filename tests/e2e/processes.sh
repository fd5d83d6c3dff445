# SPDX-License-Identifier: Apache-2.0
# A region's processes, time, and waiting: what end-to-end tests on one host (lib.sh) and on several (hosts_lib.sh) have in common. Whoever
# sources it has set `work`, and defines `folder_of REGION`: where that region's files are.

failure=""
fail() { failure="FAILED: $*" && echo "$failure" >&2; exit 1; }
now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
# The clock of histories (godwit-bench --history).
monotonic_ns() { awk '{ printf "%.0f\n", $1 * 1e9 }' /proc/uptime; }
between() { # FIRST LAST, ms: sleeps for that long
	local ms=$(($1 + RANDOM % ($2 - $1)))
	sleep $((ms / 1000)).$(printf %03d $((ms % 1000)))
}
# within SECONDS COMMAND...: repeats the command until it succeeds; false when the time is over.
within() {
	local end=$(($(now_ms) + $1 * 1000))
	shift
	until "$@"; do
		[ "$(now_ms)" -lt $end ] || return 1
		sleep 0.02
	done
}

# All processes of a region: its supervisor first, then its actors.
processes_of() { local supervisor; supervisor=$(cat "$(folder_of "$1")/supervisor.pid") && echo "$supervisor" $(pgrep -P "$supervisor"); }
actor_of() { pgrep -P "$(cat "$(folder_of "$1")/supervisor.pid")" -f "godwit-$2"; } # REGION ACTOR
# killed PID...: the first was there and is killed; the others too, if they have not gone with it. False: nobody was killed.
killed() { [ $# -gt 0 ] && kill -9 "$1" 2>/dev/null && { shift; [ $# = 0 ] || kill -9 "$@" 2>/dev/null; true; }; }
# Until nothing of the region runs: its supervisor's lock is free.
region_gone() {
	within 10 flock -n "$(folder_of "$1")/supervisor.lock" true || fail "$1 still runs"
}

# settled COMMAND...: `COMMAND... indoubt` of every region answers, and names no transaction.
settled() {
	nothing_in_doubt() { "$@" indoubt --json >"$work/indoubt" 2>"$work/indoubt.err" && [ ! -s "$work/indoubt" ]; }
	within 30 nothing_in_doubt "$@" && return
	cat "$work/indoubt" "$work/indoubt.err" >&2
	fail "still in doubt after 30 s"
}
