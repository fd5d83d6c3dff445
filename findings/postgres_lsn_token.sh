#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A read-your-writes token taken with pg_current_wal_lsn() after COMMIT does not cover that COMMIT if it was asynchronous.
#
# Guess: a session that reads pg_current_wal_lsn() after its COMMIT returned gets a position at or beyond its commit
#     record. synchronous_commit=off puts durability at risk, not order: a standby that has replayed the token shows the
#     row.
# Seen: the function reports what has been written out of the WAL buffers, and the record of an asynchronous commit still
#     lies in them. The standby reports the token as replayed at once and does not have the row, for as long as the WAL
#     writer sleeps. pg_current_wal_insert_lsn() gives a token that holds.
# So: tokens come from pg_current_wal_insert_lsn(), or from the decoded commit.
#
# Prints:
#   postgresql-15=15.20-0+deb12u1
#   postgresql-client-15=15.20-0+deb12u1
#   libpq5=15.20-0+deb12u1
#     a standby has the token | has the row, after
#     synchronous_commit=on, pg_current_wal_lsn: t|t
#     synchronous_commit=off, pg_current_wal_lsn: t|f
#     synchronous_commit=off, pg_current_wal_insert_lsn: t|t
#   still so
work=$(mktemp -d) || exit 2
. "$(dirname "$0")/lib.sh"
server one -c wal_writer_delay=10s
"$pg_bin/pg_basebackup" -h "$work/one" -U postgres -D "$work/copy" -c fast -R 2>/dev/null || give_up pg_basebackup
rm -f "$work"/copy/.s.* # the socket lies in the data folder
[ "$(id -u)" != 0 ] || chown -R nobody "$work/copy"
servers="$servers copy"
server_begin copy
sql one -c "create table t(i int primary key)"

# commit ROW MODE FUNCTION: commits a row, takes the token, waits for it on the copy, and looks there for the row
commit() {
	local token
	token=$(sql one -c "set synchronous_commit = $2" -c "insert into t values($1)" -c "select $3()")
	for _ in $(seq 300); do # the WAL writer sleeps for ten seconds
		[ "$(sql copy -c "select pg_last_wal_replay_lsn() >= '$token'")" = t ] && break
		sleep 0.1
	done
	sql copy -c "select pg_last_wal_replay_lsn() >= '$token', exists(select from t where i = $1)"
}
echo "  a standby has the token | has the row, after"
expect "synchronous_commit=on, pg_current_wal_lsn" "t|t" "$(commit 1 on pg_current_wal_lsn)"
expect "synchronous_commit=off, pg_current_wal_lsn" "t|f" "$(commit 2 off pg_current_wal_lsn)"
expect "synchronous_commit=off, pg_current_wal_insert_lsn" "t|t" "$(commit 3 off pg_current_wal_insert_lsn)"
finish
