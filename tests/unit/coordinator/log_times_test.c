/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "actors/coordinator/log_times.h"

#define MIB (1ull << 20)

static struct shm_coordinator shm;
static const struct store_id own = {{1, 2, 3}}, other = {{4}};

/* Where the memory of answers begins is known across a restart, by no wall clock (C5). */
Test(log_times, c5_a_restart_knows_when_the_log_was_written)
{
	log_times_start(&shm, &own, 0);
	cr_assert_eq(log_times_find(&shm, 0, 77), 77, "nothing is known");
	for (uint64_t second = 1; second <= 200; second++)
		log_times_note(&shm, second * MIB, second * 1000);
	cr_assert_eq(log_times_find(&shm, 100 * MIB, 999000), 100000);
	cr_assert_eq(log_times_find(&shm, 100 * MIB + 1, 999000), 104000, "never too early");
	cr_assert_eq(log_times_find(&shm, 200 * MIB + 1, 999000), 999000);
	/* What was written beyond the end is lost, and other bytes come there. */
	log_times_start(&shm, &own, 150 * MIB);
	cr_assert_eq(log_times_find(&shm, 100 * MIB, 999000), 100000);
	cr_assert_eq(log_times_find(&shm, 149 * MIB, 999000), 999000);
	log_times_note(&shm, 160 * MIB, 500000);
	cr_assert_eq(log_times_find(&shm, 149 * MIB, 999000), 500000);
	log_times_start(&shm, &other, 160 * MIB);
	cr_assert_eq(log_times_find(&shm, 100 * MIB, 999000), 999000, "of another store");
}

Test(log_times, c5_the_oldest_samples_give_way)
{
	log_times_start(&shm, &own, 0);
	for (uint64_t i = 1; i <= 3 * SHM_LOG_TIMES; i++)
		log_times_note(&shm, i * 4 * MIB, i);
	uint64_t kept = 2 * SHM_LOG_TIMES + 1;
	cr_assert_eq(log_times_find(&shm, kept * 4 * MIB, 1000), kept);
	cr_assert_eq(log_times_find(&shm, 1, 1000), kept, "as late as the oldest that is known");
}
