/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <time.h>

#include "runtime/loop.h"

struct clock_now clock_read(void)
{
	struct timespec monotonic, wall;
	int failed = clock_gettime(CLOCK_MONOTONIC, &monotonic) | clock_gettime(CLOCK_REALTIME, &wall);
	assert(failed == 0);
	return (struct clock_now){
	    .monotonic_ns = (uint64_t)monotonic.tv_sec * 1000000000u + (uint64_t)monotonic.tv_nsec,
	    .wall_ms = (uint64_t)wall.tv_sec * 1000u + (uint64_t)wall.tv_nsec / 1000000u,
	};
}
