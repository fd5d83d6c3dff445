/* SPDX-License-Identifier: Apache-2.0
 *
 * The load: connections spread over regions, one thread for the connections of each region, all of them pipelined.
 *
 * As fast as possible (rate 0): a new operation for each one answered. With a rate: each operation has a time at which it
 * should start, and its latency counts from there, so that a stall shows up in every operation that it held back. */
#ifndef GODWIT_BENCH_WORKLOAD_H
#define GODWIT_BENCH_WORKLOAD_H
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "bench/history.h"
#include "bench/zipf.h"
#include "runtime/topology.h"
#include "shm/counters.h"

struct workload_options {
	const struct topology *topology;
	const char *key_dir, *keyspace;
	uint32_t regions; /* mask of places in the topology */
	uint32_t clients, pipeline;
	uint64_t keys;
	uint32_t value_size;
	double read_ratio, zipf;
	double cas_ratio, delete_ratio; /* of the writes; together at most 1. cas_ratio: strong keyspaces only */
	uint32_t transaction_keys;      /* 1: puts and deletes; more: each write is a transaction, strong keyspaces only */
	uint64_t rate;                  /* operations a second over all; 0: no limit */
	uint32_t timeout_ms;
	struct history *history; /* or NULL */
	/* What runs when this gets true ends as if its time were over. */
	const volatile sig_atomic_t *stopped;
};

struct tally {                             /* of one region, or of all */
	uint64_t writes, reads;            /* answered ok, "no such key" included, within the time measured */
	uint64_t refused, unknown, failed; /* certainly not applied; perhaps; unreachable or not to be read. Whole run */
	uint64_t all_writes, all_reads;    /* ok, warm-up and drain included: what the figures per operation are divided by */
	uint64_t all_sets,
	    check_failed; /* writes with a condition: applied (in all_writes too); not (in no other count). Whole run */
	int first_code;   /* of what was not ok */
	char first_reason[160];
	struct histogram_block write_us, read_us, check_failed_us;
};

struct workload;
int workload_new(struct workload **workload, const struct workload_options *options, struct error_context *error);
void workload_free(struct workload *workload);
/* Writes every key once. Refusals for lack of room are tried again; anything else that is not ok ends it with its code. */
int workload_load(struct workload *workload, uint64_t *took_ns, struct error_context *error);
/* Blocks until the last operation was answered or given up. *measured_s: how long was measured; less than asked for when it was
 * stopped. */
int workload_run(
    struct workload *workload, uint32_t warmup_ms, uint32_t seconds, double *measured_s, struct error_context *error);
/* By place in the topology; NULL for a region without clients. */
const struct tally *workload_tally(const struct workload *workload, uint32_t place);
void tally_add(struct tally *into, const struct tally *from);

#endif
