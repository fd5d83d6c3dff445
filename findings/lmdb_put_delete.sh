#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In LMDB, large values that are put and deleted in one transaction fill the map, unless the file has had free pages before.
#
# Guess: a transaction needs as much room as it has live data at its widest, because pages that it allocated and gave back
#     are its own to use again. 100 keys of 3 KB, put and deleted a thousand times, fit in 16 MB as 2 KB values do.
# Seen: pages of small values come back at once. Those of values above half a page (overflow pages) come back only if the
#     transaction has drawn on pages that earlier ones freed. A new file has none, and MDB_MAP_FULL comes with nothing
#     stored; a file that once lost a value takes a thousand rounds; a nested transaction fails in both. A test on a used
#     file proves nothing about a new one.
# So: a queue or batch with large values commits between put and delete, or counts all that it ever put against the map's
#     size.
#
# Prints:
#   liblmdb0=0.9.24-1
#   liblmdb-dev=0.9.24-1
#     (2000 bytes: 1000 rounds of 1000)
#     new file, 2000 bytes: 1000 rounds
#     (3000 bytes: 40 rounds of 1000)
#     new file, 3000 bytes: map full
#     (20000 bytes: 8 rounds of 1000)
#     new file, 20000 bytes: map full
#     (3000 bytes: 1000 rounds of 1000)
#     used file, 3000 bytes: 1000 rounds
#     (20000 bytes: 1000 rounds of 1000)
#     used file, 20000 bytes: 1000 rounds
#     (2000 bytes: 1000 rounds of 1000)
#     used file, nested, 2000 bytes: 1000 rounds
#     (3000 bytes: 40 rounds of 1000)
#     used file, nested, 3000 bytes: map full
#   still so
work=$(mktemp -d) || exit 2
. "$(dirname "$0")/lib.sh"
packages liblmdb0=0.9.24-1 liblmdb-dev=0.9.24-1
compile rounds lmdb <<'C' || exit 2
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ROUNDS = 1000, KEYS = 100 };
static char value_bytes[64 << 10];

static void must(int failed)
{
	if (failed) {
		fprintf(stderr, "%s\n", mdb_strerror(failed));
		exit(2);
	}
}

static int round_of(MDB_txn *txn, MDB_dbi rows, size_t size)
{
	int failed = 0;
	for (int i = 0; i < KEYS && !failed; i++)
		failed = mdb_put(txn, rows, &(MDB_val){sizeof i, &i}, &(MDB_val){size, value_bytes}, 0);
	for (int i = 0; i < KEYS && !failed; i++)
		failed = mdb_del(txn, rows, &(MDB_val){sizeof i, &i}, NULL);
	return failed;
}

/* rounds DIRECTORY SIZE new|used [nested] */
int main(int count, char **arguments)
{
	MDB_env *env;
	MDB_txn *txn, *child;
	MDB_dbi rows;
	size_t size = strtoul(arguments[2], NULL, 10);
	mkdir(arguments[1], 0700);
	must(mdb_env_create(&env));
	must(mdb_env_set_mapsize(env, 16 << 20));
	must(mdb_env_open(env, arguments[1], MDB_NOSYNC, 0600));
	must(mdb_txn_begin(env, NULL, 0, &txn));
	must(mdb_dbi_open(txn, NULL, 0, &rows));
	must(mdb_txn_commit(txn));
	for (int i = 0; !strcmp(arguments[3], "used") && i < 4; i++) { /* one value comes and goes, twice */
		must(mdb_txn_begin(env, NULL, 0, &txn));
		must(i % 2 ? mdb_del(txn, rows, &(MDB_val){1, "k"}, NULL)
			   : mdb_put(txn, rows, &(MDB_val){1, "k"}, &(MDB_val){40000, value_bytes}, 0));
		must(mdb_txn_commit(txn));
	}
	must(mdb_txn_begin(env, NULL, 0, &txn));
	child = txn;
	if (count > 4)
		must(mdb_txn_begin(env, txn, 0, &child));
	int failed = 0, done = 0;
	while (done < ROUNDS && !(failed = round_of(child, rows, size)))
		done++;
	printf("%s\n", failed == MDB_MAP_FULL ? "map full" : failed ? mdb_strerror(failed) : "1000 rounds");
	fprintf(stderr, "  (%zu bytes: %d rounds of %d)\n", size, done, ROUNDS);
	mdb_txn_abort(txn);
	mdb_env_close(env);
}
C
number=0
rounds() { number=$((number + 1)) && "$work/rounds" "$work/$number" "$@"; }
expect "new file, 2000 bytes" "1000 rounds" "$(rounds 2000 new)"
expect "new file, 3000 bytes" "map full" "$(rounds 3000 new)"
expect "new file, 20000 bytes" "map full" "$(rounds 20000 new)"
expect "used file, 3000 bytes" "1000 rounds" "$(rounds 3000 used)"
expect "used file, 20000 bytes" "1000 rounds" "$(rounds 20000 used)"
expect "used file, nested, 2000 bytes" "1000 rounds" "$(rounds 2000 used nested)"
expect "used file, nested, 3000 bytes" "map full" "$(rounds 3000 used nested)"
finish
