#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# PostgreSQL's logical replication writes the same primary key twice if the key is DEFERRABLE.
#
# Guess: replica mode (session_replication_role = replica, in which every apply worker runs) skips foreign keys and
#     triggers and keeps unique keys, because an index enforces them. A row that exists already stops the subscription
#     with an error.
# Seen: true of an ordinary key. A hidden constraint trigger enforces a deferrable key, and replica mode does not fire it.
#     Two rows with one primary key stand in the table and nothing reports it until an UPDATE by key changes both, or
#     REINDEX fails.
# So: refuse tables whose key is deferrable (pg_index.indimmediate is false) before applying anything in replica mode.
#
# Prints:
#   postgresql-15=15.20-0+deb12u1
#   postgresql-client-15=15.20-0+deb12u1
#   libpq5=15.20-0+deb12u1
#     ordinary key, applied: rows with seat 12: bob
#     ordinary key, applied: the subscription reports an error: t
#     deferrable key, ordinary session: ERROR:  duplicate key value violates unique constraint "seat_pkey"
#     deferrable key, applied: rows with seat 12: ann bob
#     deferrable key, applied: errors: 0
#     deferrable key, replica mode by hand: ann bob eve
#     an UPDATE by that key, rows changed: 3
#     REINDEX: ERROR:  could not create unique index "seat_pkey"
#   still so
work=$(mktemp -d) || exit 2
. "$(dirname "$0")/lib.sh"
server one -c wal_level=logical

sql one -c "create database origin" -c "create database plain" -c "create database late"
sql one -d origin -c "create table seat(number int primary key, who text)" -c "create publication p for table seat" \
	-c "select pg_create_logical_replication_slot(name, 'pgoutput') from unnest(array['plain', 'late']) name" >/dev/null
subscriber() { # DATABASE KEY: a table that has seat 12 already, and a subscription
	sql one -d "$1" -c "create table seat(number int primary key $2, who text)" -c "insert into seat values(12, 'bob')" \
		-c "create subscription s connection 'host=$work/one user=postgres dbname=origin' publication p
			with (slot_name = '$1', create_slot = false, copy_data = false)" 2>/dev/null
}
subscriber plain ""
subscriber late deferrable
sql one -d origin -c "insert into seat values(12, 'ann')"
for _ in $(seq 100); do
	errors=$(sql one -c "select apply_error_count > 0 from pg_stat_subscription_stats s join pg_stat_subscription using (subid)
		join pg_subscription on oid = subid join pg_database d on d.oid = subdbid where datname = 'plain'")
	[ "$errors" = t ] && [ "$(sql one -d late -c "select count(*) from seat")" = 2 ] && break
	sleep 0.1
done
expect "ordinary key, applied: rows with seat 12" "bob" "$(sql one -d plain -c "select who from seat where number = 12")"
expect "ordinary key, applied: the subscription reports an error" t "$errors"
expect "deferrable key, ordinary session" "ERROR:  duplicate key value violates unique constraint \"seat_pkey\"" \
	"$(sql one -d late -c "insert into seat values(12, 'eve')" 2>&1 | head -1)"
expect "deferrable key, applied: rows with seat 12" "ann bob" \
	"$(sql one -d late -c "select string_agg(who, ' ' order by who) from seat where number = 12")"
expect "deferrable key, applied: errors" 0 "$(sql one -c "select apply_error_count from pg_stat_subscription_stats
	join pg_subscription on oid = subid join pg_database d on d.oid = subdbid where datname = 'late'")"
expect "deferrable key, replica mode by hand" "ann bob eve" "$(sql one -d late -c "set session_replication_role = replica" \
	-c "insert into seat values(12, 'eve')" -c "select string_agg(who, ' ' order by who) from seat where number = 12" 2>&1)"
expect "an UPDATE by that key, rows changed" 3 "$(sql one -d late -c "with changed as
	(update seat set who = upper(who) where number = 12 returning 1) select count(*) from changed")"
expect "REINDEX" "ERROR:  could not create unique index \"seat_pkey\"" \
	"$(sql one -d late -c "reindex table seat" 2>&1 | head -1)"
finish
