#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A build that is broken on purpose is caught when its test fails by what it asserts, not by a crash.
#   caught.sh PROGRAM TEST
out=$("$1" --filter "$2" 2>&1)
echo "$out" | grep -q 'Tested: 1 | Passing: 0 | Failing: 1 | Crashing: 0' && echo "caught" && exit 0
echo "not caught by $2:"
echo "$out" | grep -v 'Tested:'
exit 1
