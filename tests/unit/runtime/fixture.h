/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GODWIT_TESTS_UNIT_RUNTIME_FIXTURE_H
#define GODWIT_TESTS_UNIT_RUNTIME_FIXTURE_H
#include <stdbool.h>
#include <stdint.h>

#include "runtime/loop.h"

/* A directory of this test alone; removed with all that is in it by scratch_remove. */
void scratch_make(char out[static 128]);
void scratch_remove(const char *path);
void file_write(const char *directory, const char *name, const char *content, char path_out[static 256]);

/* A loop that runs until `done` says so. */
struct pump {
	struct loop *loop;
	struct counter_block *counters; /* freed by pump_stop */
	bool (*done)(void *self);
	void *self;
	uint64_t until_ns;
};
void pump_start(struct pump *pump);
bool pump_run(struct pump *pump, bool (*done)(void *self), void *self, uint32_t timeout_ms); /* false: time ran out */
void pump_stop(struct pump *pump);

#endif
