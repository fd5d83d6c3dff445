/* SPDX-License-Identifier: Apache-2.0 */
#include "core/hlc.h"

#include <assert.h>

#include "base/error.h"

void hlc_init(struct hlc *clock, uint64_t stored_bound)
{
	/* Nothing above the stored bound was ever given out, so starting at it is enough, whatever the wall clock says. */
	clock->last = stored_bound;
	clock->bound = stored_bound;
}

uint64_t hlc_tick(struct hlc *clock, uint64_t now_ms, uint64_t *store_bound)
{
	assert(clock->last < UINT64_MAX);
	uint64_t physical = hlc_pack(now_ms < HLC_WALL_MS_MAX ? now_ms : HLC_WALL_MS_MAX, 0);
	/* A full counter runs over into the milliseconds: the stamp is one integer, and being a little ahead is allowed. */
	uint64_t stamp = physical > clock->last ? physical : clock->last + 1;
	clock->last = stamp;
	*store_bound = 0;
	if (stamp > clock->bound) {
		clock->bound = hlc_pack(hlc_milliseconds(stamp) + HLC_BOUND_STEP_MS, 0);
		*store_bound = clock->bound;
	}
	return stamp;
}

void hlc_learn(struct hlc *clock, uint64_t remote)
{
	/* The bound is left alone: it limits what this region gives out, and the next tick above it stores a new one. */
	if (remote > clock->last)
		clock->last = remote;
}

int hlc_observe(struct hlc *clock, uint64_t remote, uint64_t now_ms, uint64_t drift_max_ms)
{
	uint64_t remote_ms = hlc_milliseconds(remote);
	now_ms = now_ms < HLC_WALL_MS_MAX ? now_ms : HLC_WALL_MS_MAX;
	if (remote_ms > now_ms && remote_ms - now_ms > drift_max_ms)
		return ERR_CLOCK_AHEAD;
	hlc_learn(clock, remote);
	return 0;
}
