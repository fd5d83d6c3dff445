/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/cluster.h"
#include "bench/history.h"
#include "bench/values.h"
#include "bench/zipf.h"

Test(bench, zipf_ranks_are_as_frequent_as_they_should_be)
{
	static const double exponents[] = {0, 0.5, 0.99, 1, 1.5};
	for (size_t e = 0; e < sizeof(exponents) / sizeof(exponents[0]); e++) {
		const uint64_t count = 50, draws = 400000;
		uint64_t seen[51] = {0};
		double sum = 0;
		struct zipf zipf;
		struct random random = {.state = 20261123};
		zipf_init(&zipf, count, exponents[e]);
		for (uint64_t rank = 1; rank <= count; rank++)
			sum += pow((double)rank, -exponents[e]);
		for (uint64_t i = 0; i < draws; i++) {
			uint64_t rank = zipf_next(&zipf, &random);
			cr_assert(rank >= 1 && rank <= count);
			seen[rank]++;
		}
		for (uint64_t rank = 1; rank <= count; rank++) {
			double expected = pow((double)rank, -exponents[e]) / sum * (double)draws;
			cr_assert_lt(fabs((double)seen[rank] - expected), 6 * sqrt(expected),
			    "exponent %g rank %llu: %llu, not %.0f", exponents[e], (unsigned long long)rank,
			    (unsigned long long)seen[rank], expected);
		}
	}
}

Test(bench, zipf_of_one_key_and_of_a_thousand_million)
{
	struct zipf zipf;
	struct random random = {.state = 1};
	zipf_init(&zipf, 1, 0.99);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(zipf_next(&zipf, &random), 1);
	zipf_init(&zipf, 1000000000, 0.99);
	uint64_t highest = 0;
	for (int i = 0; i < 100000; i++) {
		uint64_t rank = zipf_next(&zipf, &random);
		highest = rank > highest ? rank : highest;
	}
	cr_assert(highest > 100000000 && highest <= 1000000000);
}

Test(bench, values_have_their_size_and_are_unique)
{
	struct random random = {.state = 5};
	char value[400], first[VALUE_ID_SIZE], second[VALUE_ID_SIZE];
	for (uint32_t size = VALUE_ID_SIZE; size < 300; size++) {
		memset(value, 1, sizeof(value));
		value_fill(value, size, 7, 65535, size, &random);
		for (uint32_t i = 0; i < sizeof(value); i++)
			cr_assert(i < size ? value[i] >= ' ' && value[i] <= 'z' && value[i] != '"' && value[i] != '\\'
			                   : value[i] == 1);
	}
	for (uint32_t client = 0; client < 3; client++) {
		value_fill(first, VALUE_ID_SIZE, 7, client, 1, &random);
		value_fill(second, VALUE_ID_SIZE, 7, client, 2, &random);
		cr_assert_neq(memcmp(first, second, VALUE_ID_SIZE), 0);
		value_fill(second, VALUE_ID_SIZE, 7, client + 1, 1, &random);
		cr_assert_neq(memcmp(first, second, VALUE_ID_SIZE), 0);
		value_fill(second, VALUE_ID_SIZE, 8, client, 1, &random);
		cr_assert_neq(memcmp(first, second, VALUE_ID_SIZE), 0);
	}
}

Test(bench, T55_lag_of_a_run_is_the_difference_of_two_samples)
{
	static struct histogram_block before, after, run;
	for (int i = 0; i < 100; i++)
		histogram_add(&before, 1000000); /* what was before the run must not show */
	after = before;
	for (int i = 0; i < 99; i++)
		histogram_add(&after, 10);
	histogram_add(&after, 5000);
	histogram_difference(&run, &before, &after);
	cr_assert_eq(run.count, 100);
	cr_assert_eq(run.sum, 99 * 10 + 5000);
	cr_assert_leq(histogram_quantile(&run, 0.5), 11);
	cr_assert(run.max >= 5000 && run.max < 5200);
}

Test(bench, history_is_one_object_a_line)
{
	char path[128], line[512];
	const char *base = getenv("TMPDIR");
	snprintf(path, sizeof(path), "%.80s/history-XXXXXX", base ? base : "/tmp");
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	close(fd);
	struct history *history;
	struct error_context error = {0};
	uint64_t lines;
	cr_assert_eq(history_open(&history, path, &error), 0);
	history_add(history, &(struct history_line){.client = 3,
	                         .op = "get",
	                         .key = "k1",
	                         .value = "a\"b\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	                         .value_size = 39,
	                         .outcome = "ok",
	                         .region = "r",
	                         .start_ns = 5,
	                         .end_ns = 7});
	history_add(history, &(struct history_line){.op = "get", .key = "k2", .outcome = "fail", .region = "r"});
	cr_assert_eq(history_close(history, &lines, &error), 0);
	cr_assert_eq(lines, 2);
	FILE *file = fopen(path, "r");
	cr_assert(fgets(line, sizeof(line), file));
	cr_assert_str_eq(line,
	    "{\"client\":3,\"op\":\"get\",\"key\":\"k1\",\"value\":\"a\\\"b\\nxxxxxxxxxxxxxxxxxxxx\",\"outcome\":\"ok\","
	    "\"session\":3,\"region\":\"r\",\"start_ns\":5,\"end_ns\":7}\n");
	cr_assert(fgets(line, sizeof(line), file));
	cr_assert(strstr(line, "\"value\":null,\"outcome\":\"fail\""));
	cr_assert_not(fgets(line, sizeof(line), file));
	fclose(file);
	unlink(path);
	cr_assert_eq(history_open(&history, "/nowhere/at/all", &error), ERR_IO);
}
