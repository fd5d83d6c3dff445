# SPDX-License-Identifier: Apache-2.0
# F14 to F17: what an operator is told is what is.
. "$(dirname "$0")/lib.sh"

# F17: ready means met. The second line of the README works at once, four times from nothing.
for i in 1 2 3 4; do
	up || { cat "$work/up.log" >&2; fail "up"; }
	godwit put seat "$i" -k orders -r us >/dev/null || fail "a strong write straight after up is refused"
	godwit put greeting "$i" -r us >/dev/null || fail "put"
	for try in 1 2 3 4 5; do [ "$(godwit get greeting -r ap 2>/dev/null)" = "$i" ] && break; sleep 0.05; done
	[ "$(godwit get greeting -r ap)" = "$i" ] || fail "up is done, a put in us is not in ap a quarter of a second later"
	godwit status >"$work/out" || { cat "$work/out" >&2; fail "status of what just started is not well"; }
	[ $i = 4 ] || { godwit down >/dev/null; rm -rf "$work/data"; }
done

# F14: a coordinator that hangs is told with its age, and started again.
pid=$(actor_of eu coordinator)
kill -STOP "$pid"
until_state eu "hanging: its coordinator has not moved for" 30
godwit status >/dev/null
[ $? = 1 ] || fail "status of a region that hangs does not end with 1"
is_gone() { ! kill -0 "$1" 2>/dev/null; }
within 60 is_gone "$pid" || fail "a coordinator that hangs is never killed"
until_state eu "^up" 60
grep -q "actor_killed actor=coordinator .*hangs" "$work/data/eu/supervisor.stderr" || fail "no line tells why it was killed"

# F14: a peer that was never there is down, not unknown for ever; a peer that goes has no round trip any more.
godwit down >/dev/null || fail "down"
up --region us --region ap || { cat "$work/up.log" >&2; fail "up of two"; }
for i in $(seq 200); do
	godwit status 2>/dev/null | grep -q "us to eu is down: never heard of since this region started" && break
	sleep 0.1
done
godwit status | grep -q "us to eu is down: never heard of since" || { godwit status >&2; fail "eu is not told to be down"; }
godwit status | grep -qE "^us +eu +down +- +- +- +- " || { godwit status >&2; fail "figures beside a region that is down"; }
up || fail "up of the third"

# F14: refuses all writes.
godwit down --region eu >/dev/null && rm -rf "$work/data/eu/log" "$work/data/eu/rows" "$work/data/eu/snapshots" || fail "wipe"
up_apart eu
until_state eu "REGION_REUSED" 30
godwit status >/dev/null
[ $? = 1 ] || fail "status of a refused region does not end with 1"
godwit down >/dev/null || fail "down"
rm -rf "$work/data"

# F15: a start that fails says why, at once, in one line; the others run; nothing is left of it for the next one.
up || fail "up"
godwit down >/dev/null
mv "$work/data/eu/log" "$work/data/eu/log.away" && touch "$work/data/eu/log"
start=$(date +%s%N)
refused 2 "eu did not start: .*/eu/log is no directory" godwit up --topology "$work/topology.yaml" --link-base "$link_base"
[ $((($(date +%s%N) - start) / 1000000)) -lt 10000 ] || fail "the reason took long"
until_state us "^up" 10
godwit down >/dev/null
rm "$work/data/eu/log" && mv "$work/data/eu/log.away" "$work/data/eu/log"
cp "$work/data/eu/rows/rows.mdb" "$work/rows.mdb"
head -c 8192 /dev/zero | dd of="$work/data/eu/rows/rows.mdb" conv=notrunc status=none
refused 2 "eu does not start: coordinator: .*rows.mdb" godwit up --topology "$work/topology.yaml" --link-base "$link_base"
godwit down >/dev/null
refused 2 "eu does not start: coordinator: .*rows.mdb" godwit up --topology "$work/data/topology.yaml" --link-base "$link_base" --region eu
[ -e "$work/data/topology.yaml" ] || fail "a start that failed took away the topology that it was given"
godwit down >/dev/null
cp "$work/rows.mdb" "$work/data/eu/rows/rows.mdb"
sed 's/cluster: e2e/cluster: other/; s/name: orders/name: renamed/' "$work/topology.yaml" >"$work/wrong.yaml"
refused 2 "'orders' (id 1).*'renamed'" godwit up --topology "$work/wrong.yaml" --link-base "$link_base" --region us
grep -q "cluster: e2e" "$work/data/topology.yaml" || fail "the topology of a start that failed stays"
pgrep -f "$work/data" >/dev/null && fail "something of a start that failed runs"
godwit up --link-base "$link_base" >>"$work/up.log" 2>&1 || { cat "$work/up.log" >&2; fail "up after a start that failed"; }

# F15: the topology is never gone from its place, where a command of that moment would take the one of three regions on loopback.
(while [ -e "$work/data/topology.yaml" ]; do [ ! -e "$work/replaced" ] || exit 0; done; exit 1) &
watching=$!
for i in $(seq 20); do godwit up --topology "$work/topology.yaml" --link-base "$link_base" >>"$work/up.log" 2>&1 || fail "up of what runs"; done
touch "$work/replaced"
wait $watching || fail "the topology was gone for a moment"
[ ! -e "$work/data/topology.yaml.former" ] || fail "the topology of before stays"

# F16: a restart that cannot be is refused before anything is stopped.
pid=$(cat "$work/data/us/supervisor.pid")
refused 2 "another topology" godwit restart us --topology "$work/wrong.yaml"
kill -0 "$pid" 2>/dev/null || fail "us was stopped for a restart that is refused"
# F16: a stale pid file stops nobody else.
cp "$work/data/eu/supervisor.pid" "$work/eu.pid"
godwit down --region us >/dev/null || fail "down of us"
cp "$work/eu.pid" "$work/data/us/supervisor.pid"
godwit down --region us >/dev/null || fail "down of us, which does not run"
kill -0 "$(cat "$work/eu.pid")" 2>/dev/null || fail "down --region us stopped eu"
rm "$work/data/us/supervisor.pid"
# F16: two at once: the second waits for the first.
godwit up --link-base "$link_base" >"$work/up.1" 2>&1 &
godwit up --link-base "$link_base" >"$work/up.2" 2>&1 || { cat "$work/up.2" >&2; fail "up beside up"; }
wait $! || { cat "$work/up.1" >&2; fail "up beside up"; }
# F16: a directory that is gone, with its processes left.
mv "$work/data" "$work/gone"
godwit down >"$work/out" || fail "down of a directory that is gone"
grep -q "processes of .* were stopped" "$work/out" || { cat "$work/out" >&2; fail "nothing is said of what was stopped"; }
nothing_runs() { ! pgrep -f "dir $work/data" >/dev/null; }
within 10 nothing_runs || fail "processes are left"
