# SPDX-License-Identifier: Apache-2.0
# D6, D7: a region that lost something acknowledges nothing that would be lost, and shows nobody rows that it knows to be incomplete.
. "$(dirname "$0")/lib.sh"
sed -i '/^keyspaces:/i limits: { log_disk_mib: 192 }' "$work/topology.yaml"

incomplete() { # REGION CODE: takes no writes, and reads only on request
	refused 3 "^$2" godwit put k new -r "$1" --timeout 2000
	refused 3 "^$2" godwit put k new -k orders -r "$1" --timeout 2000
	refused 3 "^$2" godwit get k -r "$1"
	refused 3 "^$2" godwit scan -r "$1"
}

# D7: a budget with which the log cannot work is refused before anything starts.
sed 's/log_disk_mib: 192/log_disk_mib: 128/' "$work/topology.yaml" >"$work/small.yaml"
godwit up --check --topology "$work/small.yaml" >"$work/out" 2>&1 && fail "--check takes a budget of 128 MiB"
grep -q "log_disk_mib: '128' is not a number from 192" "$work/out" || { cat "$work/out" >&2; fail "the least that works is not told"; }

# D6: a store that never met anybody takes no writes: it may be what is left of a wiped one. The operator can say that it is not.
up --region us 2>/dev/null || { cat "$work/up.log" >&2; fail "up of one"; }
incomplete us NOT_MET
refused 1 NOT_FOUND godwit get k -r us --stale-ok
until_state us "refuses all writes: NOT_MET" 10
up || fail "up of the others"
godwit put k 1 -r us >/dev/null && godwit put k 1 -k orders -r us >/dev/null || fail "put when the others are there"
even default orders

# Met once, it writes alone.
godwit link cut us '*' >/dev/null || fail "link cut"
godwit put k 2 -r us >/dev/null || fail "a region that has met the others does not write alone"
godwit link heal us '*' >/dev/null || fail "link heal"
even default orders

# D6: wiped, and cut off: nothing is acknowledged that would be lost when it is refused later; nor after that, and nothing is read.
godwit down --region us >/dev/null || fail "down"
rm -rf "$work/data/us"
godwit link cut us '*' >/dev/null || fail "link cut"
up_apart us
incomplete us NOT_MET
godwit link heal us '*' >/dev/null || fail "link heal"
until_state us "REGION_REUSED" 20
incomplete us REGION_REUSED
godwit get k -r us --stale-ok >/dev/null 2>&1
[ $? = 1 ] || fail "what is there cannot be looked at"
[ "$(godwit get k -r eu)" = 2 ] || fail "another region lost a row"
godwit down >/dev/null || fail "down"
rm -rf "$work/data"

# Declared to be the first of its cluster, it writes alone from the start, and after a restart.
up --new-cluster --region us 2>/dev/null || fail "up --new-cluster"
godwit put k 1 -r us >/dev/null || fail "put into a new cluster"
godwit down >/dev/null
up --region us 2>/dev/null || fail "up again"
godwit put k 2 -r us >/dev/null || fail "put into a new cluster, after a restart"
godwit down >/dev/null
rm -rf "$work/data/us/log" "$work/data/us/rows" "$work/data/us/snapshots"
up --region us 2>/dev/null || fail "up of a wiped store"
incomplete us NOT_MET
godwit down >/dev/null
rm -rf "$work/data"

# D7: away while the budget of the others' logs is spent: it says so, takes no writes and shows no old rows; the others go on.
up || fail "up"
godwit put k 1 -r us >/dev/null || fail "put"
even default
godwit down --region ap >/dev/null || fail "down"
for i in 1 2 3; do
	"$GODWIT_BENCH" --topology "$work/data/topology.yaml" --dir "$work/data" --regions us --clients 2 --pipeline 64 --keys 20000 --value-size 10000 --seconds 4 --warmup 0 \
		--apart >"$work/bench" 2>&1 || true
	# While the log is full a write is refused; that ends by itself.
	tries=0
	until godwit put k $((i + 1)) -r us >/dev/null 2>"$work/err"; do
		tries=$((tries + 1))
		[ $tries -lt 50 ] || { cat "$work/bench" "$work/err" >&2; fail "the others do not go on, 10 s after the load"; }
		sleep 0.2
	done
	grep -q log_dropped_unacknowledged "$work/data/us/coordinator.stderr" && break
done
grep -q log_dropped_unacknowledged "$work/data/us/coordinator.stderr" || { cat "$work/bench" >&2; fail "the log was never spent"; }
up_apart ap
until_state ap "needs_resync\|NEEDS_RESYNC" 30
incomplete ap NEEDS_RESYNC
[ "$(godwit get k -r ap --stale-ok)" = 1 ] || fail "what is there cannot be looked at"
# Its monitor may take ap for down until the next heartbeat.
for _ in $(seq 50); do godwit status >"$work/status"; grep -q "us to ap is needs_resync" "$work/status" && break; sleep 0.2; done
grep -q "us to ap is needs_resync" "$work/status" || { cat "$work/status" >&2; fail "us does not tell that ap is behind its log"; }
godwit put k last -r eu >/dev/null && godwit put k last -k orders -r eu >/dev/null || fail "the others do not go on"
