/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/seen.h"

#include <stdlib.h>
#include <string.h>

/* A power of two; as many as there are keys where that is allowed, so that no two share a place. */
static uint64_t places(uint64_t keys, uint64_t most)
{
	uint64_t count = 1;
	while (count < keys && count < most)
		count *= 2;
	return count;
}

int seen_init(struct seen *seen, uint64_t keys, uint64_t remembered_max, uint64_t under_way_max)
{
	uint64_t remembered = places(keys, remembered_max), busy = places(keys, under_way_max * 8);
	*seen = (struct seen){.keys = calloc(remembered, sizeof(*seen->keys)),
	    .busy = calloc(busy, sizeof(*seen->busy)),
	    .key_mask = remembered - 1,
	    .busy_mask = busy - 1};
	return seen->keys && seen->busy ? 0 : ERR_NO_MEMORY;
}

void seen_deinit(struct seen *seen)
{
	free(seen->keys);
	free(seen->busy);
	*seen = (struct seen){0};
}

const struct seen_value *seen_find(const struct seen *seen, uint64_t key)
{
	const struct seen_key *place = &seen->keys[key & seen->key_mask];
	return place->held.known && place->key == key ? &place->held : NULL;
}

void seen_note(struct seen *seen, uint64_t key, const void *version, size_t version_size, const void *value, size_t value_size)
{
	struct seen_key *place = &seen->keys[key & seen->key_mask];
	if (version_size > COMMIT_VERSION_SIZE || (value && !version_size)) {
		seen_forget(seen, key);
		return;
	}
	if (value_size > VALUE_ID_SIZE)
		value_size = VALUE_ID_SIZE;
	*place = (struct seen_key){.key = key,
	    .held = {
	        .known = true, .absent = !value, .version_size = (uint8_t)version_size, .value_size = (uint8_t)value_size}};
	if (version_size)
		memcpy(place->held.version, version, version_size);
	if (value)
		memcpy(place->held.value, value, value_size);
}

void seen_forget(struct seen *seen, uint64_t key)
{
	struct seen_key *place = &seen->keys[key & seen->key_mask];
	if (place->key == key)
		place->held.known = false;
}

bool seen_is_busy(const struct seen *seen, uint64_t key)
{
	return seen->busy[key & seen->busy_mask];
}

void seen_busy_set(struct seen *seen, uint64_t key, bool busy)
{
	seen->busy[key & seen->busy_mask] = busy;
}
