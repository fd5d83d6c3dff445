/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations of one key, arranged by value, for the search. */
#ifndef GODWIT_CHECK_REGISTER_BLOCKS_H
#define GODWIT_CHECK_REGISTER_BLOCKS_H
#include "check/register.h"

#define NO_OPERATION UINT32_MAX
#define NO_BLOCK     UINT32_MAX

/* A value: who wrote it, how many read it, and the cas that replaced it. */
struct register_value {
	uint32_t writer;  /* NO_OPERATION for what is never there */
	uint32_t readers; /* gets that saw it */
	uint32_t next;    /* the cas that took place on it; NO_OPERATION if none */
	uint32_t block;
	uint32_t refusals; /* operations that differ from it */
};
/* Values that follow each other without a gap: a put, then each cas on the value before. The first operation is free to take
 * place at any time, or needs the key to be absent. In any order, all of a block comes before all of another: so the times
 * of a whole block count. Gibbons and Korach, "Testing Shared Memories", 1997, call such a thing a zone. */
struct register_block {
	int64_t deadline_ns;     /* first end */
	int64_t latest_start_ns; /* last start */
	uint32_t first;          /* operation */
	uint32_t last_value;     /* REGISTER_ABSENT when its last operation removes the key */
};
struct register_blocks {
	struct register_operation *operations; /* a copy; values numbered anew from 0, which is absent */
	uint32_t *number;                      /* of each in the caller's array */
	uint32_t count;
	uint32_t *block_of; /* per operation: NO_BLOCK for a delete, for what saw the key absent, and for what differs */
	struct register_value *values;
	uint32_t value_count;
	struct register_block *blocks;
	uint32_t block_count;
	bool has_optional_removals; /* an optional cas removes the key: no shortcut is proved for those */
};

/* FINE, or a VIOLATION that needs no search. deinit in both cases. */
enum verdict register_blocks_init(
    struct register_blocks *blocks, const struct register_operation *operations, uint32_t count, struct register_fault *fault);
void register_blocks_deinit(struct register_blocks *blocks);

#endif
