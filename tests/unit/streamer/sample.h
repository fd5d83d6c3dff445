/* SPDX-License-Identifier: Apache-2.0
 *
 * Records and random numbers for the streamer's tests. */
#ifndef GODWIT_TESTS_UNIT_STREAMER_SAMPLE_H
#define GODWIT_TESTS_UNIT_STREAMER_SAMPLE_H
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/record.h"

/* splitmix64 */
static inline uint64_t sample_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Encodes a record with a value of value_size bytes; random ones if seed is not 0. */
static inline uint32_t sample_record(uint8_t region, uint64_t sequence, uint32_t value_size, uint64_t seed, uint8_t *out)
{
	static uint8_t value[VALUE_SIZE_MAX];
	char key[32];
	assert(value_size <= sizeof value);
	memset(value, 'v', value_size);
	for (uint32_t i = 0; seed && i < value_size; i++)
		value[i] = (uint8_t)sample_random(&seed);
	struct record record = {.dot = {.sequence = sequence, .region = region},
	    .hlc = 1000 + sequence,
	    .key = (const uint8_t *)key,
	    .key_size = (uint32_t)snprintf(key, sizeof key, "key-%llu", (unsigned long long)sequence),
	    .value = value,
	    .value_size = value_size};
	record.context.sequence[region] = sequence - 1;
	long size = record_encode(&record, out, RECORD_ENCODED_MAX);
	assert(size > 0);
	return (uint32_t)size;
}

#endif
