// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/core/commit_sample.h"
#include "tests/unit/store/support.h"

#define KEYS 5u /* of which each transaction writes four and checks the fifth */

static struct place place;
static char keys[KEYS][601];

static void setup(void)
{
	place_make(&place);
	for (uint32_t i = 0; i < KEYS; i++) {
		memset(keys[i], 'k', sizeof(keys[i]) - 1);
		keys[i][i % 2 == 0 ? sizeof(keys[i]) - 2 : 5] = (char)('a' + i);
		if (i % 2 == 1)
			keys[i][6] = 0;
	}
}
static void teardown(void)
{
	place_remove(&place);
}

TestSuite(commit_kill, .init = setup, .fini = teardown, .timeout = 60);

static uint16_t keyspace_of(uint32_t key)
{
	return (uint16_t)(1 + key % 2);
}

/* The n-th: by its number alone it is known what it writes. */
static size_t transaction_make(uint64_t n, uint8_t *out)
{
	struct commit_operation operations[KEYS];
	char value[40];

	snprintf(value, sizeof(value), "value %llu", (unsigned long long)n);
	for (uint32_t i = 0; i < KEYS; i++) {
		operations[i] =
		    n % 7 == 0 ? commit_write(keyspace_of(i), keys[i], NULL) : commit_write(keyspace_of(i), keys[i], value);
		if (i == n % KEYS)
			operations[i] = commit_check(keyspace_of(i), keys[i], (struct commit_id){.hlc = n - 1, .region = 0});
	}
	return commit_entry_sample(out, (struct commit_id){.hlc = n, .region = 0}, NULL, operations, KEYS);
}

/* Ends only by being killed; what it reports in *durable, others would have been told. Every third comes as a note first. */
static void commit_for_ever(uint64_t seed, _Atomic uint64_t *durable_sequence)
{
	static uint64_t end_of[1u << 20];
	static uint8_t entry[8192];
	uint64_t sequence, reported, durable;
	struct log_recovered found;
	struct apply_result applied;

	struct rows *rows = rows_start(&place, NULL);
	struct log_options options = log_options_small(&place);
	options.durable_lsn = rows_meta_now(rows)->applied_lsn;
	struct log *log = log_start(&place, &options, &found);
	struct log_reader *reader;
	if (log_reader_open(&reader, place.log, NULL) != 0)
		_exit(1);
	sequence = reported = found.vector.sequence[0];
	const uint64_t first = sequence;
	for (;;) {
		for (uint64_t n = random_next(&seed) % 20; n > 0; n--) {
			const size_t size = transaction_make(++sequence, entry);
			if (sequence % 3 == 0)
				append_entry(log, LOG_COMMIT, entry, size);
			end_of[sequence - first] = append_streamed(log, 0, sequence, entry, size);
		}
		log_flush(log);
		if (log_completed(log, &durable, NULL) != 0)
			_exit(3);
		while (reported < sequence && end_of[reported + 1 - first] <= durable)
			reported++;
		atomic_store(durable_sequence, reported);
		if (random_next(&seed) % 2 == 0 &&
		    rows_apply_log(
		        rows, reader, durable, 1 + (uint32_t)(random_next(&seed) % 50), 1, NULL, NULL, &applied, NULL) != 0)
			_exit(4);
		if (random_next(&seed) % 4 == 0)
			log_drop_before(log, rows_meta_now(rows)->applied_lsn);
	}
}

/* The rows are those of the transactions up to the n-th, or, when a note may have come before its record, to the one behind. */
static void rows_check(struct rows *rows, uint64_t n)
{
	struct rows_view *view;

	cr_assert_eq(rows_view_new(rows, &view, NULL), 0);
	cr_assert_eq(rows_view_begin(view, NULL), 0);
	uint64_t newest = 0;
	for (uint32_t i = 0; i < KEYS; i++) {
		struct commit_row row;
		const int code = rows_get_committed(view, keyspace_of(i), (const uint8_t *)keys[i], strlen(keys[i]), &row);
		if (code == ERR_NOT_FOUND && n == 0 && newest == 0)
			continue;
		cr_assert_eq(code, 0);
		if (newest == 0)
			newest = row.stamp.hlc;
		cr_assert_eq(row.stamp.hlc, newest, "half of a transaction is there");
		const uint64_t version = newest % KEYS == i ? newest - 1 : newest;
		char value[40];
		snprintf(value, sizeof(value), "value %llu", (unsigned long long)version);
		cr_assert_eq(row.version.hlc, version);
		cr_assert_eq(row.live, version != 0 && version % 7 != 0);
		cr_assert(!row.live || (row.value_size == strlen(value) && memcmp(row.value, value, row.value_size) == 0));
	}
	cr_assert(newest == n || (newest == n + 1 && newest % 3 == 0), "%llu after %llu", (unsigned long long)newest,
	    (unsigned long long)n);
	rows_view_free(view);
	digests_check(rows, 1);
	digests_check(rows, 2);
}

Test(commit_kill, T34_killed_at_any_moment_a_transaction_is_there_whole_or_not)
{
	_Atomic uint64_t *durable = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *given = getenv("SEED");
	uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)getpid() * 2654435761u + 1;

	printf("SEED=%llu\n", (unsigned long long)seed);
	/* H22: as long as it takes: on a busy machine a writer may be killed before it has had its turn. */
	for (int round = 0; round < 40 || (*durable <= 100 && round < 100 * 40); round++) {
		const pid_t child = fork();
		if (child == 0)
			commit_for_ever(random_next(&seed), durable);
		usleep(1000 + (useconds_t)(random_next(&seed) % 40000) * (1 + (useconds_t)(round / 40)));
		kill(child, SIGKILL);
		int status;
		waitpid(child, &status, 0);
		cr_assert(WIFSIGNALED(status), "round %d: the writer ended by itself with %d", round, WEXITSTATUS(status));

		struct rows *rows = rows_start(&place, NULL);
		struct log_options options = log_options_small(&place);
		struct log_recovered found;
		rows_check(rows, rows_meta_now(rows)->applied.sequence[0]);
		options.durable_lsn = rows_meta_now(rows)->applied_lsn;
		struct log *log = log_start(&place, &options, &found);
		cr_assert_geq(found.vector.sequence[0], *durable);
		cr_assert_eq(apply_all(rows, &place, found.end_lsn).applied.sequence[0], found.vector.sequence[0]);
		rows_check(rows, found.vector.sequence[0]);
		*durable = found.vector.sequence[0];
		log_close(log);
		rows_close(rows);
		random_next(&seed);
	}
	cr_assert_gt(*durable, 100);
}
