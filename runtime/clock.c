/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <time.h>

#include "runtime/loop.h"

#ifdef GODWIT_CRASH_POINTS
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* In builds for tests a file, named by GODWIT_CLOCK_FILE, sets the wall clock off by as many milliseconds as it says; it is
 * read anew every few milliseconds, so that a clock can be set while processes run. In any other build there is no such thing.
 */
#define READ_EVERY_NS 5000000u
static uint64_t wall_off_ms(uint64_t now_ns)
{
	static _Atomic uint64_t read_ns, off_ms;
	static _Atomic int fd = -2;
	uint64_t last_ns = atomic_load(&read_ns);
	if (atomic_load(&fd) == -1 || (last_ns && now_ns < last_ns + READ_EVERY_NS))
		return atomic_load(&off_ms);
	atomic_store(&read_ns, now_ns);
	if (atomic_load(&fd) == -2) {
		const char *path = getenv("GODWIT_CLOCK_FILE");
		atomic_store(&fd, path ? open(path, O_RDONLY | O_CLOEXEC) : -1);
	}
	char text[32] = "";
	ssize_t size = atomic_load(&fd) < 0 ? 0 : pread(atomic_load(&fd), text, sizeof text - 1, 0);
	if (size > 0)
		atomic_store(&off_ms, (uint64_t)strtoll(text, NULL, 10));
	return atomic_load(&off_ms);
}
#endif

struct clock_now clock_read(void)
{
	struct timespec monotonic, wall;
	int failed = clock_gettime(CLOCK_MONOTONIC, &monotonic) | clock_gettime(CLOCK_REALTIME, &wall);
	assert(failed == 0);
	struct clock_now now = {
	    .monotonic_ns = (uint64_t)monotonic.tv_sec * 1000000000u + (uint64_t)monotonic.tv_nsec,
	    .wall_ms = (uint64_t)wall.tv_sec * 1000u + (uint64_t)wall.tv_nsec / 1000000u,
	};
#ifdef GODWIT_CRASH_POINTS
	now.wall_ms += wall_off_ms(now.monotonic_ns);
#endif
	return now;
}
