/* SPDX-License-Identifier: Apache-2.0
 *
 * Byte strings numbered from 0 in the order of their first appearance: keys, values, sessions. */
#ifndef GODWIT_CHECK_NAMES_H
#define GODWIT_CHECK_NAMES_H
#include <stddef.h>
#include <stdint.h>

#define NAME_NONE UINT32_MAX

struct name {
	const char *bytes; /* also ends with a NUL */
	size_t size;
};
struct names {
	struct name *all;
	uint32_t count, capacity;
	uint32_t *slots; /* number + 1; 0 is free */
	size_t size_max; /* longer ones are cut to it; 0: never */
	uint32_t slot_count;
};

/* A struct of zeros is an empty table. */
void names_deinit(struct names *names);
uint32_t names_add(struct names *names, const char *bytes, size_t size);

#endif
