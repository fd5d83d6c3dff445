/* SPDX-License-Identifier: Apache-2.0
 *
 * Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): 48 bits of milliseconds since the Unix epoch, 16
 * bits of counter, compared as one integer. Never goes back; across restarts the stored upper bound sees to that: no stamp
 * above `bound` is given out before a larger bound was appended to the log ahead of it. */
#ifndef GODWIT_CORE_HLC_H
#define GODWIT_CORE_HLC_H
#include <stdbool.h>
#include <stdint.h>

/* Far below max_clock_drift_ms: a region starts again from its bound, and a stamp further ahead than that limit counts as one
 * from the future. With 5 s, each restart under load put a region's stamps ahead by 5 s, and restarts added up. */
#define HLC_BOUND_STEP_MS 100u

/* No clock takes a later time than this from a wall clock (year 4199): one that shows more is broken. */
#define HLC_WALL_MS_MAX (1ull << 46)
/* No stamp lies above this one (year 6429). It is 2^62 stamps above the largest wall time that is taken, and a clock rises by
 * one a stamp beyond that: at a stamp a nanosecond, 146 years. A larger one in a message is damage, and malformed. */
#define HLC_STAMP_MAX (1ull << 63)

struct hlc {
	uint64_t last;  /* largest stamp given out or accepted */
	uint64_t bound; /* stamps up to here may be given out without storing a new bound */
};

static inline uint64_t hlc_milliseconds(uint64_t stamp)
{
	return stamp >> 16;
}
static inline uint64_t hlc_pack(uint64_t ms, uint16_t counter)
{
	return ms << 16 | counter;
}

/* Starts from the stored bound: every stamp given out later is above it. */
void hlc_init(struct hlc *clock, uint64_t stored_bound);
/* A new stamp, above every earlier one. now_ms is taken up to HLC_WALL_MS_MAX. When *store_bound comes back non-zero, an
 * HLC_BOUND entry with that value must be appended to the log before the record that carries the stamp. */
uint64_t hlc_tick(struct hlc *clock, uint64_t now_ms, uint64_t *store_bound);
/* Learns a remote stamp, whatever time it shows: for clocks that only order. */
void hlc_learn(struct hlc *clock, uint64_t remote);
/* Learns a remote stamp unless it is from the future. ERR_CLOCK_AHEAD, with nothing learned, if it is more than drift_max_ms
 * ahead of now_ms. */
int hlc_observe(struct hlc *clock, uint64_t remote, uint64_t now_ms, uint64_t drift_max_ms);

#endif
