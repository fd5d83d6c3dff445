/* SPDX-License-Identifier: Apache-2.0
 *
 * How far a peer is behind, in records, bytes and milliseconds: from samples of this region's own progress, taken as it goes,
 * and the sequence that the peer has acknowledged. Pure.
 *
 * Bounded: when the history is full, samples are merged where they stand closer than a thousandth of their age. So up to an
 * hour is exact, and longer lags are told to a thousandth; never too small. */
#ifndef GODWIT_ACTORS_MONITOR_LAG_H
#define GODWIT_ACTORS_MONITOR_LAG_H
#include <stdint.h>

#define LAG_SAMPLES_MAX       36000u
#define LAG_PRECISION         1024u
#define LAG_SAMPLE_SPACING_NS (100ull * 1000000)

struct lag_sample {
	uint64_t sequence, lsn; /* where this region stood */
	uint64_t at_ns;         /* when the first record since the sample before was seen */
};
struct lag_history {
	uint32_t count;
	uint64_t sequence, lsn; /* now */
	uint64_t pending_ns;    /* since when there is more than the last sample has; 0: there is not */
	struct lag_sample samples[LAG_SAMPLES_MAX];
};

struct lag {
	uint64_t records;
	uint64_t bytes; /* of log, all origins: an upper bound of what is still to be sent */
	uint64_t ms;    /* age of the oldest record that is not yet durable there; 0 when caught up */
};

/* This region stands at this own sequence and this log position now. Neither ever goes back. */
void lag_note(struct lag_history *history, uint64_t sequence, uint64_t lsn, uint64_t now_ns);
/* sent_lsn: the log was read for the peer up to here. before_ns: since when records that are older than the history have been
 * waiting, as far as known; 0: not known. */
struct lag lag_of(const struct lag_history *history, uint64_t acked, uint64_t sent_lsn, uint64_t before_ns, uint64_t now_ns);

#endif
