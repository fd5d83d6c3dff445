/* SPDX-License-Identifier: Apache-2.0
 *
 * Small things that the tests of core share: random numbers from a seed, contexts and writes in one line. */
#ifndef GODWIT_TESTS_UNIT_CORE_SAMPLE_H
#define GODWIT_TESTS_UNIT_CORE_SAMPLE_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/record.h"
#include "core/row.h"
#include "core/vector.h"

/* splitmix64 */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}
static inline uint32_t random_below(uint64_t *state, uint32_t limit)
{
	return (uint32_t)((random_next(state) >> 32) * limit >> 32);
}
/* Small, large and border numbers in equal parts. */
static inline uint64_t random_number(uint64_t *state)
{
	uint64_t n = random_next(state);
	return n >> (random_next(state) % 64);
}

/* What one run's seed and length may be replaced with, to replay a failure. */
static inline uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text ? strtoull(text, NULL, 0) : otherwise;
}

static const uint32_t no_priority[REGIONS_MAX];

#define CONTEXT(...) ((struct vector){.sequence = {__VA_ARGS__}})
#define NOTHING      CONTEXT(0)

/* text NULL: a tombstone. */
static inline struct record sample_write(
    uint8_t region, uint64_t sequence, struct vector context, uint64_t hlc, const char *text)
{
	struct record r = {.dot = {.region = region, .sequence = sequence},
	    .hlc = hlc,
	    .context = context,
	    .key = (const uint8_t *)"key",
	    .key_size = 3,
	    .keyspace = 1};
	if (text) {
		r.value = (const uint8_t *)text;
		r.value_size = (uint32_t)strlen(text);
	} else {
		r.flags = RECORD_TOMBSTONE;
	}
	return r;
}

static inline enum row_change sample_merge(struct row *row, struct record r)
{
	enum row_change change;
	row_merge_record(row, &r, &change);
	return change;
}

/* Whether a sibling of that region and sequence is in the row. */
static inline const struct sibling *sample_find(const struct row *row, uint8_t region, uint64_t sequence)
{
	for (uint32_t i = 0; i < row->sibling_count; i++) {
		if (row->siblings[i].dot.region == region && row->siblings[i].dot.sequence == sequence)
			return &row->siblings[i];
	}
	return NULL;
}

/* The n-th order of count things (n from 0 to count! - 1). */
static inline void sample_order(uint32_t n, uint32_t count, uint32_t *order)
{
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	for (uint32_t i = count; i > 1; i--) {
		uint32_t j = n % i, swapped = order[i - 1];
		n /= i;
		order[i - 1] = order[j];
		order[j] = swapped;
	}
}

#endif
