/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters and histograms that outlive their process. One block an actor, one writer a block; readers may be anyone.
 * One line a counter gives its name in code, in `stats`, in `godwit top` and in the docs. */
#ifndef GODWIT_SHM_COUNTERS_H
#define GODWIT_SHM_COUNTERS_H
#include <stdatomic.h>
#include <stdint.h>

/* name, meaning */
#define COUNTER_TABLE(X)                                                                                                       \
	X(loop_turns, "turns of the event loop")                                                                               \
	X(cpu_us, "processor time used, microseconds")                                                                         \
	X(turned_ms, "when the event loop last turned, monotonic clock")                                                       \
	X(errors, "error lines, repeated ones included")                                                                       \
	X(writes, "writes acknowledged")                                                                                       \
	X(writes_refused, "writes refused for certain")                                                                        \
	X(writes_repeated, "repeats answered from memory, not applied")                                                        \
	X(reads, "reads answered")                                                                                             \
	X(commits, "strong transactions committed, of whatever region")                                                        \
	X(commit_aborts, "strong transactions aborted")                                                                        \
	X(commits_recovered, "strong transactions decided for a silent coordinator")                                           \
	X(commits_requeued, "strong requests that began again after a conflict")                                               \
	X(strong_reads, "strong reads begun")                                                                                  \
	X(in_doubt, "strong transactions undecided here now")                                                                  \
	X(records_applied, "records applied to rows, own and received")                                                        \
	X(records_received, "records taken in from other regions")                                                             \
	X(records_duplicate, "records received again and skipped")                                                             \
	X(records_out_of_order, "records that left a gap and were put back")                                                   \
	X(records_ahead, "records taken in whose stamp was from the future")                                                   \
	X(records_ahead_ms, "the furthest of them, milliseconds")                                                              \
	X(conflicts, "writes found concurrent with what was there")                                                            \
	X(log_bytes_written, "bytes appended to the log")                                                                      \
	X(log_syncs, "fdatasync calls on the log")                                                                             \
	X(apply_groups, "transactions on the rows")                                                                            \
	X(segments_dropped, "log segments removed")                                                                            \
	X(snapshots, "snapshots taken")                                                                                        \
	X(bytes_sent, "payload bytes sent to peers or clients")                                                                \
	X(bytes_raw, "the same before compression")                                                                            \
	X(bytes_received, "payload bytes received from peers or clients")                                                      \
	X(frames_sent, "frames sent")                                                                                          \
	X(frames_received, "frames received")                                                                                  \
	X(frames_refused, "malformed or foreign messages refused")                                                             \
	X(keys_refused, "connections with an unknown key refused")                                                             \
	X(connections_refused, "connections refused to keep descriptors for the store")                                        \
	X(resubscribes, "streams started again")                                                                               \
	X(heartbeats_sent, "heartbeats sent")                                                                                  \
	X(heartbeats_received, "heartbeats received")                                                                          \
	X(queue_refused, "requests refused because a queue was full")                                                          \
	X(divergent_rows, "rows that differ from a peer at equal vectors")                                                     \
	X(comparisons, "digest comparisons made at equal vectors")                                                             \
	X(memory_bytes, "bytes held in queues now")

enum counter {
#define X(name, meaning) COUNTER_##name,
	COUNTER_TABLE(X)
#undef X
	    COUNTERS
};

/* Log-linear: 32 sub-buckets a power of two, so a value is off by at most 3.2 %. Unit in the name. */
#define HISTOGRAM_TABLE(X)                                                                                                     \
	X(acknowledge_us, "write, from its arrival to its answer")                                                             \
	X(strong_write_us, "strong write, the same")                                                                           \
	X(strong_read_us, "strong read, the same")                                                                             \
	X(sync_us, "one fdatasync of the log")                                                                                 \
	X(apply_us, "one transaction on the rows")                                                                             \
	X(group_records, "records in one transaction")                                                                         \
	X(replication_lag_us, "record, from its HLC to being durable here")                                                    \
	X(read_us, "one read from the store")

enum histogram {
#define X(name, meaning) HISTOGRAM_##name,
	HISTOGRAM_TABLE(X)
#undef X
	    HISTOGRAMS
};

#define HISTOGRAM_SUB_BUCKETS 32u
#define HISTOGRAM_BUCKETS     (HISTOGRAM_SUB_BUCKETS * 38u)
struct histogram_block {
	_Atomic uint64_t count, sum, max;
	_Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
};
struct counter_block {
	_Alignas(128) _Atomic uint64_t values[COUNTERS];
	struct histogram_block histograms[HISTOGRAMS];
};

const char *counter_name(enum counter counter);
const char *counter_meaning(enum counter counter);
const char *histogram_name(enum histogram histogram);
const char *histogram_meaning(enum histogram histogram);

/* Writer only: a relaxed load and store, no locked instruction, because there is one writer. */
static inline void counter_add(struct counter_block *b, enum counter c, uint64_t n)
{
	atomic_store_explicit(
	    &b->values[c], atomic_load_explicit(&b->values[c], memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void counter_set(struct counter_block *b, enum counter c, uint64_t n)
{
	atomic_store_explicit(&b->values[c], n, memory_order_relaxed);
}
static inline uint64_t counter_get(const struct counter_block *b, enum counter c)
{
	return atomic_load_explicit(&b->values[c], memory_order_relaxed);
}
uint32_t histogram_bucket(uint64_t value);
uint64_t histogram_bucket_top(uint32_t bucket); /* the largest value that falls into it */
void histogram_add(struct histogram_block *h, uint64_t value);
/* Quantile 0..1 of what is in it; 0 when empty. */
uint64_t histogram_quantile(const struct histogram_block *h, double quantile);

#endif
