/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <xxhash.h>

#include "tests/unit/core/sample.h"

static bool digest_equal(struct digest a, struct digest b)
{
	return a.low == b.low && a.high == b.high;
}

/* Regions of different builds compare digests, so the hash is part of the protocol: as documented, for short and long rows. */
Test(core_digest, is_the_documented_hash)
{
	static uint8_t whole[3000];
	uint64_t seed = 1;
	for (size_t i = 0; i < sizeof whole; i++)
		whole[i] = (uint8_t)random_next(&seed);
	for (size_t key_size = 1; key_size <= KEY_SIZE_MAX; key_size += key_size < 20 ? 1 : 83) {
		for (size_t row_size = 0; row_size < 1500; row_size += row_size < 16 ? 1 : 61) {
			memcpy(whole, (uint8_t[]){0x34, 0x12, (uint8_t)key_size, (uint8_t)(key_size >> 8)}, 4);
			XXH128_hash_t h = XXH3_128bits(whole, 4 + key_size + row_size);
			struct digest d = row_digest(0x1234, whole + 4, key_size, whole + 4 + key_size, row_size);
			cr_assert(d.low == h.low64 && d.high == h.high64, "key %zu row %zu", key_size, row_size);
		}
	}
}

Test(core_digest, each_part_counts)
{
	const uint8_t *b = (const uint8_t *)"abcdef";
	struct digest d = row_digest(1, b, 2, b + 2, 3);
	cr_assert(!digest_equal(d, row_digest(2, b, 2, b + 2, 3)), "keyspace");
	cr_assert(!digest_equal(d, row_digest(1, b + 1, 2, b + 2, 3)), "key");
	cr_assert(!digest_equal(d, row_digest(1, b, 2, b + 3, 3)), "row");
	cr_assert(!digest_equal(d, row_digest(1, b, 3, b + 3, 2)), "where the key ends");
}

Test(core_digest, carries_and_borrows)
{
	struct digest d = {.low = UINT64_MAX, .high = 1};
	digest_add(&d, (struct digest){.low = 1, .high = 2});
	cr_assert(d.low == 0 && d.high == 4);
	digest_subtract(&d, (struct digest){.low = 1, .high = 2});
	cr_assert(d.low == UINT64_MAX && d.high == 1);
	uint64_t seed = 5;
	for (int i = 0; i < 10000; i++) {
		struct digest x = {random_next(&seed), random_next(&seed)}, before = d;
		unsigned __int128 sum = ((unsigned __int128)d.high << 64 | d.low) + ((unsigned __int128)x.high << 64 | x.low);
		digest_add(&d, x);
		cr_assert(d.low == (uint64_t)sum && d.high == (uint64_t)(sum >> 64));
		struct digest back = d;
		digest_subtract(&back, x);
		cr_assert(digest_equal(back, before));
	}
}

/* M17: by XOR, two equal hashes would be as good as none. */
Test(core_digest, T13_equal_hashes_do_not_cancel)
{
	struct digest x = row_digest(1, (const uint8_t *)"k", 1, (const uint8_t *)"r", 1), sum = {0, 0};
	for (uint64_t i = 1; i <= 4; i++) {
		digest_add(&sum, x);
		cr_assert(sum.low || sum.high);
		cr_assert_eq(sum.low, i * x.low);
	}
}

static struct digest sample_row_digest(uint32_t i, const char *value)
{
	struct row row;
	uint8_t bytes[128], key[16];
	row_init(&row);
	sample_merge(&row, sample_write((uint8_t)(i % 3), i + 1, NOTHING, i, value));
	long n = row_encode(&row, bytes, sizeof bytes);
	size_t key_size = (size_t)snprintf((char *)key, sizeof key, "%08u", i);
	return row_digest(1, key, key_size, bytes, (size_t)n);
}

Test(core_digest, T13_one_row_of_a_million_differs)
{
	struct digest a = {0, 0}, b = {0, 0};
	uint32_t rows = 1000000;
	for (uint32_t i = 0; i < rows; i++) {
		struct digest d = sample_row_digest(i, "value");
		digest_add(&a, d);
		digest_add(&b, sample_row_digest(rows - 1 - i, "value"));
	}
	cr_assert(digest_equal(a, b), "the order of rows does not count");
	digest_subtract(&b, sample_row_digest(4711, "value"));
	cr_assert(!digest_equal(a, b), "a row is missing");
	digest_add(&b, sample_row_digest(4711, "valuf"));
	cr_assert(!digest_equal(a, b), "a value differs");
	digest_subtract(&b, sample_row_digest(4711, "valuf"));
	digest_add(&b, sample_row_digest(4711, "value"));
	cr_assert(digest_equal(a, b));
}

Test(core_digest, buckets_are_even)
{
	uint32_t counts[DIGEST_BUCKETS] = {0};
	for (uint32_t i = 0; i < 256000; i++) {
		uint32_t bucket = row_digest_bucket((const uint8_t *)&i, sizeof i);
		cr_assert(bucket < DIGEST_BUCKETS);
		counts[bucket]++;
	}
	for (uint32_t i = 0; i < DIGEST_BUCKETS; i++)
		cr_assert(counts[i] > 800 && counts[i] < 1200, "bucket %u: %u", i, counts[i]);
}
