/* SPDX-License-Identifier: Apache-2.0 */
#include "check/names.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "check/memory.h"

void names_deinit(struct names *names)
{
	for (uint32_t i = 0; i < names->count; i++)
		free((char *)(uintptr_t)names->all[i].bytes);
	free(names->all);
	free(names->slots);
	*names = (struct names){0};
}

/* Where the string is, or the free slot where it belongs. */
static uint32_t slot_of(const struct names *names, const char *bytes, size_t size)
{
	uint32_t at = (uint32_t)XXH3_64bits(bytes, size) & (names->slot_count - 1);
	while (names->slots[at]) {
		const struct name *name = &names->all[names->slots[at] - 1];
		if (name->size == size && memcmp(name->bytes, bytes, size) == 0)
			break;
		at = (at + 1) & (names->slot_count - 1);
	}
	return at;
}

static void slots_double(struct names *names)
{
	free(names->slots);
	names->slot_count = names->slot_count ? names->slot_count * 2 : 64;
	names->slots = memory_zeroed(names->slot_count, sizeof *names->slots);
	for (uint32_t i = 0; i < names->count; i++)
		names->slots[slot_of(names, names->all[i].bytes, names->all[i].size)] = i + 1;
}

uint32_t names_add(struct names *names, const char *bytes, size_t size)
{
	if (names->size_max && size > names->size_max)
		size = names->size_max;
	if (names->count >= names->slot_count / 2)
		slots_double(names);
	uint32_t at = slot_of(names, bytes, size);
	if (names->slots[at])
		return names->slots[at] - 1;
	char *copy = memory_resize(NULL, size + 1, 1);
	if (size)
		memcpy(copy, bytes, size);
	copy[size] = 0;
	names->all = memory_room(names->all, names->count, &names->capacity, sizeof *names->all);
	names->all[names->count] = (struct name){copy, size};
	names->slots[at] = names->count + 1;
	return names->count++;
}
