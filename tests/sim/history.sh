#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# history.sh SIM GODWIT-CHECK: the checkers of histories judge some of the simulator's runs as well.
set -eu
file=$(mktemp)
trap 'rm -f "$file"' EXIT
for seed in 1 2 3 4 5 6 7 8; do
	"$1" --seed "$seed" --history "$file"
	"$2" --level eventual "$file"
done
