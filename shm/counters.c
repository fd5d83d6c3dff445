/* SPDX-License-Identifier: Apache-2.0
 *
 * A bucket is found without a search: values below 32 have one each; above, a power of two is cut into 32 equal parts.
 *   value 2^e + s * 2^(e-5), e >= 5  ->  bucket (e - 4) * 32 + s
 * Readers look at a block while it is written: they add up the buckets themselves rather than believe `count`, and may miss the
 * last few values, which does no harm to a quantile. */
#include "shm/counters.h"

#include <assert.h>

#define SUB_BUCKET_BITS 5u
_Static_assert(HISTOGRAM_SUB_BUCKETS == 1u << SUB_BUCKET_BITS, "the two name the same thing");

const char *counter_name(enum counter counter)
{
	static const char *const names[] = {
#define X(name, meaning) #name,
	    COUNTER_TABLE(X)
#undef X
	};
	assert((unsigned)counter < COUNTERS);
	return names[counter];
}

const char *counter_meaning(enum counter counter)
{
	static const char *const meanings[] = {
#define X(name, meaning) meaning,
	    COUNTER_TABLE(X)
#undef X
	};
	assert((unsigned)counter < COUNTERS);
	return meanings[counter];
}

const char *histogram_name(enum histogram histogram)
{
	static const char *const names[] = {
#define X(name, meaning) #name,
	    HISTOGRAM_TABLE(X)
#undef X
	};
	assert((unsigned)histogram < HISTOGRAMS);
	return names[histogram];
}

const char *histogram_meaning(enum histogram histogram)
{
	static const char *const meanings[] = {
#define X(name, meaning) meaning,
	    HISTOGRAM_TABLE(X)
#undef X
	};
	assert((unsigned)histogram < HISTOGRAMS);
	return meanings[histogram];
}

uint32_t histogram_bucket(uint64_t value)
{
	if (value < HISTOGRAM_SUB_BUCKETS)
		return (uint32_t)value;
	uint32_t exponent = 63u - (uint32_t)__builtin_clzll(value);
	uint32_t part = (uint32_t)(value >> (exponent - SUB_BUCKET_BITS)) & (HISTOGRAM_SUB_BUCKETS - 1);
	uint32_t bucket = (exponent - SUB_BUCKET_BITS + 1) * HISTOGRAM_SUB_BUCKETS + part;
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

uint64_t histogram_bucket_top(uint32_t bucket)
{
	assert(bucket < HISTOGRAM_BUCKETS);
	if (bucket < HISTOGRAM_SUB_BUCKETS)
		return bucket;
	if (bucket == HISTOGRAM_BUCKETS - 1)
		return UINT64_MAX; /* takes all that is larger, too */
	uint32_t shift = bucket / HISTOGRAM_SUB_BUCKETS - 1;
	uint64_t base = HISTOGRAM_SUB_BUCKETS + bucket % HISTOGRAM_SUB_BUCKETS;
	return ((base + 1) << shift) - 1;
}

static void add_relaxed(_Atomic uint64_t *word, uint64_t n)
{
	atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n, memory_order_relaxed);
}

void histogram_add(struct histogram_block *h, uint64_t value)
{
	add_relaxed(&h->buckets[histogram_bucket(value)], 1);
	add_relaxed(&h->sum, value);
	if (value > atomic_load_explicit(&h->max, memory_order_relaxed))
		atomic_store_explicit(&h->max, value, memory_order_relaxed);
	add_relaxed(&h->count, 1);
}

uint64_t histogram_quantile(const struct histogram_block *h, double quantile)
{
	assert(quantile >= 0 && quantile <= 1);
	uint64_t counts[HISTOGRAM_BUCKETS]; /* one look at each, so that the rank fits the sum */
	uint64_t total = 0;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		counts[i] = atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
		total += counts[i];
	}
	if (total == 0)
		return 0;
	uint64_t rank = (uint64_t)((double)total * quantile);
	if ((double)rank < (double)total * quantile || rank == 0)
		rank++; /* upwards, and the smallest value is the first */
	uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
	uint64_t below = 0;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		below += counts[i];
		if (below >= rank) {
			uint64_t top = histogram_bucket_top(i);
			return top < max ? top : max;
		}
	}
	return max;
}
