/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock_skew.h"

#include <stddef.h>

#include "core/hlc.h"

/* A wall clock is told in milliseconds. */
#define RESOLUTION_US 1000
/* Clocks drift apart by less than that between two samples. */
#define WIDEN_US 20

int64_t skew_offset_us(uint64_t wall_ms, uint64_t monotonic_ns)
{
	uint64_t shown_ms = wall_ms < HLC_WALL_MS_MAX ? wall_ms : HLC_WALL_MS_MAX;
	return (int64_t)(shown_ms * 1000) - (int64_t)(monotonic_ns / 1000);
}

struct clock_range skew_range_of(const struct clock_range *before, uint64_t wall_ms, uint64_t asked_ns, uint64_t now_ns)
{
	struct clock_range range = {
	    .low_us = skew_offset_us(wall_ms, now_ns), .high_us = skew_offset_us(wall_ms, asked_ns) + RESOLUTION_US};
	if (!before)
		return range;
	int64_t low_us = before->low_us - WIDEN_US, high_us = before->high_us + WIDEN_US;
	if (low_us > range.high_us || high_us < range.low_us)
		return range; /* it was set */
	if (low_us > range.low_us)
		range.low_us = low_us;
	if (high_us < range.high_us)
		range.high_us = high_us;
	return range;
}

int64_t skew_range_middle_us(const struct clock_range *range)
{
	return range->low_us + (range->high_us - range->low_us) / 2;
}

struct clock_judgement skew_judge(const int64_t offset_us[static REGIONS_MAX], uint32_t heard, uint8_t own, uint32_t regions)
{
	uint8_t sorted[REGIONS_MAX];
	uint32_t count = 0;
	heard |= 1u << own;
	for (uint8_t r = 0; r < REGIONS_MAX; r++) {
		if (!(heard >> r & 1))
			continue;
		uint32_t at = count++;
		for (; at > 0 && offset_us[sorted[at - 1]] > offset_us[r]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = r;
	}
	if (count < regions / 2 + 1 || count < 2)
		return (struct clock_judgement){.against = own};
	uint8_t low = sorted[(count - 1) / 2], high = sorted[count / 2];
	int64_t above_low_us = offset_us[own] - offset_us[low], above_high_us = offset_us[own] - offset_us[high];
	if (above_low_us >= 0 && above_high_us <= 0)
		return (struct clock_judgement){.against = own, .heard = count};
	bool is_ahead = above_high_us > 0;
	return (struct clock_judgement){
	    .ahead_us = is_ahead ? above_high_us : above_low_us, .against = is_ahead ? high : low, .heard = count};
}
