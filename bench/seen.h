/* SPDX-License-Identifier: Apache-2.0
 *
 * What one client knows of keys, for compare-and-sets: the version and the value that it read or wrote last of each, and of
 * which keys it has operations under way.
 *
 * Bounded, one place for several keys: a key may be forgotten, or be taken for busy although another one is. Never told: what
 * was of another key; free of a key that is busy. */
#ifndef GODWIT_BENCH_SEEN_H
#define GODWIT_BENCH_SEEN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/values.h"
#include "core/commit_entry.h"

/* What a key held. */
struct seen_value {
	bool known, absent;
	uint8_t version_size, value_size; /* of the value its first VALUE_ID_SIZE bytes, or fewer if it is shorter */
	uint8_t version[COMMIT_VERSION_SIZE];
	char value[VALUE_ID_SIZE];
};
struct seen {
	struct seen_key {
		uint64_t key;
		struct seen_value held;
	} * keys;
	bool *busy;
	uint64_t key_mask, busy_mask;
};

/* keys: how many there are; remembered_max, under_way_max: how many there should be room for. ERR_NO_MEMORY. */
int seen_init(struct seen *seen, uint64_t keys, uint64_t remembered_max, uint64_t under_way_max);
void seen_deinit(struct seen *seen);
/* NULL: not known. Valid until the next note. */
const struct seen_value *seen_find(const struct seen *seen, uint64_t key);
/* value NULL: no such key. A version that does not fit is none, and the key is forgotten. */
void seen_note(struct seen *seen, uint64_t key, const void *version, size_t version_size, const void *value, size_t value_size);
void seen_forget(struct seen *seen, uint64_t key);
bool seen_is_busy(const struct seen *seen, uint64_t key);
void seen_busy_set(struct seen *seen, uint64_t key, bool busy);

#endif
