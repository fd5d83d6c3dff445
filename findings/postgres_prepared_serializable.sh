#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# While one SERIALIZABLE transaction is prepared, repeating on 40001 does not help; after a crash a lone SELECT fails, too.
#
# Guess: of two transactions in conflict one wins, and a repeat of the other, begun later, succeeds. A prepared
#     transaction blocks through its row locks; a reader never waits and, alone, has nothing to be in conflict with.
# Seen: each repeat meets the same prepared transaction and fails as long as that one is in doubt, however often. A crash
#     makes PostgreSQL forget what the prepared transaction was in conflict with, so it assumes the worst: a READ ONLY
#     transaction that touches the row, which worked before the crash, now fails every time.
# So: the time limit of repeats outlasts the longest doubt, or an unfinished two-phase commit becomes an error of
#     unrelated readers.
#
# Prints:
#   postgresql-15=15.20-0+deb12u1
#   postgresql-client-15=15.20-0+deb12u1
#   libpq5=15.20-0+deb12u1
#     prepared: failures of 5 writers one after the other: 5
#     prepared: failures of 5 readers: 0
#     prepared, after a crash: failures of 5 readers: 5
#     the same at READ COMMITTED: 0
#     after ROLLBACK PREPARED: failures of 5 readers: 0
#     after ROLLBACK PREPARED: failures of 5 writers: 0
#   still so
work=$(mktemp -d) || exit 2
. "$(dirname "$0")/lib.sh"
server one -c max_prepared_transactions=5
sql one -c "create table doctor(name text primary key, on_call bool)" -c "insert into doctor values('ann', true), ('bob', true)"
leave="select count(*) from doctor where on_call"
sql one -c "begin isolation level serializable" -c "$leave" -c "update doctor set on_call = false where name = 'ann'" \
	-c "prepare transaction 'ann'" >/dev/null

failures() { # OPTION...: of five transactions, how many end in 40001
	for _ in 1 2 3 4 5; do sql one -v VERBOSITY=sqlstate "$@" 2>&1; done | grep -c 'ERROR:  40001'
}
writer=(-c "begin isolation level serializable" -c "$leave" -c "update doctor set on_call = false where name = 'bob'" -c commit)
reader=(-c "begin isolation level serializable read only" -c "$leave" -c commit)
expect "prepared: failures of 5 writers one after the other" 5 "$(failures "${writer[@]}")"
expect "prepared: failures of 5 readers" 0 "$(failures "${reader[@]}")"
as_user "$pg_bin/pg_ctl" -D "$work/one" -m immediate stop >/dev/null
server_begin one -c max_prepared_transactions=5
expect "prepared, after a crash: failures of 5 readers" 5 "$(failures "${reader[@]}")"
expect "the same at READ COMMITTED" 0 "$(failures -c "begin read only" -c "$leave" -c commit)"
sql one -c "rollback prepared 'ann'"
expect "after ROLLBACK PREPARED: failures of 5 readers" 0 "$(failures "${reader[@]}")"
expect "after ROLLBACK PREPARED: failures of 5 writers" 0 "$(failures "${writer[@]}")"
finish
