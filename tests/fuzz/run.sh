#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs one fuzzer over its corpus, for a time. What it finds new is left out; what breaks it is kept beside the program.
#   run.sh PROGRAM CORPUS SECONDS [FLAG...]
program=$1 corpus=$2 seconds=$3
shift 3
found=$(mktemp -d "${TMPDIR:-/tmp}/godwit-fuzz.XXXXXX") || exit 99
trap 'rm -rf "$found" /dev/shm/godwit-fuzz-$pid' EXIT
[ -n "$(ls "$corpus" 2>/dev/null)" ] || { echo "no corpus in $corpus"; exit 1; }
UBSAN_OPTIONS=print_stacktrace=1 "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -close_fd_mask=1 \
	-artifact_prefix="$program.found-" "$@" "$found" "$corpus" >"$found/output" 2>&1 &
pid=$!
wait $pid
code=$?
[ $code = 0 ] && grep -E 'stat::number_of_executed|DONE|cov:' "$found/output" | tail -4 || cat "$found/output"
exit $code
