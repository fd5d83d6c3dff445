/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/runtime/fixture.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void scratch_make(char out[static 128])
{
	const char *parent = getenv("TMPDIR");
	snprintf(out, 128, "%.80s/godwit-runtime-XXXXXX", parent && *parent ? parent : "/tmp");
	cr_assert(mkdtemp(out) != NULL);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

void scratch_remove(const char *path)
{
	nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void file_write(const char *directory, const char *name, const char *content, char path_out[static 256])
{
	snprintf(path_out, 256, "%.120s/%.100s", directory, name);
	FILE *out = fopen(path_out, "w");
	cr_assert(out != NULL);
	fputs(content, out);
	fclose(out);
}

static void pump_tick(void *self, struct clock_now now)
{
	struct pump *pump = self;
	if (pump->done(pump->self))
		loop_stop(pump->loop, 1);
	else if (now.monotonic_ns >= pump->until_ns)
		loop_stop(pump->loop, 2);
}

static uint64_t pump_deadline(void *self)
{
	(void)self;
	return clock_read().monotonic_ns + 2000000;
}

void pump_start(struct pump *pump)
{
	*pump = (struct pump){0};
	pump->counters = aligned_alloc(128, (sizeof *pump->counters + 127) / 128 * 128);
	memset(pump->counters, 0, sizeof *pump->counters);
	struct loop_actor actor = {.self = pump, .tick = pump_tick, .deadline_ns = pump_deadline};
	cr_assert_eq(loop_new(&pump->loop, &actor, NULL, pump->counters), 0);
}

bool pump_run(struct pump *pump, bool (*done)(void *self), void *self, uint32_t timeout_ms)
{
	pump->done = done;
	pump->self = self;
	pump->until_ns = clock_read().monotonic_ns + timeout_ms * 1000000ull;
	return loop_run(pump->loop) == 1;
}

void pump_stop(struct pump *pump)
{
	loop_free(pump->loop);
	free(pump->counters);
}
