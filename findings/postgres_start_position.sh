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
#   postgresql-15=15.20-0+deb12u1
#   postgresql-client-15=15.20-0+deb12u1
#   libpq5=15.20-0+deb12u1
#     physical stream from F0/0: refused in the server's log: 1
#     logical stream from F0/0: rows and errors shown:
#     the slot has moved past rows 1 and 2: t
#     the same slot without a position, rows shown of 1, 2 and 3: i[integer]:3
#   still so
work=$(mktemp -d) || exit 2
. "$(dirname "$0")/lib.sh"
server one -c wal_level=logical -c wal_sender_timeout=3s # with the default, 60 s, it takes half a minute
sql one -c "create table t(i int primary key)" -c "select pg_create_logical_replication_slot('s', 'test_decoding')" >/dev/null
ahead=F0/0
# receive OPTION...: a client of the slot, in the background, until end_of_stream; shown: the rows and errors that it printed
receive() {
	"$pg_bin/pg_recvlogical" -h "$work/one" -U postgres -d postgres --slot s --start -s 1 -f - -o skip-empty-xacts=1 "$@" \
		>"$work/received" 2>&1 &
	client=$!
	until_sql "select active from pg_replication_slots" || give_up "no stream: $(cat "$work/received")"
}
shown() { sed -n 's/.*INSERT: //p; /rror/p' "$work/received" | tr '\n' ' '; }
end_of_stream() {
	kill $client 2>/dev/null
	wait $client 2>/dev/null
	until_sql "select not active from pg_replication_slots" || give_up "the stream does not end"
}
until_sql() { for _ in $(seq 150); do [ "$(sql one -c "$1")" = t ] && return; sleep 0.1; done; false; }

"$pg_bin/psql" -X "host=$work/one user=postgres replication=1" -c "START_REPLICATION PHYSICAL $ahead" \
	>/dev/null 2>&1
for _ in $(seq 50); do grep -q "ahead of the WAL" "$work/one/log" && break || sleep 0.1; done # psql leaves before the refusal
expect "physical stream from $ahead: refused in the server's log" 1 \
	"$(grep -c "ahead of the WAL flush position" "$work/one/log")"
receive --startpos="$ahead"
sql one -c "insert into t values(1)" -c "insert into t values(2)"
moved="select confirmed_flush_lsn >= pg_current_wal_lsn() from pg_replication_slots"
until_sql "$moved"
end_of_stream
expect "logical stream from $ahead: rows and errors shown" "" "$(shown)"
expect "the slot has moved past rows 1 and 2" t "$(sql one -c "$moved")"
sql one -c "insert into t values(3)"
receive
for _ in $(seq 100); do [ "$(shown)" ] && break || sleep 0.1; done
expect "the same slot without a position, rows shown of 1, 2 and 3" "i[integer]:3 " "$(shown)"
end_of_stream
finish
