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

#include "tests/unit/store/support.h"

#define KEYS 50

static struct place place;

static void setup(void)
{
	place_make(&place);
}
static void teardown(void)
{
	place_remove(&place);
}

TestSuite(store_kill, .init = setup, .fini = teardown, .timeout = 60);

static void numbered(uint64_t sequence, char key[static 32], char value[static 200])
{
	snprintf(key, 32, "key-%d", (int)(sequence % KEYS));
	memset(value, 'a' + (int)(sequence % 26), 199);
	value[199] = 0;
	value[snprintf(value, 30, "%llu.", (unsigned long long)sequence)] = ' ';
}

/* Ends only by being killed; what it reports in *durable, a client would have been told. */
static void write_for_ever(uint64_t seed, _Atomic uint64_t *durable_sequence)
{
	static uint64_t end_of[1u << 20];
	uint64_t sequence, reported, durable, end;
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
		char key[32], value[200];
		for (uint64_t n = random_next(&seed) % 40; n > 0; n--) {
			numbered(++sequence, key, value);
			const struct write w = {.sequence = sequence, .key = key, .value = value};
			if (append(log, &w, &end) != 0)
				_exit(2);
			end_of[sequence - first] = end;
		}
		log_flush(log);
		if (log_completed(log, &durable, NULL) != 0)
			_exit(3);
		while (reported < sequence && end_of[reported + 1 - first] <= durable)
			reported++;
		atomic_store(durable_sequence, reported);
		if (random_next(&seed) % 2 == 0 &&
		    rows_apply_log(
		        rows, reader, durable, 1 + (uint32_t)(random_next(&seed) % 100), 1, NULL, NULL, &applied, NULL) != 0)
			_exit(4);
		if (random_next(&seed) % 4 == 0)
			log_drop_before(log, rows_meta_now(rows)->applied_lsn);
	}
}

/* T27: what was reported durable is there, and the rows are what the log adds up to. Returns the last sequence. */
static uint64_t recover_and_check(uint64_t reported)
{
	struct rows *rows = rows_start(&place, NULL);
	struct log_options options = log_options_small(&place);
	struct log_recovered found;
	struct rows_view *view;
	struct row row;

	options.durable_lsn = rows_meta_now(rows)->applied_lsn;
	struct log *log = log_start(&place, &options, &found);
	const uint64_t last = found.vector.sequence[0];
	cr_assert_geq(
	    last, reported, "%llu was durable, %llu is there", (unsigned long long)reported, (unsigned long long)last);
	const struct apply_result applied = apply_all(rows, &place, found.end_lsn);
	cr_assert_eq(applied.applied.sequence[0], last);
	cr_assert_eq(rows_view_new(rows, &view, NULL), 0);
	cr_assert_eq(rows_view_begin(view, NULL), 0);
	for (uint64_t s = last > KEYS ? last - KEYS + 1 : 1; s <= last; s++) {
		char key[32], value[200];
		numbered(s, key, value);
		cr_assert_eq(rows_get(view, 0, (const uint8_t *)key, strlen(key), &row), 0);
		cr_assert_eq(row.sibling_count, 1);
		cr_assert_eq(row.siblings[0].dot.sequence, s);
		cr_assert_eq(row.siblings[0].value_size, strlen(value));
		cr_assert_eq(memcmp(row.siblings[0].value, value, strlen(value)), 0);
	}
	rows_view_free(view);
	digests_check(rows, 0);
	log_close(log);
	rows_close(rows);
	return last;
}

Test(store_kill, T27_killed_at_any_moment_nothing_durable_is_lost)
{
	_Atomic uint64_t *durable = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *given = getenv("SEED");
	uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)getpid() * 2654435761u + 1;

	printf("SEED=%llu\n", (unsigned long long)seed);
	/* H22: as long as it takes: on a busy machine a writer may be killed before it has had its turn. */
	for (int round = 0; round < 50 || (*durable <= 100 && round < 100 * 50); round++) {
		const uint64_t before = *durable;
		const pid_t child = fork();
		if (child == 0)
			write_for_ever(random_next(&seed), durable);
		usleep(1000 + (useconds_t)(random_next(&seed) % 40000) * (1 + (useconds_t)(round / 50)));
		kill(child, SIGKILL);
		int status;
		waitpid(child, &status, 0);
		cr_assert(WIFSIGNALED(status), "round %d: the writer ended by itself with %d", round, WEXITSTATUS(status));
		cr_assert_geq(*durable, before);
		*durable = recover_and_check(*durable);
		random_next(&seed);
	}
	cr_assert_gt(*durable, 100);
}
