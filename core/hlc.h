/* SPDX-License-Identifier: Apache-2.0
 *
 * Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): 48 bits of milliseconds since the Unix epoch, 16
 * bits of counter, compared as one integer. Never goes back; across restarts the stored upper bound sees to that: no stamp
 * above `bound` is given out before a larger bound was appended to the log ahead of it. */
#ifndef GODWIT_CORE_HLC_H
#define GODWIT_CORE_HLC_H
#include <stdbool.h>
#include <stdint.h>

/* Far below max_clock_drift_ms: a region starts again from its bound, and peers hold back stamps that are further ahead of their
 * clocks than that. With 5 s, each restart under load held its stream back for 5 s, and restarts added up. */
#define HLC_BOUND_STEP_MS 100u

struct hlc {
	uint64_t last;  /* largest stamp given out or accepted */
	uint64_t bound; /* stamps up to here may be given out without storing a new bound */
};

static inline uint64_t hlc_milliseconds(uint64_t stamp) { return stamp >> 16; }
static inline uint64_t hlc_pack(uint64_t ms, uint16_t counter) { return ms << 16 | counter; }

/* Starts from the stored bound: every stamp given out later is above it. */
void hlc_init(struct hlc *clock, uint64_t stored_bound);
/* A new stamp, above every earlier one. When *store_bound comes back non-zero, an HLC_BOUND entry with that value must be
 * appended to the log before the record that carries the stamp. */
uint64_t hlc_tick(struct hlc *clock, uint64_t now_ms, uint64_t *store_bound);
/* Learns a remote stamp. ERR_CLOCK_AHEAD, with nothing learned, if it is more than drift_max_ms ahead of now_ms. */
int hlc_observe(struct hlc *clock, uint64_t remote, uint64_t now_ms, uint64_t drift_max_ms);

#endif
