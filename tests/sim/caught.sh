#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A simulator with a fault put in on purpose must fail within 200 seeds, by a violation and not by wrong use.
"$1" --seeds 200
code=$?
case $code in
10 | 11 | 12) exit 0 ;;
*) echo "not caught: exit code $code" >&2; exit 1 ;;
esac
