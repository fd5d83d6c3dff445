/* SPDX-License-Identifier: Apache-2.0
 *
 * How far is a region's wall clock from the majority's? Each clock is told by its offset: what it shows less a monotonic clock
 * of this machine, the same for all, in microseconds.
 *
 *   measured:  an answer to a heartbeat proves a range, as wide as its round trip; ranges are narrowed by each other, and a
 *              clock that was set shows as one that does not meet the range before it (Marzullo, "Maintaining the time in a
 *              distributed system", 1984)
 *   judged:    against the median of all clocks heard, the own one among them; when that is even, the nearer middle one. So a
 *              clock is called wrong only by more than half of those heard, and never when fewer than a majority are */
#ifndef GODWIT_CORE_CLOCK_SKEW_H
#define GODWIT_CORE_CLOCK_SKEW_H
#include <stdbool.h>
#include <stdint.h>

#include "core/record.h"

struct clock_range {
	int64_t low_us, high_us; /* the offset lies between them */
};
/* The first sample of a clock: range_before NULL. wall_ms: what the peer showed, at some time between the monotonic times
 * asked_ns and now_ns. Readings beyond the year 4199 count as that. */
struct clock_range skew_range_of(const struct clock_range *range_before, uint64_t wall_ms, uint64_t asked_ns, uint64_t now_ns);
int64_t skew_range_middle_us(const struct clock_range *range);
int64_t skew_offset_us(uint64_t wall_ms, uint64_t monotonic_ns);

struct clock_judgement {
	int64_t ahead_us; /* of the median; negative: behind */
	uint8_t against;  /* region whose clock is the median; the own one when nobody says otherwise */
	uint32_t heard;   /* clocks, the own one among them; 0: fewer than a majority, no judgement */
};
/* offset_us by region id, where bit `heard` is set; the own one is always heard. regions: how many are configured. */
struct clock_judgement skew_judge(const int64_t offset_us[static REGIONS_MAX], uint32_t heard, uint8_t own, uint32_t regions);

#endif
