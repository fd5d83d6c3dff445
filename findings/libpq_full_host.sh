#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Of several hosts in a connection string, libpq passes over one that is down and gives up at one that is full.
#
# Guess: host=a,b tries b whenever a gives no session, certainly with target_session_attrs, which searches for a suitable
#     host.
# Seen: libpq tries b if nothing listens at a. If a answers "too many clients" (53300), libpq gives up without asking b,
#     whatever target_session_attrs says: clients fail at an overloaded region while a healthy one idles.
# So: a client that must get through tries each host with a connection string of its own.
#
# Prints:
#   postgresql-15=15.20-0+deb12u1
#   postgresql-client-15=15.20-0+deb12u1
#   libpq5=15.20-0+deb12u1
#     first host not there: idle
#     first host full: sorry, too many clients already
#     first host full, target_session_attrs=read-write: sorry, too many clients already
#     first host full, target_session_attrs=prefer-standby: sorry, too many clients already
#     the second host alone: idle
#   still so
work=$(mktemp -d) || exit 2
. "$(dirname "$0")/lib.sh"
server full -c max_connections=4 -c superuser_reserved_connections=0 -c max_wal_senders=0
server idle
# connect DIRECTORY [OPTION]: which of DIRECTORY and idle answers
connect() {
	"$pg_bin/psql" -X -q -A -t "host=$work/$1,$work/idle user=postgres dbname=postgres ${2:-}" \
		-c "select regexp_replace(setting, '.*/', '') from pg_settings where name = 'data_directory'" 2>&1 | sed 's/.*FATAL: *//'
}
expect "first host not there" idle "$(connect nowhere)"
for _ in 1 2 3 4; do sql full -c "select pg_sleep(60)" >/dev/null 2>&1 & done
refusal="sorry, too many clients already"
for _ in $(seq 100); do sql full -c "select 1" 2>&1 | grep -q "$refusal" && break || sleep 0.1; done
expect "first host full" "$refusal" "$(connect full)"
for wanted in read-write prefer-standby; do
	expect "first host full, target_session_attrs=$wanted" "$refusal" "$(connect full target_session_attrs=$wanted)"
done
expect "the second host alone" idle "$(connect idle)"
finish
