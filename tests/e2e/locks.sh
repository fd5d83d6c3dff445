#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One process a role (E13a): what is started twice refuses, names who runs, and takes nothing from it; and a pid that a file names is
# stopped only if that very process holds the lock.
. "$(dirname "$0")/lib.sh"

up -r us -r eu || fail "up: $(cat "$work/up.log")"
for actor in coordinator streamer monitor router reconciler; do
	first=$(actor_of us $actor)
	refused 3 "runs already: process $first" timeout 20 "$GODWIT_BIN/godwit-$actor" --dir "$work/data" --region us --topology "$work/data/topology.yaml"
	godwit admin $actor ping -r us | grep -q "$first" || fail "the admin socket of $actor speaks of another process"
done
first=$(cat "$work/data/us/supervisor.pid")
refused 3 "runs already: process $first" timeout 20 "$GODWIT_BIN/godwit-supervisor" --dir "$work/data" --region us --topology "$work/data/topology.yaml"

# The store is locked by its writer, whatever became of the role's lock file.
rm "$work/data/us/coordinator.lock"
refused 3 "a writer of this store runs already: process $(actor_of us coordinator)" timeout 20 "$GODWIT_BIN/godwit-coordinator" --dir "$work/data" \
	--region us --topology "$work/data/topology.yaml"
godwit put a 1 -k prices -r us >/dev/null || fail "the first coordinator does not serve any more"

# `down` of one region never stops another's supervisor, whatever number a file holds.
godwit down -r us >/dev/null || fail "down us"
eu=$(cat "$work/data/eu/supervisor.pid")
echo "$eu" >"$work/data/us/supervisor.pid"
echo "$eu" >"$work/data/us/supervisor.lock"
godwit down -r us >/dev/null || fail "down of a region that does not run"
kill -0 "$eu" 2>/dev/null || fail "down -r us stopped eu"
godwit get a -k prices -r eu >/dev/null || fail "eu does not serve"
