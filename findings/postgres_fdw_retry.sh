#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A SERIALIZABLE transaction fails at COMMIT with 40001, and its write through postgres_fdw is committed.
#
# Guess: a transaction that ends in 40001 leaves nothing behind, and the remedy is to repeat it. The remote transaction of
#     postgres_fdw commits or aborts with the local one; only a crash between the two commits can part them.
# Seen: no crash is needed. The remote COMMIT goes out before the last check for serialization failures. PostgreSQL
#     refuses the local transaction, the remote row stays, and the repeat that the manual asks for writes it again.
# So: a transaction that is repeated on 40001 writes through a foreign table only what a key makes idempotent.
#
# Prints:
#   postgresql-15=15.20-0+deb12u1
#   postgresql-client-15=15.20-0+deb12u1
#   libpq5=15.20-0+deb12u1
#     our COMMIT: ERROR:  40001
#     our local write is undone: t
#     our remote write, rows: 1
#     the same transaction again, errors: 0
#     remote rows of one transaction that succeeded once: 2
#   still so
work=$(mktemp -d) || exit 2
. "$(dirname "$0")/lib.sh"
server one
sql one -c "create database far" -c "create extension postgres_fdw" \
	-c "create server far foreign data wrapper postgres_fdw options(host '$work/one', dbname 'far')" \
	-c "create user mapping for postgres server far options(user 'postgres')" \
	-c "create foreign table payment(what text) server far" \
	-c "create table doctor(name text primary key, on_call bool)" -c "insert into doctor values('ann', true), ('bob', true)"
sql one -d far -c "create table payment(what text)"

# Write skew: both read both rows, each changes one. `other` runs and commits while `ours` is open.
leave() {
	echo "begin isolation level serializable; select count(*) from doctor where on_call;"
	echo "update doctor set on_call = false where name = '$1';"
}
other=$(leave bob | tr '\n' ' ')
leave ann >"$work/ours"
echo "insert into payment values('one night');" >>"$work/ours"
cp "$work/ours" "$work/again"
echo "\\! $pg_bin/psql -X -q -h $work/one -U postgres -c \"$other\" -c commit >/dev/null" >>"$work/ours"
printf '%s\n' "\\set VERBOSITY sqlstate" "commit;" | tee -a "$work/ours" >>"$work/again"

expect "our COMMIT" "ERROR:  40001" "$(sql one -f "$work/ours" 2>&1 | sed -n 's/.*\(ERROR.*\)/\1/p')"
expect "our local write is undone" t "$(sql one -c "select on_call from doctor where name = 'ann'")"
expect "our remote write, rows" 1 "$(sql one -d far -c "select count(*) from payment")"
expect "the same transaction again, errors" 0 "$(sql one -f "$work/again" 2>&1 | grep -c ERROR)"
expect "remote rows of one transaction that succeeded once" 2 "$(sql one -d far -c "select count(*) from payment")"
finish
