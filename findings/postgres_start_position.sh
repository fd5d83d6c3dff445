#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A logical stream that is asked to start at a position which the server has not reached skips what comes, and says nothing.
#
# Guess: the server refuses START_REPLICATION ... LOGICAL with a position of another server (the old primary, a region
#     that was further on), as it refuses a physical stream.
# Seen: the server accepts it and leaves out every change below that position. Its keepalives carry positions that a
#     client confirms in good faith: pg_recvlogical, which ships with PostgreSQL, moves the slot past rows that nobody was
#     shown, and they are lost.
# So: a stored position is valid for one system identifier and timeline only (IDENTIFY_SYSTEM): compare both, and the
#     server's flush position, before START_REPLICATION; or ask for 0/0 and let the slot decide.
#
# Prints:
#   postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
#     physical stream from F0/0: refused in the server's log: 1
#     logical stream from F0/0: rows and errors shown:
#     the slot has moved past rows 1 and 2: t
#     the same slot without a position, rows shown of 1, 2 and 3: i[integer]:3
#   still so
. "$(dirname "$0")/lib.sh"
server one -c wal_level=logical -c wal_sender_timeout=3s # with the default, 60 s, it takes half a minute
sql one -c "create table t(i int primary key)" -c "select pg_create_logical_replication_slot('s', 'test_decoding')" >/dev/null
ahead=F0/0
receive() { # SECONDS OPTION...
	local seconds=$1 && shift
	timeout "$seconds" "$pg_bin/pg_recvlogical" -h "$work/one" -U postgres -d postgres --slot s --start -s 1 -f - \
		-o skip-empty-xacts=1 "$@" 2>&1 |
		sed -n 's/.*INSERT: //p; /rror/p' | tr '\n' ' '
}

"$pg_bin/psql" -X "host=$work/one user=postgres replication=1" -c "START_REPLICATION PHYSICAL $ahead" \
	>/dev/null 2>&1
for _ in $(seq 50); do grep -q "ahead of the WAL" "$work/one/log" && break || sleep 0.1; done # psql leaves before the refusal
expect "physical stream from $ahead: refused in the server's log" 1 \
	"$(grep -c "ahead of the WAL flush position" "$work/one/log")"
receive 8 --startpos="$ahead" >"$work/first" &
sleep 1
sql one -c "insert into t values(1)" && sleep 0.5 && sql one -c "insert into t values(2)"
wait $!
expect "logical stream from $ahead: rows and errors shown" "" "$(cat "$work/first")"
expect "the slot has moved past rows 1 and 2" t \
	"$(sql one -c "select confirmed_flush_lsn >= pg_current_wal_lsn() from pg_replication_slots")"
sql one -c "insert into t values(3)"
expect "the same slot without a position, rows shown of 1, 2 and 3" "i[integer]:3 " "$(receive 4)"
finish
