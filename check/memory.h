/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of the checkers. They run beside no actor: one that gets no memory stops at once and says so. */
#ifndef GODWIT_CHECK_MEMORY_H
#define GODWIT_CHECK_MEMORY_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* realloc of count elements; never NULL, also for none. */
static inline void *memory_resize(void *old, size_t count, size_t size)
{
	size_t bytes;
	void *block = NULL;
	if (!__builtin_mul_overflow(count ? count : 1, size, &bytes))
		block = realloc(old, bytes);
	if (!block) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return block;
}

static inline void *memory_zeroed(size_t count, size_t size)
{
	void *block = memory_resize(NULL, count, size);
	memset(block, 0, (count ? count : 1) * size);
	return block;
}

/* Room for one more element behind `count`, in an array whose capacity is kept in *capacity. */
static inline void *memory_room(void *old, uint32_t count, uint32_t *capacity, size_t size)
{
	if (count < *capacity)
		return old;
	if (count >= UINT32_MAX / 2) {
		fputs("more than 2^31 elements\n", stderr);
		abort();
	}
	*capacity = *capacity ? *capacity * 2 : 16;
	return memory_resize(old, *capacity, size);
}

#endif
