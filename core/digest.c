/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <assert.h>
#include <string.h>

#include "base/broken.h"
#include "base/bytes.h"
#include "core/commit_entry.h"
#include "core/row.h"

/* Hashed: keyspace, key size (both u16 little endian), key, row bytes. The size keeps a key's end apart from a row's start. */
#define DIGEST_HEAD_SIZE 4u
/* Up to here the parts are copied together and hashed in one call, which for usual rows is cheaper than a hash state. */
#define DIGEST_COPY_MAX 512u

struct digest row_digest(uint16_t keyspace, const uint8_t *key, size_t key_size, const uint8_t *row, size_t row_size)
{
	assert(key_size <= KEY_SIZE_MAX);
	if (commit_row_is(row, row_size) && row_size >= COMMIT_ROW_UNDIGESTED) {
		row += COMMIT_ROW_UNDIGESTED;
		row_size -= COMMIT_ROW_UNDIGESTED;
	}
	uint8_t bytes[DIGEST_COPY_MAX];
	XXH128_hash_t hash;
	bytes_put_u16(bytes, keyspace);
	bytes_put_u16(bytes + 2, (uint16_t)key_size);
	if (key_size <= DIGEST_COPY_MAX - DIGEST_HEAD_SIZE && row_size <= DIGEST_COPY_MAX - DIGEST_HEAD_SIZE - key_size) {
		memcpy(bytes + DIGEST_HEAD_SIZE, key, key_size);
		if (row_size > 0)
			memcpy(bytes + DIGEST_HEAD_SIZE + key_size, row, row_size);
		hash = XXH3_128bits(bytes, DIGEST_HEAD_SIZE + key_size + row_size);
	} else {
		XXH3_state_t state;
		XXH3_128bits_reset(&state);
		XXH3_128bits_update(&state, bytes, DIGEST_HEAD_SIZE);
		XXH3_128bits_update(&state, key, key_size);
		XXH3_128bits_update(&state, row, row_size);
		hash = XXH3_128bits_digest(&state);
	}
	return (struct digest){.low = hash.low64, .high = hash.high64};
}

uint32_t row_digest_bucket(const uint8_t *key, size_t key_size)
{
	return (uint32_t)(XXH3_64bits(key, key_size) % DIGEST_BUCKETS);
}

void digest_add(struct digest *d, struct digest x)
{
	if (BROKEN(M17)) {
		d->low ^= x.low;
		d->high ^= x.high;
		return;
	}
	d->low += x.low;
	d->high += x.high + (d->low < x.low);
}

void digest_subtract(struct digest *d, struct digest x)
{
	d->high -= x.high + (d->low < x.low);
	d->low -= x.low;
}
