/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/counters.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(counters, names_are_those_of_the_table)
{
	cr_assert_str_eq(counter_name(COUNTER_loop_turns), "loop_turns");
	cr_assert_str_eq(counter_name(COUNTER_memory_bytes), "memory_bytes");
	cr_assert_str_eq(counter_meaning(COUNTER_writes), "writes acknowledged");
	cr_assert_str_eq(histogram_name(HISTOGRAM_read_us), "read_us");
	for (uint32_t i = 0; i < COUNTERS; i++)
		for (uint32_t j = 0; j < i; j++)
			cr_assert_str_neq(counter_name((enum counter)i), counter_name((enum counter)j));
}

Test(counters, the_page_has_the_tables)
{
	static char page[65536], wanted[65536];
	FILE *in = fopen(METRICS_PAGE, "re");
	cr_assert(in && fread(page, 1, sizeof page - 1, in) > 0);
	fclose(in);
	size_t at = (size_t)sprintf(wanted, "| counter | meaning |\n|---|---|\n");
	for (uint32_t i = 0; i < COUNTERS; i++)
		at += (size_t)snprintf(wanted + at, sizeof wanted - at, "| `%s` | %s |\n", counter_name((enum counter)i),
		    counter_meaning((enum counter)i));
	at += (size_t)snprintf(wanted + at, sizeof wanted - at, "\n| histogram | meaning |\n|---|---|\n");
	for (uint32_t i = 0; i < HISTOGRAMS; i++)
		at += (size_t)snprintf(wanted + at, sizeof wanted - at, "| `%s` | %s |\n", histogram_name((enum histogram)i),
		    histogram_meaning((enum histogram)i));
	cr_assert(strstr(page, wanted), "docs/metrics.md needs:\n%s", wanted);
}

Test(histogram, buckets_join_without_gap_or_overlap_and_hold_the_promised_error)
{
	for (uint32_t bucket = 0; bucket + 1 < HISTOGRAM_BUCKETS; bucket++) {
		uint64_t top = histogram_bucket_top(bucket);
		cr_assert_eq(histogram_bucket(top), bucket, "bucket %u", bucket);
		cr_assert_eq(histogram_bucket(top + 1), bucket + 1, "bucket %u", bucket);
		uint64_t bottom = bucket == 0 ? 0 : histogram_bucket_top(bucket - 1) + 1;
		cr_assert_leq((double)(top - bottom), 0.032 * (double)bottom, "bucket %u", bucket);
	}
	cr_assert_eq(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

Test(histogram, quantiles)
{
	struct histogram_block *h = calloc(1, sizeof(*h));
	cr_assert_eq(histogram_quantile(h, 0.5), 0);
	for (uint64_t value = 1; value <= 10000; value++)
		histogram_add(h, value);
	const double quantiles[] = {0, 0.5, 0.99, 0.999, 1};
	for (uint32_t i = 0; i < 5; i++) {
		double exact = quantiles[i] * 10000 < 1 ? 1 : quantiles[i] * 10000;
		double got = (double)histogram_quantile(h, quantiles[i]);
		cr_assert(got >= exact && got <= exact * 1.032 + 1, "%g: %g", quantiles[i], got);
	}
	cr_assert_eq(histogram_quantile(h, 1), 10000, "never above the largest value");
	cr_assert_eq(atomic_load(&h->count), 10000);
	cr_assert_eq(atomic_load(&h->sum), 50005000);
	histogram_add(h, UINT64_MAX / 2);
	cr_assert_eq(histogram_quantile(h, 1), UINT64_MAX / 2);
	free(h);
}
