/* SPDX-License-Identifier: Apache-2.0
 *
 * What a run has shown, for a person or as one JSON object. */
#ifndef GODWIT_BENCH_REPORT_H
#define GODWIT_BENCH_REPORT_H
#include <stdio.h>

#include "bench/cluster.h"
#include "bench/workload.h"

struct report {
	const struct topology *topology;
	const struct cluster *cluster;
	const struct workload *workload;
	const struct keyspace *keyspace;
	const struct workload_options *options;
	double seconds;                /* measured */
	uint64_t loaded_keys, load_us; /* 0: nothing was loaded */
	const struct cluster_sample *before, *after;
	bool caught_up, lag_zero;     /* in time */
	char behind[BEHIND_TEXT_MAX]; /* who lacks what, when it is not caught up */
	uint64_t caught_up_us, lag_zero_us;
	uint64_t history_lines;
};
void report_table(const struct report *report, FILE *out);
void report_json(const struct report *report, FILE *out);

#endif
