/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/coordinator/log_times.h"

#include <stdbool.h>

#define SAMPLE_BYTES (4ull << 20)

void log_times_start(struct shm_coordinator *shm, const struct store_id *own, uint64_t end_lsn)
{
	uint64_t tag = shm_store_tag(own);
	bool same = atomic_load_explicit(&shm->log_times_tag, memory_order_relaxed) == tag;
	for (uint32_t i = 0; i < SHM_LOG_TIMES; i++) {
		if (same && atomic_load_explicit(&shm->log_times[i].lsn, memory_order_relaxed) <= end_lsn)
			continue;
		atomic_store_explicit(&shm->log_times[i].at_ns, 0, memory_order_relaxed);
		atomic_store_explicit(&shm->log_times[i].lsn, 0, memory_order_relaxed);
	}
	atomic_store_explicit(&shm->log_times_tag, tag, memory_order_relaxed);
}

void log_times_note(struct shm_coordinator *shm, uint64_t end_lsn, uint64_t now_ns)
{
	uint64_t newest = 0, oldest = UINT64_MAX;
	uint32_t place = 0;
	for (uint32_t i = 0; i < SHM_LOG_TIMES; i++) {
		uint64_t lsn = atomic_load_explicit(&shm->log_times[i].lsn, memory_order_relaxed);
		newest = lsn > newest ? lsn : newest;
		place = lsn < oldest ? i : place;
		oldest = lsn < oldest ? lsn : oldest;
	}
	if (end_lsn < newest + SAMPLE_BYTES)
		return;
	/* Killed in between: no sample, rather than a wrong one. */
	atomic_store_explicit(&shm->log_times[place].at_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&shm->log_times[place].lsn, end_lsn, memory_order_release);
	atomic_store_explicit(&shm->log_times[place].at_ns, now_ns, memory_order_release);
}

uint64_t log_times_find(const struct shm_coordinator *shm, uint64_t lsn, uint64_t now_ns)
{
	uint64_t best_ns = now_ns;
	for (uint32_t i = 0; i < SHM_LOG_TIMES; i++) {
		uint64_t at_ns = atomic_load_explicit(&shm->log_times[i].at_ns, memory_order_acquire);
		if (at_ns && atomic_load_explicit(&shm->log_times[i].lsn, memory_order_relaxed) >= lsn && at_ns < best_ns)
			best_ns = at_ns;
	}
	return best_ns;
}
