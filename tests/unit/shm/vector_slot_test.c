/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/vector_slot.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

static struct vector value_of(uint64_t number)
{
	struct vector value;
	for (uint32_t i = 0; i < REGIONS_MAX; i++)
		value.sequence[i] = number * 100 + i;
	return value;
}

static void expect(const struct vector_slot *slot, uint64_t number)
{
	struct vector read, wanted = value_of(number);
	vector_slot_read(slot, &read);
	cr_assert_eq(memcmp(&read, &wanted, sizeof(read)), 0, "expected %llu, read %llu", (unsigned long long)number,
	    (unsigned long long)read.sequence[0]);
}

Test(vector_slot, zero_memory_is_the_empty_vector)
{
	struct vector_slot slot = {0};
	struct vector read, empty = {0};
	vector_slot_read(&slot, &read);
	cr_assert_eq(memcmp(&read, &empty, sizeof(read)), 0);
}

Test(vector_slot, the_last_write_is_read)
{
	struct vector_slot slot = {0};
	for (uint64_t number = 1; number < 100; number++) {
		struct vector value = value_of(number);
		vector_slot_write(&slot, &value);
		expect(&slot, number);
	}
}

Test(vector_slot, F24_writer_killed_in_either_copy_is_repaired_by_the_next)
{
	for (uint64_t writes = 1; writes <= 4; writes++) {
		struct vector_slot slot = {0};
		for (uint64_t number = 1; number <= writes; number++) {
			struct vector value = value_of(number);
			vector_slot_write(&slot, &value);
		}
		uint64_t first = atomic_load(&slot.copies[0].sequence), second = atomic_load(&slot.copies[1].sequence);
		struct vector_copy *older = &slot.copies[first <= second ? 0 : 1];
		atomic_store(&older->sequence, (first > second ? first : second) + 1);
		for (uint32_t i = 0; i < 7; i++)
			atomic_store(&older->place[i], 0xdead);
		expect(&slot, writes);
		for (uint64_t number = writes + 1; number <= writes + 3; number++) {
			struct vector value = value_of(number);
			vector_slot_write(&slot, &value);
			expect(&slot, number);
		}
	}
}

Test(vector_slot, two_writers_at_once_are_an_assertion, .signal = SIGABRT)
{
	struct vector_slot slot = {0};
	struct vector value = value_of(1);
	atomic_store(&slot.copies[0].sequence, 1);
	atomic_store(&slot.copies[1].sequence, 3);
	vector_slot_write(&slot, &value);
}
