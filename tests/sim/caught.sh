#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In a simulator with a fault put in on purpose the judge must find a violation within 2000 seeds. A crash (the broken build's
# own assertions), a build in which nothing is acknowledged, and wrong use say nothing about the judge and do not count.
#   caught.sh SIMULATOR
seed=0 crashes=0
while [ $((seed += 1)) -le 2000 ]; do
	said=$("$1" --seed $seed 2>&1)
	code=$?
	case $code in
	0) ;;
	10) crashes=$((crashes + 1)) ;;
	11 | 12)
		verdict=$(printf '%s\n' "$said" | grep -E "^seed $seed: (safety|liveness) at ")
		[ -n "$verdict" ] && { echo "$verdict (after $crashes crashes)"; exit 0; }
		;;
	*) printf 'exit code %s\n%s\n' "$code" "$said" >&2; exit 1 ;;
	esac
done
echo "not caught by the judge in 2000 seeds; $crashes crashed" >&2
exit 1
