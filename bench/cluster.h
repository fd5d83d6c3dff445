/* SPDX-License-Identifier: Apache-2.0
 *
 * What the regions of this machine say of themselves, read from their shared memory. Differences of two samples are what a run
 * has cost. A region that runs elsewhere has no shared memory here: figures are then of the others, and that is said. */
#ifndef GODWIT_BENCH_CLUSTER_H
#define GODWIT_BENCH_CLUSTER_H
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/topology.h"
#include "runtime/waiting.h"
#include "shm/layout.h"

struct cluster {
	const struct topology *topology;
	uint32_t local_count;
	const char *dir;         /* borrowed */
	bool local[REGIONS_MAX]; /* by place in the topology */
	struct shm shm[REGIONS_MAX];
};

struct cluster_sample {
	uint64_t counters[REGIONS_MAX][ACTORS][COUNTERS];
	struct histogram_block lag_us[REGIONS_MAX], sync_us[REGIONS_MAX], group_records[REGIONS_MAX];
	uint64_t own_cpu_us; /* of this process */
};

void cluster_attach(struct cluster *cluster, const struct topology *topology, const char *dir);
void cluster_detach(struct cluster *cluster);
/* A region whose supervisor was started anew has other shared memory: its counters begin at 0 again. */
void cluster_sample(struct cluster *cluster, struct cluster_sample *sample);
/* Waits until the local regions have applied the same writes, and says on standard error which lack what when that takes long.
 * 0 with how long it took; ERR_UNKNOWN_OUTCOME after timeout_ms, or when *stopped gets true. */
int cluster_wait_caught_up(
    struct cluster *cluster, uint32_t timeout_ms, const volatile sig_atomic_t *stopped, uint64_t *took_us);
/* Which lack what; empty: none does. */
void cluster_behind(struct cluster *cluster, char out[static BEHIND_TEXT_MAX]);
/* From now until every monitor reports no lag to any local region, from figures newer than now; same codes. */
int cluster_wait_lag_zero(
    struct cluster *cluster, uint32_t timeout_ms, const volatile sig_atomic_t *stopped, uint64_t *took_us);
/* Sum over local regions of after - before. */
uint64_t cluster_difference(const struct cluster *cluster, const struct cluster_sample *before,
    const struct cluster_sample *after, enum actor actor, enum counter counter);
/* Sum over local regions as they are in one sample. */
uint64_t cluster_sum(
    const struct cluster *cluster, const struct cluster_sample *sample, enum actor actor, enum counter counter);
/* into += after - before. max becomes the top of the highest bucket that grew. */
void histogram_difference(
    struct histogram_block *into, const struct histogram_block *before, const struct histogram_block *after);

#endif
