/* SPDX-License-Identifier: Apache-2.0
 *
 * Where was the end of the log, and when? A start refills the memories of answers from a part of the log only; whether an
 * answer may have been in the part before is then a question of when a request was first sent, and of this. Wall clocks may be
 * wrong and stamps with them; the monotonic clock is one for all processes since the boot, and shared memory does not outlive
 * that. Samples are at least 4 MiB of log apart, so that all of them reach back further than any refill does. */
#ifndef GODWIT_ACTORS_COORDINATOR_LOG_TIMES_H
#define GODWIT_ACTORS_COORDINATOR_LOG_TIMES_H
#include <stdint.h>

#include "shm/layout.h"

/* At a start, when the log's end is known: samples of another store, or from beyond the end, are dropped. */
void log_times_start(struct shm_coordinator *shm, const struct store_id *own, uint64_t end_lsn);
void log_times_note(struct shm_coordinator *shm, uint64_t end_lsn, uint64_t now_ns);
/* By then (monotonic) the log up to `lsn` had been written. Never too early: now_ns when it is not known. */
uint64_t log_times_find(const struct shm_coordinator *shm, uint64_t lsn, uint64_t now_ns);

#endif
