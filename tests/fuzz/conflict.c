/* SPDX-License-Identifier: Apache-2.0
 *
 * What the history of conflicts stores: everything that is taken can be shown. The file under test is taken in whole, for the
 * function that reads one. */
#include "store/conflicts.c"

#include "tests/fuzz/fuzz.h"

static void check_side(const struct conflict_side *side)
{
	CHECK(side->dot.region < REGIONS_MAX && side->value_size <= CONFLICT_VALUE_MAX &&
	      side->value_size <= side->value_size_whole);
	bytes_touch(side->value, side->value_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct conflict conflict;
	uint8_t id[8] = {0, 0, 0, 0, 0, 0, 1, 2}, *copy = malloc(size + 1);
	if (copy == NULL)
		abort();
	if (size)
		memcpy(copy, bytes, size);
	MDB_val key = {.mv_size = sizeof id, .mv_data = id}, value = {.mv_size = size, .mv_data = copy};
	int code = conflict_decode(&conflict, &key, &value);
	CHECK(code == 0 || code == ERR_CORRUPT);
	if (code == 0) {
		CHECK(
		    conflict.id == 258 && conflict.strategy <= STRATEGY_PRIORITY && conflict.held_count <= CONFLICT_SIDES_MAX);
		CHECK(conflict.key_size > 0 && conflict.key_size <= KEY_SIZE_MAX && conflict.keyspace < KEYSPACES_MAX);
		CHECK(conflict.winner.region < REGIONS_MAX);
		bytes_touch(conflict.key, conflict.key_size);
		check_side(&conflict.arrived);
		for (uint32_t i = 0; i < conflict.held_count; i++)
			check_side(&conflict.held[i]);
	}
	free(copy);
	return 0;
}
